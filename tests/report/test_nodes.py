"""What is said of the clocks of a cluster: each bound, and what it concerns."""

import pytest
from msgspec import structs

from harness.record.nodes import NodeClock
from harness.report.nodes import clock_lines

A = NodeClock(node="10.0.0.3", address="10.0.0.3", processes=1, residual_ns=100_000, within_ns=160_000)
B = structs.replace(A, node="10.0.0.4", within_ns=210_000)
LOST = structs.replace(A, node="10.0.0.5", within_ns=None)


def said(*nodes: NodeClock) -> str:
    return "\n".join(map(str, clock_lines(nodes)))


def test_a_run_of_one_machine_says_nothing_of_clocks() -> None:
    assert said() == ""


def test_one_node_has_a_bound_and_nothing_between_nodes() -> None:
    assert said(A).startswith("clocks: 10.0.0.3 ±0.16 ms: how far")
    assert "several nodes" not in said(A)


def test_two_nodes_are_as_far_apart_as_both_bounds() -> None:
    assert said(A, B).startswith("clocks: 10.0.0.3 ±0.16 ms, 10.0.0.4 ±0.21 ms: how far")
    assert said(A, B).endswith(
        "put together from several nodes (order, rates, what was under way at once): ±0.37 ms"
    )


@pytest.mark.parametrize(("ppm", "told"), [(1.84, "(drift +1.8 ppm)"), (-50.0, "(drift -50.0 ppm)")])
def test_a_drift_is_told_beside_the_bound_that_has_it_in(ppm: float, told: str) -> None:
    assert told in said(structs.replace(A, drift_ppm=ppm))


def test_what_is_not_known_of_a_lost_node_is_not_told_as_a_figure() -> None:
    assert "10.0.0.5 ±0.10 ms at the start, not known after that:" in said(A, LOST)
    assert said(A, LOST).endswith("under way at once): not known")


def test_a_run_that_went_on_has_its_nodes_again_with_their_leg() -> None:
    assert said(A, structs.replace(A, leg=1)).startswith(
        "clocks: 10.0.0.3 ±0.16 ms, 10.0.0.3 (leg 1) ±0.16 ms:"
    )


def test_the_name_of_a_node_is_shown_as_text() -> None:
    assert "\x1b" not in said(structs.replace(A, node="n\x1b[31m"))
