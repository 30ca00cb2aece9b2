"""Masking: nothing secret is left in the bytes of a reply, whatever its packets, and no byte is moved."""

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harness.metrics.figures import service_ns
from harness.redact.texts import read, texts_of
from harness.redact.veil import Veil, basic
from harness.result import Exchange, with_transcript
from harness.sigma.packets import packet_rows
from harness.sigma.tolerant import whole_text
from harness.sigma.transcript import Transcript, frames_of, read_body
from harness.suite.redaction import KNOWN, finder, iban, luhn
from tests.replies import IDS, SESSION, START, STOP, packet

QUICK = settings(max_examples=60)
SECRETS = ("sk-live-0123456789", 'a"b\\c/d\u00e9\u4f60', "\U0001f511\U0001f512 key of gold", "p4ss*w0rd@@")
TEXT = st.lists(st.sampled_from(SECRETS) | st.text(st.characters(codec="utf-8"), max_size=6), max_size=6).map(
    "".join
)
PATTERNS = st.sampled_from(
    [
        "[0-9]+",
        r"\bsk-[\w-]+",
        "(?i)[aeiou]{2}",
        "\U0001f511",
        ".",
        r"[^\W\d]+\s",
        "\u00e9",
        r"\n",
        '["\\\\]',
        "a*b",
    ]
)
KINDS = st.sampled_from(["message_delta", "reasoning_delta"])
FIELD = {"message_delta": "content", "reasoning_delta": "reasoning"}


def veil(*patterns: str, secrets: tuple[str, ...] = ()) -> Veil:
    return Veil(finders=tuple(finder(each, named=each in KNOWN) for each in patterns)).also(*secrets)


def cut(text: str, places: list[int]) -> list[str]:
    """*text* in pieces, as UTF-16 has it: so JSON's escapes may tear a character in two."""
    units = text.encode("utf-16-le")
    ends = sorted({0, len(units), *(place * 2 % (len(units) + 1) // 2 * 2 for place in places)})
    return [units[start:end].decode("utf-16-le", "surrogatepass") for start, end in pairwise(ends)]


def line(kind: str, piece: str, *, escaped: bool, turn: int = 1, spaced: bool = True) -> bytes:
    """A packet, with its text in escapes or, where its characters are whole, as they are."""
    placement = {"turn_index": turn, "tab_index": 0, "sub_turn_index": None, "model_index": None}
    told = {"placement": placement, "obj": {"type": kind, FIELD[kind]: piece}}
    separators = (", ", ": ") if spaced else (",", ":")
    whole = json.dumps(told, ensure_ascii=escaped, separators=separators)
    try:
        return whole.encode()
    except UnicodeEncodeError:
        return json.dumps(told, separators=separators).encode()


def body_of(lines: list[bytes], *, sse: bool = False) -> bytes:
    outer = [SESSION.encode(), IDS.encode(), START.encode(), *lines, STOP.encode()]
    return b"".join(b"data: %b\n\n" % each if sse else each + b"\n" for each in outer)


def expected(text: str, hide: Veil, *, escaped: bool) -> str:
    """*text* with an asterisk for each byte of what is to be masked, as it stood in JSON."""
    hidden = {at for start, end in hide.find(text) for at in range(start, end)}
    return "".join(
        "*" * len(json.dumps(char, ensure_ascii=escaped).encode()[1:-1]) if at in hidden else char
        for at, char in enumerate(text)
    )


def told(body: bytes) -> Transcript:
    return read_body(body)


@QUICK
@given(
    TEXT,
    st.lists(st.integers(0, 200), max_size=12),
    KINDS,
    st.lists(PATTERNS, max_size=2),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
@example("my key: sk-live-0123456789!", [12, 13, 14, 15, 20], "message_delta", [], True, False, False)
@example("\U0001f511\U0001f512 key of gold", [1, 3], "message_delta", ["\U0001f511"], True, True, True)
def test_however_a_text_is_cut_into_packets_what_is_masked_is_the_same(
    text: str, cuts: list[int], kind: str, patterns: list[str], escaped: bool, sse: bool, spaced: bool
) -> None:
    hide = veil(*patterns, secrets=SECRETS)
    pieces = cut(text, cuts)
    escaped = escaped or any(piece != whole_text(piece) for piece in pieces)
    before = body_of([line(kind, each, escaped=escaped, spaced=spaced) for each in pieces], sse=sse)
    masked = bytearray(before)
    count = hide.over(masked)
    after = bytes(masked)
    assert len(after) == len(before)
    assert [frame.end for frame in frames_of(after)] == [frame.end for frame in frames_of(before)]
    found = told(after)
    said = found.answer if kind == "message_delta" else "".join(found.reasoning)
    assert whole_text(said) == expected(text, hide, escaped=escaped)
    assert found.bad_lines == 0
    assert (found.packets, found.marks) == (told(before).packets, found.marks)
    assert count == 0 or after != before
    assert (count == 0) == (after == before)


@QUICK
@given(
    st.sampled_from(SECRETS),
    st.lists(st.integers(0, 60), max_size=8),
    st.lists(st.integers(1, 4), min_size=9, max_size=9),
    st.booleans(),
)
def test_a_key_is_nowhere_in_the_bytes_however_it_came(
    secret: str, cuts: list[int], turns: list[int], escaped: bool
) -> None:
    """Split over packets, in escapes, and over blocks of the answer with a tool call between them."""
    hide = veil("[0-9]{6,}", secrets=(secret,))
    pieces = cut(secret, cuts)
    turns = sorted(turns)
    lines = [
        line("message_delta", piece, escaped=escaped, turn=turn)
        for piece, turn in zip(pieces, turns[: len(pieces)], strict=True)
    ]
    masked = bytearray(body_of(lines))
    hide.over(masked)
    rows = packet_rows(frames_of(bytes(masked)))
    said = "".join(row.text or "" for row in rows if row.kind == "message_delta")
    assert re.fullmatch(r"\*+", said)


ANYWHERE = st.sampled_from(
    [
        packet("custom_tool_args", tool_name="t", tool_args={"a": ["KEY"], "KEY": {"x": "so KEY is"}}),
        packet("custom_tool_delta", tool_name="t", data={"deep": [[{"KEY": "KEY"}]]}, error="KEY"),
        packet("search_tool_documents_delta", documents=[{"document_id": "KEY", "blurb": "KEY KEY"}]),
        packet("search_tool_queries_delta", queries=["who has KEY"]),
        packet("python_tool_start", code="print('KEY')"),
        packet("python_tool_delta", stdout="KEY", stderr="x KEY"),
        packet("sparkle", whatever={"KEY": "KEY"}),
        json.dumps({"error": "401: KEY is wrong", "error_code": "X", "details": {"KEY": "KEY"}}),
        json.dumps({"chat_session_id": "KEY"}),
        json.dumps({"answer_piece": "KEY"}),
        json.dumps("KEY"),
        '{"obj": {"type": "message_delta", "content": "torn KEY',
        "<html>KEY</html>",
        ": KEY",
        "event: KEY",
        "KEY: x",
        '{"KEY" KEY}',
        "\ufffdKEY",
        "data: KEY",
        '[{"a": "KEY"}',
    ]
)


@QUICK
@given(st.lists(ANYWHERE, max_size=6), st.booleans(), st.sampled_from([b"\n", b"\r\n", b"\n\n"]))
def test_a_key_of_ours_is_masked_wherever_it_stands(lines: list[str], in_escapes: bool, ends: bytes) -> None:
    ours = "sk-0123/456+789"
    written = ours.replace("/", "\\/") if in_escapes else ours
    before = ends.join(each.replace("KEY", written).encode() for each in lines)
    masked = bytearray(before)
    veil(secrets=(ours,)).over(masked)
    assert len(masked) == len(before)
    assert masked.count(b"\n") == before.count(b"\n")
    texts = [text for pieces in texts_of(bytes(masked)) for text in [read(bytes(masked), pieces)[0]]]
    assert not [text for text in [*texts, masked.decode()] if ours in text]
    assert [frame.end for frame in frames_of(bytes(masked))] == [frame.end for frame in frames_of(before)]


@QUICK
@given(st.binary(max_size=200), st.sampled_from([".", r"\w+", "[^a]", "\ufffd"]))
def test_no_bytes_make_it_fall_over_or_move(raw: bytes, pattern: str) -> None:
    masked = bytearray(raw)
    veil(pattern, secrets=("sk-12345678",)).over(masked)
    assert len(masked) == len(raw)
    assert [at for at, byte in enumerate(masked) if byte == 10] == [
        at for at, byte in enumerate(raw) if byte == 10
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.sampled_from(["a1@b.example", "x", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@QUICK
@given(JSON, st.sampled_from(["email", "[0-9]{6}", r"[^\s]"]))
def test_json_stays_json(value: Any, pattern: str) -> None:
    before = packet("custom_tool_delta", tool_name="t", data=value).encode() + b"\n"
    masked = bytearray(before)
    veil(pattern).over(masked)
    json.loads(masked)
    assert told(bytes(masked)).bad_lines == 0


def test_the_times_of_a_masked_reply_are_what_they_were() -> None:
    pieces = cut("write to a.b@example.org or call", list(range(0, 40, 3)))
    body = body_of([line("message_delta", each, escaped=True) for each in pieces])
    masked = bytearray(body)
    assert veil("email").over(masked) == 1
    ends = [end + 1 for end, byte in enumerate(body) if byte == 10]

    def of(text: bytes) -> Exchange:
        return with_transcript(
            Exchange(
                *("e", "1", 1, {}, 1),
                sent_ns=5,
                ended_ns=10_000,
                http_status=200,
                text=text.decode(),
                read_ends=tuple(ends),
                arrived_ns=tuple(range(100, 100 + 7 * len(ends), 7)),
            )
        )

    for figure in ("ttft", "total"):
        assert service_ns(of(bytes(masked)), figure) == service_ns(of(body), figure) is not None
    kept = of(bytes(masked)).transcript
    assert kept is not None
    assert kept.answer == "write to *************** or call"


@pytest.mark.parametrize(
    ("name", "real", "lookalikes"),
    [
        pytest.param(
            "card",
            ["4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005", "6011000990139424"],
            ["4111 1111 1111 1112", "1234567890123456", "0000 0000 0000 0000", "1.4111111111111111"],
            id="card",
        ),
        pytest.param(
            "iban",
            ["DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "NO9386011117947"],
            ["DE89 3704 0044 0532 0130 01", "AB12 just some words"],
            id="iban",
        ),
        pytest.param(
            "email",
            ["a.b+c@example.co.uk", "m\u00fcller@b\u00fccher.example"],
            ["@home", "a@b", "x@1.2"],
            id="email",
        ),
        pytest.param(
            "phone",
            ["+49 89 1234567", "+1 (555) 123-4567", "0049 89 123456", "(555) 123-4567", "555-123-4567"],
            ["12345678", "2024-01-01", "192.168.100.200", "1,234,567", "+12"],
            id="phone",
        ),
        pytest.param("jwt", ["eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.s1g-_"], ["eyJ.a.b"], id="jwt"),
        pytest.param(
            "api-key",
            ["sk-proj-abcdefghijklmnopqr", f"ghp_{'a' * 36}", "AKIAIOSFODNN7EXAMPLE", f"AIza{'b' * 35}"],
            ["sk-1", "task-management-systems-are-here", "the bearer of bad news"],
            id="api-key",
        ),
    ],
)
def test_a_known_pattern_finds_what_is_real_and_no_lookalike(
    name: str, real: list[str], lookalikes: list[str]
) -> None:
    hide = veil(name)
    for each in real:
        assert hide.text(f"so {each} that is it 34") == f"so {'*' * len(each)} that is it 34"
    for each in lookalikes:
        assert hide.text(f"so {each} that is it") == f"so {each} that is it"


@QUICK
@given(st.text("0123456789", min_size=11, max_size=18))
def test_one_wrong_digit_makes_a_card_no_card(digits: str) -> None:
    right = next(
        f"{digits}{check}" for check in range(10) if luhn(f"{digits}{check}") or not digits.strip(digits[0])
    )
    wrong = f"{digits}{(int(right[-1]) + 1) % 10}"
    assert not luhn(wrong)


def test_check_digits_of_an_account_are_checked() -> None:
    assert iban("DE89370400440532013000")
    assert not any(iban(f"DE{wrong:02}370400440532013000") for wrong in range(2, 99) if wrong != 89)


@pytest.mark.slow
def test_a_pattern_that_takes_too_long_masks_the_whole_text() -> None:
    text = "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15" * 6
    body = bytearray(body_of([line("message_delta", text, escaped=True)]))
    assert veil("(.*?,){11}P").over(body) >= 1
    assert told(bytes(body)).answer == "*" * len(text)


def test_a_number_that_a_tool_was_given_becomes_a_text_of_asterisks() -> None:
    body = bytearray(
        packet("custom_tool_args", tool_name="pay", tool_args={"card": 4111111111111111}).encode()
    )
    assert veil("card").over(body) == 1
    assert json.loads(body)["obj"]["tool_args"] == {"card": "**************"}


@pytest.mark.parametrize(
    "written",
    [
        pytest.param('{"card": 4111111111111111, and so on', id="torn"),
        pytest.param('{"card" 4111111111111111}', id="broken"),
        pytest.param("4111111111111111", id="a number alone"),
        pytest.param("data: pay by 4111111111111111", id="an event without JSON"),
        pytest.param("event: 4111111111111111", id="a name of an event"),
        pytest.param('{"answer": "x",\n "message_id": 1,\n "error_msg": "4111111111111111"}', id="indented"),
        pytest.param(
            '{"obj": {"type": "message_delta", "content": "4111\\u003111111111111', id="torn in escapes"
        ),
    ],
)
def test_what_is_no_line_of_json_is_text_as_it_stands(written: str) -> None:
    body = bytearray(written.encode())
    assert veil("card").over(body) >= 1
    assert b"1111" not in body


def test_a_text_goes_on_in_a_torn_line_that_does_not_say_where() -> None:
    body = bytearray(body_of([line("message_delta", "pay by 4111 1111 ", escaped=True)])[:-1])
    body = body[: body.rindex(b"\n") + 1] + b'{"obj": {"type": "message_delta", "content": "1111 1111'
    assert veil("card").over(body) == 1
    assert b"1111" not in body


def test_a_short_key_is_a_word_like_any_other() -> None:
    assert veil(secrets=("dummy",)).text("a dummy of a key") == "a dummy of a key"


def test_a_key_is_masked_as_part_of_a_url_and_without_its_scheme() -> None:
    hide = veil(secrets=("Bearer s3cret/key+x", basic("me", "hunter2hunter2")))
    assert hide.text("s3cret/key+x") == "*" * 12
    assert hide.text("?k=Bearer%20s3cret%2Fkey%2Bx") == f"?k={'*' * 25}"
    assert hide.text("Basic bWU6aHVudGVyMmh1bnRlcjI=") == f"Basic {'*' * 24}"
    assert "s3cret" not in repr(hide)
