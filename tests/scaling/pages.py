"""The tables of docs/scale.md as functions of what was measured."""

from collections.abc import Iterable, Iterator, Sequence
from statistics import median
from typing import Any

from tests.scaling.arithmetic import (
    HARD,
    RATES,
    STREAMS,
    Constants,
    Figures,
    Machine,
    constants,
    costs,
    fewest,
    limits,
    middle,
    need,
    planned,
    streams_a_process,
)
from tests.scaling.simulating import Costs, Load, Simulated, simulate

MACHINE = Machine()
SECONDS = 2.0


def rendered(page: str, figures: Figures) -> str:
    """*page* with every table as *figures* have it."""
    cost, fit = constants(figures), costs(figures["points"])
    tables: dict[str, Iterable[str]] = {
        "costs": cost_rows(figures, cost, fit),
        "points": point_rows(figures["points"], fit),
        "needs": need_rows(cost),
        "limits": limit_rows(cost),
        "delays": delay_rows(cost, fit),
        "measured": measured_rows(figures),
    }
    for name, rows in tables.items():
        before, mark, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        page = before + mark + "\n".join(rows) + "\n" + end + after
    return page


def load_of(at: dict[str, Any], cores: int) -> Load:
    """The load of one point as the simulation takes it."""
    return Load(
        streams=int(at["streams"]),
        processes=int(at["processes"]),
        cores=cores,
        packets=int(at["packets"]),
        gap=1e6 / at["packets_per_s"],
        ttft=at["ttft_ms"] * 1000,
        others=at["others_cpu"],
        endless=at["rounds"] == 1,
    )


def simulated(points: Figures, fit: Costs) -> list[tuple[dict[str, Any], Simulated]]:
    """Each point as it was measured (medians), and as it is simulated."""
    rows = [middle(row) for row in points["rows"]]
    return [(at, simulate(load_of(at, points["cores"]), fit, seconds=SECONDS)) for at in rows]


def cost_rows(figures: Figures, cost: Constants, fit: Costs) -> Iterator[str]:
    """What one process costs."""
    points, sizes = figures["points"], figures["memory"]["rows"]
    ones = sum(row["runs"][0]["processes"] == 1 for row in points["rows"])
    at = planned(points)
    runs = next(
        row["runs"]
        for row in points["rows"]
        if (row["runs"][0]["streams"], row["runs"][0]["processes"], row["runs"][0]["rounds"])
        == (at["streams"], 1, 1)
    )
    each = sorted(run["cpu"] / run["packets_s"] * 1e6 for run in runs)
    many = sum(len(row["runs"]) for row in sizes)
    files = {run["files"] - run["streams"] for row in sizes for run in row["runs"]}
    yield "| | | |"
    yield "|---|--:|---|"
    yield (
        f"| CPU a packet, all in, at {at['packets_s']:,.0f} packets/s in one process ({at['cpu']:.0%} of a core) |"
        f" {cost.packet_us:.1f} µs | measured: median of {len(each)} runs, {each[0]:.1f} to {each[-1]:.1f} |"
    )
    how = f"fitted to the CPU of {ones} points of one process"
    yield f"| of that: a read with one packet in it | {fit.read:.1f} µs | {how} |"
    yield f"| every further packet in the same read | {fit.packet:.1f} µs | {how} |"
    yield f"| waking up when there was nothing to read | {fit.wake:.1f} µs | {how} |"
    yield f"| CPU a request: sent, ended, checked, journalled | {fit.request:,.0f} µs | {how} |"
    yield (
        f"| CPU of the kernel to receive a packet over a network | {cost.network_us:.1f} µs | an upper bound: on loopback "
        "it is in what the source pays to send one |"
    )
    how = f"least squares over {many} runs"
    yield f"| memory of a process | {cost.process_bytes / 2**20:.0f} MB | {how} |"
    yield f"| memory of an open stream | {cost.stream_bytes / 1000:.1f} kB | {how} |"
    yield f"| memory of a packet until its reply has ended | {cost.packet_bytes:,.0f} bytes | {how}; lines of 190 bytes |"
    yield (
        f"| kernel memory of a stream | {cost.socket_bytes / 1000:.1f} kB | measured at 1,000 streams, both ends, halved:"
        " slabs of sockets, files and epoll, and TCP buffers |"
    )
    yield f"| open files of a stream | 1 | measured; {min(files)} to {max(files)} more of the process |"
    yield f"| a packet on the wire, with its acknowledgements | {cost.wire_bytes:,.0f} bytes | measured on loopback, and 38 of Ethernet a frame |"
    yield f"| a packet in the journal | {cost.journal_bytes:,.0f} bytes | {how} |"
    yield f"| tables afterwards, CPU a packet | {cost.table_us:.1f} µs | {how}, `harness grade --retime` |"
    yield f"| tables afterwards, memory a packet | {cost.table_bytes:,.0f} bytes | {how}, its peak |"


def point_rows(points: Figures, fit: Costs) -> Iterator[str]:
    """Measured and simulated beside each other."""
    yield (
        "| processes | streams | load | packets/s | | replies/s | | CPUs | | merged | | delay p50 ms | | p99 ms | | "
        "others' CPUs |"
    )
    yield "|--:|--:|---|" + "--:|" * 13
    for at, told in simulated(points, fit):
        pairs = (
            f"{at['packets_s']:,.0f} | {told.packets_s:,.0f}",
            f"{at['replies_s']:,.0f} | {told.replies_s:,.0f}",
            f"{at['cpu']:.2f} | {told.cpu:.2f}",
            f"{at['merged']:.1%} | {told.merged:.1%}",
            f"{at['delay_ms']['p50']:.3f} | {told.delay_p50_ms:.3f}",
            f"{at['delay_ms']['p99']:.2f} | {told.delay_p99_ms:.2f}",
        )
        what = "streams" if at["rounds"] == 1 else f"replies of {at['packets']:.0f}"
        yield (
            f"| {at['processes']:.0f} | {at['streams']:,.0f} | {what} | {' | '.join(pairs)} | {at['others_cpu']:.2f} |"
        )


def need_rows(cost: Constants) -> Iterator[str]:
    """What loads need."""
    yield (
        "| streams | packets/s of each | packets/s | requests/s | cores | processes | machines | memory | source addresses "
        "| network | journal | tables afterwards, CPU | their memory |"
    )
    yield "|--:|" + "--:|" * 12
    for streams in STREAMS:
        for rate in RATES:
            it = need(cost, streams, rate, MACHINE)
            yield (
                f"| {streams:,} | {rate} | {it.packets_s:,.0f} | {it.requests_s:,.0f} | {it.cores:,.1f} | {it.processes:,} "
                f"| {it.machines:,} | {it.memory_gb:,.1f} GB | {it.addresses} | {it.gigabits:,.1f} Gb/s "
                f"| {it.journal_mb_s:,.0f} MB/s | {_hours(it.table_cpu_h)} | {it.table_gb:,.1f} GB |"
            )


def _hours(hours: float) -> str:
    return f"{hours * 60:,.0f} min" if hours < 10 else f"{hours:,.0f} h"


def limit_rows(cost: Constants) -> Iterator[str]:
    """What ends on one machine, the least of them first."""
    yield (
        f"| at {' and at '.join(map(str, RATES))} packets/s a stream | " + "streams | " * len(RATES) + "how |"
    )
    yield "|---|" + "--:|" * len(RATES) + "---|"
    found = [{each.what: each for each in limits(cost, rate, MACHINE)} for rate in RATES]
    for what in sorted(found[0], key=lambda name: found[0][name].streams):
        here = [each[what] for each in found]
        kind = "" if what in HARD else " (a setting)"
        how = dict.fromkeys(each.how for each in here)
        yield f"| {what}{kind} | {' | '.join(f'{each.streams:,}' for each in here)} | {'; '.join(how)} |"


def delay_rows(cost: Constants, fit: Costs) -> Iterator[str]:
    """How late a process sees what came at the load that it is planned to have."""
    yield "| packets/s of each stream | streams a process | packets/s | CPU | delay p50 | p99 |"
    yield "|--:|--:|--:|--:|--:|--:|"
    for rate in RATES:
        streams = streams_a_process(cost, rate)
        told = simulate(planned_load(streams, rate), ideal(fit), seconds=SECONDS)
        yield (
            f"| {rate} | {streams:,} | {told.packets_s:,.0f} | {told.cpu:.2f} | {told.delay_p50_ms:.2f} ms "
            f"| {told.delay_p99_ms:.2f} ms |"
        )


def planned_load(streams: int, rate: int) -> Load:
    """So many streams in one process that has a core for itself."""
    return Load(streams, 1, 2, round(30 * rate), 1e6 / rate)


def ideal(fit: Costs) -> Costs:
    """The same with a source that takes no time: another machine, or many."""
    return Costs(
        **{name: getattr(fit, name) for name in fit.__dataclass_fields__}
        | {"send": 0.0, "source_wake": 0.0, "answer": 0.0}
    )


def measured_rows(figures: Figures) -> Iterator[str]:
    """When, and on what."""
    yield "| | day | took | machine | source |"
    yield "|---|---|--:|---|---|"
    for name, told in figures.items():
        yield (
            f"| {name} | {told['on']} | {told['took_s'] / 60:.0f} min | {told['cores']} cores, Linux {told['kernel']}, "
            f"Python {told['python']} | {told['source']} |"
        )
