"""Traces of a recorded run to a collector, by OTLP over HTTP.

A run is exported when it is over, so nothing of this is on the measured path, and an old run can be exported
as well as one of today. Ids are made of the names of things: who exports a run twice sends the same spans.

OpenTelemetry is an extra. Importing this without it raises `UsageError`, so import it before a run is begun.
"""

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from harness import __version__
from harness.errors import CollectorError, UsageError
from harness.report.spans import Span, traces
from harness.report.visible import shortened

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExportResult
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
    from opentelemetry.trace.status import Status, StatusCode
except ImportError as error:
    raise UsageError("--otel: OpenTelemetry is not installed: pip install 'sigma-harness[otel]'") from error

AT_ONCE = 512
"""Spans in a request: collectors refuse bodies of many megabytes."""

_SCOPE = InstrumentationScope("harness", __version__)


def export(folder: Path, endpoint: str | None = None, *, content: bool = False) -> int:
    """Send the traces of the run in *folder*; how many there were: one per trial that was sent.

    To *endpoint*, else to where `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT` say,
    else to port 4318 of this machine; headers, certificates, compression and the time-out are as the
    environment says (`OTEL_EXPORTER_OTLP_*`). With *content* the words of models and tools are sent, too.

    Raises `RunDirectoryError` where there are no tables, and `CollectorError` where a request is refused, or
    not taken within the time-out (10 s) and a few tries.
    """
    sent = 0
    with _collector(endpoint, folder) as send:
        for spans in _batches(traces(folder, content=content)):
            send(spans)
            sent += sum(span.parent_id is None for span in spans)
    return sent


def _batches(told: Iterable[tuple[Span, ...]]) -> Iterator[list[Span]]:
    spans = (span for trace in told for span in trace)
    while batch := list(islice(spans, AT_ONCE)):
        yield batch


@contextmanager
def _collector(endpoint: str | None, folder: Path) -> Iterator[Callable[[list[Span]], None]]:
    """What sends spans to the collector; it raises `CollectorError` where they are not taken."""
    resource = Resource.create({"service.name": "sigma-harness", "service.version": __version__})
    with _complaints() as complaints:
        exporter = OTLPSpanExporter(endpoint and _traces_url(endpoint))

        def send(spans: list[Span]) -> None:
            if exporter.export([_readable(span, resource) for span in spans]) is SpanExportResult.FAILURE:
                raise CollectorError(
                    f"{_shown(exporter)}: the traces were not taken: {_last(complaints)}; the run is whole: "
                    f"harness report {folder} --otel sends them again"
                )

        try:
            yield send
        finally:
            exporter.shutdown()  # type: ignore[no-untyped-call]  # theirs


def _traces_url(endpoint: str) -> str:
    """The whole address of a collector of which only the place is given."""
    return endpoint.rstrip("/") + "/v1/traces" if urlsplit(endpoint).path in {"", "/"} else endpoint


def _shown(exporter: OTLPSpanExporter) -> str:
    """Where that sends to, without a password that is in it."""
    place = urlsplit(exporter._endpoint)  # noqa: SLF001  it alone knows what came of the environment
    return place._replace(netloc=place.netloc.rpartition("@")[2]).geturl()


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What the exporter logs meanwhile: it says nowhere else why, and nothing of it is for standard error."""
    heard: list[str] = []

    class _Hearing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    logger, hearing = logging.getLogger(OTLPSpanExporter.__module__), _Hearing()
    propagates = logger.propagate
    logger.addHandler(hearing)
    logger.propagate = False
    try:
        yield heard
    finally:
        logger.removeHandler(hearing)
        logger.propagate = propagates


_REASON = re.compile(
    r'Failed to (?:establish|resolve)[^"]+|certificate verify failed: [^(]+|'
    r"(?<=code: )(?!None).+|(?<=reason: ).+"
)


def _last(complaints: list[str]) -> str:
    """Why the last try failed."""
    reasons = [found[0] for each in complaints if (found := _REASON.search(each))]
    if not reasons and "due to timeout" in "".join(complaints):
        return "no answer within the time-out"
    why = shortened((reasons or complaints or ["it does not say why"])[-1], 200)
    if why.startswith("certificate"):
        return (
            f"{why.strip()}: OTEL_EXPORTER_OTLP_CERTIFICATE or REQUESTS_CA_BUNDLE name the CA that signed it"
        )
    return why


def _readable(span: Span, resource: Resource) -> ReadableSpan:
    """The same span as the SDK writes it."""
    return ReadableSpan(
        span.name,
        _ids(span.trace_id, span.span_id),
        None if span.parent_id is None else _ids(span.trace_id, span.parent_id),
        resource,
        span.attributes,
        events=[Event(each.name, each.attributes, each.at_ns) for each in span.events],
        kind=SpanKind.CLIENT if span.is_client else SpanKind.INTERNAL,
        status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
        start_time=span.began_ns,
        end_time=span.ended_ns,
        instrumentation_scope=_SCOPE,
    )


def _ids(trace_id: int, span_id: int) -> SpanContext:
    return SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
