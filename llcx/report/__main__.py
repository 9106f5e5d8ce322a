"""`python -m llcx.report DIR`."""

import logging
import sys
from pathlib import Path

from llcx import artifacts, report

log = logging.getLogger("llcx.report")
OF_SWEEP = ("jobs.csv", "multirun.yaml")


def main(arguments: list[str]) -> None:
    """Exits with one line on standard error where DIR is neither a run folder nor a collected sweep."""
    if len(arguments) != 1:
        raise SystemExit("error: give one run folder or sweep: python -m llcx.report DIR")
    path = Path(arguments[0])
    try:
        several = any((path / name).exists() for name in OF_SWEEP)
        log.info("%s", report.write_sweep(path) if several else report.write(artifacts.load(path)))
    except (OSError, ValueError) as error:
        raise SystemExit(f"error: {' '.join(str(error).split())}") from None


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    main(sys.argv[1:])
