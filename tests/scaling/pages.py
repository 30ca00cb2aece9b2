"""The tables of docs/scale.md as functions of what was measured."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from harness.drive.pool import LONGEST_SPREAD_NS, SPREAD_NS
from tests.scaling.arithmetic import (
    HARD,
    RATES,
    REPLY_S,
    STREAMS,
    Constants,
    Figures,
    Machine,
    constants,
    costs,
    limits,
    middle,
    need,
    packets_in_tables,
    planned,
    streams_a_process,
)
from tests.scaling.simulating import Costs, Load, Simulated, simulate

MACHINE = Machine()
SECONDS = 1.0
STARTED_S = 3.0
"""By then all streams have begun, where they begin as those of a run do."""

SPREAD = 0.15
"""How far off costs may be: those of one point differ as much from run to run."""

CPU = ("read", "packet", "wake", "request", "keep", "send", "source_wake", "answer")


@dataclass(frozen=True, slots=True)
class Band:
    """A point simulated with costs that are lower by `SPREAD`, as they are, and higher by that."""

    low: Simulated
    middle: Simulated
    high: Simulated

    def of(self, name: str) -> tuple[float, float]:
        """The lowest and the highest of one figure."""
        found = [float(getattr(each, name)) for each in (self.low, self.middle, self.high)]
        return min(found), max(found)


SIMULATED = frozenset({"delays", "points"})
"""Tables that take ten seconds: the others are arithmetic."""


def rendered(page: str, figures: Figures, without: Collection[str] = ()) -> str:
    """*page* with every table as *figures* have it, but for those *without* which it is."""
    cost, fit = constants(figures), costs(figures["points"])
    tables: dict[str, Iterable[str]] = {
        "measured": measured_rows(figures),
        "costs": cost_rows(figures, cost, fit),
        "needs": need_rows(cost),
        "limits": limit_rows(cost),
        "starts": start_rows(),
        "delays": delay_rows(cost, fit),
        "points": point_rows(figures["points"], fit),
    }
    for name in tables.keys() - set(without):
        rows = tables[name]
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        page = before + mark + "\n".join(rows) + "\n" + end + after
    return page


def measured_rows(figures: Figures) -> Iterator[str]:
    """When, and on what."""
    yield "| | day | took | machine | source |"
    yield "|---|---|--:|---|---|"
    for name, told in figures.items():
        machine = f"{told['cores']} cores, Linux {told['kernel']}, Python {told['python']}"
        yield f"| {name} | {told['on']} | {told['took_s'] / 60:.0f} min | {machine} | {told['source']} |"


def cost_rows(figures: Figures, cost: Constants, fit: Costs) -> Iterator[str]:
    """What one process costs."""
    yield "| | | |"
    yield "|---|--:|---|"
    yield from _cpu_rows(figures["points"], cost, fit)
    twos = [middle(row) for row in figures["points"]["rows"] if row["runs"][0]["processes"] > 1]
    most = max(twos, key=lambda at: float(at["leader_cpu"]))
    load = f"{most['streams']:,.0f} streams, {most['replies_s']:,.0f} replies/s"
    led = f"measured: the most of {len(twos)} points of two processes, {load}"
    yield f"| CPU of the process that leads others | {most['leader_cpu']:.1%} of a core | {led} |"
    sizes = [run for row in figures["memory"]["rows"] for run in row["runs"]]
    how = f"measured: least squares over {len(sizes)} runs"
    lines = "lines of 190 bytes, as Sigma's are"
    size = f"{MACHINE.memory_gb:.0f} GB"
    files = sorted(run["files"] - run["streams"] for run in sizes)
    yield f"| memory of a process | {cost.process_bytes / 2**20:.0f} MB | {how} |"
    yield f"| memory of an open stream | {cost.stream_bytes / 1000:.1f} kB | {how} |"
    held = f"{cost.packet_bytes:,.0f} bytes"
    yield f"| memory of a packet until its reply has ended | {held} | {how}; {lines} |"
    halved = "measured at 1,000 streams, both ends, halved: sockets, files, epoll, TCP buffers"
    yield f"| kernel memory of a stream | {cost.socket_bytes / 1000:.1f} kB | {halved} |"
    yield f"| open files of a stream | 1 | measured; {files[-1]} more of the process, at most |"
    frames = f"measured on loopback, and 38 bytes of Ethernet a frame; {lines}"
    yield f"| a packet and its acknowledgement on the wire | {cost.wire_bytes:,.0f} bytes | {frames} |"
    yield f"| a packet in the journal | {cost.journal_bytes:,.0f} bytes | {how} |"
    long = [run for row in figures["tables"]["rows"] for run in row["runs"]]
    packets = max(run["streams"] * run["rounds"] * run["packets"] for run in long)
    many = len(sizes) + len(long)
    how = f"measured: least squares over {many} runs, {packets / 1e6:.1f} million packets at most"
    yield f"| tables afterwards (`harness grade --retime`), CPU a packet | {cost.table_us:.1f} µs | {how} |"
    yield f"| tables afterwards, memory a packet | {cost.table_bytes:,.0f} bytes | {how}, its peak |"
    fit_in = packets_in_tables(cost, MACHINE) / 1e6
    yield f"| packets of one run whose tables fit into {size} | {fit_in:,.0f} million | computed |"


def _cpu_rows(points: Figures, cost: Constants, fit: Costs) -> Iterator[str]:
    at = planned(points, fit)
    (runs,) = (row["runs"] for row in points["rows"] if is_of(row, at))
    each = sorted(run["cpu"] / run["packets_s"] * 1e6 for run in runs)
    spread = f"median of {len(each)} runs, {each[0]:.1f} to {each[-1]:.1f}"
    what = f"at {at['packets_s']:,.0f} packets/s in one process, {at['cpu']:.0%} of a core"
    yield f"| CPU a packet that comes, all in, {what} | {cost.packet_us:.1f} µs | measured: {spread} |"
    ones = sum(row["runs"][0]["processes"] == 1 for row in points["rows"])
    how = f"fitted to the CPU of {ones} points of one process"
    yield f"| CPU of a read with one packet in it | {fit.read:.1f} µs | {how} |"
    yield f"| CPU of a further packet in the same read | {fit.packet:.1f} µs | {how} |"
    yield f"| CPU of waking up when there was nothing to read | {fit.wake:.1f} µs | {how} |"
    yield f"| CPU a request: sent, ended, journalled, counted | {fit.request:,.0f} µs | {how} |"
    kept = "CPU a packet when its reply has ended: decoded, journalled, counted"
    yield f"| {kept} | {fit.keep:.1f} µs | {how} |"
    bound = "an upper bound: on loopback it is part of what the source pays to send, which is this"
    yield f"| CPU of the kernel to receive a packet over a network | {cost.network_us:.1f} µs | {bound} |"


def is_of(row: Figures, at: Figures) -> bool:
    """Whether *row* has the runs that *at* are the medians of."""
    return all(row["runs"][0][key] == at[key] for key in ("streams", "processes", "rounds", "packets"))


def need_rows(cost: Constants) -> Iterator[str]:
    """What loads need."""
    columns = ("streams", "packets/s of each", "packets/s", "requests/s", "cores", "processes", "machines")
    more = ("memory", "source addresses", "network", "journal", "tables afterwards, CPU", "their memory")
    yield f"| {' | '.join((*columns, *more))} |"
    yield "|" + "--:|" * 13
    for it in (need(cost, streams, rate, MACHINE) for streams in STREAMS for rate in RATES):
        cells = (
            f"{it.streams:,} | {it.rate} | {it.packets_s:,.0f} | {it.requests_s:,.0f}",
            f"{it.cores:,.1f} | {it.processes:,} | {it.machines:,}",
            f"{it.memory_gb:,.1f} GB | {it.addresses} | {it.gigabits:,.1f} Gb/s",
            f"{it.journal_mb_s:,.0f} MB/s",
            f"{_hours(it.table_cpu_h)} | {it.table_gb:,.1f} GB",
        )
        yield f"| {' | '.join(cells)} |"


def _hours(hours: float) -> str:
    return f"{hours * 60:,.0f} min" if hours < 10 else f"{hours:,.0f} h"


def limit_rows(cost: Constants) -> Iterator[str]:
    """What ends on one machine, the least of them first."""
    rates = " | ".join(f"streams at {rate} packets/s" for rate in RATES)
    yield f"| | {rates} | how |"
    yield "|---|" + "--:|" * len(RATES) + "---|"
    found = [{each.what: each for each in limits(cost, rate, MACHINE)} for rate in RATES]
    for what in sorted(found[0], key=lambda name: found[0][name].streams):
        here = [each[what] for each in found]
        kind = "" if what in HARD else " (a setting)"
        how = "; ".join(dict.fromkeys(each.how for each in here))
        yield f"| {what}{kind} | {' | '.join(f'{each.streams:,}' for each in here)} | {how} |"


def start_rows() -> Iterator[str]:
    """How many connections a second a load begins with."""
    seconds = LONGEST_SPREAD_NS / 1e9
    yield f"| streams | {' | '.join(f'{streams:,}' for streams in STREAMS)} |"
    yield "|---|" + "--:|" * len(STREAMS)
    yield f"| connections a second | {' | '.join(f'{streams / seconds:,.0f}' for streams in STREAMS)} |"


def delay_rows(cost: Constants, fit: Costs) -> Iterator[str]:
    """How late a process sees what came at the load that it is planned to have."""
    yield "| packets/s of each stream | streams a process | packets/s | CPU | delay p50 | p99 |"
    yield "|--:|--:|--:|--:|--:|--:|"
    for rate in RATES:
        streams = streams_a_process(cost, rate)
        load = Load(streams, 1, 2, round(REPLY_S * rate), 1e6 / rate)
        told = simulate(load, ideal(fit), seconds=SECONDS)
        delay = f"{told.delay_p50_ms:.2f} ms | {told.delay_p99_ms:.2f} ms"
        yield f"| {rate} | {streams:,} | {told.packets_s:,.0f} | {told.cpu:.2f} | {delay} |"


def ideal(fit: Costs) -> Costs:
    """The same with a source that takes no time: another machine, or many."""
    return replace(fit, send=0.0, source_wake=0.0, answer=0.0)


def point_rows(points: Figures, fit: Costs) -> Iterator[str]:
    """Measured and simulated beside each other."""
    pairs = " | | ".join(("packets/s", "replies/s", "CPUs", "merged", "delay p50 ms", "p99 ms"))
    yield f"| processes | streams | load | {pairs} | |"
    yield "|--:|--:|---|" + "--:|" * 12
    for at in map(middle, points["rows"]):
        band = simulated(at, points["cores"], fit)
        told = band.middle
        if at["rounds"] > 1:
            what, replies = (
                f"replies of {at['packets']:.0f}",
                f"{at['replies_s']:,.0f} | {told.replies_s:,.0f}",
            )
        else:
            what, replies = f"streams of {at['packets_per_s']:,.0f}/s", "– | –"
        cells = (
            f"{at['processes']:.0f} | {at['streams']:,.0f} | {what}",
            f"{at['packets_s']:,.0f} | {told.packets_s:,.0f} | {replies}",
            f"{at['cpu']:.2f} | {told.cpu:.2f} | {at['merged']:.1%} | {told.merged:.1%}",
            f"{at['delay_ms']['p50']:.3f} | {_banded(band, 'delay_p50_ms', 3)}",
            f"{at['delay_ms']['p99']:.2f} | {_banded(band, 'delay_p99_ms', 2)}",
        )
        yield f"| {' | '.join(cells)} |"


def _banded(band: Band, name: str, digits: int) -> str:
    low, high = band.of(name)
    return f"{getattr(band.middle, name):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def simulated(at: dict[str, Any], cores: int, fit: Costs) -> Band:
    """One point as it is simulated."""
    load = load_of(at, cores)
    seconds, warm_up = (SECONDS, SECONDS) if load.spread is None else (2 * SECONDS, STARTED_S)
    low, middle_, high = (
        simulate(load, scaled(fit, factor), seconds=seconds, warm_up=warm_up)
        for factor in (1 - SPREAD, 1.0, 1 + SPREAD)
    )
    return Band(low, middle_, high)


def scaled(fit: Costs, factor: float) -> Costs:
    """Everything that takes CPU costs so many times as much."""
    return replace(fit, **{name: getattr(fit, name) * factor for name in CPU})


def _spread(at: dict[str, Any]) -> float | None:
    """How far apart the first starts are, in µs; None where replies are so long that it does not show."""
    reply_s = at["packets"] / at["packets_per_s"]
    return min(SPREAD_NS, LONGEST_SPREAD_NS / at["streams"]) / 1000 if reply_s < SECONDS else None


def load_of(at: dict[str, Any], cores: int) -> Load:
    """The load of one point as the simulation takes it."""
    return Load(
        streams=int(at["streams"]),
        processes=int(at["processes"]),
        cores=cores,
        packets=int(at["packets"]),
        gap=1e6 / at["packets_per_s"],
        ttft=at["ttft_ms"] * 1000,
        endless=at["rounds"] == 1,
        spread=_spread(at),
    )
