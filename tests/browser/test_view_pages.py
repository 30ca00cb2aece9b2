"""The view in a real browser: what it says to its console, what axe finds, what keys and filters do."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import polars as pl
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.looking import DESK, PHONE, looking
from tests.view.viewing import SLOW, begun, results_to_show, until, viewing

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return results_to_show(tmp_path_factory)


@pytest.fixture(scope="module")
def view(results: Path) -> Iterator[httpx.Client]:
    with viewing(results) as http:
        yield http


def paths(results: Path) -> dict[str, str]:
    """The pages that are looked at, by the names of their pictures."""
    shown = (results / "shown" / "latest").resolve()
    hostile = (results / "hostile" / "latest").resolve()
    trials = pl.read_parquet(shown / "trials.parquet").filter(
        pl.col("repeat") == 1, pl.col("case_id") == "talk"
    )
    attacked = pl.read_parquet(hostile / "trials.parquet")["trial_id"].item()
    at = f"/run/shown/{shown.name}"
    return {
        "runs": "/",
        "run": at,
        "trial": f"{at}/trial/{trials['trial_id'][0]}",
        "compare": f"{at}/compare?case=refund&a=steady&b=filtered",
        "hostile": f"/run/hostile/{hostile.name}/trial/{attacked}",
    }


LOOKS = {"light": (DESK, False), "dark": (DESK, True), "phone": (PHONE, False)}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", ["runs", "run", "trial", "compare", "hostile"])
def test_a_page_has_no_complaints(
    name: str, look: str, chromium: Browser, results: Path, view: httpx.Client
) -> None:
    size, dark = LOOKS[look]
    with looking(chromium, size=size, dark=dark) as seen:
        seen.page.goto(str(view.base_url.join(paths(results)[name])))
        seen.check(f"view-{name}-{look}")
        wide = seen.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= size["width"], "it scrolls sideways"
        assert seen.page.evaluate("document.title") != "taken"
        ours = str(view.base_url)
        assert all(url.startswith((ours, "data:")) for url in seen.requests)


def test_filters_work_by_mouse_and_rows_by_keys(chromium: Browser, results: Path, view: httpx.Client) -> None:
    with looking(chromium) as seen:
        page = seen.page
        page.goto(str(view.base_url.join(paths(results)["run"])))
        page.get_by_label("failed", exact=True).check()
        page.get_by_role("button", name="Filter").click()
        assert page.locator("#list tbody tr").count() == 4
        page.keyboard.press("j")
        page.keyboard.press("j")
        page.keyboard.press("k")
        page.keyboard.press("Enter")
        page.wait_for_url("**/trial/*")
        assert "failed" in page.locator("h1").inner_text()
        assert seen.complaints == []


def test_a_link_to_a_document_opens_the_list_that_it_is_in(
    chromium: Browser, results: Path, view: httpx.Client
) -> None:
    with looking(chromium) as seen:
        page = seen.page
        page.goto(str(view.base_url.join(f"{paths(results)['trial']}#turn-more-1-doc-1")))
        assert page.locator("#turn-more-1-doc-1").is_visible()
        assert page.locator("#turn-more-1-doc-1").evaluate("each => each.closest('details').open")
        # Scrolling is smooth, and takes a moment.
        expect(page.locator("#turn-more-1-doc-1")).to_be_in_viewport()


def test_what_is_no_name_of_a_place_harms_nothing(
    chromium: Browser, results: Path, view: httpx.Client
) -> None:
    with looking(chromium) as seen:
        seen.page.goto(f"{view.base_url.join(paths(results)['run'])}#100%")
        seen.page.locator("#charts").scroll_into_view_if_needed()
        seen.page.locator("#chart-results svg").first.wait_for(timeout=30_000)


def test_charts_come_when_somebody_comes_near_them(
    chromium: Browser, results: Path, view: httpx.Client
) -> None:
    with looking(chromium) as seen:
        page = seen.page
        page.goto(str(view.base_url.join(f"{paths(results)['run']}#charts")))
        page.locator("#chart-results svg").first.wait_for(timeout=30_000)
        assert seen.complaints == []


def test_a_run_that_goes_on_is_renewed_without_being_asked(chromium: Browser, tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    process = begun(SLOW, tmp_path, results)
    try:
        until(lambda: len(list(results.glob("slow/*/journal-0.jsonl"))) > 0)
        with viewing(results, cwd=tmp_path) as http, looking(chromium) as seen:
            page = seen.page
            page.goto(
                str(http.base_url.join("/run/slow/latest" if (results / "slow/latest").exists() else "/"))
            )
            if page.locator("h1").inner_text().startswith("Runs"):
                page.locator("#runs a").first.click()
            count = page.locator("#standing strong")
            first = int(count.inner_text())
            page.wait_for_function(
                "first => Number(document.querySelector('#standing strong').textContent) > first",
                arg=first + 2,
                timeout=20_000,
            )
            seen.check("view-live")
    finally:
        process.kill()
        process.communicate()
