"""`harness read` as a person uses it."""

import base64
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from harness.cli.read import read
from harness.errors import UsageError

HERE = Path(__file__).parent
RECORDINGS = HERE / "recordings"
READINGS = json.loads((HERE / "readings.json").read_text(encoding="utf-8"))

app = typer.Typer()
app.command()(read)


def run(*arguments: str | Path, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)), input=stdin)


def wanted(name: str) -> dict[str, object]:
    return {key: value for key, value in READINGS[name].items() if key not in {"http_status", "content_type"}}


def refusal(*arguments: str | Path) -> str:
    error = run(*arguments).exception
    assert isinstance(error, UsageError)
    assert "\n" not in str(error)
    return str(error)


@pytest.mark.parametrize(
    "name", ["07-tools-two-rounds-with-preamble", "22-nonstream-websearch", "8d-unicode"]
)
def test_a_record_of_chunks_says_itself_how_to_read_it(name: str) -> None:
    result = run(RECORDINGS / f"{name}.chunks.jsonl", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout_bytes) == wanted(name)


def test_a_body_is_taken_for_a_stream() -> None:
    assert json.loads(run(RECORDINGS / "01-plain.body", "--json").stdout) == wanted("01-plain")


def test_options_overrule_what_the_file_says() -> None:
    told = json.loads(run(RECORDINGS / "01-plain.chunks.jsonl", "--json", "--status", "502").stdout)
    assert told["outcome"] == "error"


def test_a_body_with_its_status_and_type() -> None:
    name = next(name for name, told in READINGS.items() if told["http_status"] == 403)
    body = RECORDINGS / f"{name}.body"
    told = json.loads(run(body, "--json", "--status", "403", "--content-type", "application/json").stdout)
    assert told == wanted(name)


def test_standard_input_is_read_for_a_dash() -> None:
    body = (RECORDINGS / "01-plain.body").read_bytes()
    assert json.loads(run("-", "--json", stdin=body).stdout) == wanted("01-plain")


def test_a_record_of_chunks_is_known_by_its_content(tmp_path: Path) -> None:
    copy = tmp_path / "reply.txt"
    copy.write_bytes((RECORDINGS / "20-nonstream-plain.chunks.jsonl").read_bytes())
    assert json.loads(run(copy, "--json").stdout) == wanted("20-nonstream-plain")


def test_the_view_shows_what_there_is_and_when_it_came() -> None:
    shown = run(RECORDINGS / "07-tools-two-rounds-with-preamble.chunks.jsonl").stdout.splitlines()
    assert shown[:3] == [
        "outcome     success",
        "answer      It is 70.7 F.",
        "narration   Let me check the weather first.",
    ]
    assert 'tool calls  t1.1  get_weather  ok  7.2 ms  {"city": "Oslo"}' in shown
    assert [line for line in shown if "first answer" in line] == [
        "            first answer         1,466.0 ms"
    ]


def test_the_view_of_a_body_has_no_times() -> None:
    assert " ms" not in run(RECORDINGS / "07-tools-two-rounds-with-preamble.body").stdout


def test_control_characters_of_an_answer_do_not_reach_the_terminal(tmp_path: Path) -> None:
    body = tmp_path / "reply.body"
    packet = {"placement": {"turn_index": 0}, "obj": {"type": "message_delta", "content": "\x1b[31mred"}}
    body.write_text(json.dumps(packet), encoding="utf-8")
    assert "\x1b" not in run(body).stdout
    assert "␛[31mred" in run(body).stdout


def test_chunks_in_base64_are_joined_before_they_are_read(tmp_path: Path) -> None:
    record = tmp_path / "reply.chunks.jsonl"
    packet = {"placement": {"turn_index": 0}, "obj": {"type": "message_delta", "content": "é"}}
    line = json.dumps(packet, ensure_ascii=False).encode()
    cut = line.index("é".encode()) + 1
    chunks = [
        {"t": nth, "bytes": len(part), "b64": base64.b64encode(part).decode()}
        for nth, part in enumerate((line[:cut], line[cut:]))
    ]
    record.write_text("\n".join(map(json.dumps, [{"meta": True, "status": 200}, *chunks])), encoding="utf-8")
    assert json.loads(run(record, "--json").stdout)["answer"] == "é"
    assert "first text           1,000.0 ms" in run(record).stdout


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.body").startswith(f"{tmp_path / 'no.body'}: cannot be read: No such file")
    assert "Is a directory" in refusal(tmp_path)


@pytest.mark.parametrize("chunk", ['{"t": 1}', "{", '{"t": 1, "b64": "!"}', '{"t": "1", "text": "x"}'])
def test_a_broken_record_of_chunks_is_named_with_its_line(tmp_path: Path, chunk: str) -> None:
    record = tmp_path / "reply.chunks.jsonl"
    record.write_text('{"meta": true}\n{"t": 0.1, "text": "x"}\n' + chunk + "\n", encoding="utf-8")
    assert refusal(record).startswith(f"{record}:3: not a chunk; a chunk is ")
