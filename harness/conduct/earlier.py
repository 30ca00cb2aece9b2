"""What a run had come to when it stopped, so that it can go on: `harness run --resume`.

A trial with a result is done, unless it was ours that it has none of Sigma's (`journal.AGAIN`): an interrupt,
a budget, a refused key. What was under way when the run was killed has left no result, and is sent again.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import unified_diff
from hashlib import blake2b
from itertools import islice
from pathlib import Path

from harness import journal
from harness.errors import UsageError
from harness.plan.schedule import ends_ns
from harness.plan.trials import Plan, Trial
from harness.record import store
from harness.report.live import duration
from harness.result import Skip
from harness.suite.model import Suite

SEAM_NS = 1_000_000_000
"""What is left of a gap in the stamps: enough to see where it was."""

_DIFFERENCES = 40


@dataclass(frozen=True, slots=True)
class Earlier:
    """A run that had stopped, and the *leg* in which it goes on.

    *done* are the ids of trials that need not be sent, *phases* has the phase of each that has a result, and
    *sent* counts how often each was begun. *sessions* are those of all of its exchanges, *unseen* has the
    trials of those that are done and were not looked at yet. *decided* counts what was not sent since a gate
    was decided, by variant. *until_ns* says for each phase how long it had lasted, *took_ns* is what all that
    is done took together, and *ran_ns* how long the run had gone on.
    """

    folder: Path
    manifest: store.Manifest
    leg: journal.Leg
    done: frozenset[str]
    phases: Mapping[str, str]
    sent: Mapping[str, int]
    sessions: Sequence[str]
    unseen: Mapping[str, str]
    decided: Mapping[str, int]
    until_ns: Mapping[str, int]
    took_ns: int
    ran_ns: int

    def elapsed_ns(self, phase: str, left: Plan) -> int:
        """How much of *phase* is over: an open one goes on with the first arrival that has no result."""
        if phase not in self.until_ns:
            return 0
        if not left.loads[phase].is_open:
            return self.until_ns[phase]
        due = (trial.due_ns for trial in left.phase(phase))
        return min((each for each in due if each is not None), default=self.until_ns[phase])

    def is_over(self, phase: str, left: Plan) -> bool:
        """Whether nothing of *phase* is left to be sent."""
        if phase not in left.cycles:
            return next(left.phase(phase), None) is None and phase in self.until_ns
        ends = ends_ns(left.loads[phase])
        names = list(left.loads)
        later = names[names.index(phase) + 1 :]
        lasted = self.until_ns.get(phase, -1)
        return any(name in self.until_ns for name in later) or (ends is not None and lasted >= ends)

    def says(self, plan: Plan) -> str:
        """Where it goes on, for people; how many trials there will be is not known of a timed phase."""
        torn = f", a line of {self.leg.torn} bytes was torn" if self.leg.torn else ""
        how = "broke off" if self.manifest.exit_code is None else "stopped"
        of = f"{self.leg.done} trials" if plan.cycles else f"{self.leg.done} of {len(plan.trials)} trials"
        return (
            f"the run {how} after {self.ran_ns / 1e9:.1f} s with {of} done{torn}, and was resumed "
            f"{duration(self.leg.left_out_ns / 1e9)} later: no figure spans that gap"
        )


def earlier(folder: Path, manifest: store.Manifest, now: tuple[datetime, int]) -> Earlier:
    """What the run in *folder* had come to; *now* is one moment on the wall clock and on ours.

    Raises `RunDirectoryError` where its journal cannot be read.
    """
    heads = list(journal.heads(folder))
    finished = {head.trial_id: head for head in heads if not head.is_open}
    seen = journal.sessions(folder)
    torn = sum(map(journal.torn, journal.journals(folder)))
    sessions = dict.fromkeys(name for head in heads for name in _sessions(head))
    last_ns = max([manifest.started_ns, *_stamps(heads), *(each.at_ns for each in journal.moments(folder))])
    return Earlier(
        folder,
        manifest,
        _leg(manifest, now, last_ns, done=len(finished), torn=torn),
        frozenset(finished),
        {head.trial_id: head.phase for head in heads},
        Counter(head.trial_id for head in heads if head.began_ns is not None),
        tuple(sessions),
        {name: head.trial_id for head in finished.values() for name in _sessions(head) if name not in seen},
        Counter(head.variant for head in finished.values() if head.skip is Skip.DECIDED),
        dict(_lasted(heads)),
        sum(took for head in finished.values() if (took := _took_ns(head)) is not None),
        last_ns - manifest.started_ns,
    )


def _leg(
    manifest: store.Manifest, now: tuple[datetime, int], last_ns: int, *, done: int, torn: int
) -> journal.Leg:
    at, now_ns = now
    before = sum(leg.left_out_ns for leg in manifest.resumed)
    on_the_wall = at - datetime.fromisoformat(manifest.started_at)
    ran_ns = last_ns + SEAM_NS - manifest.started_ns
    return journal.Leg(
        number=len(manifest.resumed) + 1,
        at=at.isoformat(),
        began_ns=now_ns,
        shift_ns=last_ns + SEAM_NS - now_ns,
        left_out_ns=max(0, round(on_the_wall.total_seconds() * 1e9) - before - ran_ns),
        done=done,
        torn=torn,
    )


def _sessions(head: journal.Head) -> Iterator[str]:
    return (sent.session_id for sent in head.exchanges if sent.session_id is not None)


def _stamps(heads: Sequence[journal.Head]) -> Iterator[int]:
    for head in heads:
        yield from (stamp for stamp in (head.began_ns, head.ended_ns) if stamp is not None)


def _lasted(heads: Sequence[journal.Head]) -> Iterator[tuple[str, int]]:
    """How long each phase had lasted, from the first of its trials that began to the last that ended."""
    for phase in dict.fromkeys(head.phase for head in heads):
        stamps = list(_stamps([head for head in heads if head.phase == phase]))
        if stamps:
            yield phase, max(stamps) - min(stamps)


def _took_ns(head: journal.Head) -> int | None:
    return None if head.began_ns is None or head.ended_ns is None else head.ended_ns - head.began_ns


def refuse_another(suite: Suite, manifest: store.Manifest) -> None:
    """Raise `UsageError` where *suite* does not read as the run's did, with what differs."""
    if suite.text == manifest.suite_text:
        return
    if suite.name != manifest.suite and suite.path.resolve() != Path(manifest.suite_path).resolve():
        raise UsageError(
            f"{suite.path}: is the suite {suite.name}, and run {manifest.run_id} is one of {manifest.suite}: "
            f"harness run --resume {manifest.run_id}, without a suite, goes on with that; harness runs "
            "lists those of this one"
        )
    lines = unified_diff(
        manifest.suite_text.splitlines(),
        suite.text.splitlines(),
        "the suite of the run",
        str(suite.path),
        lineterm="",
        n=1,
    )
    shown = list(islice(lines, _DIFFERENCES + 1))
    more = ["..."] if len(shown) > _DIFFERENCES else []
    changed = (
        f"{suite.path}: has changed since run {manifest.run_id} began, and half a run of one suite and half "
        "of another is neither:"
    )
    fix = "undo that to go on with the run, or start a new one: harness run SUITE"
    raise UsageError("\n".join([changed, *shown[:_DIFFERENCES], *more, fix]))


def refuse_others(plan: Plan, before: Earlier) -> None:
    """Raise `UsageError` where *plan* has other trials than the run had: what it is made with has changed."""
    manifest = before.manifest
    now = digest_of(plan)
    if manifest.trials_digest == now:
        return
    ids = {trial.trial_id for trial in (*plan.trials, *plan.more)}
    lost = [each for each in before.done if each not in ids] if not plan.cycles else []
    some = f" ({len(lost)} of {len(before.done)} recorded trials are none of it any more)" if lost else ""
    raise UsageError(
        f"{plan.suite.path}: reads as it did in run {manifest.run_id}, but what it is made with has changed"
        f"{some}: a data set, a trace, a file that is sent, a variable of the environment; undo that to "
        "go on with the run, or start a new one"
    )


def digest_of(plan: Plan) -> str:
    """What tells two plans apart: the ids of their trials, and when those of a trace are due."""
    told = blake2b(digest_size=16)
    for trial_id in _ids(plan):
        told.update(trial_id.encode())
    return told.hexdigest()


def _ids(plan: Plan) -> Iterator[str]:
    every: tuple[Trial, ...] = (*plan.trials, *plan.more)
    traced = {name for name, load in plan.loads.items() if load.trace is not None}  # not said by the suite
    yield from (f"{each.trial_id}@{each.due_ns}" if each.phase in traced else each.trial_id for each in every)
    for name, cycle in plan.cycles.items():
        yield from (arm.trial(1, name).trial_id for arm in cycle.arms)
