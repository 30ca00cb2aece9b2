"""An event loop to drive in: uvloop where there is one, and a thread where a loop is running already."""

from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any, TypeVar

import anyio
from sniffio import AsyncLibraryNotFoundError, current_async_library

Answer = TypeVar("Answer")


def in_a_loop(main: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    """What *main* returns, in an event loop of its own; a notebook's stays as it is."""

    def go() -> Answer:
        options = {"use_uvloop": find_spec("uvloop") is not None}
        return anyio.run(main, backend="asyncio", backend_options=options)

    try:
        current_async_library()
    except AsyncLibraryNotFoundError:
        return go()
    with ThreadPoolExecutor(1, "harness") as thread:
        return thread.submit(go).result()
