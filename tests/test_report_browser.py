"""A report in a real browser: its console, its requests, sorting, filtering, phones and paper."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from llcx import artifacts, report
from tests.browser import CHROMIUM, Browser, started
from tests.collected import collected
from tests.figures.run_folder import study, write
from tests.test_report import png

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)")
COLUMN = "[...document.querySelectorAll('#results tbody tr')].map(row => row.cells[%d].textContent)"
UNKNOWN = "\u2013"
PHONE = 390  # CSS pixels


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as found:
        yield found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a study with flagged and failed measurements, and two figures."""
    folder = write(tmp_path_factory.mktemp("run"), study(24))
    for name in ("llc_traces.png", "llc_qq.png"):
        (folder / name).write_bytes(png(1600, 900))
    return report.write(artifacts.load(folder))


def clicked(browser: Browser, head: str) -> tuple[str, list[str]]:
    """(aria-sort, the column) after a click on its head."""
    heads: list[str] = browser.value("[...document.querySelectorAll('#results th')].map(th => th.textContent)")
    place = heads.index(head)
    browser.value(f"document.querySelectorAll('#results th button')[{place}].click()")
    order = browser.value(f"document.querySelectorAll('#results th')[{place}].getAttribute('aria-sort')")
    return order, browser.value(COLUMN % place)


def test_the_page_is_drawn_without_errors_and_without_the_network(browser: Browser, run: Path) -> None:
    browser.look()
    browser.open(run)
    assert browser.complaints == []
    assert browser.requests == [run.as_uri()]
    assert browser.value("[...document.images].map(image => image.naturalWidth)") == [1600, 1600]
    assert browser.value("document.querySelectorAll('.lights > li').length") >= 30


def test_errors_and_requests_would_have_been_seen(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text('<img src="http://127.0.0.1:9/a.png"><script>console.error("no"); nowhere();</script>')
    browser.open(path)
    assert "http://127.0.0.1:9/a.png" in browser.requests
    assert len(browser.complaints) >= 2


def test_a_click_on_a_head_sorts_by_number_and_another_one_the_other_way(browser: Browser, run: Path) -> None:
    browser.open(run)
    order, values = clicked(browser, "λ̂")
    numbers = [float(value) for value in values[:-1]]
    assert order == "ascending"
    assert values[-1] == UNKNOWN  # the failed one, last either way
    assert numbers == sorted(numbers)
    order, values = clicked(browser, "λ̂")
    assert order == "descending"
    assert [float(value) for value in values[:-1]] == sorted(numbers, reverse=True)
    assert values[-1] == UNKNOWN
    names = clicked(browser, "point")[1]
    assert names.index("net=2") < names.index("net=10")


def test_the_filter_leaves_the_rows_that_hold_all_words(browser: Browser, run: Path) -> None:
    browser.open(run)
    browser.value(
        "(f => { f.value = 'sgld high'; f.dispatchEvent(new Event('input')); })(document.querySelector('#filter'))"
    )
    assert browser.value("document.querySelector('#found').textContent") == "2 of 48"
    assert (
        browser.value("[...document.querySelectorAll('#results tbody tr')].filter(row => row.offsetHeight).length") == 2
    )


def test_it_fits_a_phone_in_light_and_dark_and_has_paper_of_its_own(
    browser: Browser, run: Path, tmp_path: Path
) -> None:
    grounds = []
    for dark in (False, True):
        browser.look(width=PHONE, height=844, dark=dark)
        browser.open(run)
        assert browser.value("document.documentElement.scrollWidth") <= PHONE
        grounds.append(browser.value("getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]
    browser.paper(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    assert browser.value("[...document.querySelectorAll('details')].every(one => one.open)")


def test_the_page_of_a_sweep_is_drawn_and_fits_a_phone(browser: Browser, tmp_path: Path) -> None:
    browser.look(width=PHONE, height=844)
    browser.open(report.write_sweep(collected(tmp_path, 30, missing=2)))
    assert browser.complaints == []
    assert len(browser.requests) == 1
    assert browser.value("document.documentElement.scrollWidth") <= PHONE
    assert clicked(browser, "seed")[1][:2] == ["0", "0"]
