"""What a look around at a Sigma found, for people and for programs."""

import json
import textwrap
from collections.abc import Callable, Iterable, Iterator
from statistics import median
from typing import Any

import msgspec
from rich.text import Text

from harness.drive.survey import Asked, Seen
from harness.metrics.figures import milliseconds, service_ns
from harness.report.abilities import Ability, Known, abilities
from harness.report.visible import cut, one_line, shortened
from harness.result import Exchange
from harness.sigma.catalogue import Persona, Tool
from harness.sigma.request import SEND
from harness.sigma.tolerant import whole_text
from harness.sigma.transcript import Outcome
from harness.suite.edit import as_yaml
from harness.suite.keys import KEY_VARIABLE

_STYLES = {Known.YES: "green", Known.NO: "red", Known.UNKNOWN: "yellow"}
_LISTED = 40
_NAME = 100
NOTHING_ASKED = "no model was asked: --ask sends one message, and deletes its conversation again"


def lines(seen: Seen, asked: Asked | None, width: int | None) -> Iterator[Text]:
    """All of it, in lines of at most *width* characters where there is one."""
    told = [*_server(seen), *abilities(seen)]
    yield from _abilities(told, width)
    for title, rows in _lists(seen):
        yield Text()
        yield Text(title, style="bold")
        yield from _wrapped(rows, width)
    yield Text()
    if asked is None:
        yield Text(NOTHING_ASKED, style="dim")
    else:
        yield from _abilities(list(of_asked(seen, asked)), width)
    yield Text()
    yield from map(Text, target_lines(seen))


def _server(seen: Seen) -> Iterator[Ability]:
    address, version = seen.address, seen.catalogue.version
    secure = address.base_url.startswith("https:")
    how = "TLS NOT VERIFIED" if seen.unverified else "over TLS" if secure else "not encrypted (http)"
    what = f"version {version}" if version else seen.catalogue.refused.get("/version", "version not said")
    yield Ability("answers", Known.YES, f"{address.base_url}, {what}, {how}")
    if seen.dialect is None:
        why = f"POST {SEND} {seen.heard[SEND]}, which does not show it; taken for {address.dialect}"
        yield Ability("dialect", Known.UNKNOWN, why, "write target.dialect: onyx or sigma")
    else:
        written = seen.suite.target.dialect
        other = written not in {"auto", seen.dialect} and seen.suite.target.base_url is not None
        remedy = f"the suite says {written}: write target.dialect: {seen.dialect}" if other else ""
        yield Ability(
            "dialect", Known.YES, f"{seen.dialect}, by how a request without a message is refused", remedy
        )
    yield _trips(seen)


def _trips(seen: Seen) -> Ability:
    what = "round trip"
    if not seen.trips_ns:
        return Ability(what, Known.UNKNOWN, "GET /health was not answered a second time")
    took = [ns / 1e6 for ns in sorted(seen.trips_ns)]
    why = (
        f"{median(took):.2f} ms, the median of {len(took)} of GET /health; {took[0]:.2f} to {took[-1]:.2f} ms"
    )
    return Ability(what, Known.YES, why)


def _abilities(told: list[Ability], width: int | None) -> Iterator[Text]:
    left = max(len(one.what) for one in told) + 2
    word = max(len(known) for known in Known) + 2
    for one in told:
        why = f"{one.why}; {one.remedy}" if one.remedy else one.why
        first, *rest = _folded(one_line(why), width, left + word)
        line = Text(one.what.ljust(left))
        line.append(one.known.ljust(word), _STYLES[one.known])
        line.append(first)
        yield line
        yield from (Text(" " * (left + word) + each) for each in rest)


def _folded(text: str, width: int | None, indent: int) -> list[str]:
    if width is None:
        return [text]
    return textwrap.wrap(text, max(30, width - indent - 1), break_on_hyphens=False) or [""]


def _wrapped(rows: Iterable[tuple[str, str]], width: int | None) -> Iterator[Text]:
    """Rows of a name and what is said of it."""
    rows = list(rows)
    left = min(max((len(name) for name, _ in rows), default=0), 40) + 2
    for name, what in rows:
        first, *rest = _folded(what, width, left + 2)
        yield Text(f"  {name.ljust(left)}{first}".rstrip())
        yield from (Text(" " * (left + 2) + each) for each in rest)


def _lists(seen: Seen) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """What there is to name in a suite, a list each; one that may not be read says so."""
    has = seen.catalogue
    yield (
        "models: llm_override: {model_provider: ..., model_version: ...}",
        _rows(
            seen, "/llm/provider", has.providers, lambda one: (one.name, _models(seen, one.name, one.models))
        ),
    )
    tools = sorted(has.tools or (), key=lambda tool: tool.tool_id)
    yield (
        "tools: allowed_tool_ids, forced_tool_id",
        _rows(seen, "/tool", None if has.tools is None else tools, lambda one: (one.name, _tool(seen, one))),
    )
    yield (
        "personas: persona_id",
        _rows(seen, "/persona", has.personas, lambda one: (one.name, _persona(seen, one))),
    )
    yield (
        "document sets: search_filters.document_set",
        _rows(seen, "/manage/document-set", has.document_sets, lambda one: (one, "")),
    )
    yield (
        "projects: project_id",
        _rows(
            seen,
            "/user/projects",
            None if has.projects is None else list(has.projects.items()),
            lambda one: (one[1], f"id {one[0]}"),
        ),
    )


def _rows(
    seen: Seen, path: str, found: Iterable[Any] | None, row: Callable[[Any], tuple[str, str]]
) -> list[tuple[str, str]]:
    if found is None:
        return [("not known", one_line(seen.catalogue.refused.get(path, f"GET {path} was not answered")))]
    rows = [tuple(map(_shown, row(each))) for each in found]
    more = [(f"and {len(rows) - _LISTED} more", "--json has all")] if len(rows) > _LISTED else []
    return [(name, what) for name, what in rows[:_LISTED]] + more or [("none", "")]


def _shown(text: str) -> str:
    return one_line(cut(text, 4_000))


def _models(seen: Seen, provider: str, models: tuple[str, ...]) -> str:
    default = (seen.catalogue.default_provider, seen.catalogue.default_model)
    named = [
        f"{shortened(one, _NAME)} (default)" if (provider, one) == default else shortened(one, _NAME)
        for one in models
    ]
    more = f" and {len(named) - _LISTED} more" if len(named) > _LISTED else ""
    return ", ".join(named[:_LISTED]) + more or "no model"


def _tool(seen: Seen, tool: Tool) -> str:
    others = [name for name in tool.called if name != tool.name]
    called = f", called {', '.join(others)}" if others else ""
    return f"id {tool.tool_id}{called}; {_attached(seen, tool.tool_id)}"


def _attached(seen: Seen, tool_id: int) -> str:
    """Who may use a tool: it is offered where the persona that is asked has it, and nowhere else."""
    personas = seen.catalogue.personas
    if personas is None or any(one.tools is None for one in personas):
        return "which personas have it is not known"
    having = [one for one in personas if tool_id in (one.tools or ())]
    if any(one.persona_id == 0 for one in having):
        return "offered by default"
    if not having:
        return "no persona has it: it is never offered"
    return f"offered with persona_id: {' or '.join(shortened(one.name, _NAME) for one in having)}"


def _persona(seen: Seen, persona: Persona) -> str:
    default = " (default)" if persona.persona_id == 0 else ""
    if persona.tools is None:
        return f"id {persona.persona_id}{default}"
    names = {tool.tool_id: tool.name for tool in seen.catalogue.tools or ()}
    has = ", ".join(names.get(each, f"tool {each}") for each in persona.tools) or "no tool"
    return f"id {persona.persona_id}{default}; {has}"


def has_answered(asked: Asked) -> bool:
    """Whether the message that was put was answered, and nothing broke."""
    transcript = asked.exchange.transcript
    whole = transcript is not None and transcript.outcome is Outcome.SUCCESS
    return whole and asked.exchange.failure is None


def of_asked(seen: Seen, asked: Asked) -> Iterator[Ability]:
    """What came of the message that was put."""
    exchange, transcript = asked.exchange, asked.exchange.transcript
    if has_answered(asked) and transcript is not None:
        first = shortened(transcript.answer.strip().partition("\n")[0], 200)
        yield Ability("answer", Known.YES, f"to {asked.message!r}: {first}")
    else:
        why = exchange.failure or (transcript.outcome if transcript else "none came")
        yield Ability("answer", Known.NO, f"to {asked.message!r}: {why}")
    yield _whole(asked)
    yield from _times(asked)
    yield _seen_model(seen, asked)
    yield _left(asked)


def _whole(asked: Asked) -> Ability:
    transcript = asked.exchange.transcript
    if transcript is None or not transcript.packets:
        return Ability("stream read whole", Known.NO, "no packet came")
    odd = [
        f"{transcript.unknown_packets} packets of kinds that are not known"
        if transcript.unknown_packets
        else "",
        f"{transcript.bad_lines} lines that are no JSON object" if transcript.bad_lines else "",
    ]
    told = "; ".join([f"{transcript.packets} packets", *filter(None, odd)])
    if transcript.marks.stop is None:
        return Ability("stream read whole", Known.NO, f"{told}, and no stop")
    return Ability(
        "stream read whole", Known.NO if transcript.bad_lines else Known.YES, f"{told}, to the stop"
    )


def _times(asked: Asked) -> Iterator[Ability]:
    stamps = "stamped by the kernel" if asked.exchange.stamps == "kernel" else "our own stamps"
    for what, name in (("TTFT", "ttft"), ("total", "total")):
        ms = milliseconds(service_ns(asked.exchange, name))
        if ms is None:
            yield Ability(what, Known.UNKNOWN, "it never came")
        else:
            most = "at most " if name == "ttft" and _is_merged(asked.exchange) else ""
            yield Ability(what, Known.YES, f"{most}{ms:,.1f} ms ({stamps}; n = 1)")


def _is_merged(exchange: Exchange) -> bool:
    """Whether later packets came in the read of the first word: its stamp is that of the last of them."""
    first = None if exchange.transcript is None else exchange.transcript.marks.first_text
    ends = (end for end in exchange.read_ends if first is not None and end >= first)
    return first is not None and next(ends, first) > first + len("\r\n\r\n")


def _seen_model(seen: Seen, asked: Asked) -> Ability:
    what = "audit: which model"
    if asked.model is None:
        return Ability(what, Known.NO, asked.unseen, "llm_override will be not shown in the audit of a run")
    named = "/".join(part for part in (asked.model.model_provider, asked.model.model_name) if part)
    return Ability(what, Known.YES, f"answered by {named}, says the conversation")


def _left(asked: Asked) -> Ability:
    what = "conversation deleted"
    if asked.exchange.session_id is None:
        return Ability(what, Known.UNKNOWN, "the server never said which it made, if any")
    if asked.left:
        return Ability(
            what, Known.NO, asked.left, "delete it by hand; target.cleanup: {sessions: true} will fail"
        )
    return Ability(what, Known.YES, "nothing is left behind")


def advised(seen: Seen) -> dict[str, Any]:
    """The `target` of a suite for this Sigma; of a suite's own server only what is to be changed in it."""
    target = seen.suite.target
    if target.base_url is None:
        return {}
    if seen.suite.text:
        wanted = {"base_url": seen.address.base_url} if _moved(seen) else {}
        other = seen.dialect is not None and target.dialect not in {"auto", seen.dialect}
        return wanted | ({"dialect": seen.dialect} if other else {})
    way = ("ca_file", "client_cert", "client_key")
    told: dict[str, Any] = {"base_url": seen.address.base_url}
    if target.api_key_file is not None:
        told["api_key_file"] = target.api_key_file
    elif seen.address.api_key is not None:
        told["api_key"] = f"${{{KEY_VARIABLE}}}"
    if seen.dialect is not None:
        told["dialect"] = seen.dialect
    if seen.is_nobodys and seen.address.api_key is None:
        told["allow_anonymous"] = True
    told |= {key: getattr(target, key) for key in way if getattr(target, key) is not None}
    if isinstance(target.proxy, str | bool):  # of the command line, where no password may be in it
        told["proxy"] = target.proxy
    return told | ({} if target.verify_tls else {"verify_tls": False})


def _moved(seen: Seen) -> bool:
    return seen.address.base_url.rstrip("/") != (seen.suite.target.base_url or "").rstrip("/")


def target_lines(seen: Seen) -> list[str]:
    """The same as lines of YAML, with a word before."""
    told = advised(seen)
    if seen.suite.target.base_url is None:
        return ["for a suite:", "", "target: standin"]
    if not told:
        return ["the suite's target fits as it is"]
    head = "in the suite's target, change:" if seen.suite.text else "for a suite:"
    return [head, "", *one_line_each(as_yaml({"target": told}))]


def one_line_each(text: str) -> list[str]:
    """The lines of *text*, none of which a terminal acts on."""
    return [one_line(line) for line in text.rstrip("\n").split("\n")]


def as_told(seen: Seen, asked: Asked | None) -> dict[str, Any]:
    """What `--json` prints; a list that could not be had is null."""
    told = json.dumps(msgspec.to_builtins(_as_told(seen, asked)), ensure_ascii=False)
    return dict(json.loads(whole_text(told)))


def _as_told(seen: Seen, asked: Asked | None) -> dict[str, Any]:
    has, email = seen.catalogue, seen.account.get("email")
    return {
        "base_url": seen.address.base_url,
        "version": has.version,
        "dialect": seen.dialect,
        "account": email if isinstance(email, str) else None,
        "anonymous": seen.is_nobodys,
        "round_trip_ms": [ns / 1e6 for ns in seen.trips_ns],
        "abilities": _told([*_server(seen), *abilities(seen)]),
        "default_model": {"model_provider": has.default_provider, "model_version": has.default_model},
        "models": None if has.providers is None else [msgspec.to_builtins(one) for one in has.providers],
        "tools": None if has.tools is None else [_tool_told(seen, one) for one in has.tools],
        "personas": None if has.personas is None else [msgspec.to_builtins(one) for one in has.personas],
        "document_sets": has.document_sets,
        "projects": None
        if has.projects is None
        else [{"id": key, "name": name} for key, name in has.projects.items()],
        "source_types": seen.sources,
        "tags": None
        if has.tags is None
        else [{"tag_key": key, "tag_value": value} for key, value in sorted(has.tags)],
        "refused": dict(has.refused),
        "asked": None if asked is None else _asked_told(seen, asked),
        "target": advised(seen) or ("standin" if seen.suite.target.base_url is None else None),
    }


def _tool_told(seen: Seen, tool: Tool) -> dict[str, Any]:
    personas = seen.catalogue.personas
    having = (
        None
        if personas is None
        else [one.persona_id for one in personas if tool.tool_id in (one.tools or ())]
    )
    return {"id": tool.tool_id, "name": tool.name, "called": tool.called, "personas": having}


def _asked_told(seen: Seen, asked: Asked) -> dict[str, Any]:
    exchange, transcript = asked.exchange, asked.exchange.transcript
    return {
        "message": asked.message,
        "answer": transcript.answer if transcript else None,
        "failure": None if exchange.failure is None else str(exchange.failure),
        "ttft_ms": milliseconds(service_ns(exchange, "ttft")),
        "total_ms": milliseconds(service_ns(exchange, "total")),
        "model": None if asked.model is None else msgspec.to_builtins(asked.model),
        "abilities": _told(of_asked(seen, asked)),
    }


def _told(told: Iterable[Ability]) -> list[dict[str, str]]:
    return [{"what": one.what, "known": one.known, "why": one.why, "remedy": one.remedy} for one in told]
