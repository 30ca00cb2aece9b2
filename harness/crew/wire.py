"""Messages as bytes on a pipe: their length, and then what pickle makes of them.

What comes out of a pickle is code. Both ends are processes that this run has started, and a pipe between the
two has no third.
"""

import pickle
from collections.abc import Awaitable, Callable
from struct import Struct
from typing import Any

_LENGTH = Struct(">Q")


def packed(message: object) -> bytes:
    """*message* as it goes over the pipe."""
    told = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(told)) + told


def read(exactly: Callable[[int], bytes]) -> Any:
    """The next message; *exactly* returns so many bytes, or raises where there are none any more."""
    (length,) = _LENGTH.unpack(exactly(_LENGTH.size))
    return pickle.loads(exactly(length))  # noqa: S301  as above  from a process of this run


def whole(exactly: Callable[[int], bytes]) -> bytes:
    """The next message as it goes over the pipe, for whoever hands it on unread."""
    head = exactly(_LENGTH.size)
    return head + exactly(_LENGTH.unpack(head)[0])


async def received(exactly: Callable[[int], Awaitable[bytes]]) -> Any:
    """The same, waiting."""
    (length,) = _LENGTH.unpack(await exactly(_LENGTH.size))
    return pickle.loads(await exactly(length))  # noqa: S301  as above
