"""What checks need beside themselves: a judge, a model of embeddings, a file with Python, enough repeats."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from harness.suite.asserts import TYPES
from harness.suite.asserts.code import Python
from harness.suite.asserts.judged import JudgedCheck, Similar
from harness.suite.attachments import is_there
from harness.suite.model import Suite
from harness.suite.places import Finding, Tell, Where
from harness.suite.prompts import Defaults, Expect, Prompt, Turn, Variant
from harness.suite.resolve import Case, repeats, runs_on

_JUDGE = "say who judges: judge: self (Sigma itself), or judge: {base_url: ..., model: ...}"
_EMBEDDINGS = (
    "say what compares them: embeddings: {base_url: ..., model: ...}, or embeddings: {model: a-folder}"
)
_ONE = "either target: self or base_url is wanted, and one of them"


def check(
    suite: Suite,
    owners: Sequence[tuple[Where, Defaults | Prompt | Turn]],
    cases: Mapping[int, Case],
    tell: Tell,
    *,
    variants: Mapping[str, Variant],
) -> None:
    """Tell of checks that nobody could make, and of reductions that no number of repeats could reach."""
    _judge(suite, tell)
    for path, owner in owners:
        for index, expect in enumerate(owner.assert_):
            for finding in _needs(expect, (*path, "assert", index), suite):
                tell(finding)
    for index, case in cases.items():
        for finding in _repeats(suite, index, case, variants):
            tell(finding)


def _judge(suite: Suite, tell: Tell) -> None:
    judge = suite.judge
    if judge is None:
        return
    if (judge.target is None) == (judge.base_url is None):
        tell(Finding(("judge",), _ONE))
    elif judge.base_url is not None and judge.model is None:
        tell(Finding(("judge",), 'a "model" is wanted: which one of that server judges?'))
    for key in ("model", "temperature", "api_key", "api_key_file"):
        if judge.target is not None and getattr(judge, key) is not None:
            told = f"Sigma judges: its model is said by llm_override, its key by the target's; take {key} out"
            tell(Finding(("judge", key), told, at_key=True))
    if judge.base_url is not None and judge.llm_override is not None:
        tell(Finding(("judge", "llm_override"), "this is for target: self; say model", at_key=True))


def _needs(expect: Expect, at: Where, suite: Suite) -> Iterator[Finding]:
    for index, inner in enumerate(expect.asserts):
        yield from _needs(inner, (*at, "assert", index), suite)
    kind = _kind(expect)
    if kind is not None and issubclass(kind, JudgedCheck) and suite.judge is None:
        yield Finding(at, f"{expect.name} is put to a judge: {_JUDGE}")
    if kind is not None and issubclass(kind, Similar) and suite.embeddings is None:
        yield Finding(at, f"{expect.name} compares embeddings: {_EMBEDDINGS}")
    if kind is Python:
        yield from _file(expect, at, suite.path.parent)


def _kind(expect: Expect) -> type | None:
    return TYPES.get(expect.type)


def _file(expect: Expect, at: Where, folder: Path) -> Iterator[Finding]:
    """The file is in the suite's folder: what is elsewhere is not run."""
    value = expect.options.get("value")
    if not isinstance(value, str) or not value.startswith("file://"):
        return  # told of, by its type
    name = value.removeprefix("file://").rpartition(":")[0]
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        yield Finding((*at, "value"), f"{name} is not in the folder of the suite: only what is there is run")
    elif not is_there(path) or not path.is_file():
        yield Finding((*at, "value"), f"{name}: there is no such file beside the suite")
    elif run := next((above for above in path.parents if _is_run(above)), None):
        told = f"{name} lies in the results of a run ({run.name}): what comes with results is never run"
        yield Finding((*at, "value"), told)


def _is_run(folder: Path) -> bool:
    """Whether *folder* is that of a run, or of a pinned one."""
    return (folder / "manifest.json").exists() and any(
        (folder / name).exists() for name in ("journal-0.jsonl", "summary.json")
    )


def _repeats(suite: Suite, index: int, case: Case, variants: Mapping[str, Variant]) -> Iterator[Finding]:
    how = case.reduce
    if how is None or all(load.is_timed for load in suite.load.values()):
        return
    at: Where = ("prompts", index, "reduce") if suite.prompts[index].reduce else ("defaults", "reduce")
    for name, variant in variants.items():
        times = repeats(case, variant, suite)
        if runs_on(variant, case) and times < (how.of or how.k or 1):
            wanted = how.of or how.k
            yield Finding(at, f"{how.by} needs repeat: {wanted}; {case.case_id} [{name}] has {times}")
            return
