"""What settings say together: each of them right by itself, and no request when they meet.

Looked at are the settings that a turn is really sent with, under each variant that asks it. What a server
would refuse, or accept and then do nothing with, is told before anything is sent.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from harness.suite.model import Suite
from harness.suite.places import Finding, Place, Tell, Where
from harness.suite.prompts import Turn, Variant
from harness.suite.resolve import SETTINGS, Case, effective, repeats, runs_on
from harness.suite.settings import Settings

_OF_INTEREST = frozenset(
    {"chat_session_id", "parent_message_id", "llm_overrides", "forced_tool_id", "deep_research"}
)
"""A combination is wrong only where one of these is set: most suites set none of them."""


class Met(NamedTuple):
    """Settings as they meet: of which variant, of a turn of which prompt; a *leaf* has nothing below it."""

    variant: str
    prompt: int
    turn: Turn
    settings: Settings
    leaf: bool


def check(
    suite: Suite, variants: Mapping[str, Variant], cases: Mapping[int, Case], tell: Tell, *, root: Place
) -> None:
    """Tell of each wrong combination once, where the setting is written that makes it wrong.

    What looks wrong only because a value beside it was wrong, and told of, is left out: *root* has it.
    """
    told: set[tuple[Where, str]] = set()
    for met in _met(suite, variants, cases):
        for key, message in _wrong(met, suite):
            at = _where(suite, met, key)
            if (at, message) not in told and not _lost(at, root):
                told.add((at, message))
                tell(Finding(at, message, at_key=True))


def _lost(at: Where, root: Place) -> bool:
    """Whether an entry of the setting at *at* is lost, or the conversation that a parent is of."""
    places, _ = root.walk(at)
    if places[-1].lost:
        return True
    return at[-1] == "parent_message_id" and "chat_session_id" in places[-2].keys


def warnings(suite: Suite, variants: Mapping[str, Variant], cases: Mapping[int, Case]) -> Iterator[str]:
    """What a person should know although it is no mistake: trials that add to one conversation."""
    trials: Counter[str] = Counter()
    for variant in variants.values():
        for case in cases.values():
            settings = effective(case.turns[0], variant) if case.turns and runs_on(variant, case) else None
            if settings and settings.chat_session_id and settings.parent_message_id is None:
                trials[settings.chat_session_id] += repeats(case, variant, suite)
    for session, count in trials.items():
        if count > 1:
            yield (
                f"{count} trials go on in the conversation {session}, one after the other, each below the "
                "last: set parent_message_id to have all of them follow the same message"
            )


def _met(suite: Suite, variants: Mapping[str, Variant], cases: Mapping[int, Case]) -> Iterator[Met]:
    """Every combination of settings that differs, once."""
    for name, variant in variants.items():
        seen: set[tuple[object, ...]] = set()
        for index, case in cases.items():
            if not runs_on(variant, case):
                continue
            parents = _parents(case.turns)
            for turn in case.turns:
                own = turn.model_fields_set & SETTINGS
                if not (own | variant.model_fields_set) & _OF_INTEREST:
                    continue
                leaf = turn.id not in parents
                key = (leaf, *((field, id(getattr(turn, field))) for field in sorted(own)))
                if key not in seen:
                    seen.add(key)
                    yield Met(name, index, turn, effective(turn, variant), leaf)


def _parents(turns: Iterable[Turn]) -> set[str | None]:
    """The turns that another one hangs below."""
    parents: set[str | None] = set()
    before = None
    for turn in turns:
        parents.add(turn.after or turn.regenerate or before)
        before = turn.id
    return parents


_HAS_ITS_OWN = (
    "a conversation that exists (chat_session_id) has its own: take one of them out, or write {key}: null "
    "beside chat_session_id"
)
_WHOSE_PARENT = (
    "this is of a conversation that exists, so chat_session_id is wanted with it; within a suite's own "
    "conversation, turns say after: or regenerate: with a turn's id"
)


def _wrong(met: Met, suite: Suite) -> Iterator[tuple[str, str]]:
    """(setting, what is wrong with it among the others)."""
    asked = met.settings
    if asked.chat_session_id is not None:
        taken = [key for key in ("persona_id", "project_id") if getattr(asked, key) is not None]
        yield from ((key, _HAS_ITS_OWN.format(key=key)) for key in taken)
    elif asked.parent_message_id is not None:
        yield "parent_message_id", _WHOSE_PARENT
    if asked.deep_research and asked.project_id is not None:
        yield "deep_research", "servers refuse deep research in a project: take project_id out"
    if asked.forced_tool_id is not None and asked.allowed_tool_ids is not None:
        yield from _outside(asked.forced_tool_id, asked.allowed_tool_ids)
    if asked.llm_overrides is not None:
        yield from _side_by_side(met, suite)


def _outside(forced: int | str, allowed: tuple[int | str, ...]) -> Iterator[tuple[str, str]]:
    """Names and ids beside each other are for the server's list to tell."""
    if forced not in allowed and all(isinstance(each, type(forced)) for each in allowed):
        known = ", ".join(map(str, allowed)) or "none"
        yield "forced_tool_id", f"{forced} is not among allowed_tool_ids ({known}): servers refuse that"


def _side_by_side(met: Met, suite: Suite) -> Iterator[tuple[str, str]]:
    asked, key = met.settings, "llm_overrides"
    count = len(asked.llm_overrides or ())
    if count not in {2, 3}:
        fix = ": one alone is llm_override" if count == 1 else ""
        yield key, f"two or three models answer side by side, and here are {count}{fix}"
    for other, wrong in (
        ("llm_override", asked.llm_override is not None),
        ("deep_research", asked.deep_research is True),
        ("stream", asked.stream is False),
    ):
        if wrong:
            said = f"{other}: false" if other == "stream" else other
            yield key, f"models side by side and {said} exclude each other: take one of them out"
    if suite.target.dialect == "sigma":
        yield key, "the guide's API has no models side by side: it takes a server with target.dialect: onyx"
    if not met.leaf:
        yield key, "nothing can follow answers that stand side by side: make this the last turn of its branch"


def _where(suite: Suite, met: Met, key: str) -> Where:
    """Where *key* is written that meets the others: in the variant, the turn, the prompt, or further down."""
    written = met.variant if met.variant in suite.variants else met.variant.rpartition("/")[0]
    variant = suite.variants.get(written)
    if variant is not None:
        if key in (variant.matrix or {}):
            return ("variants", written, "matrix", key)
        if key in variant.model_fields_set:
            return ("variants", written, key)
    prompt = suite.prompts[met.prompt]
    for number, turn in enumerate(prompt.turns or ()):
        if key in turn.model_fields_set:
            return ("prompts", met.prompt, "turns", number, key)
    if key in prompt.model_fields_set:
        return ("prompts", met.prompt, key)
    return ("defaults", key) if key in suite.defaults.model_fields_set else ("target", key)
