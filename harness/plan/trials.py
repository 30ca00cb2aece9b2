"""Suite -> trials with stable ids, in the order in which they will be sent.

A trial is a case under a variant, for the n-th time, in a phase. Its id is a
digest of exactly that: what is sent, under which variant, which repeat, which
phase. So adding a case, or a comment, leaves the ids of the others alone, and
a changed prompt is a new trial that no old result can stand in for.

Within a phase, repeats are rounds; in a round the variants of one case follow
each other in random order, so that a drift of the provider meets all of them
alike (statistics.md 4.1). A phase that lasts for a time goes through its cases
again and again, each variant in its share; one that replays a trace asks what
its rows name. The order comes from the seed and nothing else.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import chain, count, islice
from math import ceil
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from harness.errors import UsageError, did_you_mean
from harness.plan.dealing import dealt
from harness.plan.schedule import Arrival, Window, arrivals, replayed
from harness.sigma.deprecated import unsupported
from harness.suite import trace
from harness.suite.attachments import digest, path_of
from harness.suite.dataset import DatasetError
from harness.suite.model import Suite
from harness.suite.phases import Phase, Trace
from harness.suite.prompts import Retry, Turn, Variant
from harness.suite.resolve import (
    SETTINGS,
    Case,
    effective,
    repeats,
    resolve_cases,
    resolve_variants,
    retries,
    runs_on,
)
from harness.suite.settings import Settings

_MOST_TRIALS = 2_000_000
_TOO_MANY = (
    f"this makes more than {_MOST_TRIALS:,} trials, which no machine plans one by one: "
    "say a smaller repeat: or rate:, or run for a time (for:)"
)
_AHEAD = 100_000
"""No more trials than this are under way, or were skipped by a kill, before one that came."""

Named = TypeVar("Named")
Asked = TypeVar("Asked", "Trial", "Arm")


@dataclass(frozen=True, slots=True)
class Trial:
    """One case under one variant, once.

    ``settings[i]`` is what `case.turns[i]` is sent with; None in a field of it
    means that the field is left out of the request. In an open load it falls *due_ns* after
    the start of its phase, and *window* says whether it is measured there; in a closed one both are
    known once it begins.
    """

    trial_id: str
    case: Case
    variant: str
    settings: tuple[Settings, ...]
    retry: Retry
    repeat: int
    phase: str
    due_ns: int | None = None
    window: Window | None = None

    @property
    def deep_research(self) -> int:
        """How many deep-research runs this trial spends."""
        return sum(settings.deep_research is True for settings in self.settings)

    def describe(self) -> dict[str, Any]:
        """What would be sent, for people and machines: ids, and each turn's message and settings."""
        sent = zip(self.case.turns, self.settings, strict=True)
        return {
            "trial_id": self.trial_id,
            "case_id": self.case.case_id,
            "variant": self.variant,
            "repeat": self.repeat,
            "phase": self.phase,
            **({} if self.due_ns is None else {"due_ns": self.due_ns, "window": self.window}),
            "turns": [
                {
                    "turn_id": turn.id,
                    "message": turn.message,
                    **settings.model_dump(exclude_none=True, mode="json"),
                }
                for turn, settings in sent
            ],
        }


@dataclass(frozen=True, slots=True)
class Arm:
    """One case under one variant, before it is repeated. *content* is what is sent, and makes the ids."""

    case: Case
    variant: str
    settings: tuple[Settings, ...]
    retry: Retry
    content: bytes

    def trial(self, repeat: int, phase: str) -> Trial:
        """The case under the variant for the *repeat*-th time in *phase*."""
        digest = blake2b(f"{repeat}\0{phase}\0".encode() + self.content, digest_size=8).hexdigest()
        return Trial(
            digest, self.case, self.variant, self.settings, retry=self.retry, repeat=repeat, phase=phase
        )

    def once(self) -> "Arm":
        """The same, tried once unless the suite says how often: a second try is no part of a load."""
        written = "attempts" in self.retry.model_fields_set
        return self if written else replace(self, retry=self.retry.model_copy(update={"attempts": 1}))


Blocks = list[list[tuple[Arm, int]]]
"""For each case the variants that ask it, and how often."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """The trials of a phase that lasts for a time: its arms again and again, the variants in their shares."""

    phase: str
    arms: tuple[Arm, ...]
    mix: Mapping[str, float] | None
    seed: int
    done: Collection[str] = ()

    def __iter__(self) -> Iterator[Trial]:
        """Without end, and each time the same, but for those that are *done* already, by their ids."""
        return (trial for trial in self._every() if trial.trial_id not in self.done)

    def _every(self) -> Iterator[Trial]:
        """All of them: each variant goes over all its cases before any comes again.

        Whichever variant is furthest behind its share comes next, so that after any number of trials each
        has its share to within one: 2 % of 600 are 12, not 12 give or take 3. Without *mix* all cases weigh
        alike.
        """
        own: dict[str, list[Arm]] = {}
        for arm in self.arms:
            own.setdefault(arm.variant, []).append(arm)
        weights = {name: self.mix.get(name, 0.0) if self.mix else float(len(own[name])) for name in own}
        turns = {name: _turns(arms, f"{self.seed}/{self.phase}/{name}") for name, arms in own.items()}
        total, given = sum(weights.values()), dict.fromkeys(own, 0)
        for so_far in count(1):
            name = max(own, key=lambda each: so_far * weights[each] / total - given[each])
            given[name] += 1
            arm, times = next(turns[name])
            yield arm.trial(times, self.phase)


def _turns(arms: list[Arm], seed: str) -> Iterator[tuple[Arm, int]]:
    """The arms of a variant in random order, and then again, and for which time."""
    random = Random(seed)  # noqa: S311  an order, not a secret
    for times in count(1):
        for arm in random.sample(arms, len(arms)):
            yield arm, times


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a suite to run; empty means all of it.

    *limit* keeps the first so many trials of the order. *repeat* takes the
    place of every `repeat` in the suite. *pairs* are (prompt, variant). *extend_to* is how many times the
    repeats there may be, if those that are planned do not decide a gate. *phases* are entries of `load:`.
    *trials* are ids, of those whose number is known.
    """

    variants: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    repeat: int | None = None
    limit: int | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    phases: tuple[str, ...] = ()
    extend_to: float | None = None
    trials: tuple[str, ...] = ()


PARTS = ("variants", "prompts", "tags", "limit", "pairs", "phases", "trials")
"""What of a `Choice` makes it one of a part of the suite."""


@dataclass(frozen=True, slots=True, repr=False)
class Plan:
    """The trials of a run, in order, and what they were made from.

    *trials* are all whose number is known. A closed phase that lasts for a time has none there: how many it
    comes to depends on Sigma. *cycles* has the trials of such a phase. *more* are those that are asked only
    if a gate is not decided by then.
    """

    suite: Suite
    choice: Choice
    seed: int
    variants: dict[str, Variant]
    trials: tuple[Trial, ...]
    cycles: Mapping[str, Cycle] = field(default_factory=dict)
    more: tuple[Trial, ...] = ()

    def __repr__(self) -> str:
        # Short: asyncio makes the repr of what a task returned, and that of 10,000 trials takes it 4 s.
        return f"<Plan of {self.suite.name}: {len(self.trials)} trials>"

    @property
    def deep_research(self) -> int:
        """How many deep-research runs the plan would spend."""
        return sum(trial.deep_research for trial in self.trials)

    @property
    def loads(self) -> dict[str, Phase]:
        """The phases that are run, in order."""
        return _loads(self.suite, self.choice)

    def phase(self, name: str) -> Iterator[Trial]:
        """The trials of one phase, in order; without end where the phase lasts for a time."""
        if name in self.cycles:
            cycle, limit = self.cycles[name], self.choice.limit
            return islice(cycle, None if limit is None else max(0, limit - len(cycle.done)))
        return (trial for trial in self.trials if trial.phase == name)

    def upto(self, phase: str, came: Collection[str]) -> dict[str, Trial]:
        """The trials by id of a phase without an end, up to the last of those that *came*.

        They are sent in this order and end in another: of a run that was killed, some before the last never
        came.
        """
        found: dict[str, Trial] = {}
        missing = set(came)
        for trial in islice(self.phase(phase), len(missing) + _AHEAD) if missing else ():
            found[trial.trial_id] = trial
            missing.discard(trial.trial_id)
            if not missing:
                break
        return found

    def without(self, done: Collection[str]) -> "Plan":
        """What is left of the plan when the trials of these ids are *done*."""
        cycles = {name: replace(cycle, done=done) for name, cycle in self.cycles.items()}
        trials = tuple(trial for trial in self.trials if trial.trial_id not in done)
        more = tuple(trial for trial in self.more if trial.trial_id not in done)
        return replace(self, trials=trials, cycles=cycles, more=more)

    def asked(self) -> Iterator[Trial | Arm]:
        """Everything that is asked: each trial, and what a cycle takes its trials from."""
        yield from self.trials
        for cycle in self.cycles.values():
            yield from cycle.arms

    def with_settings(self, changed: Callable[[Settings], Settings]) -> "Plan":
        """The plan with *changed* settings, which may be asked for the same twice; the ids stay."""
        cycles = {
            name: replace(cycle, arms=tuple(_changed(arm, changed) for arm in cycle.arms))
            for name, cycle in self.cycles.items()
        }
        trials = tuple(_changed(trial, changed) for trial in self.trials)
        more = tuple(_changed(trial, changed) for trial in self.more)
        return replace(self, trials=trials, cycles=cycles, more=more)

    def lines(self, first: int) -> Iterator[str]:
        """A head and a line for each of the *first* so many trials: plain text in columns, for `grep`."""
        rows = [("trial", "case", "variant", "repeat", "phase")]
        rows += [
            (trial.trial_id, trial.case.case_id, trial.variant, str(trial.repeat), trial.phase)
            for trial in self.trials[:first]
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _changed(asked: Asked, changed: Callable[[Settings], Settings]) -> Asked:
    settings = tuple(map(changed, asked.settings))
    same = all(new is old for new, old in zip(settings, asked.settings, strict=True))
    return asked if same else replace(asked, settings=settings)


def make_plan(suite: Suite, choice: Choice | None = None, *, seed: int = 0) -> Plan:
    """The trials of *suite*, or those of *choice*, ordered by *seed*.

    Raises `UsageError` for a variant, a prompt or a tag that the suite does not have, and where the file of a
    trace is not what it was when the suite was read.
    """
    choice = choice or Choice()
    variants = resolve_variants(suite)
    cases = resolve_cases(suite)
    variants = _chosen(variants, choice.variants, "variant")
    kept = _chosen({case.case_id: case for case in cases}, choice.prompts, "prompt")
    tags = {tag for case in cases for tag in case.tags}
    _chosen(dict.fromkeys(sorted(tags)), choice.tags, "tag")
    chosen = [case for case in kept.values() if not choice.tags or set(choice.tags) & set(case.tags)]
    known = Known(suite.path)
    blocks = [_block(suite, case, variants, choice=choice, known=known) for case in chosen]
    _refuse_unsupported(blocks)
    if sum(times for block in blocks for _, times in block) > _MOST_TRIALS:
        raise UsageError(f"{suite.path}: {_TOO_MANY}")
    loads = _chosen(suite.load, choice.phases, "phase")
    trials: Iterator[Trial] = (t for name in loads for t in _listed(blocks, suite, name, seed=seed))
    cycles = {
        name: _cycle(blocks, name, load, seed=seed)
        for name, load in loads.items()
        if _is_endless(load) and any(blocks)
    }
    more = tuple(_more(blocks, suite, choice, seed)) if choice.extend_to else ()
    if choice.trials:
        trials, cycles, more = _those(choice.trials, chain(trials, more)), {}, ()
    listed = tuple(islice(trials, _MOST_TRIALS + 1 if choice.limit is None else choice.limit))
    if len(listed) > _MOST_TRIALS:
        raise UsageError(f"{suite.path}: {_TOO_MANY}")
    return Plan(suite, choice, seed, variants=variants, trials=listed, cycles=cycles, more=more)


def _those(ids: Collection[str], trials: Iterable[Trial]) -> Iterator[Trial]:
    wanted = frozenset(ids)
    return (trial for trial in trials if trial.trial_id in wanted)


def _more(blocks: Blocks, suite: Suite, choice: Choice, seed: int) -> Iterator[Trial]:
    """The trials by which the phases that are made of rounds may be extended."""
    planned = {(arm.case.case_id, arm.variant): times for block in blocks for arm, times in block}
    longer = [[(arm, ceil(times * (choice.extend_to or 1))) for arm, times in block] for block in blocks]
    for name, load in _loads(suite, choice).items():
        if load.asks_each_once:
            rounds = _rounds(longer, name, seed)
            yield from (each for each in rounds if each.repeat > planned[each.case.case_id, each.variant])


def _loads(suite: Suite, choice: Choice) -> dict[str, Phase]:
    return {name: load for name, load in suite.load.items() if not choice.phases or name in choice.phases}


def _is_endless(load: Phase) -> bool:
    return load.is_timed and not load.is_open


def _listed(blocks: Blocks, suite: Suite, phase: str, *, seed: int) -> Iterator[Trial]:
    """The trials of one phase, where their number is known."""
    load = suite.load[phase]
    if _is_endless(load) or not any(blocks):
        return iter(())
    if load.trace is not None:
        return _replayed(blocks, suite, phase, load.trace, seed=seed)
    if not load.is_open:
        return _rounds(blocks, phase, seed)
    once = [[(arm.once(), times) for arm, times in block] for block in blocks]
    trials = iter(_cycle(blocks, phase, load, seed=seed)) if load.is_timed else _rounds(once, phase, seed)
    due = arrivals(load, f"{seed}/{phase}/arrivals")
    return (_due(trial, arrival) for arrival, trial in zip(due, trials, strict=False))


def _replayed(blocks: Blocks, suite: Suite, phase: str, by: Trace, *, seed: int) -> Iterator[Trial]:
    """What the rows of a trace name, when they were due; of the choice only what is in it."""
    load = suite.load[phase]
    try:
        rows = trace.rows(by, suite.path.parent)
    except DatasetError as error:  # it was right when the suite was read
        raise UsageError(f"{suite.path}: load.{phase}.trace: {error}") from error
    arms = {(arm.variant, arm.case.case_id): arm.once() for block in blocks for arm, _ in block}
    asked = list(dealt(rows, arms, load.mix, f"{seed}/{phase}"))
    due = replayed(load, (row.at_ns for row, _, _ in asked))
    pairs = zip(due, asked, strict=False)
    return (_due(arm.trial(times, phase), arrival) for arrival, (_, arm, times) in pairs)


def _cycle(blocks: Blocks, phase: str, load: Phase, *, seed: int) -> Cycle:
    arms = tuple(arm.once() for block in blocks for arm, _ in block)
    if load.mix is not None and not any(load.mix.get(arm.variant) for arm in arms):
        named = ", ".join(load.mix)
        raise UsageError(f"load.{phase}.mix: none of its variants ({named}) asks any of the chosen prompts")
    return Cycle(phase, arms, load.mix, seed)


def _due(trial: Trial, arrival: Arrival) -> Trial:
    return replace(trial, due_ns=arrival.due_ns, window=arrival.window)


def _refuse_unsupported(blocks: Blocks) -> None:
    """Raise `UsageError` where a deprecated endpoint is to say what it cannot, each thing once."""
    wrong: dict[str, str] = {}
    for arm in (arm for block in blocks for arm, _ in block):
        for turn, settings in zip(arm.case.turns, arm.settings, strict=True):
            for name in unsupported(settings, turn):
                what = f"endpoint: {settings.endpoint} cannot express {name}"
                wrong.setdefault(what, f"{arm.case.case_id} [{arm.variant}]")
    if wrong:
        fix = "take it out there, or ask through send-chat-message"
        raise UsageError("\n".join(f"{what} (in {where}): {fix}" for what, where in wrong.items()))


def _chosen(have: dict[str, Named], wanted: Collection[str], what: str) -> dict[str, Named]:
    list_of = ", ".join(have) or "none"
    unknown = [
        f"no {what} {name} in this suite; it has {list_of}{did_you_mean(name, have)}"
        for name in wanted
        if name not in have
    ]
    if unknown:
        raise UsageError("\n".join(unknown))
    return {name: value for name, value in have.items() if not wanted or name in wanted}


def _rounds(blocks: Blocks, phase: str, seed: int) -> Iterator[Trial]:
    random = Random(f"{seed}/{phase}")  # noqa: S311  an order, not a secret
    for repeat in range(1, 1 + max((times for block in blocks for _, times in block), default=0)):
        for block in blocks:
            arms = [arm for arm, times in block if repeat <= times]
            random.shuffle(arms)
            yield from (arm.trial(repeat, phase) for arm in arms)


@dataclass(slots=True)
class Known:
    """Settings worked out already, with their JSON: most turns have none of their own and share a variant's.

    *suite_path* is where the files of the suite are: their contents are sent, so *digests* of them are part
    of an id. Each is read once for a plan and again for the next, since people edit their files in between.
    """

    suite_path: Path
    digests: dict[Path, str] = field(default_factory=dict)
    settings: dict[tuple[object, ...], tuple[Settings, str]] = field(default_factory=dict)

    def as_json(self, settings: Settings) -> str:
        """What *settings* send, as text. The times are ours: Sigma is sent the same with others."""
        text = settings.model_dump_json(exclude_none=True, exclude={"time_limit", "think_time"})
        paths = [path_of(file, self.suite_path) for file in settings.files or () if isinstance(file, str)]
        return text + "".join(self._digest(path) for path in paths if path is not None)

    def _digest(self, path: Path) -> str:
        if path not in self.digests:
            self.digests[path] = digest(path)
        return self.digests[path]


def _block(
    suite: Suite, case: Case, variants: dict[str, Variant], *, choice: Choice, known: Known
) -> list[tuple[Arm, int]]:
    return [
        (_arm(case, name, variant, known), choice.repeat or repeats(case, variant, suite))
        for name, variant in variants.items()
        if runs_on(variant, case) and (not choice.pairs or (case.case_id, name) in choice.pairs)
    ]


def _arm(case: Case, name: str, variant: Variant, known: Known) -> Arm:
    asked = [_asked(turn, name, variant, known) for turn in case.turns]
    sent = [case.case_id, name]
    for turn, (_, as_json) in zip(case.turns, asked, strict=True):
        sent += [turn.message or "", as_json]
        sent += [f"{place} {of}" for place, of in (("after", turn.after), ("again", turn.regenerate)) if of]
    settings = tuple(settings for settings, _ in asked)
    return Arm(case, name, settings, retries(case, variant), "\0".join(sent).encode())


def _asked(turn: Turn, name: str, variant: Variant, known: Known) -> tuple[Settings, str]:
    """What *turn* asks under the variant called *name*: the same object wherever the same is asked."""
    own = turn.model_fields_set & SETTINGS
    key = (name, *((field, id(getattr(turn, field))) for field in sorted(own)))
    if key not in known.settings:
        settings = effective(turn, variant)
        known.settings[key] = settings, known.as_json(settings)
    return known.settings[key]
