"""Pages in a real browser: Debian's Chromium, its console, and axe-core's checks of labels and contrast."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
# Without these Chromium asks for hosts that it cannot reach, many at a time.
_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def screenshots() -> Path:
    """Where pictures of pages go, to be looked at: HARNESS_SCREENSHOTS, or a folder that git does not see."""
    folder = Path(os.environ.get("HARNESS_SCREENSHOTS", ".screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def require_chromium() -> None:
    """Skip where there is no Chromium, and fail in CI, which installs it."""
    if CHROMIUM is None and os.environ.get("CI") == "true":
        pytest.fail("no chromium, though this is CI: .ci/run installs it")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")


@contextmanager
def browser(*flags: str) -> Iterator[Browser]:
    """A headless Chromium, with further *flags*."""
    require_chromium()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=[*_FLAGS, *flags])
        yield chromium
        chromium.close()


@dataclass(slots=True)
class Look:
    """A page that is looked at: what its console said, and what it asked the network for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def check(self, name: str) -> None:
        """No console error, nothing that axe finds; leaves a picture under *name*."""
        self.page.screenshot(path=screenshots() / f"{name}.png", full_page=True)
        assert self.complaints == []
        found = Axe().run(self.page)
        assert found.violations_count == 0, found.generate_report()


Open = Callable[..., Look]


@contextmanager
def looking(
    chromium: Browser, *, size: dict[str, int] = DESK, dark: bool = False, offline: bool = False
) -> Iterator[Look]:
    """A new page of *size*, which keeps every complaint of its console and every request."""
    context = chromium.new_context(
        viewport={"width": size["width"], "height": size["height"]},
        color_scheme="dark" if dark else "light",
        offline=offline,
    )
    page = context.new_page()
    look = Look(page)
    page.on(
        "console",
        lambda said: look.complaints.append(said.text) if said.type in {"error", "warning"} else None,
    )
    page.on("pageerror", lambda error: look.complaints.append(str(error)))
    page.on("request", lambda request: look.requests.append(request.url))
    try:
        yield look
    finally:
        context.close()
