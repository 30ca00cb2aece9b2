"""A promptfoo config as a suite of ours, and the list of what has no equivalent.

Pure but for the files that the config names, which the caller finds. Every key
of the config is either in the suite or in the list: each place that reads a
mapping goes through all of its keys (`harness.suite.promptfoo.pieces`). The
config is read (`.config`, with a module for each thing in it), then
said again in our words (`.suite`).
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness.errors import UsageError
from harness.suite.edit import as_yaml
from harness.suite.places import Place
from harness.suite.promptfoo.config import config_of
from harness.suite.promptfoo.pieces import Find, Note, Piece, Source, document
from harness.suite.promptfoo.suite import suite_of
from harness.suite.promptfoo.tools import Check

_JUDGED = frozenset(
    {"llm-rubric", "factuality", "model-graded-factuality", "model-graded-closedqa"}
    | {"answer-relevance", "context-faithfulness", "select-best"}
)


@dataclass(frozen=True, slots=True)
class Imported:
    """A *suite*, as its file would have it, and what of the config is not in it."""

    suite: dict[str, Any]
    notes: tuple[Note, ...]

    @property
    def remarks(self) -> list[str]:
        """What holds of every suite that was made so."""
        said = ["Comments of the original are not carried over."]
        overrides = [each["llm_override"] for each in self.suite.get("variants", {}).values()]
        if overrides:
            names = ", ".join(sorted({each["model_provider"] for each in overrides}))
            said.append(f"The model_provider of a variant has to be a name on your Sigma: {names}.")
        if "tojson" in str(self.suite["prompts"]):
            said.append("tojson, which was dump, writes < > & ' as \\u003c and so on.")
        return said

    def text(self, name: str) -> str:
        """The file of the suite. *name* is the config's; the notes are comments at its head."""
        head = [f"Made from {name} by harness import promptfoo.", *self.remarks]
        if self.notes:
            head += ["", "No equivalent:", *map(str, self.notes)]
        lines = "\n".join(f"# {_printable(line)}".rstrip() for line in head)
        return f"{lines}\n\n{as_yaml(self.suite)}"

    def counts(self) -> str:
        """``12 prompts, 3 variants, 20 checks; 4 things have no equivalent``."""
        made = (
            _counted(len(self.suite["prompts"]), "prompt"),
            _counted(len(self.suite.get("variants", ())), "variant"),
            _counted(sum(1 for _ in checks_in(self.suite)), "check"),
        )
        lost = len(self.notes)
        return f"{', '.join(made)}; {_counted(lost, 'thing')} {'has' if lost == 1 else 'have'} no equivalent"


def checks_in(suite: dict[str, Any]) -> Iterator[Check]:
    """Every check that is written in *suite*; those of a set instead of the set."""
    turns = (turn for prompt in suite["prompts"] for turn in prompt.get("turns", ()))
    owners = itertools.chain((suite.get("defaults", {}),), suite["prompts"], turns)
    waiting = [check for owner in owners for check in owner.get("assert", ())]
    while waiting:
        check = waiting.pop()
        waiting += check.get("assert", ())
        if "assert" not in check:
            yield check


def _type(check: Check) -> str:
    return str(check["type"]).removeprefix("not-")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _printable(line: str) -> str:
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in line)


def imported(text: str, file: str, find: Find, *, target: str | None = None, prefix: str = "") -> Imported:
    """The suite that the config *text*, in *file*, describes. Raises `UsageError` if it is none.

    *find* finds the files it names. *target* is a URL or ``standin``; without it the suite asks the
    environment. *prefix* leads from the suite's folder to the config's.
    """
    notes: dict[tuple[str, int, int, str, str], Note] = {}

    def tell(piece: Piece, why: str) -> None:
        name = "" if piece.place.column else piece.name  # used twice, by an alias or a $ref: told once
        at = (piece.file, piece.line, piece.place.column, name, why)
        notes.setdefault(at, Note(piece.file, piece.line, piece.name, why))

    source = Source(find, tell, prefix)
    root = document(Piece(text, Place("", 1, 1, 1), file), tell)
    if root is None:
        raise UsageError("\n".join(map(str, notes.values())))
    _refuse_others(root)
    config = config_of(root, text, source)
    suite = {"target": _target(target)} | suite_of(config, source)
    if config.judge or any(_type(each) in _JUDGED for each in checks_in(suite)):
        model = {"llm_override": config.judge} if config.judge else {}
        suite = {"target": suite.pop("target"), "judge": {"target": "self"} | model} | suite
    described = {"description": suite.pop("description")} if "description" in suite else {}
    ordered = sorted(notes.values(), key=lambda note: (note.file != file, note.file, note.line))
    return Imported(described | suite, tuple(ordered))


def _refuse_others(root: Piece) -> None:
    keys = root.value.keys() if isinstance(root.value, dict) else set()
    if "target" in keys and "prompts" in keys and not {"providers", "targets", "tests"} & keys:
        raise UsageError(f"{root.file}: this is a suite of ours already")
    if not keys & {"prompts", "providers", "targets", "tests", "scenarios", "redteam"}:
        raise UsageError(
            f"{root.file}: this is no promptfoo config: it has neither prompts, providers nor tests"
        )


def _target(said: str | None) -> Any:
    if said == "standin":
        return "standin"
    return {"base_url": said or "${SIGMA_URL}", "api_key": "${SIGMA_API_KEY}"}
