"""One Chromium for all pages that are looked at in a module.

Not for the whole session: playwright has an event loop that runs in this thread for as long as its browser
is there, and no test with a loop of its own could run beside it.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser.looking import browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless Chromium."""
    with browser() as running:
        yield running
