"""Two runs, or two variants, against each other as one HTML file that opens offline."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.compare.comparison import Comparison
from harness.record.store import Manifest
from harness.report import html
from harness.report.decided import place
from harness.report.outcome import judged
from harness.report.twins import Twin
from harness.verdict.word import Verdict


@dataclass(frozen=True, slots=True)
class Told:
    """What two arms come to, and answers of both side by side."""

    found: Comparison
    twins: Sequence[Twin]


@dataclass(frozen=True, slots=True)
class Versus:
    """What is compared, by its *names*: the manifests of the runs of each side, and each pair of arms.

    *missing* says what there is not, and why.
    """

    names: tuple[str, str]
    sides: tuple[tuple[Manifest, ...], ...]
    pairs: Sequence[Told]
    missing: Sequence[str] = ()


def page(told: Versus, drawn: Sequence[html.Drawn] = ()) -> str:
    """The whole page of a comparison, below 3 MiB."""
    flags = dict.fromkeys(flag for each in told.pairs for flag in each.found.flags)
    values: dict[str, Any] = {
        "title": f"{told.names[0]} against {told.names[1]}",
        "told": told,
        "flags": list(flags),
        "runs": list(_runs(told)),
        "place": place,
        "sections": html.sections({"what", "pairs", *(("charts",) if drawn else ()), "definitions"}),
    }
    return html.fitting("report_compare.html", values, drawn)


def _runs(told: Versus) -> Iterator[dict[str, Any]]:
    """Each run of both sides: what it is and whether it may be believed; one that is both sides once."""
    before, after = ({each.run_id: each for each in side} for side in told.sides)
    for run_id, manifest in (before | after).items():
        verdict, ruling = judged(manifest)
        sides = [name for name, side in (("A, before", before), ("B, after", after)) if run_id in side]
        yield {
            "side": "; ".join(sides),
            "manifest": manifest,
            "began": html.began(manifest),
            "took": html.took(manifest),
            "verdict": verdict or Verdict(None),
            "gate": ruling and ruling.word,
            "exit_says": html.exit_says(manifest),
        }
