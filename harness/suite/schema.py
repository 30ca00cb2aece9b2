"""The JSON Schema of suites, for editors: what may be written where, and what it means.

Made from the models that read suites, and from the text below their fields, so that completion, hover text
and docs/suite.md say what the reader does. It is right in one direction without exception: what the reader
takes, the schema takes. What it cannot see (names that no prompt has, variables, files) is the reader's.

Draft 7, since yaml-language-server, which nearly every editor uses, knows all of it in every version of the
last years; of 2019-09 and 2020-12, whose words suites would not need, only recent ones know some.
`errorMessage` and `enumDescriptions` are its own, and nothing to other validators.
"""

import ast
import builtins
import inspect
import json
import re
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise, repeat
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as at
from pydantic import BeforeValidator, SecretStr, ValidationError, WithJsonSchema
from pydantic.fields import FieldInfo

from harness.suite.asserts import TYPES
from harness.suite.check import OF_THE_CONVERSATION
from harness.suite.model import SuiteFile
from harness.suite.phases import Phase
from harness.suite.prompts import Arguments, Expect, Turn
from harness.suite.rules import RULES
from harness.suite.settings import Settings, Written

Schema = dict[str, Any]

SCHEMA_FILE = "suite.schema.json"
"""What the schema is called beside suites."""
FIRST_LINE = f"# yaml-language-server: $schema={SCHEMA_FILE}"
"""The line at the head of a suite by which editors find the schema beside it."""
_FILLED = r"\$\{"
_TEMPLATE = r"\{\{|\{%|\{#"
_NUMBERS = {"integer", "number"}
_NOTHING: Schema = {"type": "null"}
_UNITS = {"h": 3_600_000_000_000, "m": 60_000_000_000, "s": 1_000_000_000, "ms": 1_000_000, "ns": 1}
_PLAIN: dict[object, Schema] = {
    str: {"title": "text", "type": "string"},
    SecretStr: {"title": "text", "type": "string"},
    int: {"title": "whole number", "type": "integer"},
    float: {"title": "number", "type": "number"},
    bool: {"title": "true or false", "type": "boolean"},
    type(None): {"type": "null"},
    Any: {},
}


def suite_schema() -> Schema:
    """The JSON Schema (draft 7) of a suite as its file has it: with ``${NAME}`` and ``{{ name }}`` in it."""
    found: dict[str, Schema] = {}
    waiting: list[type[Written]] = [SuiteFile, Settings, *dict.fromkeys(TYPES.values())]
    while waiting:
        model = waiting.pop(0)
        if model.__name__ not in found:
            refers: list[type[Written]] = []
            found[model.__name__] = _of_model(model, refers)
            waiting += refers
    found["Check"] = _check()
    found["Load"] = _load()
    suite = found.pop(SuiteFile.__name__)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **suite,
        "definitions": dict(sorted(found.items())),
    }


def schema_text() -> str:
    """The schema as it is written to `SCHEMA_FILE`."""
    return json.dumps(suite_schema(), indent=1, ensure_ascii=False) + "\n"


def _of_model(model: type[Written], refers: list[type[Written]]) -> Schema:
    """A mapping with the keys of *model*, or its short form. The models that it names go to *refers*."""
    in_checks = model.__module__.startswith("harness.suite.asserts")
    of = _Of(f"{_FILLED}|{_TEMPLATE}" if in_checks else _FILLED, refers)
    fields = model.model_fields.items()
    made: Schema = {
        "description": _meaning(model),
        "type": "object",
        "properties": dict(_properties(model, of)),
        "additionalProperties": False,
        "required": [field.alias or name for name, field in fields if field.is_required()],
        "allOf": RULES.get(model.__name__, []),
    }
    _mend(model, made, of)
    made = {key: value for key, value in made.items() if value != []}
    return _either(of.hint(model.short), made) if model.short is not None else made


def _properties(model: type[Written], of: "_Of") -> Iterator[tuple[str, Schema | bool]]:
    if issubclass(model, Arguments):  # `Check` says what these are, so that each is there once
        yield from (("type", {"description": _meaning(model)}), ("weight", True), ("metric", True))
    shared = Settings.model_fields if issubclass(model, Settings) and model is not Settings else {}
    for name, field in model.model_fields.items():
        key = field.alias or name
        if not (model is Turn and key in OF_THE_CONVERSATION):
            yield key, _setting(name) if name in shared else of.field(model, name)


def _mend(model: type[Written], made: Schema, of: "_Of") -> None:
    """What of a model its fields do not say, since it takes keys of another form than it has."""
    match model.__name__:
        case "Variant":
            made["properties"]["matrix"] = _matrix() | _saying(model, "matrix")
        case "SuiteFile":
            made["properties"]["load"] = {"$ref": "#/definitions/Load"} | _saying(SuiteFile, "load")
            made["properties"]["prompts"]["minItems"] = 1
        case "Gates":
            made["properties"]["rules"]["minItems"] = 1
            made["required"] = ["rules"]
        case "Phase":
            made["properties"]["stages"]["minItems"] = 1
            made["properties"]["mix"]["minProperties"] = 1
        case "AssertSet":
            made["properties"]["assert"] = of.field(Expect, "asserts") | {"minItems": 1}
            made["required"] = ["assert"]
        case "Documents":
            portion = made["properties"].pop("recall")["additionalProperties"]
            says = "The share of `relevant` that is among the first k has to be so much: `recall@5: 80%`."
            made["patternProperties"] = {"^recall@[1-9][0-9]*$": {"description": says, **portion}}


def _setting(name: str) -> Schema:
    return {"$ref": f"#/definitions/Settings/properties/{name}"}


def _matrix() -> Schema:
    axes = {}
    for name in Settings.model_fields:
        names = {"pattern": "^[^+/]+$"}
        says = _saying(Settings, name)
        axes[name] = says | {
            "type": "object",
            "minProperties": 1,
            "propertyNames": names,
            "additionalProperties": _setting(name),
        }
    axis = {"type": "object", "minProperties": 1, "properties": axes, "additionalProperties": False}
    return {"anyOf": [axis, {"type": "null"}]}


def _load() -> Schema:
    """One phase, or several by name: what decides is whether a key of a phase has a plain value.

    (`SuiteFile` has the same rule.) A key whose value is not written yet may become either.
    """
    keys = [field.alias or name for name, field in Phase.model_fields.items()]
    of_phases = {"type": ["object", "null"]}
    several = {
        "type": "object",
        "not": {"additionalProperties": {"not": of_phases}},
        "properties": {key: {"type": "object"} for key in keys},
    }
    phases = {"type": "object", "additionalProperties": {"$ref": "#/definitions/Phase"}}
    return {
        "type": "object",
        "minProperties": 1,
        "properties": dict(zip(keys, map(_saying, repeat(Phase), Phase.model_fields), strict=True)),
        "if": several,
        "then": phases,
        "else": {"$ref": "#/definitions/Phase"},
    }


def _check() -> Schema:
    """A check: its type alone, where it needs nothing else, or a mapping whose keys depend on the type."""
    names = [f"{prefix}{name}" for name in TYPES for prefix in ("", "not-")]
    bare = [name for name in names if _needs_nothing(TYPES[name.removeprefix("not-")])]
    kinds: dict[type[Arguments], list[str]] = {}
    for name in TYPES:
        kinds.setdefault(TYPES[name], []).extend((name, f"not-{name}"))
    of = _Of(_FILLED, [])
    kind = _with_marks(_named(names, "no check is called so: docs/checks.md has all of them"), _FILLED)
    alone = "no check is called so, or it takes more than its name, as in {type: ttft, threshold: 4s}"
    own = {key: of.field(Expect, key) for key in ("weight", "metric")}
    return {
        "anyOf": [
            _with_marks(_named(bare, alone), _FILLED),
            {
                "type": "object",
                "required": ["type"],
                "properties": {"type": kind, **own},
                "allOf": [
                    {
                        "if": {
                            "type": "object",
                            "required": ["type"],
                            "properties": {"type": {"enum": called}},
                        },
                        "then": {"$ref": f"#/definitions/{model.__name__}"},
                    }
                    for model, called in kinds.items()
                ],
            },
        ]
    }


def _named(names: list[str], wrong: str) -> Schema:
    """The names of checks, each with what it means."""
    says = [_meaning(TYPES[name.removeprefix("not-")], negated=name.startswith("not-")) for name in names]
    return {"title": "check", "enum": names, "enumDescriptions": says, "errorMessage": wrong}


def _meaning(model: type[Written], *, negated: bool = False) -> str:
    says = told(inspect.cleandoc(model.__doc__ or ""))
    return f"Not so: {says}" if negated else says


def _needs_nothing(model: type[Arguments]) -> bool:
    try:
        model.model_validate({})
    except ValidationError:
        return False
    return model.__name__ != "AssertSet"


@dataclass(frozen=True)
class _Of:
    """Schemas of fields and types; *marks* are what stands in a text for something that is filled in later.

    The models that are met on the way go to *refers*.
    """

    marks: str
    refers: list[type[Written]]

    def field(self, model: type[Written], name: str) -> Schema:
        """What stands under the key of a field, with what it means and its default."""
        info = model.model_fields[name]
        made = self.hint(info.annotation, info.metadata)
        default = _default(info.default, made)
        return made | _saying(model, name) | ({} if default is None else {"default": default})

    def hint(self, hint: Any, around: Iterable[Any] = ()) -> Schema:
        """What may be written for a value of the type *hint*, which has metadata *around* it."""
        while get_origin(hint) is Annotated:
            hint, *inner = get_args(hint)
            around = (*inner, *around)
        around = list(_flat(around))
        said: Schema = {}
        for each in around:
            said |= (each.json_schema or {}) if isinstance(each, WithJsonSchema) else {}
        if said or hint in _PLAIN or get_origin(hint) is Literal:
            made = said or _PLAIN.get(hint) or ({"enum": list(get_args(hint))} if get_args(hint) else {})
            return _with_marks(_bounded(made, around), self.marks)
        return self.composite(hint, around)

    def composite(self, hint: Any, around: list[Any]) -> Schema:
        """The same, of a type that is made of others."""
        args = get_args(hint)
        match get_origin(hint):
            case origin if origin in {Union, types.UnionType}:
                return _either(*map(self.hint, args))
            case builtins.tuple:
                one = self.hint(args[0])
                many = _bounded({"type": "array", "items": one}, around)
                one_alone = any(isinstance(each, BeforeValidator) for each in around)
                return _either(one, many) if one_alone else many
            case builtins.dict:
                key = self.hint(args[0])
                names = {each: key[each] for each in ("pattern", "minLength", "enum") if each in key}
                return {"type": "object", "additionalProperties": self.hint(args[1])} | (
                    {"propertyNames": names} if names else {}
                )
        if hint is not Expect:
            self.refers.append(hint)
        return {"$ref": f"#/definitions/{'Check' if hint is Expect else hint.__name__}"}


def _either(*ways: Schema) -> Schema:
    """One of several ways to write a value."""
    flat = [way for each in ways for way in (each["anyOf"] if set(each) == {"anyOf"} else [each])]
    if len(flat) == 2 and flat[1] == _NOTHING and "type" in flat[0] and "enum" not in flat[0]:
        return flat[0] | {"type": [*_kinds(flat[0]), "null"]}
    return {"anyOf": flat}


def _kinds(schema: Schema) -> list[str]:
    """The types that a schema allows, if it names them."""
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else list(kinds)


def _flat(around: Iterable[Any]) -> Iterator[Any]:
    """Metadata with that of a `Field` in its place."""
    for each in around:
        yield from each.metadata if isinstance(each, FieldInfo) else (each,)


def _bounded(made: Schema, around: Iterable[Any]) -> Schema:
    """*made* within the bounds that stand around its type."""
    made, kinds = dict(made), _kinds(made)
    for each in around:
        match each:
            case at.Ge(ge=bound) if _NUMBERS & {*kinds}:
                made["minimum"] = bound
            case at.Gt(gt=bound) if _NUMBERS & {*kinds}:
                made["exclusiveMinimum"] = bound
            case at.Le(le=bound) if _NUMBERS & {*kinds}:
                made["maximum"] = bound
            case at.Lt(lt=bound) if _NUMBERS & {*kinds}:
                made["exclusiveMaximum"] = bound
            case at.MinLen(min_length=length):
                made["minLength" if "string" in kinds else "minItems"] = length
    return made


def _with_marks(made: Schema, marks: str) -> Schema:
    """*made*, or a text with something in it that is filled in later."""
    kinds = _kinds(made)
    if "anyOf" in made:
        return made | {"anyOf": [_with_marks(each, marks) for each in made["anyOf"]]}
    if "enum" in made:
        return {"anyOf": [made, {"type": "string", "pattern": marks}]}
    if "pattern" in made:
        return made | {"pattern": f"{made['pattern']}|{marks}"}
    if kinds and "string" not in kinds and "null" not in kinds and "object" not in kinds:
        return made | {"type": [*kinds, "string"], "pattern": _FILLED}
    return made


def _default(value: Any, made: Schema) -> Any:
    """The default of a field as people would write it; None where that says nothing."""
    match value:
        case tuple():
            return list(value) or None
        case int() if made.get("title") == "duration":
            unit, size = next(
                each for each in _UNITS.items() if value % each[1] == 0 and (value or each[0] == "s")
            )
            return f"{value // size}{unit}"
        case float() if made.get("title") == "share" and "number" not in _kinds(made):
            return f"{value:.0%}"
        case float() if value.is_integer():
            return int(value)
        case bool() | int() | float() | str():
            return value or (None if value == "" else value)
        case _:
            return None


def _saying(model: type[Written], name: str) -> Schema:
    """What the key of a field means: the text below it or, of a check's key, the text of the check."""
    for each in model.__mro__:
        if name in (texts := _texts(each.__module__).get(each.__name__, {})):
            return {"description": texts[name]}
    return {"description": _meaning(model)}


@cache
def _texts(module: str) -> Mapping[str, Mapping[str, str]]:
    """The texts below the fields of the classes of a module, by class and field.

    Read from its source when they are wanted: pydantic would do so each time that a suite is read.
    """
    if not module.startswith("harness."):
        return {}
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    return {node.name: dict(_below(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _below(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, text in pairwise(node.body):
        match field, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(says))):
                yield name, told(says)


def told(docstring: str) -> str:
    """A docstring as Markdown on one line."""
    words = " ".join(docstring.split())
    return re.sub(r"``(.*?)``", r"`\1`", re.sub(r"(?<!\*)\*(\w+)\*(?!\*)", r"`\1`", words))
