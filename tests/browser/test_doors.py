"""The view's door in a real browser: pages of other origins, names turned to this machine, tokens."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.looking import browser
from tests.program import HARNESS
from tests.view.test_guard import Guarded, guarded
from tests.view.viewing import results_to_show

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(180)]

REBOUND = "rebound.example"
TRIES = """
const told = {};
const settled = (name, promise) => promise.then(
  (word) => { told[name] = word; }, () => { told[name] = "nothing"; });
const element = (kind, from) => new Promise((resolve, reject) => {
  const made = document.createElement(kind);
  made.onload = () => resolve("loaded");
  made.onerror = reject;
  Object.assign(made, from);
  document.body.append(made);
});
const opened = (url) => new Promise((resolve, reject) => {
  const source = new EventSource(url);
  source.onopen = () => resolve("opened");
  source.onerror = () => { source.close(); reject(); };
});
async (at) => {
  const css = `${at}static/view.css`, js = `${at}static/view.js`;
  await Promise.all([
    settled("fetch", fetch(at).then((answer) => answer.text())),
    settled("fetch with cookies", fetch(at, {credentials: "include"}).then((answer) => answer.text())),
    settled("fetch without cors", fetch(at, {mode: "no-cors"}).then((answer) => answer.type)),
    settled("post", fetch(at, {method: "POST", body: "x"}).then((answer) => answer.text())),
    settled("img", element("img", {src: at})),
    settled("style", element("link", {rel: "stylesheet", href: css})),
    settled("script", element("script", {src: js})),
    settled("events", opened(at)),
  ]);
  return told;
}
"""
NOTHING = dict.fromkeys(
    ["fetch", "fetch with cookies", "fetch without cors", "post", "img", "style", "script", "events"],
    "nothing",
)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for which a stranger's name leads to this machine."""
    with browser(f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1") as running:
        yield running


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return results_to_show(tmp_path_factory)


@pytest.fixture(scope="module")
def views(results: Path) -> Iterator[dict[str, Guarded]]:
    """A view that is open to all of this machine, and one that wants its token."""
    with ExitStack() as stack:
        yield {
            "open": stack.enter_context(guarded(results)),
            "private": stack.enter_context(guarded(results, "--with-token")),
        }


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a server of somebody else, and the folder that it serves."""
    serve = partial(_Quiet, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", tmp_path
        server.shutdown()
        thread.join()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context()
    yield context.new_page()
    context.close()


def home(view: Guarded) -> str:
    return f"{view.http.base_url}/"


def addresses(page: Page) -> list[str]:
    """All that is in the history of the tab."""
    told = page.context.new_cdp_session(page).send("Page.getNavigationHistory")
    return [entry["url"] for entry in told["entries"]]


@pytest.mark.parametrize("kind", ["open", "private"])
def test_a_page_of_another_origin_gets_nothing_whatever_it_tries(
    kind: str, page: Page, views: dict[str, Guarded], elsewhere: tuple[str, Path]
) -> None:
    view, (at, folder) = views[kind], elsewhere
    (folder / "index.html").write_text("<!doctype html><body>")
    page.goto(view.address)  # so that a cookie is there to be abused
    page.wait_for_url(home(view))
    page.goto(at)
    prepare, _, tried = TRIES.rpartition("async (at)")
    page.evaluate(f"() => {{ {prepare} window.tried = async (at){tried} }}")
    assert page.evaluate("(at) => window.tried(at)", home(view)) == NOTHING
    (folder / "static").mkdir()
    for name in ("view.css", "view.js"):
        (folder / "static" / name).touch()
    found = page.evaluate("(at) => window.tried(at)", at)
    assert {name for name in NOTHING if found[name] != "nothing"} >= {"fetch", "style", "script"}


@pytest.mark.parametrize("kind", ["open", "private"])
def test_it_is_shown_in_no_frame_of_others(
    kind: str, page: Page, views: dict[str, Guarded], elsewhere: tuple[str, Path]
) -> None:
    view, (at, folder) = views[kind], elsewhere
    (folder / "index.html").write_text(f'<!doctype html><iframe src="{home(view)}"></iframe>')
    page.goto(view.address)
    page.wait_for_url(home(view))
    page.goto(at)
    page.wait_for_load_state("networkidle")
    texts = [frame.locator("body").inner_text() for frame in page.frames[1:]]
    assert len(texts) == 1
    assert "shown" not in texts[0]


def test_a_form_of_others_is_not_taken(
    page: Page, views: dict[str, Guarded], elsewhere: tuple[str, Path]
) -> None:
    (at, folder), view = elsewhere, views["open"]
    (folder / "index.html").write_text(
        f'<!doctype html><form method="post" action="{home(view)}"><input type="submit"></form>'
    )
    page.goto(at)
    with page.expect_response(home(view)) as answered:
        page.get_by_role("button").click()
    assert answered.value.status == 405


def test_a_name_that_was_turned_to_this_machine_is_not_answered(
    page: Page, views: dict[str, Guarded]
) -> None:
    view = views["open"]
    answer = page.goto(f"http://{REBOUND}:{view.http.base_url.port}/")
    assert answer is not None
    assert (answer.status, "shown" in answer.text()) == (421, False)
    read = page.evaluate("() => fetch('/').then((answer) => answer.text())")
    assert "does not answer as rebound.example" in read


def test_the_token_is_traded_for_a_cookie_that_no_script_reads_and_no_history_keeps_it(
    page: Page, views: dict[str, Guarded]
) -> None:
    view = views["private"]
    refused = page.goto(home(view))
    assert refused is not None
    assert refused.status == 401
    page.goto(f"{home(view)}run/shown/latest?token={view.token}")
    page.wait_for_url("**/run/shown/2*")
    assert page.get_by_role("heading", name="shown").first.is_visible()
    page.get_by_role("link", name="runs").first.click()
    page.wait_for_url(home(view))
    assert not any(view.token in address for address in addresses(page))
    assert page.evaluate("[document.cookie, document.referrer, location.href]") == ["", "", home(view)]
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")


def test_a_link_with_the_token_on_a_page_of_others_leads_in(
    page: Page, views: dict[str, Guarded], elsewhere: tuple[str, Path]
) -> None:
    view, (at, folder) = views["private"], elsewhere
    # Another site, not only another port: a chat, to which somebody has sent the address.
    at = at.replace("127.0.0.1", REBOUND)
    links = f'<a href="{view.address}">with</a> <a href="{home(view)}">without</a>'
    (folder / "index.html").write_text(f"<!doctype html>{links}")
    page.goto(at)
    page.get_by_text("without").click()
    page.wait_for_url(home(view))
    assert "wants its token" in page.locator("body").inner_text()
    page.goto(at)
    page.get_by_text("with", exact=True).click()
    page.wait_for_url(home(view))
    assert "shown" in page.locator("main").inner_text()
    assert page.evaluate("document.referrer") in {"", home(view)}
    assert not any(view.token in address for address in addresses(page))


def test_a_report_works_and_a_script_that_is_not_ours_is_not_run(
    page: Page, views: dict[str, Guarded], results: Path
) -> None:
    view = views["open"]
    folder = (results / "shown" / "latest").resolve()
    report = f"{home(view)}run/shown/{folder.name}/report.html"
    said: list[str] = []
    page.on("console", lambda told: said.append(told.text))
    (folder / "report.html").write_text(
        "<!doctype html><title>kept</title><style>p{color:rgb(1,2,3)}</style><p onclick='x'>text"
        "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
    )
    page.goto(report)
    assert page.title() == "kept"
    assert page.locator("p").evaluate("(p) => getComputedStyle(p).color") == "rgb(1, 2, 3)"
    assert any("Content Security Policy" in each for each in said)
    said.clear()
    command = [*HARNESS, "report", "shown", "--results", str(results), "--html"]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    page.goto(report)
    assert page.get_by_role("heading", name="Verdict").is_visible()
    first = page.locator("th button").first
    first.click()
    assert first.locator("xpath=..").get_attribute("aria-sort") is not None
    assert said == []
