"""A Ray cluster on this machine, for tests: `python -m tests.e2e.ray_nodes`.

A process of its own, since Ray leaves threads and files behind in the one that starts it. A head and a node,
of one CPU each. It prints the address, the door for clients, and the id of each node in a line of JSON. On
standard input `add` starts a node and prints its id, and `kill` ends the last one as if its power had gone;
where that is closed, all of it ends.
"""

import json
import sys
from socket import socket

from ray.cluster_utils import Cluster

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}


def free_port() -> int:
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def main() -> None:
    port = free_port()
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "ray_client_server_port": port})
    try:
        nodes = [cluster.head_node, cluster.add_node(**NODE)]
        tell(
            address=cluster.address,
            door=f"ray://127.0.0.1:{port}",
            folder=cluster.head_node.get_session_dir_path(),
            nodes=[node.node_id for node in nodes],
        )
        for line in sys.stdin:
            match line.strip():
                case "add":
                    nodes.append(cluster.add_node(**NODE))
                    tell(node=nodes[-1].node_id)
                case "kill":
                    cluster.remove_node(nodes.pop(), allow_graceful=False)
                    tell()
    finally:
        cluster.shutdown()


def tell(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
