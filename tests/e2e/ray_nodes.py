"""A Ray cluster on this machine, for tests: `python -m tests.e2e.ray_nodes`.

A process of its own, since Ray leaves threads and files behind in the one that starts it. A head and a node,
of one CPU each. The node has a clock of its own, which is ahead, as that of another machine is: it runs in
namespaces of the kernel for time and processes, where we may make such. It prints the address, the door for
clients, the ids of both, and by how much the clock of each is ahead, in a line of JSON. On standard input
`add` starts another such node and prints its id, and `kill` ends the last one as if its power had gone; where
that is closed, all of it ends.
"""

import json
import subprocess
import sys
import time
from socket import socket

from ray.cluster_utils import Cluster

AHEAD_S = 5000
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
APART = ["unshare", "--time", "--monotonic", str(AHEAD_S), "--pid", "--mount-proc", "--fork", "--kill-child"]
START = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--block"]


def free_port() -> int:
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def may_be_apart() -> bool:
    """Whether we may make namespaces here."""
    try:
        return subprocess.run([*APART, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


class Nodes:
    """The cluster, and the nodes that were started beside its head."""

    def __init__(self, port: int) -> None:
        self.cluster = Cluster(initialize_head=True, head_node_args={**NODE, "ray_client_server_port": port})
        self.apart = may_be_apart()
        self.started: list[subprocess.Popen[bytes]] = []

    def alive(self) -> set[str]:
        return {node["NodeID"] for node in self.cluster.global_state.node_table() if node["Alive"]}

    def add(self) -> str:
        """Start a node; its id, once the head knows of it."""
        before = self.alive()
        command = [*START, f"--address={self.cluster.address}", "--num-cpus=1"]
        command += [f"--object-store-memory={NODE['object_store_memory']}"]
        quiet = subprocess.DEVNULL
        self.started.append(
            subprocess.Popen(
                [*(APART if self.apart else []), *command], stdin=quiet, stdout=quiet, stderr=quiet
            )
        )
        while not (fresh := self.alive() - before):
            assert self.started[-1].poll() is None, "the node has ended"
            time.sleep(0.1)
        return fresh.pop()

    def kill(self) -> None:
        """End the last node, at once where it is apart."""
        node = self.started.pop()
        node.kill() if self.apart else node.terminate()
        node.wait()


def main() -> None:
    port = free_port()
    nodes = Nodes(port)
    try:
        other = nodes.add()
        tell(
            address=nodes.cluster.address,
            door=f"ray://127.0.0.1:{port}",
            folder=nodes.cluster.head_node.get_session_dir_path(),
            nodes=[nodes.cluster.head_node.node_id, other],
            ahead_ns=[0, AHEAD_S * 10**9 if nodes.apart else 0],
        )
        for line in sys.stdin:
            match line.strip():
                case "add":
                    tell(node=nodes.add())
                case "kill":
                    nodes.kill()
                    tell()
    finally:
        while nodes.started:
            nodes.kill()
        nodes.cluster.shutdown()


def tell(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
