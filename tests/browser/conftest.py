"""One Chromium for all pages that are looked at."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.looking import browser


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless Chromium."""
    with browser() as running:
        yield running
