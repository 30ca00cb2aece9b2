"""The process in which the suite's own Python runs: a call a line in, what it gave a line out.

Started by `harness.conduct.consult` as ``python -m harness.grade.runner FOLDER`` with the suite's folder,
which is where its files may import from. It is another process so that a check can be ended: a function that
never comes back, or takes the interpreter with it, costs its own grade and nothing else.
"""

import inspect
import os
import sys
import traceback
from collections.abc import Callable
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import msgspec


class Call(msgspec.Struct, frozen=True):
    """What is to be called, and with what, as a line."""

    file: str
    function: str
    output: str
    context: dict[str, Any]


class Gave(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a call gave, or how it broke: in a line, and as a traceback."""

    gave: Any = None
    error: str = ""
    traceback: str = ""


def main() -> None:
    """Answer calls until there are no more."""
    folder = Path(sys.argv[1])
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a check prints is no answer
    sys.path.insert(0, str(folder))
    answer_all(sys.stdin.buffer, answers, folder)


def answer_all(calls: BinaryIO, answers: BinaryIO, folder: Path) -> None:
    """One line of *answers* for each of *calls*."""
    decode = msgspec.json.Decoder(Call).decode
    load = cache(_load)
    for line in calls:
        answers.write(_encoded(_called(decode(line), folder, load)) + b"\n")
        answers.flush()


def _called(call: Call, folder: Path, load: Callable[[Path, Path], ModuleType]) -> Gave:
    try:
        function = getattr(load(folder / call.file, folder), call.function)
        gave = function(call.output, call.context)
        if inspect.isawaitable(gave):
            gave = _awaited(gave)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  it is theirs, whatever it is: SystemExit among it
        trace = traceback.format_exception(type(error), error, _theirs(error))
        return Gave(error=f"{type(error).__name__}: {error}", traceback="".join(trace))
    return Gave(gave.item() if hasattr(gave, "item") else gave)  # numpy's numbers


def _theirs(error: BaseException) -> Any:
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__ and trace.tb_next is not None:
        trace = trace.tb_next
    return trace


def _awaited(gave: Any) -> Any:
    import anyio  # noqa: PLC0415  50 ms; most checks are no coroutines

    async def waited() -> Any:
        return await gave

    return anyio.run(waited)


def _encoded(gave: Gave) -> bytes:
    try:
        return msgspec.json.encode(gave)
    except (TypeError, ValueError) as error:
        return msgspec.json.encode(Gave(error=f"it gave what cannot be kept as JSON: {error}"))


def _load(path: Path, folder: Path) -> ModuleType:
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ImportError(f"{path} is not in the folder of the suite")
    spec = spec_from_file_location(f"suite_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
