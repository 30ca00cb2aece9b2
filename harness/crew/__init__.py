"""One plan over several processes: those of this machine, or of the nodes of a cluster.

The process that the user started leads. It has the plan, splits the trials of each phase by their index,
gives every process its own before a common start, and hears from each a few times a second what came since.
On the way of a packet nothing is shared: each process has an event loop, connections and a journal of its
own, and what the run came to is read from all journals together, as if one process had written them.
"""
