"""How far times of two nodes of a cluster can be held against each other."""

import math
from collections.abc import Iterator, Sequence

from rich.text import Text

from harness.record.nodes import NodeClock, spread_ns
from harness.report.visible import visible


def clock_lines(nodes: Sequence[NodeClock]) -> Iterator[Text]:
    """A sentence on what the clocks of *nodes* leave open, and for which figures; none without nodes."""
    if not nodes:
        return
    each = ", ".join(f"{_name(node)} {_bound(node)}" for node in nodes)
    yield Text(
        f"clocks: {each}: how far a node's stamps may be off the clock of the run; a latency is of one "
        f"node's clock from end to end, and owes nothing to this{_between(nodes)}",
        style="dim",
    )


def _name(node: NodeClock) -> str:
    return visible(node.node) + (f" (leg {node.leg})" if node.leg else "")


def _bound(node: NodeClock) -> str:
    if node.within_ns is None:
        return f"±{milliseconds(node.residual_ns)} ms at the start, not known after that"
    drift = "" if node.drift_ppm is None else f" (drift {node.drift_ppm:+.1f} ppm)"
    return f"±{milliseconds(node.within_ns)} ms{drift}"


def _between(nodes: Sequence[NodeClock]) -> str:
    if len(nodes) < 2:
        return ""
    spread = spread_ns(nodes)
    within = "not known" if spread is None else f"±{milliseconds(spread)} ms"
    return f"; what is put together from several nodes (order, rates, what was under way at once): {within}"


def milliseconds(nanoseconds: int) -> str:
    """A bound in milliseconds, with two digits that count, rounded up: a bound is never told too small."""
    if nanoseconds <= 0:
        return "0"
    value = nanoseconds / 1e6
    digits = max(0, 1 - math.floor(math.log10(value)))
    return f"{math.ceil(value * 10**digits - 1e-9) / 10**digits:.{digits}f}"
