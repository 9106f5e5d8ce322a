"""`python train.py task=dln sampler=auto seed=0` from a checkout; installed, `llcx` does the same from any folder."""

from llcx.main import main

if __name__ == "__main__":
    raise SystemExit(main())
