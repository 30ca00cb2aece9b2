"""Checks of the form of the answer: JSON, HTML, XML, SQL. ``is-`` is of all of it, ``contains-`` of some."""

import re
from collections.abc import Mapping
from functools import lru_cache
from json import dumps, loads
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from harness.suite.asserts.text import TextCheck
from harness.suite.settings import Written
from harness.suite.values import Text, Texts


class FormCheck(TextCheck):
    """A check of the form of the answer."""


@lru_cache(maxsize=256)
def _schema_error(schema: str) -> str | None:
    from jsonschema import exceptions, validators  # noqa: PLC0415  30 ms, which few suites need

    told = loads(schema)
    try:
        validators.validator_for(told, validators.Draft202012Validator).check_schema(told)
    except exceptions.SchemaError as error:
        return f"this is no JSON Schema: {error.json_path}: {error.message}"
    return None


def _schema(value: object) -> object:
    if isinstance(value, str):
        raise ValueError("a JSON Schema is wanted, as a mapping: write it here, not as text")
    if isinstance(value, dict | bool) and (wrong := _schema_error(dumps(value))) is not None:
        raise ValueError(wrong)
    return value


Schema = Annotated[dict[str, Any] | None, BeforeValidator(_schema)]


class IsJson(FormCheck):
    """The answer is one JSON document and, with a *value*, fits that JSON Schema; nothing is fetched."""

    example: ClassVar[str] = "{type: is-json, value: {type: object, required: [total]}}"
    value: Schema = None


class ContainsJson(FormCheck):
    """A JSON object or list is somewhere in the answer and, with a *value*, fits that JSON Schema."""

    value: Schema = None


class IsHtml(FormCheck):
    """The answer is HTML and nothing else: elements that HTML has, and no text beside them."""


class ContainsHtml(FormCheck):
    """The answer has an element of HTML in it."""


_NAME = re.compile(r"[\w:-]+(\.[\w:-]+)*")


def _element(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("an element is named by its path from the root: order.item.price")
    return value


def _elements(value: object) -> object:
    if isinstance(value, dict) and set(value) <= {"required_elements", "requiredElements"}:
        value = next(iter(value.values()), ())
    return tuple(map(str.strip, value.split(","))) if isinstance(value, str) else value


Elements = Annotated[
    tuple[Annotated[Text, AfterValidator(_element)], ...],
    BeforeValidator(_elements),
    WithJsonSchema({"title": "elements", "type": ["string", "array", "object"], "items": {"type": "string"}}),
]


class IsXml(FormCheck):
    """The answer is one XML document, with the elements *value*, each a path from its root: order.item."""

    value: Elements = ()


class ContainsXml(FormCheck):
    """An XML element stands somewhere in the answer, with the elements *value* in it."""

    value: Elements = ()


_SPELLINGS = {"database": "dialect", "databaseType": "dialect", "database_type": "dialect"}
_SPELLINGS |= {"allowedTables": "allowed_tables", "allowedColumns": "allowed_columns"}
_Spelling = Literal[
    "dialect",
    "database",
    "databaseType",
    "database_type",
    "allowed_tables",
    "allowedTables",
    "allowed_columns",
    "allowedColumns",
]


class Sql(Written):
    """Which SQL: a *dialect* (``postgres``, ``mysql`` …), and what it may read or change."""

    short: ClassVar[Any] = Text | dict[_Spelling, Any]
    dialect: Text | None = None
    allowed_tables: Texts | None = None
    allowed_columns: Texts | None = None


def _sql(value: object) -> object:
    if isinstance(value, str):
        return {"dialect": value}
    if isinstance(value, dict):
        return {_SPELLINGS.get(key, key): each for key, each in value.items()}
    return value


def _known_dialect(value: Sql) -> Sql:
    from sqlglot import Dialect  # noqa: PLC0415  0.2 s, which few suites need

    if value.dialect is not None:
        name = {"postgresql": "postgres", "transactsql": "tsql", "mariadb": "mysql"}.get(
            value.dialect.lower(), value.dialect.lower()
        )
        try:
            Dialect.get_or_raise(name)
        except ValueError as error:
            raise ValueError(f"{value.dialect}: {error}") from error
        return value.model_copy(update={"dialect": name})
    return value


OfSql = Annotated[Sql, BeforeValidator(_sql), AfterValidator(_known_dialect)]


class IsSql(FormCheck):
    """The answer is SQL: statements of that dialect, of these tables and columns only."""

    example: ClassVar[str] = "{type: is-sql, value: {dialect: postgres, allowed_tables: [orders]}}"
    value: Annotated[OfSql, Field(default_factory=Sql)]


class ContainsSql(FormCheck):
    """A block of code in the answer, or all of it, is such SQL."""

    value: Annotated[OfSql, Field(default_factory=Sql)]


TYPES: Mapping[str, type[FormCheck]] = {
    "is-json": IsJson,
    "contains-json": ContainsJson,
    "is-html": IsHtml,
    "contains-html": ContainsHtml,
    "is-xml": IsXml,
    "contains-xml": ContainsXml,
    "is-sql": IsSql,
    "contains-sql": ContainsSql,
}
