"""The tables of a report as CSV files, its charts as PNG files: to take them elsewhere."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import polars as pl

from harness.compare.arms import Scan
from harness.errors import RunDirectoryError
from harness.record.store import Manifest, read_manifest
from harness.record.tables import scan as table
from harness.report import figures
from harness.report.story import read_summary
from harness.summarise.summary import Summary


def csv(folder: Path, out: Path) -> list[Path]:
    """Write the tables of a report of the run in *folder* to *out*, a file each; the paths written.

    What is missing is an empty field, never 0. A text that a spreadsheet would take for a formula has an
    apostrophe before it. Raises `RunDirectoryError` where one cannot be written, or the run not be read.
    """
    scan, manifest = _run(folder)
    frames = _frames(scan, manifest, read_summary(folder))
    return [_write(out / f"{name}.csv", _as_csv(frame)) for name, frame in frames.items()]


def png(folder: Path, out: Path) -> list[Path]:
    """Write every chart of the run in *folder* to *out*, a file each; the paths written.

    Raises `RunDirectoryError` where one cannot be written, or the run not be read.
    """
    from harness.report import charts  # noqa: PLC0415  half a second, which tables do without

    scan, manifest = _run(folder)
    drawn = charts.of_run(scan, manifest)
    return [_write(out / f"{chart.name}.png", charts.png(chart)) for chart in drawn]


def _run(folder: Path) -> tuple[Scan, Manifest]:
    return partial(table, folder=folder), read_manifest(folder)


def _frames(scan: Scan, manifest: Manifest, summary: Summary) -> dict[str, pl.DataFrame]:
    """The tables, by the names of their files."""
    course = figures.timeline(scan, manifest)
    return {
        "variants": figures.variants(scan),
        "prompts": figures.by_prompt(scan).drop("asked", "checks"),
        "tags": figures.by_tag(scan),
        "quantiles": _of_metrics(scan, figures.quantile_curve),
        "distributions": _of_metrics(scan, figures.ecdf),
        "concurrency": figures.by_concurrency(scan).bins,
        "timeline": course.bins,
        "timeline-ttft": course.ttft,
        "timeline-faults": course.faults,
        "phases": course.phases,
        "steps": figures.waterfall(scan),
        "tools": figures.tools(scan),
        "checks": pl.DataFrame(map(msgspec.structs.astuple, summary.checks), schema=_OF_CHECKS, orient="row"),
        "audits": pl.DataFrame(_audits(summary), schema=_OF_AUDITS, orient="row"),
    }


def _of_metrics(scan: Scan, figure: Callable[[Scan, figures.Latency], pl.DataFrame]) -> pl.DataFrame:
    """*figure* of every latency, one beneath the other."""
    made = (
        figure(scan, metric).select(pl.lit(metric).alias("metric"), pl.all()) for metric in figures.LATENCIES
    )
    return pl.concat(made)


_OF_CHECKS = {
    **dict.fromkeys(("variant", "phase", "type", "metric"), pl.String),
    **dict.fromkeys(("passed", "failed", "ungraded"), pl.Int64),
    "score": pl.Float64,
    "deciding": pl.Boolean,
}
_OF_AUDITS = {"variant": pl.String, "setting": pl.String, "finding": pl.String, "trials": pl.Int64}


def _audits(summary: Summary) -> Iterator[tuple[str, str, str, int]]:
    for variant, settings in summary.audits.items():
        for setting, findings in settings.items():
            for finding, trials in findings.items():
                yield variant, setting, finding, trials


_FORMULA = r"^[=+\-@\t\r]"


def _as_csv(frame: pl.DataFrame) -> bytes:
    """*frame* in UTF-8: lists as words, and no text that a spreadsheet would work out."""
    lists = [name for name, kind in frame.schema.items() if kind == pl.List]
    flat = frame.with_columns(pl.col(lists).list.join(" "))
    texts = [name for name, kind in flat.schema.items() if kind == pl.String]
    guarded = (
        pl.when(pl.col(name).str.contains(_FORMULA)).then("'" + pl.col(name)).otherwise(name).alias(name)
        for name in texts
    )
    return flat.with_columns(*guarded).write_csv().encode()


def _write(path: Path, content: bytes) -> Path:
    """Write a file, whole or not at all."""
    partial_path = path.with_suffix(".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial_path.write_bytes(content)
        partial_path.replace(path)
    except OSError as error:
        raise RunDirectoryError(f"{path}: cannot be written: {error.strerror}") from error
    return path
