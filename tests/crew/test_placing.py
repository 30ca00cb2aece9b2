"""Which node gets how many processes, and what is no cluster."""

import socket

import pytest

from harness.crew.cluster import placed
from harness.crew.driver import ClusterError, Node, nodes_of, refuse_unknown
from harness.errors import UsageError


def nodes(*slots: int) -> list[Node]:
    return [Node(f"id{nth}", f"n{nth}", f"10.0.0.{nth}", count) for nth, count in enumerate(slots)]


@pytest.mark.parametrize(
    ("slots", "processes", "on_each"),
    [
        ((4, 4), 1, [1, 1]),
        ((0, 4, 2), 1, [0, 1, 1]),
        ((4, 4), 2, [1, 1]),
        ((4, 4), 5, [3, 2]),
        ((1, 8), 6, [1, 5]),
        ((2,), 2, [2]),
    ],
)
def test_processes_are_spread_evenly_over_the_nodes_that_have_room(
    slots: tuple[int, ...], processes: int, on_each: list[int]
) -> None:
    found = placed(nodes(*slots), processes)
    assert [sum(each.name == f"n{nth}" for each in found) for nth in range(len(slots))] == on_each
    assert found == sorted(found, key=lambda node: node.name)


@pytest.mark.parametrize(
    ("slots", "processes", "said"),
    [
        ((1, 2), 4, r"4 processes need as many CPUs, as Ray counts them, and there are 3 \(n0: 1, n1: 2\)"),
        ((0,), 1, r"there are 0 \(n0: 0\)"),
        ((), 3, "no node is alive"),
    ],
)
def test_more_processes_than_there_is_room_for_are_refused_with_what_there_is(
    slots: tuple[int, ...], processes: int, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        placed(nodes(*slots), processes)


def test_nodes_of_one_name_are_told_apart_and_the_dead_are_left_out() -> None:
    def told(name: str, node_id: str, *, alive: bool = True) -> dict[str, object]:
        cpus = {"CPU": 2.0} if node_id != "cccccccc" else {}
        return {
            "NodeID": node_id,
            "NodeName": name,
            "NodeManagerAddress": "10.0.0.1",
            "Alive": alive,
            "Resources": cpus,
        }

    found = nodes_of(
        [told("b", "cccccccc"), told("a", "bbbbbbbb"), told("a", "aaaaaaaa"), told("z", "d", alive=False)]
    )
    assert [(node.name, node.slots) for node in found] == [("a/aaaaaa", 2), ("a/bbbbbb", 2), ("b", 0)]


@pytest.mark.parametrize(
    "where",
    [
        "",
        "here",
        "http://10.0.0.1:10001",
        "ray://",
        "10.0.0.1",
        "10.0.0.1:port",
        "ray://me@10.0.0.1",
        "ray://h/x",
    ],
)
def test_what_is_no_cluster_is_refused_with_what_is(where: str) -> None:
    with pytest.raises(UsageError, match=r"local \(a Ray on this machine\), auto .* or ray://HOST:10001"):
        refuse_unknown(where)


def test_where_nobody_listens_is_said_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match=rf"nobody answers at 127.0.0.1:{port} \(.*refused\)"):
            refuse_unknown(f"127.0.0.1:{port}")


def test_a_door_that_is_nowhere_is_said_at_once() -> None:
    with pytest.raises(ClusterError, match=r"nobody answers at nowhere\.invalid:10001"):
        refuse_unknown("ray://nowhere.invalid")


@pytest.mark.parametrize("where", ["local", "auto"])
def test_what_is_on_this_machine_is_left_to_ray_to_find(where: str) -> None:
    refuse_unknown(where)
