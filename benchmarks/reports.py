"""How large reports are, and how long they take to write, to open and to sort, in a real browser.

python -m benchmarks.reports RUN_OR_SWEEP...    pages of folders that there are, written anew
python -m benchmarks.reports --jobs 500         the page of a made-up sweep, two measurements a job
"""

import argparse
import logging
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from llcx import artifacts, report
from tests.browser import CHROMIUM, Browser, started
from tests.collected import collected

log = logging.getLogger("benchmarks.reports")
OPENED = 5  # times
LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd"
SORTED = """(() => { const button = document.querySelectorAll('#results th button')[2], start = performance.now();
button?.click(); document.body.getBoundingClientRect(); return performance.now() - start; })()"""
HEADS = ("page", "rows", "kB", "written in s", "opened in ms", "sorted in ms", "console, requests")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--jobs", type=int, default=0)
    args = parser.parse_args()
    if CHROMIUM is None:
        raise SystemExit("error: a browser must be installed, got none; apt-get install chromium")
    with tempfile.TemporaryDirectory() as place, started() as browser:
        folders = [*args.folders, *([collected(Path(place) / f"{args.jobs} jobs", args.jobs)] if args.jobs else [])]
        log.info("| %s |\n|%s", " | ".join(HEADS), "---|" * len(HEADS))
        for folder in folders:
            log.info("| %s |", " | ".join(line(browser, folder)))


def line(browser: Browser, folder: Path) -> Sequence[str]:
    """One page: a copy of its folder is reported, so that the folder stays as it is."""
    with tempfile.TemporaryDirectory() as place:
        copy = shutil.copytree(folder, Path(place) / folder.name)
        start = time.perf_counter()
        page = report.write_sweep(copy) if (copy / "jobs.csv").exists() else report.write(artifacts.load(copy))
        written = time.perf_counter() - start
        browser.look()
        opened = []
        for _ in range(OPENED):
            browser.open(page)
            opened.append(browser.value(LOADED))
        rows = browser.value("document.querySelectorAll('#results tbody tr').length")
        clean = f"{len(browser.complaints)}, {len(browser.requests) - 1}"
        told = (page.stat().st_size / 1000, written, statistics.median(opened), browser.value(SORTED))
        return [folder.name, str(rows), *(f"{value:.3g}" if value < 100 else f"{value:.0f}" for value in told), clean]


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    main()
