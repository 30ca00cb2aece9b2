"""The page of a run in a real browser: offline, by keyboard, light and dark, on a desk and on a phone."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from harness.report.html import page
from harness.report.story import story
from tests.browser.looking import DESK, PHONE, Look, looking
from tests.report.made import Came, made

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(180)]

SUITE = """
suite: looked-at
target: {standin: {ignore: [filters]}}
defaults: {repeat: 2}
variants:
  steady: {llm_override: {model_provider: Simulated, model_version: "sim:ttft=20ms,gap=2ms,tokens=20,tool=search:20ms"}}
  thinker: {llm_override: {model_provider: Simulated, model_version: "sim:ttft=60ms,gap=4ms,tokens=30,reasoning=10"}}
  ignored: {search_filters: {source_type: [slack]}, only: ["tag:policy"]}
prompts:
  - {id: refund, tags: [policy], message: How long is the refund window for customers in the EU?, assert: [{type: contains, value: bananas}]}
  - {id: hostile, tags: [odd], message: "<script>alert(1)</script> \\u202e", assert: [{type: contains, value: "<b>no</b>"}]}
  - {id: fine, tags: [policy, odd], message: hello, assert: [stream-complete]}
gates: {baseline: steady, rules: [{metric: pass_rate, max_drop: 5pp}, {metric: error_rate, max: 10%}]}
load:
  main: {workers: 4}
  open: {rate: 20/s, for: 1s, mix: {steady: 50, thinker: 50}}
"""  # noqa: E501  a prompt is a line


@pytest.fixture(scope="module")
def cwd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where there is a run of many sorts, with its page."""
    folder = tmp_path_factory.mktemp("looked-at")
    (folder / "suite.yaml").write_text(SUITE)
    harness_("run", "suite.yaml", "--gate", "-q", cwd=folder)
    harness_("report", "latest", "--html", "run.html", cwd=folder)
    harness_("report", "--compare", "latest:steady", "latest:thinker", "--html", "both.html", cwd=folder)
    return folder


def harness_(*args: str, cwd: Path) -> None:
    command = [sys.executable, "-m", "harness", *args]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode in {0, 1, 3}, done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def opened(
    chromium: Browser, file: Path, *, at: str = "", dark: bool = False, phone: bool = False
) -> Iterator[Look]:
    """The page, from its file and without a network."""
    with looking(chromium, size=PHONE if phone else DESK, dark=dark, offline=True) as look:
        look.page.goto(f"{file.as_uri()}{at}")
        yield look
        assert [url for url in look.requests if not url.startswith("file:")] == []


@pytest.mark.parametrize(
    ("name", "dark", "phone"), [("light", False, False), ("dark", True, False), ("phone", False, True)]
)
def test_it_opens_offline_and_everybody_can_read_it(
    chromium: Browser, cwd: Path, name: str, dark: bool, phone: bool
) -> None:
    with opened(chromium, cwd / "run.html", dark=dark, phone=phone) as look:
        look.check(f"report-{name}")
        wide, seen = look.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= seen
        assert look.page.locator("figure svg:visible").count() >= 5


@pytest.mark.parametrize(("name", "phone"), [("compare", False), ("compare-phone", True)])
def test_a_comparison_opens_offline_and_everybody_can_read_it(
    chromium: Browser, cwd: Path, name: str, phone: bool
) -> None:
    with opened(chromium, cwd / "both.html", dark=phone, phone=phone) as look:
        look.check(f"report-{name}")
        wide, seen = look.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= seen
        assert look.page.get_by_role("heading", name="Answers side by side").first.is_visible()


def test_everything_opened_is_still_readable_on_a_phone(chromium: Browser, cwd: Path) -> None:
    with opened(chromium, cwd / "run.html", dark=True, phone=True) as look:
        look.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        look.check("report-phone-open")
        wide, seen = look.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= seen


def test_tables_are_sorted_by_keyboard(chromium: Browser, cwd: Path) -> None:
    with opened(chromium, cwd / "run.html") as look:
        table = look.page.get_by_role("group", name="Variants", exact=True)
        head = table.get_by_role("columnheader", name="trials")
        head.get_by_role("button").focus()
        cells = (
            "(table) => [...table.querySelectorAll('tbody td:nth-child(3)')].map((each) => +each.textContent)"
        )
        for order, back in (("ascending", False), ("descending", True)):
            look.page.keyboard.press("Enter")
            assert head.get_attribute("aria-sort") == order
            counts = table.evaluate(cells)
            assert counts == sorted(counts, reverse=back)
            assert len(set(counts)) > 1


def test_failures_are_filtered_by_keyboard(chromium: Browser, cwd: Path) -> None:
    with opened(chromium, cwd / "run.html") as look:
        failures = look.page.locator(".failure:visible")
        everything = failures.count()
        look.page.get_by_label("state").focus()
        look.page.keyboard.press("i")  # of the list's words the one that begins with it
        states = failures.evaluate_all("(all) => all.map((each) => each.dataset.state)")
        assert set(states) == {"invalid"}
        assert look.page.get_by_role("status").inner_text() == f"{len(states)} of {everything} shown"
        look.page.get_by_label("state").select_option("")
        look.page.get_by_role("searchbox").focus()
        look.page.keyboard.type("<SCRIPT>")
        assert 0 < failures.count() < everything
        look.page.get_by_role("button", name="Open or close all").press("Enter")
        assert failures.locator("xpath=self::*[@open]").count() == failures.count()


def test_a_link_to_a_prompt_opens_its_conversation(chromium: Browser, cwd: Path) -> None:
    with opened(chromium, cwd / "run.html", at="#case-hostile-steady-main") as look:
        case = look.page.locator("#case-hostile-steady-main")
        assert case.evaluate("(each) => each.open")
        assert case.get_by_text("<script>alert(1)</script> \\u202e").first.is_visible()
        assert look.page.evaluate("document.querySelectorAll('main script').length") == 0
        look.page.locator("#prompts ~ .scroll a").first.press("Enter")
        assert look.page.locator(".failure:target").evaluate("(each) => each.open")


def test_without_its_script_the_page_is_whole(chromium: Browser, cwd: Path) -> None:
    context = chromium.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto((cwd / "run.html").as_uri())
    assert page.locator(".failure summary").first.is_visible()
    assert not page.locator("#filters").is_visible()
    assert page.locator("th button").count() == 0
    context.close()


def test_a_word_without_end_is_shown_at_once(chromium: Browser, tmp_path: Path) -> None:
    """Chromium takes a minute and more for a word of 20,000 letters that it finds no place to break in."""
    file = tmp_path / "page.html"
    file.write_text(page(story(made(tmp_path / "r", [Came(answer="x" * 5_000_000)]))))
    with opened(chromium, file) as look:
        look.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        look.check("report-long-word")
