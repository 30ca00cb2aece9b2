"""Traces of a run, as a collector receives them over HTTP, held against the tables of the run."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from harness.errors import CollectorError, Exit
from harness.report.otel import AT_ONCE, export
from harness.report.spans import traces

pytestmark = pytest.mark.slow

SUITE = """
suite: traced
target: {standin: {ignore: [filters]}}
budget: {deep_research: 2}
defaults: {time_limit: 20s, retry: {attempts: 2}}
variants:
  plain: {only: ["tag:plain"]}
  slack: {search_filters: {source_type: [slack]}, only: ["tag:policy"]}
  deep: {deep_research: true, only: ["tag:deep"]}
prompts:
  - id: tools
    tags: [plain]
    message: two tools at once
    llm_override: {model_provider: Simulated, model_version: "sim:ttft=20ms,gap=2ms,tokens=9,reasoning=5,tool=search:30ms,tool=refused:40ms"}
    assert: [{type: contains, value: Paris}, stream-complete]
  - id: talk
    tags: [plain]
    turns:
      - {id: first, message: hello}
      - {id: second, message: How long is the refund window for Atlas?}
  - id: resets
    tags: [plain]
    message: a reply that is cut off
    llm_override: {model_provider: Simulated, model_version: "sim:ttft=5ms,gap=1ms,tokens=9,fault=reset@3"}
  - id: busy
    tags: [plain]
    message: a server that is busy at first, for three attempts
    llm_override: {model_provider: Simulated, model_version: "sim:ttft=5ms,gap=1ms,tokens=9,fault=flaky:4"}
  - {id: refunds, tags: [policy], message: How long is the refund window for customers in the EU?}
  - {id: markets, tags: [deep], message: Research the refund policies of Atlas for customers in the EU and in the US}
load:
  main: {workers: 2}
  open: {rate: 30/s, for: 2s, mix: {plain: 100}, max_in_flight: 2}
"""  # noqa: E501  a model is a line


@dataclass
class Collector:
    """What a collector was sent."""

    url: str = ""
    status: int = 200
    silent: threading.Event | None = None
    spans: list[Span] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    requests: int = 0

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        self.requests += 1
        self.paths.add(path)
        self.headers.append(headers)
        for group in request.resource_spans:
            self.resources.append(attributes(group.resource))
            self.spans += [span for scope in group.scope_spans for span in scope.spans]


@contextmanager
def collecting(status: int = 200, silent: threading.Event | None = None) -> Iterator[Collector]:
    """A collector on a real socket: it answers with *status*, or not before *silent* is set."""
    collector = Collector(status=status, silent=silent)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.take(self.path, dict(self.headers), body)
            if collector.silent is not None:
                collector.silent.wait()
            self.send_response(collector.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        collector.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield collector
        finally:
            if silent is not None:
                silent.set()
            server.shutdown()
            thread.join()


def attributes(of: Any) -> dict[str, Any]:
    """The attributes of a span, an event or a resource as Python has them."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cwd = tmp_path_factory.mktemp("traced")
    (cwd / "suite.yaml").write_text(SUITE)
    command = [sys.executable, "-m", "harness", "run", "suite.yaml"]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == Exit.INCOMPLETE, done.stderr
    (folder,) = (each for each in (cwd / "results" / "traced").iterdir() if not each.is_symlink())
    return folder


@pytest.fixture(scope="module")
def sent(run: Path) -> Collector:
    with collecting() as collector:
        trials = pl.read_parquet(run / "trials.parquet")
        assert export(run, collector.url) == trials["began_ns"].count()
    return collector


def table(run: Path, name: str) -> list[dict[str, Any]]:
    return pl.read_parquet(run / f"{name}.parquet").to_dicts()


def of_operation(sent: Collector, operation: str) -> list[Span]:
    return [span for span in sent.spans if attributes(span).get("gen_ai.operation.name") == operation]


def stamps(run: Path, span: Span) -> tuple[int, int]:
    """When a span began and ended, on the clock of the tables."""
    manifest = json.loads((run / "manifest.json").read_text())
    started = datetime.fromisoformat(manifest["started_at"])
    anchor = int(started.timestamp()) * 1_000_000_000 + started.microsecond * 1_000 - manifest["started_ns"]
    return span.start_time_unix_nano - anchor, span.end_time_unix_nano - anchor


def test_there_is_one_trace_for_each_trial_that_was_sent(run: Path, sent: Collector) -> None:
    began = {row["trial_id"]: row for row in table(run, "trials") if row["began_ns"] is not None}
    roots = {attributes(span)["harness.trial_id"]: span for span in sent.spans if not span.parent_span_id}
    assert roots.keys() == began.keys()
    assert len({span.trace_id for span in sent.spans}) == len(began) == len(roots)
    for trial_id, span in roots.items():
        row, told = began[trial_id], attributes(span)
        assert span.name == f"invoke_agent {row['variant']}"
        assert span.kind == Span.SPAN_KIND_CLIENT
        assert (told["harness.suite"], told["harness.run_id"]) == ("traced", run.name)
        assert (told["harness.case_id"], told["harness.state"]) == (row["case_id"], row["state"])
        due = row["began_ns"] if row["due_ns"] is None else row["due_ns"]
        assert stamps(run, span) == (due, row["ended_ns"])
    assert {row["state"] for row in began.values()} == {"passed", "failed", "error", "invalid"}


def test_every_exchange_call_and_step_is_a_span_with_the_times_of_the_tables(
    run: Path, sent: Collector
) -> None:
    chats = {attributes(span)["harness.exchange_id"]: span for span in of_operation(sent, "chat")}
    exchanges = {row["exchange_id"]: row for row in table(run, "exchanges")}
    assert chats.keys() == exchanges.keys()
    for key, row in exchanges.items():
        assert stamps(run, chats[key]) == (row["began_ns"], row["ended_ns"])
        assert chats[key].name == f"chat {row['model_asked'] or ''}".strip()
    calls = {
        (attributes(span)["harness.exchange_id"], attributes(span)["gen_ai.tool.call.id"]): span
        for span in of_operation(sent, "execute_tool")
    }
    called = {(row["exchange_id"], row["call_id"]): row for row in table(run, "tool_calls")}
    assert calls.keys() == called.keys()
    for place, row in called.items():
        assert stamps(run, calls[place]) == (row["began_ns"], row["ended_ns"])
        assert calls[place].name == f"execute_tool {row['name']}"
    steps = {
        (attributes(span)["harness.exchange_id"], attributes(span)["harness.seq"]): span
        for span in sent.spans
        if "harness.step" in attributes(span)
    }
    gone = {(row["exchange_id"], row["seq"]): row for row in table(run, "steps")}
    assert steps.keys() == gone.keys()
    for place, row in gone.items():
        assert (steps[place].name, *stamps(run, steps[place])) == (
            row["step"],
            row["began_ns"],
            row["ended_ns"],
        )
    assert len(sent.spans) == len(calls) + len(chats) + len(steps) + len({s.trace_id for s in sent.spans})


def test_spans_hang_on_each_other_and_lie_within_each_other(sent: Collector) -> None:
    spans = {(span.trace_id, span.span_id): span for span in sent.spans}
    assert len(spans) == len(sent.spans)
    pairs = set()
    for span in sent.spans:
        if not span.parent_span_id:
            continue
        above = spans[span.trace_id, span.parent_span_id]
        assert above.start_time_unix_nano <= span.start_time_unix_nano
        assert span.start_time_unix_nano <= span.end_time_unix_nano <= above.end_time_unix_nano
        kinds = [attributes(each).get("gen_ai.operation.name", "step") for each in (above, span)]
        pairs.add((kinds[0], kinds[1], span.name if span.name in {"queue", "retry"} else ""))
    assert pairs == {
        ("invoke_agent", "chat", ""),
        ("invoke_agent", "step", "queue"),
        ("invoke_agent", "step", "retry"),
        ("chat", "step", ""),
        ("chat", "execute_tool", ""),
        ("execute_tool", "execute_tool", ""),
    }


def test_an_exchange_says_what_was_asked_who_answered_and_how_fast(run: Path, sent: Collector) -> None:
    row = next(
        each for each in table(run, "exchanges") if each["outcome"] == "success" and each["model_asked"]
    )
    span = next(
        each
        for each in sent.spans
        if attributes(each).get("harness.exchange_id") == row["exchange_id"]
        and attributes(each).get("gen_ai.operation.name") == "chat"
    )
    told, target = attributes(span), json.loads((run / "manifest.json").read_text())["target"]
    assert told["gen_ai.request.model"] == row["model_asked"]
    assert told["gen_ai.response.model"] == row["model_seen"]
    assert told["gen_ai.conversation.id"] == row["chat_session_id"]
    assert told["gen_ai.response.id"] == str(row["assistant_message_id"])
    assert told["gen_ai.usage.input_tokens"] == row["asked_tokens"]
    assert told["gen_ai.usage.output_tokens"] == row["said_tokens"]
    assert "estimate" in told["harness.tokens"]
    assert told["gen_ai.response.time_to_first_chunk"] == pytest.approx(row["first_packet_ms"] / 1e3)
    assert told["harness.ttft_ms"] == row["ttft_ms"]
    assert f"http://{told['server.address']}:{told['server.port']}" == target
    assert told["http.response.status_code"] == 200
    assert sent.resources[0]["service.name"] == "sigma-harness"
    assert sent.paths == {"/v1/traces"}


def test_what_broke_and_what_was_ignored_is_an_error_with_its_reason(sent: Collector) -> None:
    errors = {span.name: span for span in sent.spans if span.status.code == Status.STATUS_CODE_ERROR}
    roots = [span for span in sent.spans if not span.parent_span_id]
    by_state = {attributes(span)["harness.state"]: span for span in roots}
    assert by_state["error"].status.message.startswith("disconnected (body)")
    assert attributes(by_state["error"])["error.type"] == "disconnected"
    assert "search_filters.source_type was ignored" in by_state["invalid"].status.message
    assert by_state["passed"].status.code == by_state["failed"].status.code == Status.STATUS_CODE_UNSET
    broken = errors["chat Simulated/sim:ttft=5ms,gap=1ms,tokens=9,fault=reset@3"]
    assert attributes(broken)["error.type"] == "disconnected"
    assert attributes(errors["execute_tool days_between"])["error.type"] == "tool_error"
    (event,) = next(
        span.events for span in sent.spans if span.events and span.events[0].name.startswith("harness")
    )
    assert attributes(event)["harness.asked"] == "slack"


def test_a_check_that_failed_is_an_event_of_its_turn(run: Path, sent: Collector) -> None:
    events = [(span, event) for span in sent.spans for event in span.events if "evaluation" in event.name]
    failed = [row for row in table(run, "grades") if row["passed"] is False]
    assert len(events) == len(failed) > 0
    told = [attributes(event) for _, event in events]
    assert {(each["gen_ai.evaluation.name"], each["gen_ai.evaluation.score.label"]) for each in told} == {
        (row["type"], "failed") for row in failed
    }
    for span, event in events:
        assert event.name == "gen_ai.evaluation.result"
        assert attributes(span)["gen_ai.operation.name"] == "chat"
        assert event.time_unix_nano == span.end_time_unix_nano


def test_nothing_that_was_said_is_sent_unless_it_is_asked_for(run: Path, sent: Collector) -> None:
    answers = [row["answer"] for row in table(run, "exchanges") if row["answer"] and len(row["answer"]) > 20]
    plain = b"".join(span.SerializeToString() for span in sent.spans)
    assert answers
    assert not any(answer.encode() in plain for answer in answers)
    with collecting() as collector:
        export(run, collector.url, content=True)
    messages = [attributes(span).get("gen_ai.output.messages") for span in of_operation(collector, "chat")]
    told = [part for each in messages if each for part in json.loads(each)[0]["parts"]]
    assert {part["content"] for part in told if part["type"] == "text"} >= set(answers)
    assert any(part["type"] == "reasoning" for part in told)
    results = [
        attributes(span).get("gen_ai.tool.call.result") for span in of_operation(collector, "execute_tool")
    ]
    assert any(results)
    (why, *_) = (event for span in collector.spans for event in span.events if "evaluation" in event.name)
    assert "does not contain 'Paris'" in attributes(why)["gen_ai.evaluation.explanation"]


def test_a_second_export_sends_the_same_spans(run: Path, sent: Collector) -> None:
    with collecting() as again:
        export(run, again.url)
    assert [span.SerializeToString() for span in again.spans] == [
        each.SerializeToString() for each in sent.spans
    ]


def test_it_does_not_matter_how_many_trials_are_read_at_a_time(run: Path, sent: Collector) -> None:
    assert list(traces(run, at_once=3)) == list(traces(run))
    assert sent.requests == -(-len(sent.spans) // AT_ONCE) > 1


def exported(run: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """An export in a process of its own, with an environment of its own."""
    program = (
        "import sys; from pathlib import Path; from harness.errors import HarnessError\n"
        "try:\n    from harness.report.otel import export; print(export(Path(sys.argv[1])))\n"
        "except HarnessError as error:\n    print(error); sys.exit(error.exit_code)"
    )
    return subprocess.run(
        [sys.executable, "-c", program, run],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_endpoint_and_headers_are_those_of_the_environment(run: Path) -> None:
    with collecting() as collector:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-key=abc",
        }
        done = exported(run, **environment)
    assert done.returncode == Exit.OK, done.stderr
    assert {headers["x-key"] for headers in collector.headers} == {"abc"}
    assert collector.paths == {"/v1/traces"}


def test_a_collector_that_refuses_is_told_of_and_how_to_send_again(run: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in run.iterdir()}
    with collecting(status=401) as collector, pytest.raises(CollectorError) as refused:
        export(run, collector.url)
    assert collector.requests == 1
    assert "401, reason: Unauthorized" in str(refused.value)
    assert f"harness report {run} --otel sends them again" in str(refused.value)
    assert refused.value.exit_code == Exit.ENVIRONMENT
    assert {path.name: path.stat().st_mtime_ns for path in run.iterdir()} == before


def test_a_collector_that_is_not_there_or_does_not_answer_is_given_up_in_time(run: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as gone:
        nowhere = f"http://127.0.0.1:{gone.server_port}"
    done = exported(run, OTEL_EXPORTER_OTLP_ENDPOINT=nowhere, OTEL_EXPORTER_OTLP_TIMEOUT="2")
    assert done.returncode == Exit.ENVIRONMENT
    assert "Connection refused" in done.stdout
    assert done.stderr == ""
    with collecting(silent=threading.Event()) as collector:
        done = exported(run, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_EXPORTER_OTLP_TIMEOUT="1")
    assert done.returncode == Exit.ENVIRONMENT
    assert "no answer within the time-out" in done.stdout
    assert done.stderr == ""


def test_without_the_extra_it_is_said_how_to_get_it(run: Path) -> None:
    """`None` in `sys.modules` is how Python itself says that there is no such module."""
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from harness.errors import UsageError\n"
        "try:\n    import harness.report.otel\nexcept UsageError as error:\n    print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert "pip install 'sigma-harness[otel]'" in done.stdout


def test_a_run_of_long_ago_is_sent_by_its_report(run: Path) -> None:
    with collecting() as collector:
        command = [sys.executable, "-m", "harness", "report", str(run), "--otel"]
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            env=os.environ | {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url},
        )
    count = len({span.trace_id for span in collector.spans})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"traces sent: {count}\n")
    assert count > 1
