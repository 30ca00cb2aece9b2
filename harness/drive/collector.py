"""The garbage collector, kept away from where its pauses would land in somebody's figures."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_THRESHOLDS = (10_000, 100, 10)


@contextmanager
def out_of_reach() -> Iterator[None]:
    """Keep the collector from walking over all there is while we measure: pauses of 100 ms (perf.md 2.4).

    What exists by now is out of its reach; of what comes, the young are looked at often, the old next to
    never.
    """
    gc.collect()
    gc.freeze()
    usual = gc.get_threshold()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
