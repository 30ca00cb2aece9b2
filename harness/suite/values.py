"""What one value of a suite may be: an id or a name, a duration, an address, a secret.

Each is a type that `harness.suite.model` annotates its fields with. Nothing is
made to fit: ``"8"`` is no number and ``42`` no text, since YAML's guess of a type
is where surprises come from. Only what the environment filled in, and so had no
quotes to tell it by, may become a number. Messages say what is allowed; the
value and its place are put before them by `harness.suite.validate`.
"""

import keyword
import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    Strict,
)

from harness.suite import literals, redaction
from harness.suite.hints import DURATION, FROM_OUTSIDE, IN_UNITS, LETTER, SERVER, SHARE, SIZE, written
from harness.suite.scalars import Filled


class HiddenValueError(ValueError):
    """What is wrong with a value that no message may show."""


def _unfilled(value: object) -> object:
    return value.value if isinstance(value, Filled) else value


def _id_or_name(value: object) -> object:
    value = _unfilled(value)
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise ValueError("an id (a whole number) or a name (text) is wanted")
    return value


def list_of_one(value: object) -> object:
    """A text alone where a list of them may stand."""
    return (value,) if isinstance(value, str) else value


def _zoned(value: str) -> str:
    wanted = 'ISO 8601 with its zone is wanted: "2024-01-01T00:00:00Z"'
    try:
        moment = datetime.fromisoformat(value)
        in_utc = moment.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter within a day of year 1 and of year 9999
        raise ValueError(wanted) from None
    if moment.tzinfo is None:
        raise ValueError(wanted)
    return in_utc.isoformat().replace("+00:00", "Z")


_NO_SCHEME = re.compile(r"(localhost|[\w-]+(?=:)|[\w-]+(\.[\w-]+)+)(:\d{1,5})?(/[\w./-]*)?")
"""A host and its port, or a host that cannot be another word; with or without a path."""


def address(value: str) -> str:
    """*value*, if it is the URL of a server without anything secret in it. Raises `ValueError`."""
    if "@" in value:
        raise HiddenValueError("an address holds no user or password: secrets go into api_key")
    try:
        parts = urlsplit(value)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        port_is_right = False
    if not port_is_right or parts.scheme not in {"http", "https"} or not parts.hostname:
        if _NO_SCHEME.fullmatch(value) and port_is_right:
            raise ValueError(f"the address of a server is wanted: write http:// or https:// before {value}")
        raise ValueError("the address of a server is wanted: https://sigma.example.com/api")
    if parts.query or parts.fragment:
        raise ValueError("an address ends before ? and #")
    return value


def _secret(value: object) -> object:
    if isinstance(value, str) and (not isinstance(value, Filled) or value.default_used):
        raise HiddenValueError(
            "keys come from the environment or a file: write ${SIGMA_API_KEY}, or api_key_file"
        )
    if value == "":
        raise HiddenValueError("the variable is set, but empty")
    return value


def _proxy(value: object) -> object:
    if value is False or (isinstance(value, Filled) and value.value is False):
        return False
    if not isinstance(value, str):
        raise ValueError("a proxy is http://host:port, or false for none")
    if "@" in value and (not isinstance(value, Filled) or value.default_used):
        raise HiddenValueError("a proxy's password comes only from the environment: write ${SIGMA_PROXY}")
    try:
        parts = urlsplit(value)
        port_is_right = parts.port is None or parts.port > 0
    except ValueError:
        port_is_right = False
    if not port_is_right or parts.scheme not in {"http", "https"} or not parts.hostname:
        socks = " (SOCKS is not supported)" if value.startswith("socks") else ""
        raise HiddenValueError(f"the address of a proxy is wanted: http://proxy.example.com:3128{socks}")
    return value


def _file_name(value: str) -> str:
    if not re.fullmatch(r"\w[\w.-]*", value):
        raise ValueError("results are kept under this name: letters, digits, _ - and . only")
    return value


def _variable_name(value: str) -> str:
    if not value.isidentifier() or keyword.iskeyword(value) or value in _TEMPLATE_WORDS:
        raise ValueError(
            "a variable is named with letters, digits and _, so that {{ name }} can stand for it"
        )
    return value


_TEMPLATE_WORDS = {"true", "false", "none", "not", "and", "or", "in", "is", "if", "else"}


def _cell_name(value: str) -> str:
    if not value or "+" in value or "/" in value:
        raise ValueError("a value of a matrix has a name without + and /, which join names")
    return value


def _day(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise ValueError('a day is wanted, in quotes: "2026-12-31"') from None


def _retry_reason(value: object) -> object:
    return str(value) if type(value) is int else value


def _uuid(value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError:
        raise ValueError("a UUID is wanted: 5b0f5e0e-2c4e-4a5e-9c1d-0d8a4f6a1b11") from None


def _header_name(value: str) -> str:
    if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", value, re.ASCII):
        raise ValueError("a header's name has letters, digits and - only, such as X-Tenant")
    return value


def _header_value(value: object) -> object:
    if not isinstance(value, str):
        raise HiddenValueError("a header's value is text: quote it")
    if not value or not value.isascii() or not value.isprintable():
        raise HiddenValueError("a header's value has printable ASCII characters only, and one at least")
    return value


def file_or_text(value: object) -> str:
    """Which of the two an entry of `files:` was meant as. What is neither is told that text is wanted."""
    return "text" if not isinstance(value, dict | BaseModel) else "descriptor"


def _limit(value: object) -> object:
    """A number, or an amount with any unit; which one is right depends on the metric."""
    value = _unfilled(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    for read in (literals.share, literals.duration, literals.count, literals.rate):
        try:
            read(value)
        except ValueError:
            continue
        return value
    raise ValueError("a limit is a number or has a unit: 0.95, 3pp, 15%, 4s, 3M")


def _portion(value: object) -> object:
    value = _unfilled(value)
    if isinstance(value, bool):
        raise ValueError("a share lies between 0 and 1, or 0% and 100%")
    return literals.share(value) if isinstance(value, str) else value


_REDUCTION = re.compile(r"mean|majority|pass[@^][1-9]\d*|([1-9]\d*) of ([1-9]\d*)", re.ASCII)


def _reduction(value: str) -> str:
    match = _REDUCTION.fullmatch(value)
    if match is None:
        raise ValueError("repeats are reduced by mean, majority, pass@3, pass^3 or 8 of 10")
    if match[1] and int(match[1]) > int(match[2]):
        raise ValueError(f"of {match[2]} repeats no {match[1]} can pass")
    return value


Whole = Annotated[
    int,
    Strict(),
    BeforeValidator(_unfilled),
    written("whole number", type="integer", wanted="a whole number is wanted"),
]
Number = Annotated[
    float,
    Strict(),
    Field(allow_inf_nan=False),
    BeforeValidator(_unfilled),
    written("number", type="number", wanted="a number is wanted"),
]
Flag = Annotated[
    bool,
    Strict(),
    BeforeValidator(_unfilled),
    written("true or false", type="boolean", wanted="true or false is wanted"),
]
Id = Annotated[
    int | str,
    BeforeValidator(_id_or_name),
    written("id or name", type=["integer", "string"], minLength=1),
]
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[tuple[Text, ...], BeforeValidator(list_of_one)]
Duration = Annotated[
    int,
    BeforeValidator(literals.duration),
    Field(gt=0),
    written("duration", type="string", pattern=f"^(?=.*[1-9]){IN_UNITS}$", wanted=DURATION),
]
Span = Annotated[
    int,
    BeforeValidator(literals.duration),
    Field(ge=0),
    written("duration", type="string", pattern=f"^(?=[0-9]){IN_UNITS}$", wanted=DURATION),
]
Count = Annotated[
    int,
    BeforeValidator(lambda value: literals.count(_unfilled(value))),
    written(
        "count",
        type=["integer", "string"],
        minimum=0,
        pattern=f"^{SIZE}[kM]?$",
        wanted="a count is a whole number, or one with k or M: 500, 20k, 3M",
    ),
]
Rate = Annotated[
    float,
    BeforeValidator(literals.rate),
    written(
        "rate",
        type="string",
        pattern=f"^(?=.*[1-9]){SIZE}/(s|m|h)$",
        wanted="a rate has a unit: 2/s, 30/m or 100/h",
    ),
]
Speed = Annotated[
    float,
    BeforeValidator(literals.times),
    written(
        "speed",
        type="string",
        pattern=f"^(?=.*[1-9]){SIZE}x$",
        wanted="a speed is so many times as fast: 2x, or 0.5x for half as fast",
    ),
]
Limit = Annotated[
    float | str,
    BeforeValidator(_limit),
    written(
        "limit",
        type=["number", "string"],
        pattern=f"^({SIZE}(%|pp|[kM]|/[smh])?|(?=[0-9]){IN_UNITS})$",
        wanted="a limit is a number or has a unit: 0.95, 3pp, 15%, 4s, 3M",
    ),
]
AtLeastOne = Annotated[Whole, Field(ge=1)]
VariableName = Annotated[
    str,
    AfterValidator(_variable_name),
    written("name", type="string", pattern=f"^(?![0-9]){LETTER}+$"),
]
Variables = dict[VariableName, Any]
Address = Annotated[
    str,
    AfterValidator(address),
    written("URL", type="string", pattern=SERVER, wanted="a URL is wanted: https://sigma.example.com/api"),
]
Secret = Annotated[
    SecretStr,
    BeforeValidator(_secret),
    written("${NAME}", type="string", pattern=r"\$\{", wanted=FROM_OUTSIDE),
]
ProxyAddress = Annotated[
    SecretStr | Literal[False],
    BeforeValidator(_proxy),
    written(
        "URL, or false",
        anyOf=[{"enum": [False]}, {"type": "string", "pattern": SERVER}],
    ),
]
Moment = Annotated[
    str,
    AfterValidator(_zoned),
    written(
        "moment with its zone",
        type="string",
        pattern=r"^[0-9]{4}[0-9W-]+[^0-9-][0-9:.,]+([zZ]|[+-][0-9:.]+)$",
        wanted='ISO 8601 with its zone is wanted: "2024-01-01T00:00:00Z"',
    ),
]
Day = Annotated[
    str,
    AfterValidator(_day),
    written("day", type="string", pattern="^[0-9]{4}[0-9W-]+$", wanted='a day is wanted: "2026-12-31"'),
]
FileName = Annotated[
    str,
    AfterValidator(_file_name),
    written(
        "name",
        type="string",
        pattern=rf"^(?![.-])({LETTER}|[.-])+$",
        wanted="results are kept under this name: letters, digits, _ - and . only",
    ),
]
CellName = Annotated[str, AfterValidator(_cell_name), written("name", type="string", pattern="^[^+/]+$")]
RetryReason = Annotated[
    Literal["connect", "reset", "timeout", "429", "500", "502", "503", "504"],
    BeforeValidator(_retry_reason),
    written(
        "fault",
        enum=["connect", "reset", "timeout", 429, 500, 502, 503, 504, "429", "500", "502", "503", "504"],
    ),
]
HeaderName = Annotated[
    str,
    AfterValidator(_header_name),
    written("name", type="string", pattern=r"^[A-Za-z0-9_!#$%&'*+.^`|~-]+$"),
]
HeaderValue = Annotated[
    SecretStr, BeforeValidator(_header_value), written("text", type="string", pattern="^[ -~]+$")
]
KnownPattern = Annotated[
    str, AfterValidator(redaction.known), written("name", type="string", enum=list(redaction.KNOWN))
]
Pattern = Annotated[
    str, AfterValidator(redaction.pattern), written("regular expression", type="string", minLength=1)
]
Uuid = Annotated[
    str,
    AfterValidator(_uuid),
    written("UUID", type="string", pattern="^[{}urnid:0-9A-Fa-f-]{32,}$", wanted="a UUID is wanted"),
]
Share = Annotated[
    float,
    BeforeValidator(literals.share),
    Field(ge=0, le=1),
    written("share", type="string", pattern=SHARE, wanted="a share has a unit: 15%"),
]
Portion = Annotated[
    float,
    BeforeValidator(_portion),
    Field(ge=0, le=1),
    written(
        "share",
        type=["number", "string"],
        pattern=SHARE,
        wanted="a share lies between 0 and 1, or 0% and 100%",
    ),
]
"""A score to be reached: 0.8, as people of other tools write it, or 80%."""
Reduction = Annotated[
    str,
    AfterValidator(_reduction),
    written(
        "reduction",
        type="string",
        pattern=r"^(mean|majority|pass[@^][1-9][0-9]*|[1-9][0-9]* of [1-9][0-9]*)$",
        wanted="repeats are reduced by mean, majority, pass@3, pass^3 or 8 of 10",
    ),
]
Endpoint = Literal["send-chat-message", "send-message", "send-message-simple-api"]
Origin = Literal[
    "webapp", "chrome_extension", "api", "slackbot", "widget", "discordbot", "mobile", "unknown", "unset"
]
Ignorable = Literal[
    "override",
    "filters",
    "forced",
    "allowed",
    "research",
    "files",
    "parent",
    "session",
    "persona",
    "project",
    "citations",
    "stream",
]
