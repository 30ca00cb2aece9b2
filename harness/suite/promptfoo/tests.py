"""The tests of promptfoo, from wherever they are written, with their variables worked out.

A test, a row of a table and a scenario all become `Test`s: the defaults and the
parts of a scenario are laid under them, lists of values are multiplied out, and
what a variable says of another is filled in, since ours are plain data.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from harness.errors import did_you_mean
from harness.suite.promptfoo.asserts import cell, checks_of
from harness.suite.promptfoo.pieces import Piece, Source, ends, is_number, named_file
from harness.suite.promptfoo.templates import as_jinja, filled_in, in_javascript, variable_name
from harness.suite.promptfoo.tools import Check


@dataclass(frozen=True, slots=True)
class Test:
    """One test, for the *prompts* and *providers* that it names; *lost_checks*: it had some and has none."""

    piece: Piece
    description: str = ""
    variables: dict[str, Any] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    lost_checks: bool = False
    threshold: Any = None
    tags: tuple[str, ...] = ()
    providers: tuple[str, ...] | None = None
    prompts: tuple[str, ...] | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def over(self, lower: "Test") -> "Test":
        """Laid over *lower*, which holds where this says nothing; the checks of both count."""
        return replace(
            self,
            description=self.description or lower.description,
            variables={**lower.variables, **self.variables},
            checks=(*lower.checks, *self.checks),
            threshold=lower.threshold if self.threshold is None else self.threshold,
            tags=tuple(dict.fromkeys((*lower.tags, *self.tags))),
            providers=lower.providers if self.providers is None else self.providers,
            prompts=lower.prompts if self.prompts is None else self.prompts,
            options={**lower.options, **self.options},
        )


_CARRIED_OPTIONS = frozenset({"prefix", "suffix", "repeat", "disableVarExpansion", "disableDefaultAsserts"})
_WHY_NOT = {
    "provider": "which model a test asks is said by variants; who judges, by judge: of the suite",
    "providerOutput": "answers are Sigma's: to grade one that is there, use harness grade",
    "assertScoringFunction": "scores are weighed, by weight and threshold: write the rest as a python check",
    "assertPreprocess": "the answer is checked as it is",
    "transform": "the answer is checked as it is: write the check as python",
    "postprocess": "the answer is checked as it is: write the check as python",
    "transformVars": "variables are plain data: write out what they become",
    "storeOutputAs": "an answer is no variable: write the conversation as turns, which continue it",
    "rubricPrompt": "the judge's question is ours: put what it asks for into value",
    "runSerially": "say workers: 1 in load: of the suite",
    "disableConversationVar": "there is no _conversation: turns continue one",
    "factuality": "what factuality counts for is not weighed: it passes or fails",
}
_UNKNOWN = "a test has nothing of the kind"


def test_of(piece: Piece, source: Source) -> Test:
    """The test that a mapping describes; what of it has no equivalent is told."""
    made = Test(piece)
    for key, below in piece.entries():
        if key in _KEYS:
            made = _KEYS[key](made, below, source)
        else:
            near = did_you_mean(key, _KEYS)
            source.tell(below, f"left out: {_WHY_NOT.get(key, f'{_UNKNOWN}{near}')}")
    return made


def _description(test: Test, piece: Piece, source: Source) -> Test:
    text = " ".join(str(piece.value).split()) if piece.value is not None else ""
    return replace(test, description=as_jinja(piece, text, source.tell))


def _variables(test: Test, piece: Piece, source: Source) -> Test:
    if isinstance(piece.value, str | list):
        several = [read for each in piece.items() for read in source.documents(each)]
    else:
        several = [piece]
    values: dict[str, Any] = dict(test.variables)
    for each in several:
        for name, below in each.entries():
            values |= _variable(name, below, source)
    return replace(test, variables=values)


def _variable(name: str, piece: Piece, source: Source) -> dict[str, Any]:
    written = variable_name(name)
    if written not in {name, f"{name}_"}:
        source.tell(piece, f"a variable of a template is a word: {name} is called {written}")
    value = _plain_value(piece, source)
    return {} if value is _LEFT_OUT else {written: value}


_LEFT_OUT = object()


def _plain_value(piece: Piece, source: Source) -> Any:
    match piece.value:
        case str() as text if text.startswith("file://"):
            return _value_of_file(piece, source)
        case str() as text:
            return as_jinja(piece, text.removesuffix("\n"), source.tell)  # promptfoo takes it off, too
        case list():
            return [_plain_value(each, source) for each in piece.items()]
        case dict():
            return {key: _plain_value(below, source) for key, below in piece.entries()}
        case value:
            return in_javascript(value)


def _value_of_file(piece: Piece, source: Source) -> Any:
    if not ends(piece.value, ".txt", ".md", ".html", ".xml", ".csv", ".json", ".yaml", ".yml"):
        source.tell(
            piece,
            "left out: a value of code, or of a file that is no text: files go into files: of the prompt",
        )
        return _LEFT_OUT
    found = source.files(piece)
    texts = [each.value.strip() for each in found]
    return (texts if len(texts) > 1 else texts[0]) if texts else _LEFT_OUT


def _asserts(test: Test, piece: Piece, source: Source) -> Test:
    made = checks_of(piece, source)
    wanted = piece.value if isinstance(piece.value, list) else [piece.value]
    return replace(test, checks=tuple(made), lost_checks=bool(wanted) and not made)


def _threshold(test: Test, piece: Piece, source: Source) -> Test:
    value = piece.value
    if not is_number(value) or not 0 <= value <= 1:
        source.tell(piece, "left out: a threshold is a number from 0 to 1")
        return test
    return replace(test, threshold=value)


def _metadata(test: Test, piece: Piece, source: Source) -> Test:
    """What tests are filtered by: ``{kind: math}`` is the tag ``kind:math``."""
    tags = []
    for key, below in piece.entries():
        values = below.value if isinstance(below.value, list) else [below.value]
        if all(isinstance(each, str | int | float) for each in values):
            tags += [f"{key}:{in_javascript(each)}" for each in values]
        else:
            source.tell(below, "left out: a tag is one word; put data into vars")
    return replace(test, tags=tuple(" ".join(tag.split()) for tag in tags))


def _options(test: Test, piece: Piece, source: Source) -> Test:
    taken: dict[str, Any] = {}
    for key, below in piece.entries():
        if key in {"prefix", "suffix"}:
            taken[key] = as_jinja(below, str(below.value or ""), source.tell)
        elif key == "repeat" and (isinstance(below.value, bool) or not isinstance(below.value, int)):
            source.tell(below, "left out: a number of times is wanted")
        elif key in _CARRIED_OPTIONS:
            taken[key] = max(1, below.value) if key == "repeat" else below.value
        else:
            source.tell(
                below, f"left out: {_WHY_NOT.get(key, 'it is for the provider, which is Sigma here')}"
            )
    return replace(test, options={**test.options, **taken})


def _names(piece: Piece) -> tuple[str, ...]:
    return tuple(str(each.value) for each in piece.items())


_KEYS: dict[str, Callable[[Test, Piece, Source], Test]] = {
    "description": _description,
    "vars": _variables,
    "assert": _asserts,
    "threshold": _threshold,
    "metadata": _metadata,
    "options": _options,
    "providers": lambda test, piece, _: replace(test, providers=_names(piece)),
    "prompts": lambda test, piece, _: replace(test, prompts=_names(piece)),
}


# Where tests come from


def tests_of(piece: Piece, source: Source) -> list[Test]:
    """The tests of a list, a file, or a list of files, in their order."""
    return [test for each in piece.items() for test in _tests(each, source)]


def _tests(piece: Piece, source: Source) -> Iterator[Test]:
    match piece.value:
        case str() as text:
            yield from _in_files(piece, text, source)
        case {"path": str()} if not {"vars", "assert"} & piece.value.keys():
            source.tell(piece, "left out: tests that code makes have no equivalent: write them into a file")
        case dict():
            yield test_of(piece, source)
        case _:
            source.tell(piece, "left out: a test is a mapping, or a file of tests")


_TABLES = (".csv", ".tsv")
_TEST_FILES = (*_TABLES, ".json", ".jsonl", ".yaml", ".yml", "*", "/")


def _in_files(piece: Piece, text: str, source: Source) -> Iterator[Test]:
    if "://" in named_file(text) or not ends(named_file(text), *_TEST_FILES):
        why = "tests of a service, of code or of a spreadsheet have no equivalent: save them as csv"
        is_file = re.search(r"://|\.\w+(:\w+)?$", text)
        source.tell(piece, f"left out: {why if is_file else 'a test is a mapping, or a file of tests'}")
        return
    for read in source.documents(piece):
        if ends(read.file, *_TABLES):
            yield from (_row(each, source) for each in read.items())
        elif isinstance(read.value, dict) and isinstance(read.value.get("tests"), list):
            tests = read.at("tests")
            yield from tests_of(tests, source) if tests else ()
        else:
            yield from tests_of(replace(read, name="tests"), source)


_COLUMNS = {"__prefix": "prefix", "__suffix": "suffix"}


def _row(piece: Piece, source: Source) -> Test:
    """A row of a table: its columns are variables, but for those that begin with ``__``."""
    variables: dict[str, Any] = {}
    checks: list[Check] = []
    test = Test(piece)
    wanted = 0
    metric = piece.value.get("__metric")
    for name, below in piece.entries():
        if name.startswith("__expected"):
            wanted += bool(below.value.strip())
            checks += (
                checks_of(replace(below, value=cell(below.value)), source) if below.value.strip() else []
            )
        elif name.startswith("__"):
            test = _special(test, name, below, source)
        elif name == "(more cells)":
            source.tell(below, "left out: this row has more cells than the table has columns")
        else:
            variables |= _variable(name, below, source)
    checks = [check | {"metric": metric} for check in checks] if metric else checks
    return replace(test, variables=variables, checks=tuple(checks), lost_checks=bool(wanted) and not checks)


def _special(test: Test, name: str, piece: Piece, source: Source) -> Test:
    text = piece.value.strip()
    if not text or name == "__metric":
        return test
    if name in _COLUMNS:
        return replace(test, options={**test.options, _COLUMNS[name]: piece.value})
    if name == "__description":
        return _description(test, piece, source)
    if name.startswith("__metadata:"):
        key = name.removeprefix("__metadata:").removesuffix("[]")
        values = text.split(",") if name.endswith("[]") else [text]
        return replace(test, tags=(*test.tags, *(f"{key}:{' '.join(each.split())}" for each in values)))
    if name == "__threshold":
        try:
            return _threshold(test, replace(piece, value=float(text)), source)
        except ValueError:
            pass
    source.tell(piece, f"left out: {_WHY_NOT.get(name.strip('_'), 'no such column is known')}")
    return test


def scenarios_of(piece: Piece, source: Source) -> list[Test]:
    """The tests of each scenario with each of its configs laid under them."""
    made: list[Test] = []
    for each in piece.items():
        read = source.documents(each) if isinstance(each.value, str) else [each]
        for scenario in (one for document in read for one in document.items()):
            made += _scenario(scenario, source)
    return made


def _scenario(piece: Piece, source: Source) -> Iterator[Test]:
    for key, below in piece.entries():
        if key not in {"config", "tests", "description"}:
            source.tell(below, "left out: a scenario has config and tests")
    config, tests = piece.at("config"), piece.at("tests")
    if config is None or tests is None:
        source.tell(piece, "left out: a scenario has config and tests")
        return
    said = piece.at("description")
    above = Test(piece) if said is None else _description(Test(piece), said, source)
    lower = tests_of(config, source) or [Test(piece)]
    upper = tests_of(tests, source)
    for one, other in itertools.product(lower, upper):
        parts = dict.fromkeys(filter(None, (above.description, one.description, other.description)))
        yield replace(other.over(one), description=": ".join(parts))


# From a test to what is asked


def combinations(test: Test) -> list[dict[str, Any]]:
    """The variables of a test, once for each combination of those that have several texts."""
    if test.options.get("disableVarExpansion"):
        return [_resolved(test.variables)]
    several = {
        name: value if isinstance(value, list) and value and isinstance(value[0], str) else [value]
        for name, value in test.variables.items()
    }
    names = list(several)
    return [
        _resolved(dict(zip(names, values, strict=True))) for values in itertools.product(*several.values())
    ]


def _resolved(variables: dict[str, Any]) -> dict[str, Any]:
    return {name: _filled(value, variables) for name, value in variables.items()}


def _filled(value: Any, variables: dict[str, Any]) -> Any:
    match value:
        case str():
            return filled_in(value, variables)
        case list():
            return [_filled(each, variables) for each in value]
        case dict():
            return {key: _filled(below, variables) for key, below in value.items()}
        case _:
            return value
