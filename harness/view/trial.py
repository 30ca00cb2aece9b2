"""A trial turn by turn: what was asked and answered, its steps, packets, tool calls, documents and grades."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from harness.report.pages import plain
from harness.report.visible import LONGEST
from harness.result import Exchange, Result
from harness.sigma.transcript import Transcript
from harness.view.lines import result_of
from harness.view.seen import Seen
from harness.view.texts import Piece, pieces, pretty, set_out, web_address
from harness.view.timeline import Drawing, drawing
from harness.view.tree import Node, tree

PACKETS_AT_ONCE = 40
PACKETS_A_PAGE = 500
DOCUMENTS = 60
CALLS = 100
WIDE, NARROW = 1060, 360

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Document:
    """A document that was found, and the number by which the answer cites it."""

    document_id: str
    number: int | None
    name: str
    link: str | None
    source: str
    blurb: str


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call, its arguments and its result set out; *depth* is 1 for one of an agent."""

    row: Row
    arguments: str
    result: str
    depth: int


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange as it is shown; *after* is the turn that it follows, *message* None where unknown."""

    node: Node
    row: Row
    after: str | None
    message: str | None
    request: str
    answer: Sequence[Piece]
    reasoning: str
    plan: str
    narration: str
    calls: Sequence[Call]
    more_calls: int
    documents: Sequence[Document]
    more_documents: int
    wide: Drawing | None
    narrow: Drawing | None
    steps: Sequence[Row]
    packets: Sequence[Row]
    audits: Sequence[Row]
    grades: Sequence[Row]
    models: Sequence[Row]

    @property
    def anchor(self) -> str:
        """What its place on the page is called."""
        return f"turn-{self.row['turn_id']}-{self.row['attempt']}"


@dataclass(frozen=True, slots=True)
class Shown:
    """A trial as it is shown; *others* are the same prompt under other variants, or again."""

    row: Row
    grades: Sequence[Row]
    turns: Sequence[Turn]
    others: Sequence[Row]
    has_journal: bool


def shown(seen: Seen, trial_id: str) -> Shown | None:
    """The trial of this id, or None where the run has none."""
    tables = seen.of_trial(trial_id)
    if tables["trials"].is_empty():
        return None
    row = tables["trials"].row(0, named=True)
    result = result_of(seen.place.folder, trial_id)
    grades = list(tables["grades"].iter_rows(named=True))
    return Shown(row, grades, list(_turns(tables, result)), _others(seen, row), result is not None)


def _others(seen: Seen, row: Row) -> list[Row]:
    same = (pl.col("case_id") == row["case_id"]) & (pl.col("phase") == row["phase"])
    columns = ("trial_id", "variant", "repeat", "state")
    found = seen.scan("trials").filter(same).select(columns).collect()
    near = found.filter((pl.col("variant") == row["variant"]) | (pl.col("repeat") == row["repeat"]))
    return list(near.sort("variant", "repeat").head(60).iter_rows(named=True))


def _turns(tables: Mapping[str, pl.DataFrame], result: Result | None) -> Iterator[Turn]:
    rows = list(tables["exchanges"].sort("began_ns", maintain_order=True).iter_rows(named=True))
    by_id = {row["exchange_id"]: row for row in rows}
    sent = {each.exchange_id: each for each in (result.exchanges if result else ())}
    requests = {name: exchange.request for name, exchange in sent.items()}
    last = {row["turn_id"]: row["exchange_id"] for row in rows}
    for node in tree(rows, requests):
        row = by_id[node.exchange_id]
        after = by_id[node.parent]["turn_id"] if node.parent else None
        own = {
            name: tables[name].filter(pl.col("exchange_id") == node.exchange_id)
            for name in ("packets", "tool_calls", "steps", "models", "audits")
        }
        own["grades"] = tables["grades"].filter(
            (pl.col("turn_id") == row["turn_id"]) & (last[row["turn_id"]] == node.exchange_id)
        )
        yield _turn(node, after, (row, sent.get(node.exchange_id)), own)


def _turn(
    node: Node, after: str | None, of: tuple[Row, Exchange | None], own: Mapping[str, pl.DataFrame]
) -> Turn:
    row, exchange = of
    transcript = exchange.transcript if exchange else None
    documents = _documents(transcript)
    message = exchange.request.get("message") if exchange else None
    links = {each.document_id: each.link for each in documents}
    return Turn(
        node=node,
        row=row,
        after=after,
        message=None if message is None else plain(message),
        request=plain(pretty(exchange.request)) if exchange else "",
        answer=pieces(row["answer"] or "", transcript.citations if transcript else (), links),
        reasoning=plain(row["reasoning"] or ""),
        plan=plain((transcript.plan if transcript else None) or ""),
        narration=plain("\n\n".join(transcript.narration) if transcript else ""),
        calls=list(_calls(own["tool_calls"].head(CALLS))),
        more_calls=max(0, len(own["tool_calls"]) - CALLS),
        documents=documents[:DOCUMENTS],
        more_documents=max(0, len(documents) - DOCUMENTS),
        wide=drawing(own["steps"], own["packets"], row["sent_ns"], WIDE),
        narrow=drawing(own["steps"], own["packets"], row["sent_ns"], NARROW),
        steps=list(own["steps"].iter_rows(named=True)),
        packets=packet_rows(own["packets"].head(PACKETS_AT_ONCE), row["sent_ns"]),
        audits=list(own["audits"].iter_rows(named=True)),
        grades=list(own["grades"].iter_rows(named=True)),
        models=list(own["models"].iter_rows(named=True)),
    )


def _calls(calls: pl.DataFrame) -> Iterator[Call]:
    for row in calls.iter_rows(named=True):
        depth = 1 if row["call_id"].split("#")[0].count(".") > 1 else 0
        yield Call(row, set_out(row["arguments"]), set_out(row["result"]), depth)


def _documents(transcript: Transcript | None) -> list[Document]:
    """What was found or cited, the cited ones first, by their numbers."""
    if transcript is None:
        return []
    numbers = {each.document_id: each.number for each in transcript.citations}
    found = {each.document_id: each for each in transcript.found if each.document_id is not None}
    shown = [
        Document(
            name,
            numbers.get(name),
            plain((one.name if one else None) or name, 300),
            web_address(one.link if one else None),
            (one.source_type if one else None) or ("web" if one and one.is_internet else ""),
            plain((one.blurb if one else None) or "", 600),
        )
        for name, one in {**dict.fromkeys(numbers), **found}.items()
    ]
    return sorted(shown, key=lambda each: (each.document_id not in numbers, each.number or 0))


def packet_rows(packets: pl.DataFrame, sent_ns: int | None) -> list[Row]:
    """Packets for a table: when each came after the sending, and how long it lay before our code saw it."""
    zero = pl.lit(sent_ns, dtype=pl.Int64)
    columns = packets.with_columns(
        at_ms=(pl.col("arrived_ns") - zero) / 1e6,
        own_ms=(pl.col("seen_ns") - pl.col("arrived_ns")) / 1e6,
    )
    return list(columns.iter_rows(named=True))


def placement(row: Row) -> str:
    """Where a packet stands: turn.tab.sub, and its model where there are several."""
    parts = [row["turn_index"], row["tab_index"], row["sub_turn_index"]]
    told = ".".join(str(each) for each in parts if each is not None)
    return f"m{row['model_index']} {told}" if row["model_index"] else told


def packets(seen: Seen, exchange_id: str, page: int) -> tuple[list[Row], int, Row] | None:
    """A page of the packets of an exchange, how many there are, and its own row; None where there is none."""
    trial_id = exchange_id.split(".", 1)[0]
    tables = seen.of_trial(trial_id)
    own = tables["exchanges"].filter(pl.col("exchange_id") == exchange_id)
    if own.is_empty():
        return None
    row = own.row(0, named=True)
    all_of_it = tables["packets"].filter(pl.col("exchange_id") == exchange_id)
    part = all_of_it.slice((page - 1) * PACKETS_A_PAGE, PACKETS_A_PAGE)
    return packet_rows(part, row["sent_ns"]), len(all_of_it), row


def raw(seen: Seen, exchange_id: str) -> tuple[bytes, str] | None:
    """The body of a reply exactly as it came, and its answer; None where the journal has it not."""
    result = result_of(seen.place.folder, exchange_id.split(".", 1)[0])
    for exchange in result.exchanges if result else ():
        if exchange.exchange_id == exchange_id:
            return exchange.body, exchange.transcript.answer if exchange.transcript else ""
    return None


def cut(text: str | None) -> bool:
    """Whether a page shows less of *text* than there is."""
    return len(text or "") > LONGEST
