"""From what is written to what is asked: cases with their settings, variants with their parents.

Pure. The same functions serve the reader, which collects what is wrong, and
the plan, which works on suites that were read and so meets nothing wrong.
Settings are laid over each other in one order, target < defaults < prompt <
turn < variant, and by one rule (`layered`). Nothing is validated again on the
way: a thousand prompts and ten variants are ten thousand trials.
"""

import functools
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, TypeVar

from harness.errors import Problem, SuiteError, did_you_mean
from harness.suite import dataset
from harness.suite.expect import ready
from harness.suite.model import Suite
from harness.suite.places import Finding, Tell, Where, name_of
from harness.suite.prompts import Each, Expect, Prompt, Reduce, Retry, Turn, Variant
from harness.suite.settings import LlmOverride, Settings
from harness.suite.templates import render

SETTINGS = frozenset(Settings.model_fields)
_NOT_INHERITED = {"extends", "matrix", "exclude"}
_MOST_CELLS = 1_000
_MOST_ALIKE = 3
_NOTHING = Settings()  # copied, since making a model anew looks at each of its fields
_A_TURN = Turn()

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True, slots=True)
class Case:
    """One prompt, ready to be asked.

    The *turns* have an id, their message filled in, the settings of target,
    defaults, prompt and turn laid over each other, and the checks that are theirs:
    those of defaults, then their own. They come in the order in which they are sent
    (`in_order`). *conversation_asserts* are graded once, over all turns; only a
    prompt written with ``turns:`` has them.
    """

    case_id: str
    tags: tuple[str, ...]
    turns: tuple[Turn, ...]
    conversation_asserts: tuple[Expect, ...]
    repeat: int | None
    retry: Retry
    cluster: str | None
    vars: Mapping[str, Any] = field(default_factory=dict)
    threshold: float | None = None
    reduce: Reduce | None = None


def _refuse(finding: Finding) -> None:
    raise SuiteError([Problem("suite", 0, 0, f"{name_of(finding.path)}: {finding.message}")])


def layered(lower: Settings, upper: Settings) -> dict[str, Any]:
    """The settings that are set in either; *upper* wins.

    ``llm_override`` is merged one level deep, everything else is replaced whole.
    A null in *upper* takes away what *lower* had and stays, as null, in the answer.
    """
    values = {name: getattr(lower, name) for name in lower.model_fields_set & SETTINGS}
    for name in upper.model_fields_set & SETTINGS:
        above, below = getattr(upper, name), values.get(name)
        if isinstance(above, LlmOverride) and isinstance(below, LlmOverride):
            above = below.model_copy(update={key: getattr(above, key) for key in above.model_fields_set})
        values[name] = above
    return values


def _over(lower: Settings, upper: S) -> S:
    return upper.model_copy(update=layered(lower, upper))


# Variants


def resolve_variants(suite: Suite, *, tell: Tell = _refuse) -> dict[str, Variant]:
    """The variants to run, in the order of the file: ``extends`` and ``matrix`` worked out.

    A variant with a matrix is replaced by its cells, named ``candidate/claude+free``
    with the last axis changing fastest; ``exclude`` leaves cells out. A suite
    without variants has one, ``default``, that asks for nothing special.
    """
    resolved: dict[str, Variant] = {}
    for name in suite.variants:
        variant = _with_parents(suite, name, (), tell)
        if variant is None:
            continue
        for cell, made in _cells(name, variant, tell):
            if cell in resolved:
                tell(Finding(("variants", name), f'this makes a second variant called "{cell}"'))
            resolved[cell] = made
    return resolved or {"default": Variant()}


def _with_parents(suite: Suite, name: str, children: tuple[str, ...], tell: Tell) -> Variant | None:
    """The variant with what it inherits; None, and told once, where that cannot be known."""
    variant = suite.variants[name]
    if variant.extends is None:
        return variant
    family = (*children, name)
    if wrong := _wrong_parent(suite, variant.extends, family):
        circle = variant.extends == family[0] == min(family)
        if circle or not children:  # once, not again for each variant that inherits it
            tell(Finding(("variants", name, "extends"), wrong))
        return None
    above = _with_parents(suite, variant.extends, family, tell)
    if above is None:
        return None
    inherited = above.model_fields_set - SETTINGS - _NOT_INHERITED - variant.model_fields_set
    return _over(above, variant).model_copy(update={key: getattr(above, key) for key in inherited})


def _wrong_parent(suite: Suite, parent: str, family: tuple[str, ...]) -> str | None:
    if parent in family:
        return f"circular: {' extends '.join((*family, parent))}"
    if parent not in suite.variants:
        others = [other for other in suite.variants if other != family[-1]]
        known = f"there are {', '.join(others)}" if others else "there is no other"
        return f'no variant is called "{parent}"{did_you_mean(parent, others) or ";"} {known}'
    if suite.variants[parent].matrix is not None:
        return f'"{parent}" has a matrix and stands for several variants: extend what it extends'
    return None


def _cells(name: str, variant: Variant, tell: Tell) -> Iterator[tuple[str, Variant]]:
    wrong = list(_wrong_matrix(("variants", name), variant))
    for finding in wrong:
        tell(finding)
    if variant.matrix is None:
        yield name, variant
    elif not wrong:
        bare = variant.model_copy(update={"matrix": None, "exclude": ()})
        for cell, values in _combinations(variant.matrix):
            if cell not in variant.exclude:
                yield f"{name}/{cell}", functools.reduce(_with, values, bare)


def _with(variant: Variant, value: Settings) -> Variant:
    return variant.model_copy(update=layered(variant, value))


def _combinations(matrix: Mapping[str, Mapping[str, Settings]]) -> Iterator[tuple[str, tuple[Settings, ...]]]:
    for names in itertools.product(*matrix.values()):
        values = tuple(axis[value] for axis, value in zip(matrix.values(), names, strict=True))
        yield "+".join(names), values


def _wrong_matrix(at: Where, variant: Variant) -> Iterator[Finding]:
    if variant.matrix is None:
        if variant.exclude:
            yield Finding((*at, "exclude"), "there is no matrix to leave a cell out of", at_key=True)
        return
    for axis in variant.matrix.keys() - SETTINGS:
        allowed = f"{did_you_mean(axis, SETTINGS) or ';'} allowed here: {', '.join(Settings.model_fields)}"
        yield Finding((*at, "matrix", axis), f"no such setting{allowed}", at_key=True)
    size = math.prod(map(len, variant.matrix.values())) if variant.matrix else 0
    if size > _MOST_CELLS or (size == 0 and variant.matrix.keys() <= SETTINGS):
        yield Finding(
            (*at, "matrix"), f"this makes {size} variants; 1 to {_MOST_CELLS} are allowed", at_key=True
        )
    elif size:
        yield from _wrong_exclude(
            (*at, "exclude"), variant.exclude, [cell for cell, _ in _combinations(variant.matrix)]
        )


def _wrong_exclude(at: Where, excluded: tuple[str, ...], cells: list[str]) -> Iterator[Finding]:
    for index, cell in enumerate(excluded):
        if cell not in cells:
            known = f"{did_you_mean(cell, cells) or ';'} there are {', '.join(cells[:8])}"
            yield Finding((*at, index), f'no cell is called "{cell}"{known}')
    if set(cells) <= set(excluded):
        yield Finding(at, "this leaves out every cell", at_key=True)


def runs_on(variant: Variant, case: Case) -> bool:
    """Whether the variant asks this case: its ``only`` is absent, or names the case or one of its tags."""
    if variant.only is None:
        return True
    return case.case_id in variant.only or any(f"tag:{tag}" in variant.only for tag in case.tags)


def effective(turn: Turn, variant: Variant) -> Settings:
    """What the turn asks for under the variant. None and absent are both left out of the request."""
    return _NOTHING.model_copy(update=layered(turn, variant))


def repeats(case: Case, variant: Variant, suite: Suite) -> int:
    """How often the case runs: the variant says, else the prompt, else defaults, else once."""
    return variant.repeat or case.repeat or suite.defaults.repeat or 1


def retries(case: Case, variant: Variant) -> Retry:
    """What is tried again: the variant says, else the prompt, else defaults."""
    return variant.retry or case.retry


# Cases


def resolve_cases(suite: Suite, *, tell: Tell = _refuse) -> tuple[Case, ...]:
    """The prompts of the suite, in its order, ready to be asked.

    A prompt without an id is called after a digest of its messages, so the name
    stays when other prompts come and go. One over rows (``each:``) makes a case of
    every row.
    """
    return tuple(case for _, case in numbered_cases(suite, tell))


def numbered_cases(suite: Suite, tell: Tell) -> Iterator[tuple[int, Case]]:
    """The cases with the index of their prompt; one that has lost its message has a turn without."""
    of_target = suite.target.model_fields_set & SETTINGS
    target = _NOTHING.model_copy(update={name: getattr(suite.target, name) for name in of_target})
    base = _over(target, suite.defaults)
    left = dataset.MOST
    for index, prompt in enumerate(suite.prompts):
        at, whole = ("prompts", index), _over(base, prompt)
        if prompt.each is None:
            yield index, _case(suite, whole, at, tell)
        else:
            for case in _of_rows(suite, whole, prompt.each, tell=tell, at=at):
                if not left:
                    told = f"with these, rows make more than {dataset.MOST:,} prompts: say sample: 1000"
                    tell(Finding((*at, "each", "path"), told))
                    return
                left -= 1
                yield index, case


def _of_rows(suite: Suite, prompt: Prompt, each: Each, *, tell: Tell, at: Where) -> Iterator[Case]:
    """A case of every row; what is wrong with many of them in the same way is told once."""
    wrong = _Wrong(each.path)
    first: dict[str, int] = {}
    try:
        for number, row in dataset.rows(each, suite.path.parent):
            note = wrong.with_row(number, row)
            case = _case(suite, prompt, at, note, row=row)
            if case.case_id and first.setdefault(case.case_id, number) != number:
                note(_called_alike(prompt, case, at, first[case.case_id]))
            yield case
    except dataset.DatasetError as error:
        tell(Finding((*at, "each", "path"), str(error)))
    for finding in wrong.findings():
        tell(finding)


def _called_alike(prompt: Prompt, case: Case, at: Where, number: int) -> Finding:
    """That the case has the id of row *number*. What stands before the ; is the same of all such rows."""
    fix = "a column that is different in each, as in id: faq/{{ id }}"
    if prompt.id is None:
        says = f"rows make the same messages; those of row {number}: give the prompt an id with {fix}"
        return Finding((*at, "each"), says)
    says = f'rows have the same id; "{case.case_id}" is that of row {number} already: put into it {fix}'
    return Finding((*at, "id"), says)


@dataclass(slots=True)
class _Wrong:
    """What is wrong with the rows of *file*, each thing once: the first row of it, and how many more.

    Things are alike by their place and by what is said before the ";": what is defined differs from row to
    row. Of one place no more than `_MOST_ALIKE` are told, since some say what a row had written.
    """

    file: str
    first: dict[tuple[Where, str], Finding] = field(default_factory=dict)
    rows: dict[tuple[Where, str], set[int]] = field(default_factory=dict)

    def with_row(self, number: int, row: Mapping[str, Any]) -> Tell:
        """What takes note of findings in row *number*, and of which columns they miss there."""
        empty = [name for name, value in row.items() if value is None]

        def note(finding: Finding) -> None:
            key = finding.path, finding.message.partition(";")[0]
            alike = [other for other in self.first if other[0] == finding.path]
            if key not in self.first and len(alike) >= _MOST_ALIKE:
                key = alike[-1]
            missed = [name for name in empty if re.search(rf"""["']{re.escape(name)}["']""", key[1])]
            where = f", where {missed[0]} is empty" if missed else ""
            told = f"{finding.message}; row {number} of {self.file}{where}"
            self.first.setdefault(key, replace(finding, message=told))
            self.rows.setdefault(key, set()).add(number)

        return note

    def findings(self) -> Iterator[Finding]:
        """What was noted, in the order in which it was met."""
        for key, finding in self.first.items():
            more = f" and {len(self.rows[key]) - 1:,} more" if len(self.rows[key]) > 1 else ""
            yield replace(finding, message=f"{finding.message}{more}")


def _variables(suite: Suite, prompt: Prompt, row: Mapping[str, Any] | None) -> dict[str, Any]:
    """What texts are filled in with: columns win over `defaults`, and the prompt's `vars` over both.

    A column that is empty in this row is no variable, and hides that of `defaults`.
    """
    if row is None:
        return {**suite.defaults.vars, **prompt.vars}
    below = {name: value for name, value in suite.defaults.vars.items() if name not in row}
    return {**below, **dataset.variables(row), **prompt.vars}


def _id(source: str, variables: Mapping[str, Any], at: Where, tell: Tell) -> str:
    wrong: list[Finding] = []
    made = _render(source, variables, at, wrong.append)
    if not wrong and not made.strip():
        wrong.append(Finding(at, "the id comes out empty"))
    for finding in wrong:
        tell(finding)
    return made


def _case(
    suite: Suite, prompt: Prompt, at: Where, tell: Tell, *, row: Mapping[str, Any] | None = None
) -> Case:
    """The case of *prompt*, or of one *row* of it."""
    common = _variables(suite, prompt, row)
    turns = prompt.turns or (_A_TURN.model_copy(update={"message": prompt.message}),)
    own = () if prompt.turns else prompt.assert_
    made = []
    for number, turn in enumerate(turns):
        there = (*at, "turns", number) if prompt.turns else at
        variables = common | turn.vars
        checks = (
            *_ready(suite.defaults.assert_, variables, ("defaults",), _asked_by(at, tell)),
            *_ready(own, variables, at, tell),
            *_ready(turn.assert_, variables, there, tell),
        )
        message = (
            None if turn.message is None else _render(turn.message, variables, (*there, "message"), tell)
        )
        update = {"id": turn.id or str(number + 1), "message": message, "assert_": checks}
        made.append(_over(prompt, turn).model_copy(update=update))
    return Case(
        case_id=_digest(made) if prompt.id is None else _id(prompt.id, common, (*at, "id"), tell),
        tags=prompt.tags,
        turns=in_order(made),
        conversation_asserts=_ready(prompt.assert_, common, at, tell) if prompt.turns else (),
        repeat=prompt.repeat,
        vars=common if row is None else {**common, **row, "row": row, **prompt.vars},
        threshold=prompt.threshold if prompt.threshold is not None else suite.defaults.threshold,
        reduce=prompt.reduce or suite.defaults.reduce,
        retry=prompt.retry or suite.defaults.retry or Retry(),
        cluster=None if prompt.cluster is None else _render(prompt.cluster, common, (*at, "cluster"), tell),
    )


def in_order(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """*turns*, written in the order of the file, in the order in which they are sent.

    Only the mainline of a conversation can be continued (wire 1.6), so its tree is walked depth first: below
    an answer its followers in the order of the file, then, once all of them are done, what answers the same
    question again. A turn without `after` and `regenerate` so comes right behind the one it follows.

    A repeated turn becomes siblings called ``entra/1``, ``entra/2``; one that regenerates has the message
    that it answers again.
    """
    follow: dict[str | None, list[Turn]] = {}
    again: dict[str | None, list[Turn]] = {}
    said: dict[str | None, str | None] = {}
    before = None
    for turn in turns:
        message = turn.message if turn.regenerate is None else said.get(turn.regenerate)
        said[turn.id] = message
        asked = turn if message == turn.message else turn.model_copy(update={"message": message})
        among, parent = (again, turn.regenerate) if turn.regenerate else (follow, turn.after or before)
        among.setdefault(parent, []).extend(_siblings(asked))
        before = turn.id
    ordered: list[Turn] = []
    waiting = follow.pop(None, [])[::-1]
    while waiting:
        turn = waiting.pop()
        ordered.append(turn)
        waiting += [*follow.pop(turn.id, ()), *again.pop(turn.id, ())][::-1]
    return tuple(ordered)


def _siblings(turn: Turn) -> list[Turn]:
    if turn.repeat is None:
        return [turn]
    return [turn.model_copy(update={"id": f"{turn.id}/{number}"}) for number in range(1, turn.repeat + 1)]


def _render(source: str, variables: Mapping[str, Any], at: Where, tell: Tell) -> str:
    return render(source, variables, lambda message, near: tell(Finding(at, message, near)))


def _ready(
    checks: tuple[Expect, ...], variables: Mapping[str, Any], at: Where, tell: Tell
) -> tuple[Expect, ...]:
    return tuple(ready(each, variables, (*at, "assert", index), tell) for index, each in enumerate(checks))


def _asked_by(at: Where, tell: Tell) -> Tell:
    return lambda finding: tell(replace(finding, message=f"{finding.message}; met at {name_of(at)}"))


def _digest(turns: list[Turn]) -> str:
    said = json.dumps([[turn.message, turn.after, turn.regenerate] for turn in turns])
    return sha256(said.encode()).hexdigest()[:10]
