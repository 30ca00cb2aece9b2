"""A suite from its file. All that is wrong with it is raised at once, as one `SuiteError`."""

import codecs
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import Problem, SuiteError, UsageError, did_you_mean
from harness.suite import keys
from harness.suite.check import check
from harness.suite.document import Builder
from harness.suite.model import Suite
from harness.suite.places import Finding, Place, lines_of, problem_at
from harness.suite.validate import validate

MOST_BYTES = 16 * 2**20
"""The largest file of a suite: 250,000 prompts of a line. More are rows of another file."""
_OTHER_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_OF_ANOTHER = ("base_url", "api_key")
_NOWHERE = "http://unset.invalid"  # RFC 6761: no server has this name
_SMALLEST = (
    'the smallest suite is "target: standin" and "prompts: [{message: What is the capital of France?}]"'
)


def load_suite(
    path: str | Path, *, environ: Mapping[str, str] | None = None, elsewhere: bool = False
) -> Suite:
    """The suite in the file at *path*; ``${VAR}`` is filled in from *environ* (the process's own if None).

    One that is asked *elsewhere* (``--target``) needs no address and no key of its own. Raises `SuiteError`
    with everything that is wrong with it, in the order of the file, and `UsageError` if there is no such
    file. Nothing is sent anywhere.
    """
    path = Path(path)
    text = _text_of(path, _bytes_of(path))
    return parse_suite(text, path, os.environ if environ is None else environ, elsewhere=elsewhere)


def _bytes_of(path: Path) -> bytes:
    """What is in the file of a suite: an ordinary one, of a size that somebody may have written."""
    try:
        if path.is_dir():
            raise UsageError(f"{path}: this is a folder, and a suite is a file{_neighbour(path / path.name)}")
        if path.exists() and not path.is_file():
            raise UsageError(f"{path}: this is no ordinary file, and a suite is one")
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"{path}: there is no such file{_neighbour(path)}") from None
    except (OSError, ValueError) as error:  # a NUL in the name is the latter
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path}: the file cannot be read: {reason}") from None
    if len(raw) > MOST_BYTES:
        most = MOST_BYTES // 2**20
        message = f"the file has more than {most} MB: put the prompts into a file of rows (each: rows.jsonl)"
        raise SuiteError([Problem(str(path), 1, 1, message)])
    return raw


def _text_of(path: Path, raw: bytes) -> str:
    other = next((name for mark, name in _OTHER_MARKS if raw.startswith(mark)), None)
    if other is not None:
        raise SuiteError([Problem(str(path), 1, 1, f"this is {other}: save the file as UTF-8")])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = lines_of(raw[: error.start].decode("utf-8", "replace"))
        message = f"byte 0x{raw[error.start]:02x} is not UTF-8: save the file as UTF-8"
        raise SuiteError([Problem(str(path), len(before), len(before[-1]) + 1, message)]) from None


def parse_suite(
    text: str, path: Path, environ: Mapping[str, str], *, recorded: bool = False, elsewhere: bool = False
) -> Suite:
    """The suite written in *text*; *path* is what errors and results call it. Raises `SuiteError`.

    One that is asked *elsewhere* needs no address and no key of its own. Of a suite that was *recorded* with
    its run, the files with keys may be gone, or are a stranger's words.
    """
    builder = Builder(str(path), lines_of(text), environ)
    data, root = builder.document(text)
    if not isinstance(data, dict):
        what = "the file is empty" if data is None else "a suite is a mapping (target:, prompts:, ...)"
        raise SuiteError(builder.problems or [Problem(str(path), 1, 1, f"{what}; {_SMALLEST}")])
    if elsewhere:
        _forgive(builder, data, root)
    told = {(each.line, each.column, each.message): each for each in builder.problems}

    def tell(finding: Finding) -> None:
        problem = problem_at(finding, root, builder.lines, str(path))
        what = finding.message.partition(";")[0]  # of an anchor, or of defaults, once for all who use it
        told.setdefault((problem.line, problem.column, what), problem)

    file = validate(data, root, tell)
    suite = None if file is None else Suite.of(file, path, text)
    warnings = () if suite is None else check(suite, data, root, tell)
    warnings += () if suite is None or recorded else keys.check(suite, tell)
    if suite is None or told:
        raise SuiteError([builder.masked(problem) for problem in told.values()])
    return suite.model_copy(update={"warnings": warnings})


def _forgive(builder: Builder, data: dict[str, Any], root: Place) -> None:
    """Let the target's own address and key be unset: nobody asks there."""
    target = root.keys.get("target")
    own = [target.keys.get(key) for key in _OF_ANOTHER] if target is not None else []
    unneeded = [problem for place, problem in builder.unset if any(place is each for each in own)]
    if unneeded:
        builder.problems = [each for each in builder.problems if each not in unneeded]
        data["target"].setdefault("base_url", _NOWHERE)


def _neighbour(path: Path) -> str:
    folder = path.parent
    names = sorted(each.name for each in folder.glob("*.y*ml")) if folder.is_dir() else []
    close = did_you_mean(path.name, names)
    return close or (f"; {folder} has {', '.join(names[:8])}" if names else "")
