"""The machines of a cluster that sent a run's trials, and how their clocks stood to its own."""

from collections.abc import Sequence

from msgspec import Struct


class NodeClock(Struct, frozen=True, kw_only=True):
    """How the clock of the run stood to that of a node of a cluster (`harness.crew.clocks`).

    *processes* of ours ran there. At the start the clock of the run was ahead of the node's by *ahead_ns*,
    within *residual_ns*, by the shortest of *round_trips*; so much is added to its stamps. By the end that
    had moved by *moved_ns*, within both residuals, which is a *drift_ppm* where it is more than they are: by
    so much our clock went faster. All the while its stamps are within *within_ns* of the clock of the run.
    What is of the end is None where the node was lost, or the run killed, and as long as that goes on.
    *is_here* says that it is the machine which led the run, *leg* in which leg of it.
    """

    node: str
    address: str
    processes: int
    is_here: bool = False
    leg: int = 0
    ahead_ns: int = 0
    residual_ns: int = 0
    round_trips: int = 0
    shortest_ns: int = 0
    median_ns: int = 0
    last_residual_ns: int | None = None
    moved_ns: int | None = None
    drift_ppm: float | None = None
    within_ns: int | None = None


def spread_ns(nodes: Sequence[NodeClock]) -> int | None:
    """How far apart two moments on two of *nodes* may seem and be one: the two widest bounds together.

    None where that of one is not known; 0 where there are fewer than two nodes.
    """
    if len(nodes) < 2:
        return 0
    bounds = [node.within_ns for node in nodes]
    known = sorted(bound for bound in bounds if bound is not None)
    return None if len(known) < len(bounds) else sum(known[-2:])
