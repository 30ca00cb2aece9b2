"""A run without tables, from its journal: one that goes on, or was killed.

The journal is read on from where it was left, whole lines only, and for no longer than a page may wait; it
says how much is still unread. Results are graded as far as that needs nobody: no judge is asked, and no code
of the suite runs. What a trial would need for its state is then not graded yet, and not an error.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import polars as pl

from harness.audit import Evidence
from harness.conduct.finish import judge
from harness.errors import HarnessError, RunDirectoryError
from harness.grade.opinion import Grade
from harness.grade.states import Standing, State, standing
from harness.grade.subject import Known
from harness.journal import journals, read_on
from harness.plan.trials import Plan, Trial
from harness.record.places import Place
from harness.record.runs import planned
from harness.record.store import Manifest
from harness.record.tables import SCHEMAS, Judged, Tables
from harness.record.tokens import count_tokens
from harness.result import Result
from harness.summarise.summary import Summary, summarise
from harness.view.lines import result_of, session_of

_NOT_KEPT = ("packets", "steps", "models", "moments")
_WAIT_S = 0.4
_AHEAD = 100_000


@dataclass(slots=True)
class Following:
    """The journal of a run as far as it was read, and the tables that come of it.

    *behind*: there were more lines than a page may wait for.
    """

    place: Place
    manifest: Manifest
    plan: Plan | None = None
    ungraded: str = ""
    offsets: dict[Path, int] = field(default_factory=dict)
    behind: bool = False
    trials: dict[str, Trial] = field(default_factory=dict)
    tables: Tables = field(init=False)
    lock: Lock = field(default_factory=Lock)
    _further: dict[str, Iterator[Trial]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self.plan = planned(self.manifest, {})
        except HarnessError as error:
            self.ungraded = f"its suite cannot be read from here: {error}{_hint(self.manifest)}"
        else:
            self.trials = {trial.trial_id: trial for trial in (*self.plan.trials, *self.plan.more)}
            self._further = {name: self.plan.phase(name) for name in self.plan.cycles}
        self.tables = Tables(count_tokens, None, self.plan.suite.prices if self.plan else {})

    @property
    def done(self) -> int:
        """How many results were read."""
        return len(self.tables.columns["trials"]["trial_id"])

    @property
    def unread(self) -> int:
        """Bytes of the journals that were not read yet; of a line that is being written, too."""
        try:
            sizes = sum(path.stat().st_size for path in journals(self.place.folder))
        except OSError:
            return 0
        return max(0, sizes - sum(self.offsets.values()))

    def catch_up(self) -> None:
        """Read on, for so long as a page may wait."""
        until = time.perf_counter() + _WAIT_S
        with self.lock:
            try:
                for result in read_on(self.place.folder, self.offsets):
                    self._add(self.tables, result)
                    for name in _NOT_KEPT:
                        for column in self.tables.columns[name].values():
                            column.clear()
                    self.behind = time.perf_counter() > until
                    if self.behind:
                        break
            except OSError:  # no journal yet
                return
            except RunDirectoryError as error:
                self.ungraded = f"its journal is of another version: {error}"

    def frames(self) -> dict[str, pl.DataFrame]:
        """All that was read; the tables of single packets are empty, `of_trial` has those."""
        with self.lock:
            frames = self.tables.frames()
        return frames | {"cases": self._cases(frames["trials"])}

    def of_trial(self, trial_id: str) -> dict[str, pl.DataFrame]:
        """The tables of one trial, with its packets and steps."""
        fresh = Tables(count_tokens, None, self.tables.prices)
        result = result_of(self.place.folder, trial_id)
        if result is not None:
            with self.lock:
                self._add(fresh, result)
        frames = fresh.frames()
        return frames | {"cases": self._cases(frames["trials"])}

    def summary(self, frames: Mapping[str, pl.DataFrame]) -> Summary:
        """The figures so far, of what was read."""
        found = frames["trials"]["variant"].unique(maintain_order=True).to_list()
        return summarise(frames, self.plan.variants if self.plan else found)

    def _add(self, tables: Tables, result: Result) -> None:
        judged = self._judged(result)
        tables.add(judged)
        if (why := self._open(judged)) is not None:
            columns = tables.columns["trials"]
            columns["state"][-1], columns["reason"][-1] = None, why

    def _judged(self, result: Result) -> Judged:
        trial = self._trial(result)
        if trial is None:
            return Judged(result, (), {}, _unjudged(result))
        evidence = Evidence(self.manifest.called, self.manifest.providers)
        found = (session_of(self.place.folder, each.session_id or "") for each in result.turns)
        sessions = {each.chat_session_id: each for each in found if each is not None}
        return judge(result, trial, evidence, sessions, known=Known(count_tokens=count_tokens))

    def _open(self, judged: Judged) -> str | None:
        """Why a result has no state yet, if it has none."""
        if judged.result.skip is not None or judged.result.failure is not None:
            return None
        if judged.result.trial_id not in self.trials:
            return f"not graded: {self.ungraded or 'its suite as it reads today has no such trial'}"
        waits = [_named(grade) for grade in judged.grades if grade.decides and grade.passed is None]
        if judged.standing.state is not State.ERROR or not waits:
            return None
        return f"not graded yet: {', '.join(dict.fromkeys(waits))}"

    def _trial(self, result: Result) -> Trial | None:
        """The trial that this is the result of; of a phase without an end, it is made on the way."""
        ahead = self._further.get(result.phase, iter(()))
        for _ in range(_AHEAD):
            if result.trial_id in self.trials or (trial := next(ahead, None)) is None:
                break
            self.trials[trial.trial_id] = trial
        return self.trials.get(result.trial_id)

    def _cases(self, trials: pl.DataFrame) -> pl.DataFrame:
        """What is known of each prompt before its repeats are counted: its tags."""
        rows: dict[tuple[str, str, str], list[str]] = {}
        for trial_id, *key in trials.select("trial_id", "case_id", "variant", "phase").iter_rows():
            if trial_id in self.trials:
                case_id, variant, phase = key
                rows.setdefault((case_id, variant, phase), list(self.trials[trial_id].case.tags))
        names = ("case_id", "variant", "phase", "tags")
        told = [dict(zip(names, (*key, tags), strict=True)) for key, tags in rows.items()]
        return pl.DataFrame(told, schema=dict(SCHEMAS["cases"]))


def _hint(manifest: Manifest) -> str:
    relative = not Path(manifest.suite_path).is_absolute()
    return "; start harness view where the run was started" if relative else ""


def _unjudged(result: Result) -> Standing:
    return standing(result, (), ())


def _named(grade: Grade) -> str:
    return grade.metric or grade.type
