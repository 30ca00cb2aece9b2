"""The suite's own Python, in real processes of its own."""

from pathlib import Path

import anyio
import pytest

from harness.grade.checkers import Checkers
from harness.grade.runner import Call, Gave

CODE = """
import os, sys, time
import beside

def true(output, context):
    print("this is no answer")
    return output == "Paris" and context["vars"]["country"] == "France"

def score(output, context):
    return 0.25

def told(output, context):
    return {"pass": True, "score": 0.9, "reason": beside.REASON, "named_scores": {"tone": 1}}

async def later(output, context):
    import anyio
    await anyio.sleep(0)
    return output == "Paris"

def breaks(output, context):
    return {}["missing"]

def hangs(output, context):
    while True:
        time.sleep(1)

def leaves(output, context):
    os._exit(7)

def exits(output, context):
    sys.exit("enough")

def odd(output, context):
    return object()

def deep(output, context):
    return deep(output, context)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "checks.py").write_text(CODE)
    (tmp_path / "beside.py").write_text("REASON = 'as it should be'\n")
    return tmp_path


async def called(folder: Path, *functions: str, limit_s: float = 20.0, file: str = "checks.py") -> list[Gave]:
    context = {"vars": {"country": "France"}}
    async with Checkers(folder, folder / "checks.log") as checkers:
        return [
            await checkers.call(Call(file, function, "Paris", context), limit_s=limit_s)
            for function in functions
        ]


pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("function", "gave"),
    [
        ("true", True),
        ("score", 0.25),
        ("told", {"pass": True, "score": 0.9, "reason": "as it should be", "named_scores": {"tone": 1}}),
        ("later", True),
    ],
)
async def test_what_a_function_gives_comes_back(folder: Path, function: str, gave: object) -> None:
    assert await called(folder, function) == [Gave(gave)]


async def test_an_exception_comes_back_with_the_suites_own_lines_of_its_traceback(folder: Path) -> None:
    (broke,) = await called(folder, "breaks")
    assert broke.error == "KeyError: 'missing'"
    assert 'return {}["missing"]' in broke.traceback
    assert "runner.py" not in broke.traceback


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("exits", "SystemExit: enough"),
        ("absent", "AttributeError: "),
        ("odd", "it gave what cannot be kept as JSON"),
        ("deep", "RecursionError: "),
        ("leaves", "ended its process (exit code 7)"),
    ],
)
async def test_whatever_goes_wrong_is_said_and_the_next_call_has_its_answer(
    folder: Path, function: str, error: str
) -> None:
    broke, after = await called(folder, function, "score")
    assert broke.error.startswith(error)
    assert after == Gave(0.25)


async def test_a_file_that_cannot_be_imported_is_said_at_each_call(folder: Path) -> None:
    (folder / "broken.py").write_text("def f(:\n")
    first, second = await called(folder, "f", "f", file="broken.py")
    assert first.error.startswith("SyntaxError: ")
    assert second.error == first.error


async def test_a_function_that_never_comes_back_is_ended_at_its_time_limit(folder: Path) -> None:
    with anyio.fail_after(30):
        hung, after = await called(folder, "hangs", "score", limit_s=3.0)
    assert hung.error == "took longer than its time limit of 3 s"
    assert after == Gave(0.25)


async def test_what_a_check_prints_is_in_the_log_and_a_log_without_anything_is_taken_away(
    folder: Path,
) -> None:
    await called(folder, "score")
    assert not (folder / "checks.log").exists()
    await called(folder, "true")
    assert (folder / "checks.log").read_text() == "this is no answer\n"


async def test_no_process_is_left_when_the_asking_is_cancelled(folder: Path) -> None:
    marks = folder / "pid"
    (folder / "waits.py").write_text(
        f"import os, time\ndef f(output, context):\n    open({str(marks)!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(60)\n"
    )
    async with anyio.create_task_group() as tasks:

        async def ask() -> None:
            async with Checkers(folder, folder / "checks.log") as checkers:
                await checkers.call(Call("waits.py", "f", "", {}), limit_s=60)

        tasks.start_soon(ask)
        with anyio.fail_after(30):
            while not (marks.exists() and marks.read_text()):  # noqa: ASYNC110  another process
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert not Path(f"/proc/{marks.read_text()}").exists()  # noqa: ASYNC240
