"""`python -m llcx.figures DIR`: redraw every picture of a run folder from its saved numbers."""

import logging
import sys

from llcx import artifacts
from llcx.figures import draw

log = logging.getLogger("llcx.figures")


def main(arguments: list[str]) -> None:
    """Exits with one line on standard error where DIR is not a run folder."""
    if len(arguments) != 1:
        raise SystemExit("error: give one run folder: python -m llcx.figures DIR")
    try:
        folder = artifacts.load(arguments[0])
    except (OSError, ValueError) as error:
        raise SystemExit(f"error: {error}") from None
    for path in draw.draw(folder):
        log.info("%s", path)


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    main(sys.argv[1:])
