"""The assertions of promptfoo as checks of ours.

A type keeps its name wherever we have it. A key that the type of ours does not
take, a value that means something else here, a type that we do not have: each
is told, and left out.
"""

import csv
import json
import re
from collections.abc import Callable
from typing import Any

from harness.errors import did_you_mean
from harness.suite.asserts import TYPES
from harness.suite.expect import NOT_OFFERED
from harness.suite.promptfoo.pieces import Piece, Source, ends, is_number, named_file
from harness.suite.promptfoo.templates import as_jinja
from harness.suite.promptfoo.tools import Check, all_of, any_of, in_our_words, snake_case

_OF_OURS = """
    equals contains icontains contains-all contains-any icontains-all icontains-any starts-with regex
    is-json contains-json is-html contains-html is-xml contains-xml is-sql contains-sql
    levenshtein word-count rouge-n bleu is-refusal similar similar:cosine
    llm-rubric factuality model-graded-factuality model-graded-closedqa answer-relevance context-faithfulness
    select-best python trajectory:tool-used trajectory:tool-sequence trajectory:tool-args-match
    trajectory:step-count latency cost assert-set
"""
OURS = frozenset(_OF_OURS.split())
"""What can be carried over, each also with ``not-``."""

_DEFAULTS = {"similar": 0.75, "similar:cosine": 0.75, "rouge-n": 0.75, "bleu": 0.5, "levenshtein": 5}
_FOR_THE_JUDGE = "a check has no judge of its own: say it once, in judge: of the suite"
_WHY_NOT = {
    "provider": _FOR_THE_JUDGE,
    "rubricPrompt": "the judge's question is ours: put what it asks for into value",
    "transform": "the answer is checked as it is: write the check as python",
    "contextTransform": "the context is what the tools returned, or value: nothing to transform",
    "config": "only python takes config, as a mapping",
    "metric": "a metric has a name, which is text",
}
_OF_TEXT = """
    equals contains icontains starts-with regex levenshtein rouge-n bleu similar similar:cosine llm-rubric
    factuality model-graded-factuality model-graded-closedqa select-best context-faithfulness
"""
_PLAIN_TEXT = frozenset(_OF_TEXT.split())
_LISTS = frozenset({"contains-all", "contains-any", "icontains-all", "icontains-any"})


def checks_of(piece: Piece, source: Source) -> list[Check]:
    """The checks that can be carried over, in their order; everything else is told."""
    made = [check for each in piece.items() for check in _checks(each, source)]
    return [each for each in made if each is not None]


def _checks(piece: Piece, source: Source) -> list[Check | None]:
    """The check of an entry, or those of the file that it names."""
    if not isinstance(piece.value, str) or not ends(piece.value, ".yaml", ".yml", ".json"):
        return [_check(piece, source)]
    return [check for read in source.documents(piece) for check in checks_of(read, source)]


def _check(piece: Piece, source: Source) -> Check | None:
    kind = piece.value.get("type") if isinstance(piece.value, dict) else None
    if not isinstance(kind, str):
        source.tell(piece, "an assertion is a mapping with a type: left out")
        return None
    base = kind.removeprefix("not-")
    if base not in OURS:
        source.tell(piece, f"{kind} has no equivalent: {_missing(base)}")
        return None
    made: Check = {"type": kind}
    for key, below in piece.entries():
        if key == "type":
            continue
        value = _key(base, key, below, source)
        if value is _NOTHING:
            return None
        if value is not None:
            made[key] = value
    return _whole(made, base, piece, source)


def _missing(base: str) -> str:
    if base in NOT_OFFERED:
        return NOT_OFFERED[base]
    if base.startswith("promptfoo:redteam"):
        return "red-team checks are not offered"
    return f"no such type is known{did_you_mean(base, OURS) or '; python can check anything'}"


_NOTHING = object()
"""Stands for a value without which the check says something else, or nothing."""


def _key(base: str, key: str, piece: Piece, source: Source) -> Any:
    """What *key* becomes; None, and told, where it is left out."""
    made: Any = None
    match key:
        case "assert" if base == "assert-set":
            made = checks_of(piece, source)
        case "value":
            made = _value(base, piece, source)
        case "threshold":
            made = _threshold(base, piece, source)
        case "weight":
            made = _amount(piece, source)
        case "metric" if isinstance(piece.value, str) and piece.value:
            made = as_jinja(piece, piece.value, source.tell)
        case "config" if base == "python" and isinstance(piece.value, dict):
            made = piece.value
        case _:
            source.tell(piece, f"left out: {_WHY_NOT.get(key, f'no such key is known of {base}')}")
    return made


def _takes(base: str, key: str) -> bool:
    return base not in TYPES or key in TYPES[base].model_fields


def _threshold(base: str, piece: Piece, source: Source) -> Any:
    if base == "latency":
        return _milliseconds(piece, source)
    if not _takes(base, "threshold"):
        source.tell(piece, f"left out: {base} of ours passes or fails, without a threshold")
        return None
    return _amount(piece, source)


def _amount(piece: Piece, source: Source) -> Any:
    value = _number(piece.value) if isinstance(piece.value, str) else piece.value
    if not is_number(value) or value < 0:
        source.tell(piece, "left out: a number is wanted, 0 or more")
        return None
    return value


def _number(text: str) -> Any:
    try:
        value = float(text)
    except ValueError:
        return text
    return int(value) if value.is_integer() else value  # inf and nan are no integers


def _milliseconds(piece: Piece, source: Source) -> Any:
    value = _number(piece.value) if isinstance(piece.value, str) else piece.value
    if not is_number(value) or value <= 0:
        source.tell(piece, f"left out: {piece.value} is no number of milliseconds above 0")
        return None
    return as_duration(value)


def as_duration(milliseconds: float) -> str:
    """``5s`` for 5000, ``1500ms`` for 1500."""
    if milliseconds % 1000 == 0:
        return f"{int(milliseconds // 1000)}s"
    return f"{milliseconds:.6f}".rstrip("0").rstrip(".") + "ms"


def _value(base: str, piece: Piece, source: Source) -> Any:
    if not _takes(base, "value") or base in {"assert-set", "latency", "cost", "is-refusal"}:
        source.tell(piece, f"left out: {base} of ours takes no value")
        return None
    for kinds, read in _VALUES:
        if base in kinds:
            return read(piece, source)
    return _rendered(piece, source)


def _text(piece: Piece, source: Source) -> Any:
    """A text as it is meant: from its file, or from a number that JavaScript would have written."""
    match piece.value:
        case str() as text if text.startswith("file://"):
            return _of_file(piece, source)
        case str() as text:
            return as_jinja(piece, text, source.tell)
        case bool() as truth:
            return str(truth).lower()
        case int() | float() as number:
            return str(_number(str(number)))
        case _:
            source.tell(piece, "left out: a text is wanted; is-json with a schema compares data")
            return _NOTHING


def _of_file(piece: Piece, source: Source) -> Any:
    if (
        ends(piece.value, ".js", ".ts", ".mjs", ".cjs", ".py")
        or ".py:" in piece.value
        or ".js:" in piece.value
    ):
        source.tell(piece, "left out: a value that code works out has no equivalent: write a python check")
        return _NOTHING
    found = source.files(piece)
    return as_jinja(piece, found[0].value.strip(), source.tell) if found else _NOTHING


def _several(piece: Piece, source: Source) -> Any:
    """A list of texts, also from ``a, b`` as cells have it."""
    if isinstance(piece.value, str):
        row = next(csv.reader([piece.value.replace("\n", " ")], skipinitialspace=True), [])
        return [as_jinja(piece, each.strip(), source.tell) for each in row if each.strip()] or _NOTHING
    if not isinstance(piece.value, list):
        source.tell(piece, "left out: a list of texts is wanted")
        return _NOTHING
    made = [_text(each, source) for each in piece.items()]
    return [each for each in made if each is not _NOTHING]


def _regex(piece: Piece, source: Source) -> Any:
    """JavaScript's named groups as Python has them; what else is unlike is told by what does not compile."""
    pattern = _text(piece, source)
    if not isinstance(pattern, str):
        return pattern
    pattern = re.sub(r"\(\?<(?![=!])", "(?P<", re.sub(r"\\k<(\w+)>", r"(?P=\1)", pattern))
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        if "{{" not in pattern:
            source.tell(piece, f"left out: this is no regular expression of Python: {error}")
            return _NOTHING
    return pattern


def _python(piece: Piece, source: Source) -> Any:
    """``file://x.py`` means its `get_assert`, which takes the answer and a context with us, too."""
    path = named_file(piece.value) if isinstance(piece.value, str) else ""
    file, _, function = path.partition(":") if re.search(r"\.py(:\w+)?$", path) else ("", "", "")
    if not file or "\n" in file:
        source.tell(
            piece,
            "left out: Python goes into a file: def get_assert(output, context), value: file://checks.py",
        )
        return _NOTHING
    return f"file://{source.moved(file)}:{function or 'get_assert'}"


def _schema(piece: Piece, source: Source) -> Any:
    """A JSON schema: data, a file, or JSON in a text."""
    if isinstance(piece.value, str) and piece.value.startswith("file://"):
        documents = [] if ends(piece.value, ".js", ".ts", ".py") else source.documents(piece)
        if ends(piece.value, ".js", ".ts", ".py"):
            source.tell(piece, "left out: a schema that code makes has no equivalent: write it out")
        return documents[0].value if documents else _NOTHING
    if isinstance(piece.value, str):
        return _schema_in_text(piece, source)
    return _rendered(piece, source)


def _schema_in_text(piece: Piece, source: Source) -> Any:
    try:
        return json.loads(piece.value)
    except (ValueError, RecursionError):
        source.tell(piece, "left out: a JSON schema is wanted, as a mapping")
        return _NOTHING


def _words(piece: Piece, _source: Source) -> Any:
    if isinstance(piece.value, str):
        return _number(piece.value)
    return _snake(piece.value)


def _settings(piece: Piece, source: Source) -> Any:
    return _snake(_rendered(piece, source))


def _alike(piece: Piece, source: Source) -> Any:
    """A text, or several of which one is enough."""
    return _several(piece, source) if isinstance(piece.value, list) else _text(piece, source)


def _snake(value: Any) -> Any:
    """The keys of a mapping as we write them: ``databaseType`` is ``database_type``."""
    if not isinstance(value, dict):
        return value
    return {snake_case(key): below for key, below in value.items()}


def _rendered(piece: Piece, source: Source) -> Any:
    """Data as it is, with the templates in its texts as Jinja2."""
    match piece.value:
        case str() as text:
            return as_jinja(piece, text, source.tell)
        case dict():
            return {key: _rendered(below, source) for key, below in piece.entries()}
        case list():
            return [_rendered(below, source) for below in piece.items()]
        case value:
            return value


_VALUES: tuple[tuple[frozenset[str], Callable[[Piece, Source], Any]], ...] = (
    (_LISTS, _several),
    (frozenset({"regex"}), _regex),
    (frozenset({"python"}), _python),
    (frozenset({"is-json", "contains-json"}), _schema),
    (frozenset({"word-count"}), _words),
    (frozenset({"is-sql", "contains-sql"}), _settings),
    (frozenset({"similar", "similar:cosine"}), _alike),
    (_PLAIN_TEXT, _text),
)


def _whole(made: Check, base: str, piece: Piece, source: Source) -> Check | None:
    """The check with what promptfoo takes for granted; None where it says nothing any more."""
    if base in _DEFAULTS and "threshold" not in made:
        made["threshold"] = _DEFAULTS[base]
    missing = next((key for key in _NEEDS.get(base, ()) if made.get(key) in (None, "", [])), None)
    if missing is not None:
        source.tell(piece, f"left out: {made['type']} without {missing} tells nothing")
        return None
    if base.startswith("trajectory:"):
        return in_our_words(made)
    if isinstance(made.get("value"), list) and base.startswith("similar"):
        negated = made["type"] != base
        return all_of(made, made["value"]) if negated else any_of(made, made["value"])
    return made


_NEEDS = {
    **dict.fromkeys(_PLAIN_TEXT - {"context-faithfulness", "equals"} | _LISTS, ("value",)),
    "python": ("value",),
    "word-count": ("value",),
    "latency": ("threshold",),
    "cost": ("threshold",),
    "assert-set": ("assert",),
}


# The mini-language of tables


_JAVASCRIPT = ("javascript:", "fn:", "eval:")
_OF_NUMBERS = """
    answer-relevance classifier context-faithfulness context-recall context-relevance cost latency levenshtein
    perplexity-score perplexity rouge-n similar starts-with
"""
_WITH_THRESHOLD = frozenset(_OF_NUMBERS.split())
_KNOWN = "|".join(sorted(OURS | NOT_OFFERED.keys(), reverse=True))
_TYPED = re.compile(rf"(not-)?({_KNOWN})(?:\((\d+(?:\.\d+)?)\))?(?::([\s\S]*))?")


def cell(text: str) -> Check:
    """What an ``__expected`` cell means, as promptfoo's own mapping; a plain text is equality."""
    text = text.strip()
    for start in _JAVASCRIPT:
        if text.startswith(start):
            return {"type": "javascript", "value": text.removeprefix(start).strip()}
    if text.startswith("grade:"):
        return {"type": "llm-rubric", "value": text.removeprefix("grade:").strip()}
    if text.startswith("file://"):
        kind = "python" if re.search(r"\.py(:|$)", text) else "javascript"
        return {"type": kind, "value": text}
    match = _TYPED.fullmatch(text)
    if match is None:
        return {"type": "equals", "value": text}
    return _typed_cell(f"{match[1] or ''}{match[2]}", match[2], match[3], match[4])


def _typed_cell(kind: str, base: str, threshold: str | None, value: str | None) -> Check:
    made: Check = {"type": kind}
    if base in {"cost", "latency"}:
        return made | {"threshold": _number(threshold or value or "")}
    if value is not None and value.strip():
        made["value"] = value.strip()
    if threshold is not None:
        made["threshold"] = _number(threshold)
    elif base == "similar":
        made["threshold"] = 0.8
    elif base in _WITH_THRESHOLD - {"starts-with", "levenshtein"}:
        made["threshold"] = 0.75
    return made
