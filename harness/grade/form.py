"""What form the answer has: JSON, HTML, XML, SQL (`harness.suite.asserts.form`).

Answers come from a model, and may be hostile: no parser here reads an entity, a reference or a file from
anywhere, and nesting beyond reason is no document.
"""

import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from harness.grade.opinion import Opinion, failed, passed, shown, ungraded
from harness.suite.asserts.form import (
    ContainsHtml,
    ContainsJson,
    ContainsSql,
    ContainsXml,
    FormCheck,
    IsHtml,
    IsJson,
    IsSql,
    IsXml,
    Sql,
)

MOST_TRIES = 1_000
"""Places of an answer at which a document is looked for."""


def answered(args: FormCheck, answer: str) -> Opinion:
    """What a check of the form finds in a whole *answer*."""
    match args:
        case IsJson(value=schema):
            return _is_json(answer, schema)
        case ContainsJson(value=schema):
            return _contains_json(answer, schema)
        case IsHtml() | ContainsHtml():
            return _html(answer, whole=isinstance(args, IsHtml))
        case IsXml(value=elements) | ContainsXml(value=elements):
            return _xml(answer, elements, whole=isinstance(args, IsXml))
        case IsSql(value=sql) | ContainsSql(value=sql):
            return _sql(answer, sql, whole=isinstance(args, IsSql))
        case _:
            raise AssertionError(f"unreachable: {type(args).__name__} has no grade")


# JSON


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_constant)


def _is_json(answer: str, schema: dict[str, Any] | None) -> Opinion:
    try:
        document = _decoder.decode(answer.strip())
    except (ValueError, RecursionError) as error:
        return failed(f"no JSON: {error}: {shown(answer)}")
    return _fits(document, schema) if schema is not None else passed("it is JSON")


def _contains_json(answer: str, schema: dict[str, Any] | None) -> Opinion:
    told = failed(f"no JSON object or list is in the answer: {shown(answer)}")
    for document in _documents(answer):
        told = _fits(document, schema) if schema is not None else passed("JSON is in the answer")
        if told.passed is not False:
            return told
    return told


def _documents(answer: str) -> Iterator[Any]:
    """The JSON objects and lists in *answer* that are in no other."""
    at, tries = 0, 0
    while (match := re.compile(r"[{\[]").search(answer, at)) and tries < MOST_TRIES:
        tries += 1
        try:
            document, at = _decoder.raw_decode(answer, match.start())
        except ValueError:
            at = match.start() + 1
        except RecursionError:
            return
        else:
            yield document


def _fits(document: Any, schema: dict[str, Any]) -> Opinion:
    from jsonschema.exceptions import best_match  # noqa: PLC0415  30 ms, which few suites need
    from referencing.exceptions import Unresolvable  # noqa: PLC0415  as above

    try:
        error = best_match(_validator(json.dumps(schema)).iter_errors(document))
    except Unresolvable as unknown:
        return ungraded(f"the schema refers to what is not in it: {unknown}")
    except RecursionError:
        return failed("nested beyond what a schema can be held against")
    if error is None:
        return passed("it fits the schema")
    return failed(f"{error.json_path}: {error.message[:200]}")


@lru_cache(maxsize=256)
def _validator(schema: str) -> Any:
    from jsonschema import validators  # noqa: PLC0415  as above
    from referencing import Registry  # noqa: PLC0415  as above

    told = json.loads(schema)
    kind = validators.validator_for(told, validators.Draft202012Validator)
    return kind(told, registry=Registry())  # an empty one: nothing is fetched from anywhere


# HTML and XML

_TAG = re.compile(r"<\s*([a-zA-Z][a-zA-Z0-9]*)(?:\s[^<>]*)?/?>")


def _html(answer: str, *, whole: bool) -> Opinion:
    from lxml.html import defs  # noqa: PLC0415  25 ms, which few suites need

    tags = [tag.lower() for tag in _TAG.findall(answer)]
    known = [tag for tag in tags if tag in defs.tags]
    if not known:
        return failed(f"no element of HTML is in the answer: {shown(answer)}")
    if whole and (other := next((tag for tag in tags if tag not in defs.tags), None)):
        return failed(f"<{other}> is no element of HTML: {shown(answer)}")
    if whole and (outside := _outside(answer)):
        return failed(f"text stands beside the elements: {shown(outside)}")
    return passed(f"HTML: {', '.join(f'<{tag}>' for tag in dict.fromkeys(known))}"[:200])


def _outside(answer: str) -> str:
    """The text of *answer* that is in no element, as browsers would read it."""
    from lxml import html  # noqa: PLC0415  as above

    if re.match(r"\s*(<!doctype|<html)", answer, re.IGNORECASE):
        return answer.strip() if not answer.rstrip().endswith(">") else ""
    parts = html.fragments_fromstring(answer)
    texts = (part if isinstance(part, str) else part.tail or "" for part in parts)
    return "".join(texts).strip()


def _xml(answer: str, elements: Sequence[str], *, whole: bool) -> Opinion:
    told = failed(f"no XML: {shown(answer)}")
    for text in (answer.strip(),) if whole else _elements(answer):
        told = _parsed(text, elements)
        if told.passed:
            return told
    return told


def _elements(answer: str) -> Iterator[str]:
    """The stretches of *answer* from the beginning of an element to its last end."""
    for match, _ in zip(
        re.finditer(r"<([A-Za-z_][\w.:-]*)[^<>]*?(/?)>", answer), range(MOST_TRIES), strict=False
    ):
        if match[2]:
            yield match[0]
        elif (end := answer.rfind(f"</{match[1]}>")) > match.start():
            yield answer[match.start() : end + len(match[1]) + 3]


def _parsed(text: str, elements: Sequence[str]) -> Opinion:
    from lxml import etree  # noqa: PLC0415  25 ms, which few suites need

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(text.encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        return failed(f"no XML: {error}: {shown(text)}")
    missing = [path for path in elements if not _has(root, path.split("."))]
    return failed(f"missing are {', '.join(missing)}") if missing else passed(f"XML: <{root.tag}>")


def _has(root: Any, path: Sequence[str]) -> bool:
    """Whether there is an element at *path*, which begins with the root."""
    here = [root] if root.tag == path[0] else []
    for name in path[1:]:
        here = [below for element in here for below in element if below.tag == name]
    return bool(here)


# SQL

_BLOCK = re.compile(r"```(?:sql)?[ \t]*\n(.*?)```", re.DOTALL | re.IGNORECASE)


def _sql(answer: str, sql: Sql, *, whole: bool) -> Opinion:
    told = failed(f"no SQL: {shown(answer)}")
    for text in (answer,) if whole else (*_BLOCK.findall(answer), answer):
        told = _statements(text, sql)
        if told.passed:
            return told
    return told


def _statements(text: str, sql: Sql) -> Opinion:
    import sqlglot  # noqa: PLC0415  0.2 s, which few suites need
    from sqlglot import exp  # noqa: PLC0415  as above

    try:
        parsed = [each for each in sqlglot.parse(text, dialect=sql.dialect) if each is not None]
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        return failed(f"no SQL: {str(error)[:160]}")
    statements = (exp.Query, exp.DML, exp.DDL, exp.Drop, exp.Alter, exp.Merge, exp.TruncateTable)
    if not parsed or not all(isinstance(each, statements) for each in parsed):
        return failed(f"no statement of SQL: {shown(text)}")
    for what, kind, allowed in (
        ("table", exp.Table, sql.allowed_tables),
        ("column", exp.Column, sql.allowed_columns),
    ):
        names = {each.name for one in parsed for each in one.find_all(kind) if each.name not in _ctes(one)}
        known = {name.casefold() for name in allowed or ()}
        other = sorted(name for name in names if name.casefold() not in known)
        if allowed is not None and other:
            return failed(f"{what} {other[0]} is none of {', '.join(allowed)}")
    return passed(f"SQL: {', '.join(type(each).__name__.upper() for each in parsed)}")


def _ctes(statement: Any) -> set[str]:
    """The names that a statement gives to queries of its own."""
    from sqlglot import exp  # noqa: PLC0415  as above

    return {each.alias for each in statement.find_all(exp.CTE)}
