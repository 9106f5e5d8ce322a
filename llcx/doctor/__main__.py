"""`python -m llcx.doctor RUN`."""

import logging
import sys

from llcx import artifacts
from llcx.doctor import diagnose

log = logging.getLogger("llcx.doctor")


def main(arguments: list[str]) -> None:
    """Exits with one line on standard error where RUN is not a run folder."""
    if len(arguments) != 1:
        raise SystemExit("error: give one run folder: python -m llcx.doctor RUN")
    try:
        log.info("%s", diagnose(artifacts.load(arguments[0])))
    except (OSError, ValueError) as error:
        raise SystemExit(f"error: {' '.join(str(error).split())}") from None


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stdout)
    main(sys.argv[1:])
