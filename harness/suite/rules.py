"""What keys of one mapping say together, as JSON Schema: what of `harness.suite.check` an editor can see.

Where a rule is broken the key that is too much gets the red line, with our words for it. Null is never too
much: it says that nothing is said.
"""

from collections.abc import Mapping
from typing import Any

from harness.suite.loads import NOT_OF_TRACES, OF_OPEN

Rule = dict[str, Any]


def _said(*keys: str) -> Rule:
    """One of *keys* has a value."""
    written = [{"required": [key], "properties": {key: {"not": {"type": "null"}}}} for key in keys]
    return {"type": "object", "anyOf": written}


def _one_of(*keys: str) -> Rule:
    return {"anyOf": [{"required": [key]} for key in keys]}


def _without(told: Mapping[str, str]) -> Rule:
    """These keys have no value; of each it is *told* why."""
    none = {"type": "null", "doNotSuggest": True}
    return {"properties": {key: none | {"errorMessage": why} for key, why in told.items()}}


def _not_beside(first: str, *others: str, why: str) -> Rule:
    return {"if": _said(first), "then": _without(dict.fromkeys(others, why))}


_KEY = _not_beside("api_key_file", "api_key", why="api_key_file is here as well: keep one of them")
_OPEN = _said("rate", "stages", "trace")

RULES: Mapping[str, list[Rule]] = {
    "Target": [
        _one_of("standin", "base_url"),
        _not_beside("standin", "base_url", why="either standin or base_url is wanted, and one of them"),
        _KEY,
    ],
    "OpenAiProvider": [_KEY],
    "Embeddings": [_KEY],
    "Judge": [
        _one_of("target", "base_url"),
        _not_beside("target", "base_url", why="either target: self or base_url is wanted, and one of them"),
        _not_beside(
            "target",
            *("model", "temperature", "api_key", "api_key_file"),
            why="Sigma judges: its model is said by llm_override, its key by the target's",
        ),
        {"if": _said("base_url"), "then": {"required": ["model"]}},
        _not_beside("base_url", "llm_override", why="this is for target: self; say model"),
        _KEY,
    ],
    "Prompt": [
        _one_of("message", "turns"),
        _not_beside("message", "turns", why="a prompt has a message or turns, not both"),
    ],
    "Turn": [
        _one_of("message", "regenerate"),
        _not_beside("regenerate", "message", why="an answer is regenerated to the message it had"),
        _not_beside("regenerate", "after", why="a turn follows an answer or is answered again, not both"),
        {
            "if": {"not": _said("after", "regenerate")},
            "then": _without({"repeat": "only a branch is repeated, one with after or regenerate"}),
        },
    ],
    "Phase": [
        {"if": _said("trace"), "then": _without(NOT_OF_TRACES)},
        _not_beside("stages", "rate", why="stages have rates of their own: take rate out, or the stages"),
        _not_beside("stages", "for", why="each of the stages says how long it lasts: take this out"),
        {
            "if": _OPEN,
            "then": _without(
                {"workers": "an open load has none: max_in_flight limits how many are under way"}
            ),
            "else": _without(dict.fromkeys(OF_OPEN, "this is for an open load: say rate: 2/s, too")),
        },
        {
            "if": {"not": _said("for", "stages")},
            "then": _without({"cool_down": "this is for a phase that lasts for a time: say for: 5m, too"}),
        },
        {
            "if": {"not": _said("for", "stages", "trace")},
            "then": _without({"mix": "this is for a phase that lasts for a time: say for: 5m, too"}),
        },
        {
            "if": {"not": _said("trace")},
            "then": _without({"speed": "this is for a trace: say trace: FILE, too"}),
        },
        {
            "if": {"required": ["arrivals"], "properties": {"arrivals": {"enum": ["gamma"]}}},
            "then": {"required": ["cv"]},
        },
    ],
    "GateRule": [_one_of("min", "max", "max_drop", "max_rise", "max_ratio", "min_ratio")],
    "Redaction": [
        _one_of("name", "pattern"),
        _not_beside("name", "pattern", why="either a name or a pattern is wanted, and one of them"),
    ],
    "Words": [_one_of("min", "max")],
    "Steps": [_one_of("min", "max")],
    "Tokens": [_one_of("min", "max")],
    "TokensPerSecond": [_one_of("min", "max")],
    **{
        name: [
            _one_of("name", "pattern"),
            _not_beside("name", "pattern", why="either name or pattern is wanted, and one of them"),
        ]
        for name in ("Named", "Used", "Called")
    },
}
"""By the name of the model."""
