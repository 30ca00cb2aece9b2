"""Nunjucks as Jinja2: the same for ``{{ name }}``, and not for what JavaScript does in a template.

What is left unlike is told, and stays as it was written: the reader of suites
then says what Jinja2 makes of it.
"""

import keyword
import math
import re
from collections.abc import Mapping
from typing import Any

from harness.suite.promptfoo.pieces import Piece, Tell

_RAW = re.compile(r"(\{%-?\s*raw\s*-?%\}.*?\{%-?\s*endraw\s*-?%\})", re.DOTALL)
_TAG = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_ENV = re.compile(
    r"""\{\{-?\s*env(?:\.(\w+)|\[\s*["'](\w+)["']\s*\])\s*"""
    r"""(?:\|\s*default\(\s*(["'])([^"'}]*)\3[^)]*\))?\s*-?\}\}"""
)
_NAME = re.compile(r"\{\{-?\s*([A-Za-z_]\w*)\s*-?\}\}", re.ASCII)
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_FILTER = re.compile(r"(?<!\|)\|(?!\|)\s*([A-Za-z_]\w*)")
_IN_BOTH = """
    abs batch capitalize center default d dictsort e escape first float forceescape groupby indent int join
    last length list lower reject rejectattr replace reverse round safe select selectattr slice sort string
    striptags sum title tojson trim truncate upper urlencode urlize wordcount
"""
_SAME_FILTERS = frozenset(_IN_BOTH.split())
_STATEMENT = re.compile(r"\{%-?\s*(\w+)")
_OTHER_STATEMENTS = {"include", "import", "from", "extends", "asyncEach", "asyncAll", "ifAsync", "switch"}
_JAVASCRIPT = re.compile(
    r"\.(toUpperCase|toLowerCase|slice|map|filter|includes|indexOf|trim|substring|concat|forEach|charAt)\b"
    r"|&&|\|\||\bundefined\b|\bJSON\.\w+"
)
_TEMPLATE_WORDS = {"true", "false", "none", "not", "and", "or", "in", "is", "if", "else"}


def as_jinja(piece: Piece, text: str, tell: Tell) -> str:
    """*text* with its Nunjucks written as Jinja2; what Jinja2 does not know is told of *piece*.

    ``{{ env.NAME }}`` becomes ``${NAME}``, and a ``${`` of the text itself is escaped.
    """
    parts = _RAW.split(text)
    return "".join(
        _escaped(part) if _RAW.fullmatch(part) else _between_raw(piece, part, tell) for part in parts
    )


def _escaped(text: str) -> str:
    return text.replace("${", "$${")


def _between_raw(piece: Piece, text: str, tell: Tell) -> str:
    made, end = [], 0
    for match in _TAG.finditer(text):
        made += [_escaped(text[end : match.start()]), _tag(piece, match[0], tell)]
        end = match.end()
    return "".join([*made, _escaped(text[end:])])


def _tag(piece: Piece, tag: str, tell: Tell) -> str:
    if match := _ENV.fullmatch(tag):
        name, default = match[1] or match[2], match[4]
        return f"${{{name}}}" if default is None else f"${{{name}:-{default}}}"
    if match := _NAME.fullmatch(tag):
        return tag.replace(match[1], variable_name(match[1]), 1)
    pieces = re.split(rf"({_QUOTED.pattern})", _escaped(tag))
    pieces[::2] = [_rewritten(each) for each in pieces[::2]]
    code = " ".join(pieces[::2])
    for why in _unlike(code):
        tell(piece, f"{tag}: {why}")
    return "".join(pieces)


def _rewritten(code: str) -> str:
    code = code.replace("===", "==").replace("!==", "!=")
    code = re.sub(r"(\{%-?\s*)elseif\b", r"\1elif", code)
    code = re.sub(r"\bnull\b", "none", code)
    code = re.sub(r"\.length\b(?!\s*\()", "|length", code)
    return re.sub(r"\|\s*dump\b", "| tojson", code)


def _unlike(code: str) -> list[str]:
    """Why *code*, the inside of a tag without its quoted texts, is not Jinja2."""
    found = [
        f"Jinja2 has no filter {name}: write it otherwise, or work the value out before"
        for name in _FILTER.findall(code)
        if name not in _SAME_FILTERS
    ]
    if (match := _STATEMENT.match(code)) and match[1] in _OTHER_STATEMENTS:
        found.append(f"a suite has no {match[1]}: write out what it stands for")
    if match := _JAVASCRIPT.search(code):
        found.append(f"{match[0]} is JavaScript: write it as Jinja2")
    if re.search(r"\b_conversation\b", code):
        found.append("_conversation has no equivalent: write the conversation as turns, which continue it")
    if re.search(r"\benv\s*[.\[]", code):
        found.append("env in an expression has no equivalent: write ${NAME} where its text belongs")
    return found


def variable_name(name: str) -> str:
    """*name* as a template of ours can say it: ``user-id`` is ``user_id``, ``class`` is ``class_``."""
    made = re.sub(r"\W", "_", name)
    if not made or made[0].isdigit():
        made = f"_{made}"
    return f"{made}_" if keyword.iskeyword(made) or made in _TEMPLATE_WORDS else made


def filled_in(text: str, variables: Mapping[str, Any]) -> str:
    """*text* with each ``{{ name }}`` filled in whose variable is known, over and over, as promptfoo does."""
    for _ in range(5):
        made = _NAME.sub(lambda tag: str(variables[tag[1]]) if tag[1] in variables else tag[0], text)
        if made == text:
            break
        text = made
    return text


def in_javascript(value: Any) -> Any:
    """A variable that a message shows as JavaScript would: ``true``, ``1`` for ``1.0``, nothing for null."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float() if value.is_integer() and abs(value) < 1e15:
            return int(value)
        case float() if not math.isfinite(value) or "e" in repr(value):
            return repr(value)
        case _:
            return value
