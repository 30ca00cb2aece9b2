"""Ray: how a cluster is joined, what its nodes are, and how a call of it fails.

It is an extra (`sigma-harness[ray]`), and is imported here alone, when it is asked for. What it says to a
terminal is kept away from ours.
"""

import logging
import os
import socket
import sys
import threading
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TextIO, cast
from urllib.parse import urlsplit

import anyio

from harness.errors import Exit, HarnessError, UsageError

_CONNECT_S = 5.0
_STORE = 100 * 2**20  # bytes; the least that a local Ray may have is 75 MB, and next to nothing lies in it
_CLIENT_PORT = 10001
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_CLIENT_INITIAL_CONNECTION_TIMEOUT_S": "2",  # a client tries three times, each longer than the last
    "RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S": "8",
}


class ClusterError(HarnessError):
    """A cluster is not there, or does not start our processes."""

    exit_code = Exit.ENVIRONMENT


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a cluster, with *slots* for processes of ours: one for each CPU that Ray counts there."""

    node_id: str
    name: str
    address: str
    slots: int


def ray() -> Any:
    """Ray itself. Raises `UsageError` where it is not installed."""
    os.environ.update({name: value for name, value in _QUIET.items() if name not in os.environ})
    try:
        import ray  # noqa: PLC0415  an extra
    except ImportError as error:
        raise UsageError("--cluster: Ray is not installed: pip install 'sigma-harness[ray]'") from error
    return ray


def errors() -> tuple[type[Exception], ...]:
    """What is raised for a call that does not come to its end."""
    from ray.exceptions import RayError  # noqa: PLC0415  an extra

    return RayError, ConnectionError


def is_passing(error: Exception) -> bool:
    """Whether a call that ended in *error* may be made again: the way there broke off for the moment."""
    from ray.exceptions import ActorUnavailableError  # noqa: PLC0415  an extra

    return isinstance(error, ActorUnavailableError)


def on_node(node: Node) -> Any:
    """The strategy that has Ray put an actor on *node*, and nowhere else."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415  an extra

    return NodeAffinitySchedulingStrategy(node.node_id, soft=False)


def brief(error: BaseException) -> str:
    """What an error of Ray's says, without the pages that follow."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    said = lines[0] if len(lines) == 1 or not lines[0].endswith(":") else f"{lines[0]} {lines[-1]}"
    return said.rstrip(".")[:300]


@asynccontextmanager
async def driving(where: str, processes: int) -> AsyncIterator[list[Node]]:
    """The nodes of the cluster that is *where*, whose driver this process is as long as the block lasts.

    *where* is ``local`` (a Ray on this machine, with room for so many *processes*), ``auto`` (that which runs
    here), HOST:PORT or ray://HOST:PORT. Raises `UsageError` and `ClusterError`.
    """
    refuse_unknown(where)
    driven = ray()
    with _quiet():
        try:
            await anyio.to_thread.run_sync(_connect, where, processes)
            yield nodes_of(await anyio.to_thread.run_sync(driven.nodes))
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(driven.shutdown)


def refuse_unknown(where: str) -> None:
    """Raise `UsageError` for what is no cluster, and `ClusterError` where nobody listens.

    Ray itself would try for minutes, and say so on the terminal all the while. Its door for clients is left
    alone: it forks a process for each, and one that comes and goes just before may have the fork hang
    (measured with Ray 2.60: 2 of 7 against 0 of 10).
    """
    if where in {"local", "auto"}:
        return
    host, port = _host(where)
    try:
        if where.startswith("ray://"):
            socket.getaddrinfo(host, port)
        else:
            socket.create_connection((host, port), _CONNECT_S).close()
    except OSError as error:
        raise ClusterError(
            f"--cluster {where}: nobody answers at {host}:{port} ({error.strerror or error}): is Ray started "
            "there (ray start --head), and is the port open?"
        ) from error


def _host(where: str) -> tuple[str, int]:
    try:
        url = urlsplit(where if "://" in where else f"//{where}")
        host, port = url.hostname, url.port or (_CLIENT_PORT if url.scheme == "ray" else None)
        known = url.scheme in {"", "ray"} and url.path in {"", "/"} and url.username is None
    except ValueError:
        host, port, known = None, None, False
    if not known or not host or port is None:
        raise UsageError(
            f"--cluster {where}: local (a Ray on this machine), auto (the one that runs here), HOST:6379 "
            "(from a machine of the cluster) or ray://HOST:10001 (from outside)"
        )
    return host, port


def _connect(where: str, processes: int) -> None:
    """Become a driver of the cluster; off the main thread, whose handler of SIGTERM is ours."""
    told: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if where == "local":
        told |= {"num_cpus": processes, "include_dashboard": False, "object_store_memory": _STORE}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what goes wrong is raised as well
            ray().init(where, **told)
    except (ConnectionError, RuntimeError, ValueError, OSError, ImportError) as error:
        raise ClusterError(f"--cluster {where}: {brief(error)}{_fix(where)}") from error


def _fix(where: str) -> str:
    match where:
        case "auto":
            return "; ray start --head starts one, and --cluster local one for this run alone"
        case "local":
            return ""
        case _:
            return "; is Ray started there, and are Ray and Python of the same versions as here?"


def nodes_of(told: Sequence[dict[str, Any]]) -> list[Node]:
    """The nodes that are alive of all that were *told* of, by name; those of one name also by Ray's id."""
    alive = sorted(
        (each for each in told if each["Alive"]), key=lambda each: (each["NodeName"], each["NodeID"])
    )
    same = Counter(each["NodeName"] for each in alive)
    return [
        Node(
            each["NodeID"],
            each["NodeName"] if same[each["NodeName"]] == 1 else f"{each['NodeName']}/{each['NodeID'][:6]}",
            each["NodeManagerAddress"],
            int(each["Resources"].get("CPU", 0)),
        )
        for each in alive
    ]


@contextmanager
def _quiet() -> Iterator[None]:
    """Standard output is for figures: what threads of Ray's print there is left out."""
    out = sys.stdout
    sys.stdout = cast("TextIO", _WithoutRay(out))
    try:
        yield
    finally:
        sys.stdout = out


class _WithoutRay:
    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        """Write *text*, unless it is a thread of Ray's that asks."""
        return len(text) if threading.current_thread().name.startswith("ray_") else self._out.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)
