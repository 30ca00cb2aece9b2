"""Our own Sigma, as a run starts and ends it."""

import os

import anyio
import httpx
import pytest

from harness.drive.local import local_sigma
from harness.errors import StandinError

pytestmark = pytest.mark.anyio


async def test_a_stand_in_that_says_more_than_a_pipe_holds_is_not_held_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONVERBOSE", "2")  # every file it tries to import, on standard error: 600 KB
    with anyio.fail_after(30):
        async with local_sigma() as url, httpx.AsyncClient() as http:
            assert (await http.get(f"{url}/health")).is_success


async def test_a_stand_in_that_cannot_start_is_an_error_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PYTHONHOME", os.devnull)
    with pytest.raises(StandinError, match=r"(?s)it said: .*encodings"):
        async with local_sigma():
            pass
