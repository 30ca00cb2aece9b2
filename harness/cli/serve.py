"""`harness serve`: the stand-in Sigma."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Dialect(StrEnum):
    """Which of the two ways to speak."""

    SIGMA = "sigma"
    ONYX = "onyx"


def serve(
    port: Annotated[int, typer.Option(help="0 takes a free port.")] = 0,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    dialect: Annotated[
        Dialect, typer.Option(help="sigma: as the guide says (SSE); onyx: as real servers do (JSON lines).")
    ] = Dialect.SIGMA,
    db: Annotated[Path | None, typer.Option(help="Keep sessions in this file; else in memory.")] = None,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="HARNESS_STANDIN_KEY", help="Requests without this key are refused with 403."),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet/--access-log", help="Log requests to standard error.")
    ] = True,
    with_parent: Annotated[
        bool, typer.Option("--with-parent", help="End when the parent process ends.")
    ] = False,
) -> None:
    """Serve a stand-in Sigma on this machine, to try suites against.

    Prints one line, "ready URL", and serves until interrupted. Models: swift (default), steady and thinker
    of provider Simulated, lighthouse of Harbor, and any name like
    sim:ttft=50ms,gap=5ms,tokens=40,fault=reset@10: exact times, a given length, and faults by name (reset,
    drop, cut, stall, error, http, flaky, badline, heartbeat, split, utf8 ...).
    """
    from harness.standin.server import Options
    from harness.standin.server import serve as serve_standin

    options = Options(
        host=host,
        port=port,
        dialect=dialect.value,
        db=":memory:" if db is None else str(db),
        api_key=api_key,
        access_log=not quiet,
        with_parent=with_parent,
    )
    serve_standin(options, lambda url: print(f"ready {url}", flush=True))
