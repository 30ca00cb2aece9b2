"""`harness` in a process that notes what no reader of a stranger's results may do.

``python -m tests.e2e.trap LOG INSIDE ARGS...`` runs ``harness ARGS`` under an audit hook. What is started,
what is connected to, what is written outside of the folder INSIDE, and what of INSIDE is taken for Python,
goes to LOG: a line each.
"""

import os
import sys
from pathlib import Path
from typing import Any

_STARTS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.fork", "pty.spawn")
_CONNECTS = ("socket.connect", "socket.sendto", "socket.bind", "socket.getaddrinfo")
_CHANGES = (
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.symlink",
    "os.link",
    "os.truncate",
    "shutil.rmtree",
)


def main() -> None:
    """Set the trap, and run the command line."""
    log, inside = Path(sys.argv[1]).open("a", buffering=1), Path(sys.argv[2]).resolve()  # noqa: SIM115
    sys.argv[:] = ["harness", *sys.argv[3:]]
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # it starts and connects past the hook
    from harness.cli import main as harness  # noqa: PLC0415  what it imports is ours

    def hook(event: str, args: tuple[Any, ...]) -> None:
        told = _starts(event, args) or _touches(event, args, inside)
        if told:
            log.write(told.replace("\n", " ") + "\n")

    sys.addaudithook(hook)
    harness()


def _starts(event: str, args: tuple[Any, ...]) -> str:
    if event in _STARTS:
        return f"starts {event} {args!r}"
    named = args if event == "socket.getaddrinfo" else args[1:]  # of others the first is the socket
    return f"connects {event} {named!r}" if event in _CONNECTS else ""


def _touches(event: str, args: tuple[Any, ...], inside: Path) -> str:
    match event, args:
        case "open", (path, mode, int(flags)) if _is_path(path):
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) or (mode and set(mode) & set("wax+"))
            return f"writes {path!s}" if writes and not _is_in(path, inside) else ""
        case "compile", (_, str(name)) if Path(name).is_absolute():
            return f"compiles {name}" if _is_in(name, inside) else ""
        case _ if event in _CHANGES and _is_path(args[0]):
            return "" if _is_in(args[0], inside) else f"changes {event} {args[0]!s}"
    return ""


def _is_path(path: Any) -> bool:
    return isinstance(path, str | bytes | os.PathLike)


def _is_in(path: Any, inside: Path) -> bool:
    return Path(os.fsdecode(path)).resolve().is_relative_to(inside)


if __name__ == "__main__":
    main()
