"""What is wrong with a suite although each of its values is right by itself.

Two ids alike, a variable nobody defined, a variant that sets what a prompt
sets too: everything that takes two places of a file to see. Each check is a
function that tells of what it finds and goes on, and none of them relies on
another having passed. What is validated and not built is told here as well.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from harness.errors import did_you_mean
from harness.suite import gates, grading, loads, together
from harness.suite.attachments import is_there, wrong_with
from harness.suite.expect import check_type
from harness.suite.model import Suite
from harness.suite.places import Finding, Place, Tell, Where, name_of
from harness.suite.prompts import Defaults, Prompt, Turn, Variant
from harness.suite.resolve import (
    SETTINGS,
    Case,
    effective,
    numbered_cases,
    repeats,
    resolve_variants,
    runs_on,
)
from harness.suite.scalars import Filled, is_secret
from harness.suite.settings import Settings
from harness.suite.templates import is_template

Numbered = Sequence[tuple[int, Case]]
"""Cases, each with the index of its prompt; of rows there are many of one."""

_CONNECTION = {"ca_file", "client_cert", "client_key", "verify_tls", "proxy"}
OF_THE_CONVERSATION = ("persona_id", "project_id", "chat_session_id", "parent_message_id")


def check(suite: Suite, data: dict[str, Any], root: Place, tell: Tell) -> tuple[str, ...]:
    """Tell of everything wrong; the answer is what a person should know although nothing is.

    *data* is what the suite was made from, *root* its places.
    """
    _texts(data, root, tell)
    _target(suite, root, tell)
    _redactions(suite, tell)
    _files(suite, tell)
    for key in ("prompts", "load"):
        if data.get(key) in ([], {}) and not root.keys[key].lost and not root.keys[key].keys:
            tell(Finding((key,), "this is empty: nothing would be asked", at_key=True))
    for path, owner in _owners(suite):
        for index, expect in enumerate(owner.assert_):
            check_type(expect, (*path, "assert", index), tell)
    for index, prompt in enumerate(suite.prompts):
        _prompt(prompt, ("prompts", index), root, tell)
    rowless = _rowless(data, root)
    everything = list(numbered_cases(suite, lambda each: None if each.path[:2] in rowless else tell(each)))
    cases = dict(sorted(dict(reversed(everything)).items()))  # of the rows of a prompt, the first
    variants = resolve_variants(suite, tell=tell)
    _case_ids(everything, suite, tell)
    whole = _all_names_known(data, root)
    if whole:
        _only(suite, everything, tell)
    _conflicts(suite, variants, everything, tell)
    together.check(suite, variants, cases, tell, root=root)
    grading.check(suite, list(_owners(suite)), cases, tell, variants=variants)
    loads.check(suite, tell)
    known = whole and not rowless and _all_variants_known(suite, variants, root)
    loads.check_traces(
        suite, tell, variants, {case.case_id: case for _, case in everything} if known else None
    )
    if "deep_research" not in _written(root, "budget"):
        _deep_research(suite, variants, everything, tell)
    names = {*variants, *_written(root, "variants")}
    _names_in_mix(suite, names, tell)
    phases = {*suite.load, *_written(root, "load")}
    gates.check(suite, tell, gates.Names(variants, names, phases, everything))
    told = (*_warnings(everything), *_bare_secrets(data), *together.warnings(suite, variants, cases))
    return (*told, *loads.warnings(suite))


# Everywhere


def _leaves(value: Any, path: Where = ()) -> Iterator[tuple[Where, Any]]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _leaves(each, (*path, index))
    else:
        yield path, value


def _texts(data: dict[str, Any], root: Place, tell: Tell) -> None:
    """Templates where nothing is filled in, and numbers that would be filled in otherwise than written."""
    for path, value in _leaves(data):
        if isinstance(value, str):
            if is_template(value) and not _is_filled_in(path):
                tell(
                    Finding(
                        path, "{{ }} is filled in only in message, assert, and id and cluster of a prompt"
                    )
                )
        elif "vars" in path and isinstance(value, float | int) and not isinstance(value, bool):
            written = root.walk(path)[0][-1].text
            if written != str(value):
                tell(
                    Finding(
                        path, f'{written} is the number {value}; to keep it as written, quote it: "{written}"'
                    )
                )


def _is_filled_in(path: Where) -> bool:
    match path:
        case ("description",) | ("prompts", _, "id" | "message" | "cluster"):
            return True
        case ("prompts", _, "turns", _, "message"):
            return True
        case ("prompts", _, "turns", _, "assert", *_) | ("prompts" | "defaults", *_):
            return "assert" in path and "vars" not in path
        case _:
            return False


def _target(suite: Suite, root: Place, tell: Tell) -> None:
    target = suite.target
    if (target.standin is None) == (target.base_url is None) and not _lost(
        target, root.walk(("target",))[0][-1]
    ):
        tell(Finding(("target",), "either standin or base_url is wanted, and one of them"))
    _connection(suite, tell)
    said = target.standin.dialect if target.standin else None
    if said is not None and target.dialect not in {said, "auto"}:
        tell(Finding(("target", "dialect"), f"the stand-in is to speak {said}: say it once"))


def _connection(suite: Suite, tell: Tell) -> None:
    """Tell of certificates that are not there, and of what the stand-in has no use for."""
    target = suite.target
    for key in sorted(_CONNECTION & target.model_fields_set):
        if target.standin is not None:
            message = "the stand-in is plain http on loopback: take this out"
            tell(Finding(("target", key), message, at_key=True))
    for key in ("ca_file", "client_cert", "client_key"):
        file = getattr(target, key)
        if file is not None and target.standin is None and not is_there(suite.path.parent / file):
            tell(Finding(("target", key), f"{file}: there is no such file beside the suite"))
    if target.client_key is not None and target.client_cert is None:
        message = "this is the key of a certificate: say client_cert, too"
        tell(Finding(("target", "client_key"), message, at_key=True))


def _redactions(suite: Suite, tell: Tell) -> None:
    for index, redaction in enumerate(suite.redact):
        if (redaction.name is None) == (redaction.pattern is None):
            tell(Finding(("redact", index), "either a name or a pattern is wanted, and one of them"))


def _bare_secrets(data: dict[str, Any]) -> Iterator[str]:
    """A warning for each header that looks like a key and stands in the suite, whose text every run keeps."""
    for path, value in _leaves(data):
        if "mcp_headers" in path[:-1] and not isinstance(value, Filled) and is_secret(str(path[-1])):
            yield f"{name_of(path)}: the suite is kept with its runs, and this with it: write ${{NAME}}"


def _files(suite: Suite, tell: Tell) -> None:
    for path, settings in _all_settings(suite):
        for index, file in enumerate(settings.files or ()):
            wrong = wrong_with(file, suite.path) if isinstance(file, str) else None
            if wrong is not None:
                tell(Finding((*path, "files", index), f"{file}: {wrong}"))


def _owners(suite: Suite) -> Iterator[tuple[Where, Defaults | Prompt | Turn]]:
    """Where settings and checks are written, but for variants."""
    yield ("defaults",), suite.defaults
    for index, prompt in enumerate(suite.prompts):
        yield ("prompts", index), prompt
        for number, turn in enumerate(prompt.turns or ()):
            yield ("prompts", index, "turns", number), turn


def _written(root: Place, *path: str) -> set[str]:
    """The keys that the file has at *path*, right or wrong."""
    places, there = root.walk(path)
    return set(places[-1].keys) if there == path else set()


def _lost(owner: BaseModel, place: Place) -> bool:
    """Whether something written at *place* did not make it into *owner*: that has been told of."""
    names = {
        field.alias or name
        for name, field in type(owner).model_fields.items()
        if name in owner.model_fields_set
    }
    return any(below.lost for below in place.keys.values()) or not place.keys.keys() <= names


# Prompts


def _prompt(prompt: Prompt, at: Where, root: Place, tell: Tell) -> None:
    if prompt.message is not None and prompt.turns is not None:
        tell(Finding((*at, "turns"), "a prompt has a message or turns, not both", at_key=True))
    elif prompt.message is None and not prompt.turns and not _lost(prompt, root.walk(at)[0][-1]):
        tell(Finding(at, "a prompt needs a message, or turns"))
    if prompt.each is not None and prompt.id is not None and not is_template(prompt.id):
        fix = f"put a column into it, as in id: {prompt.id}/{{{{ id }}}}, or leave it out"
        tell(Finding((*at, "id"), f"rows have the same id; {fix}"))
    earlier: dict[str, int] = {}
    for number, turn in enumerate(prompt.turns or ()):
        there = (*at, "turns", number)
        _turn(turn, there, root, tell)
        _place_in_tree(prompt.turns or (), number, there, tell)
        for name in _ids(turn, number):
            if name in earlier:
                first = name_of((*at, "turns", earlier[name]))
                message = f'"{name}" is the id of {first} already: turn ids are unique in a prompt'
                tell(Finding((*there, "id"), message))
            earlier.setdefault(name, number)


def _ids(turn: Turn, number: int) -> list[str]:
    """What the turn is called, and each of its siblings where it is repeated."""
    name = turn.id or str(number + 1)
    return [name, *(f"{name}/{sibling}" for sibling in range(1, 1 + (turn.repeat or 0)))]


def _place_in_tree(turns: tuple[Turn, ...], number: int, at: Where, tell: Tell) -> None:
    """Tell where a turn cannot hang where it is to hang."""
    turn = turns[number]
    earlier = {each.id or str(place + 1): each for place, each in enumerate(turns[:number])}
    for key in ("after", "regenerate"):
        wanted = getattr(turn, key)
        if wanted is not None and wanted not in earlier:
            known = f"; before it come {', '.join(earlier)}" if earlier else "; nothing comes before it"
            close = did_you_mean(wanted, earlier)
            tell(Finding((*at, key), f'no earlier turn is called "{wanted}"{close}{known}'))
    if turn.after is not None and turn.regenerate is not None:
        message = "a turn follows an answer or is answered again, not both: take one of them out"
        tell(Finding((*at, "after"), message, at_key=True))
    if turn.repeat is not None and turn.after is None and turn.regenerate is None:
        message = "only a branch is repeated, one with after or regenerate: for the whole, repeat the prompt"
        tell(Finding((*at, "repeat"), message, at_key=True))
    parent = turn.after or turn.regenerate or (list(earlier)[-1] if earlier else None)
    if parent in earlier and earlier[parent].repeat is not None:
        where = (*at, "after") if turn.after else (*at, "regenerate") if turn.regenerate else at
        message = (
            f'"{parent}" is repeated and stands for several turns: nothing can follow it; say after: ...'
        )
        tell(Finding(where, message))


def _turn(turn: Turn, at: Where, root: Place, tell: Tell) -> None:
    if turn.message is not None and turn.regenerate is not None:
        tell(
            Finding(
                (*at, "message"), "an answer is regenerated to the message it had: take this out", at_key=True
            )
        )
    elif turn.message is None and turn.regenerate is None and not _lost(turn, root.walk(at)[0][-1]):
        tell(Finding(at, "a turn needs a message"))
    for key in OF_THE_CONVERSATION:
        if key in turn.model_fields_set:
            tell(
                Finding((*at, key), "this holds for a whole conversation: set it on the prompt", at_key=True)
            )


def _case_ids(cases: Numbered, suite: Suite, tell: Tell) -> None:
    first: dict[str, int] = {}
    for index, case in cases:
        other = first.setdefault(case.case_id, index)
        if other == index:
            continue
        places = f"{name_of(('prompts', other))} ({{also}})"
        if suite.prompts[index].id is None and any(turn.message for turn in case.turns):
            tell(
                Finding(
                    ("prompts", index),
                    f"the same messages as {places}: give one an id",
                    also=("prompts", other),
                )
            )
        elif suite.prompts[index].id is not None and case.case_id:
            message = f'"{case.case_id}" is the id of {places} already: ids are unique'
            tell(Finding(("prompts", index, "id"), message, also=("prompts", other, "id")))


# Variants


def _all_names_known(data: dict[str, Any], root: Place) -> bool:
    """Whether no prompt, id or tag was lost to a mistake that has been told of."""
    prompts = root.walk(("prompts",))[0][-1]
    pairs = zip(prompts.items, data["prompts"], strict=True)
    return not prompts.lost and all(
        {"id", "tags"} & set(place.keys) <= set(prompt) for place, prompt in pairs
    )


def _all_variants_known(suite: Suite, variants: dict[str, Variant], root: Place) -> bool:
    """Whether no variant was lost to a mistake that has been told of."""
    parts = {name.rpartition("/")[0] for name in variants} | set(variants)
    return _written(root, "variants") == set(suite.variants) <= parts


def _rowless(data: dict[str, Any], root: Place) -> set[Where]:
    """The prompts whose `each` was wrong and told of: their columns are then not known."""
    pairs = zip(root.walk(("prompts",))[0][-1].items, data["prompts"], strict=True)
    return {
        ("prompts", index)
        for index, (place, prompt) in enumerate(pairs)
        if "each" in place.keys and "each" not in prompt
    }


def _only(suite: Suite, cases: Numbered, tell: Tell) -> None:
    tags = {f"tag:{tag}" for prompt in suite.prompts for tag in prompt.tags}
    ids = {case.case_id for _, case in cases}
    prompts = {index for index, _ in cases}
    for name, variant in suite.variants.items():
        at: Where = ("variants", name, "only")
        if variant.only == ():
            tell(Finding(at, "this names no prompt: take it out, or the variant"))
        for index, wanted in enumerate(variant.only or ()):
            if (
                wanted in tags
                or wanted in ids
                or (len(prompts) < len(suite.prompts) and not wanted.startswith("tag:"))
            ):
                continue
            close = did_you_mean(wanted, ids | tags)
            tell(Finding((*at, index), f'"{wanted}" is no id of a prompt and no tag of one (tag:...){close}'))


def _conflicts(suite: Suite, variants: dict[str, Variant], cases: Numbered, tell: Tell) -> None:
    """Tell where variant and prompt set the same: which one was meant cannot be known."""
    told: set[Where] = set()
    for name, variant in variants.items():
        if variant.overrides:
            continue
        indexes = dict.fromkeys(index for index, case in cases if runs_on(variant, case))
        asked = [(index, suite.prompts[index]) for index in indexes]
        for key in sorted(variant.model_fields_set & SETTINGS):
            at = _place_of_setting(suite, name, key)
            both = [path for index, prompt in asked for path in _sets(prompt, key, ("prompts", index))]
            if both and at not in told:
                told.add(at)
                more = f" and {len(both) - 1} more" if len(both) > 1 else ""
                message = (
                    f"{name_of(both[0])} ({{also}}){more} set {key} too, and the variant runs on it: "
                    f"keep one of them, or add overrides: true to {name_of(at[:2])}"
                )
                tell(Finding(at, message, also=(*both[0], key)))


def _place_of_setting(suite: Suite, variant: str, key: str) -> Where:
    written = variant if variant in suite.variants else variant.rpartition("/")[0]
    axes = suite.variants[written].matrix if written in suite.variants else None
    return ("variants", written, "matrix", key) if key in (axes or {}) else ("variants", written, key)


def _sets(prompt: Prompt, key: str, at: Where) -> Iterator[Where]:
    if key in prompt.model_fields_set:
        yield at
    for number, turn in enumerate(prompt.turns or ()):
        if key in turn.model_fields_set:
            yield (*at, "turns", number)


# Budget and load


def _deep_research(suite: Suite, variants: dict[str, Variant], cases: Numbered, tell: Tell) -> None:
    """Tell of deep research without a budget for it, with the line that allows it."""
    where = next(_deep_settings(suite), None)
    if where is None:
        return
    runs = sum(
        repeats(case, variant, suite)
        * sum(effective(turn, variant).deep_research is True for turn in case.turns)
        for variant in variants.values()
        for _, case in cases
        if runs_on(variant, case)
    )
    message = (
        "such runs are long and dear, so the budget says how many there may be; "
        f"for all of this suite add budget: {{deep_research: {max(1, runs)}}}"
    )
    tell(Finding(where, message))


def _deep_settings(suite: Suite) -> Iterator[Where]:
    return ((*path, "deep_research") for path, settings in _all_settings(suite) if settings.deep_research)


def _all_settings(suite: Suite) -> Iterator[tuple[Where, Settings]]:
    """Wherever request settings are written, and where that is."""
    yield from _owners(suite)
    for name, variant in suite.variants.items():
        yield ("variants", name), variant
        for axis, cells in (variant.matrix or {}).items():
            yield from ((("variants", name, "matrix", axis, cell), value) for cell, value in cells.items())


def _names_in_mix(suite: Suite, variants: set[str], tell: Tell) -> None:
    for phase, load in suite.load.items():
        for name in load.mix or ():
            if name not in variants:
                tell(gates.unknown(("load", phase, "mix", name), name, "variant", variants))


def _warnings(cases: Numbered) -> Iterator[str]:
    bare = [
        case for _, case in cases if not case.conversation_asserts and not any(t.assert_ for t in case.turns)
    ]
    if len(bare) == 1:
        yield f"{bare[0].case_id} has no assert: it passes when the reply is complete"
    elif bare:
        yield (
            f"{len(bare)} of {len(cases)} prompts have no assert (the first is {bare[0].case_id}): "
            "they pass when the reply is complete"
        )
