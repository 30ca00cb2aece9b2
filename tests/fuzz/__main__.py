"""Fuzzing that follows what a reader does with its input: ``python -m tests.fuzz READER --seconds 60``.

With atheris (the optional group `fuzz`), which watches which branches of the harness an input reaches. What
it finds is written to the current folder: put it into tests/fuzz/found as READER-SOMETHING, and every check
reads it again.
"""

import argparse
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Fuzz one reader for so many seconds."""
    asked = argparse.ArgumentParser(prog="python -m tests.fuzz")
    asked.add_argument("reader")
    asked.add_argument("--seconds", type=int, default=60)
    told = asked.parse_args()
    try:
        import atheris  # type: ignore[import-untyped]  # noqa: PLC0415  it is a tool of the endurance tier
    except ImportError:
        print("atheris is not installed: pip install -e '.[fuzz]' has it, for CPython 3.11 to 3.13 on Linux")
        sys.exit(0)
    with atheris.instrument_imports(include=["harness"]):
        from tests.fuzz.readers import READERS, seeds  # noqa: PLC0415  after the tool, which instruments them
    if told.reader not in READERS:
        sys.exit(f"no such reader: there are {', '.join(READERS)}")
    with tempfile.TemporaryDirectory() as corpus:
        for nth, seed in enumerate(seeds(told.reader)):
            (Path(corpus) / str(nth)).write_bytes(seed)
        flags = [
            f"-max_total_time={told.seconds}",
            "-timeout=20",
            "-rss_limit_mb=4096",
            "-print_final_stats=1",
        ]
        atheris.Setup([sys.argv[0], *flags, corpus], READERS[told.reader])
        atheris.Fuzz()


if __name__ == "__main__":
    main()
