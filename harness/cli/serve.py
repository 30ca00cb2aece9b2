"""`harness serve`: the stand-in Sigma."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import complete
from harness.cli.written import others_than

if TYPE_CHECKING:
    from harness.standin.models import Provider
    from harness.standin.server import Options


class Dialect(StrEnum):
    """Which of the two ways to speak."""

    SIGMA = "sigma"
    ONYX = "onyx"


def serve(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65_535, metavar="PORT", help="0 takes a free port.")] = 0,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    dialect: Annotated[
        Dialect, typer.Option(help="sigma: as the guide says (SSE); onyx: as real servers do (JSON lines).")
    ] = Dialect.SIGMA,
    db: Annotated[Path | None, typer.Option(help="Keep sessions in this file; else in memory.")] = None,
    api_key: Annotated[str | None, typer.Option(hidden=True)] = None,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            help="A file with a key, else HARNESS_STANDIN_KEY has it; requests without it are refused "
            "with 403.",
            show_default=False,
        ),
    ] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Listen where other machines reach it; needs a key.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet/--access-log", help="Log requests to standard error.")
    ] = True,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            help="Accept this setting and do nothing with it; may be repeated: override, filters ..."
        ),
    ] = None,
    suite: Annotated[
        Path | None,
        typer.Option(
            help="Serve as target.standin of this suite says: ignore, providers.",
            autocompletion=complete.suites,
        ),
    ] = None,
    without_deprecated: Annotated[
        bool, typer.Option("--without-deprecated", help="Drop the endpoints of old, as real servers have.")
    ] = False,
    replay: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Play this run back: a folder, an id, the name of a suite (its latest run), or latest.",
            autocompletion=complete.runs,
        ),
    ] = None,
    speed: Annotated[
        str | None,
        typer.Option(
            metavar="FACTOR",
            help="With --replay: 2 is twice as fast; max waits for nothing.",
            show_default="1",
        ),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="With --replay: where runs are kept.", show_default="results"),
    ] = None,
    from_stdin: Annotated[bool, typer.Option("--settings-from-stdin", hidden=True)] = False,
    with_parent: Annotated[
        bool, typer.Option("--with-parent", help="End when the parent process ends.")
    ] = False,
) -> None:
    """Serve a stand-in Sigma on this machine, to try suites against.

    Prints one line, "ready URL", and serves until interrupted. Models: swift (default), steady and thinker
    of provider Simulated, lighthouse of Harbor, and any name like
    sim:ttft=50ms,gap=5ms,tokens=40,fault=reset@10: exact times, a given length, and faults by name.

    Of the network: reset, drop, cut, stall, torn, halfchunk, badchunk, drip, hearts, flood, trailers, hangup,
    garble, head, informing, redirect, stale, gzip, bomb, longer, shorter, split, bytes, batch, utf8. Of the
    server: error, bare, http, flaky, badline, unknown, heartbeat, section_end, packet_error, nonewline, big,
    hostile. What each does, and what a run makes of it, is in docs/faults.md.

    With --replay RUN nothing is simulated: the requests of that run get the packets that were recorded, at
    the times at which they came, with no Sigma behind and no token spent. Repeats are played in turn, and no
    API key is asked for unless --api-key-file names one.

    Exit codes: 0 you ended it · 2 no such run, or a bad option · 4 the port is taken, or --db cannot be kept.
    """
    from harness.errors import UsageError
    from harness.standin.server import Options
    from harness.standin.server import serve as serve_standin

    if replay is not None:
        _refuse_others(context)
    if api_key is not None:
        raise UsageError(
            "--api-key: every user of this machine can read a command line; name a file with the key by "
            "--api-key-file, or put it into HARNESS_STANDIN_KEY"
        )
    # Whoever starts us for a run of theirs may have a key in the environment, for another stand-in.
    key = None if from_stdin else _key(api_key_file, host, allowed=allow_remote)
    if replay is not None:
        options = Options(
            host=host,
            port=port,
            api_key=key if allow_remote or api_key_file else None,  # the environment's is for another one
            access_log=not quiet,
            with_parent=with_parent,
        )
        _play_back(replay, results or Path("results"), _factor(speed), options)
        return
    if speed is not None or results is not None:
        raise UsageError("--speed and --results go with --replay RUN")
    ignored, providers = _settings(suite, ignore or [], from_stdin=from_stdin)
    options = Options(
        host=host,
        port=port,
        dialect=dialect.value,
        db=":memory:" if db is None else str(db),
        api_key=key,
        access_log=not quiet,
        with_parent=with_parent,
        ignores=ignored,
        deprecated=not without_deprecated,
        providers=providers,
    )
    serve_standin(options, lambda url: print(f"ready {url}", flush=True))


_WITH_REPLAY = frozenset(
    {"replay", "speed", "results", "port", "host", "quiet", "with_parent", "api_key_file", "allow_remote"}
)


def _key(file: Path | None, host: str, *, allowed: bool) -> str | None:
    """The key that is asked for. Raises `UsageError` where other machines reach *host* and there is none."""
    from harness.cli.doors import held_secret, refuse_remote
    from harness.errors import UsageError

    remote = refuse_remote(host, allowed=allowed, does="spends your tokens, where there are real providers")
    key = held_secret(file, "--api-key-file", "HARNESS_STANDIN_KEY", guarding=remote)
    if remote and key is None:
        raise UsageError(
            f"--host {host}: a key is needed there: --api-key-file FILE, or HARNESS_STANDIN_KEY; one is made "
            'by python -c "import secrets; print(secrets.token_urlsafe())"'
        )
    if remote:
        typer.echo(
            f"! Other machines may reach {host}. It is plain http: who listens on the way reads the key.",
            err=True,
        )
    return key


def _refuse_others(context: typer.Context) -> None:
    """A replay is as the run was: what would make the stand-in another one has no say in it."""
    from harness.errors import UsageError

    if given := others_than(context, _WITH_REPLAY):
        raise UsageError(
            f"{', '.join(given)}: not with --replay, which answers as was recorded; leave it out"
        )


def _factor(speed: str | None) -> float:
    from harness.errors import UsageError

    if speed in {None, "max"}:
        return 1.0 if speed is None else float("inf")
    try:
        factor = float(str(speed))
    except ValueError:
        factor = 0.0
    if not 0 < factor < float("inf"):
        raise UsageError(f"--speed {speed}: write a number above 0 (2 is twice as fast), or max")
    return factor


def _play_back(run: str, results: Path, speed: float, options: "Options") -> None:
    from harness.record.runs import run_folder
    from harness.standin.recalled import recall
    from harness.standin.recordings import load, overview
    from harness.standin.replay import Replay, serve

    folder = run_folder(run, results)
    recordings = load(folder)
    for line in overview(recordings):
        typer.echo(line, err=True)
    replay = Replay(recordings, recall(recordings), speed)
    serve(replay, options, lambda url: print(f"ready {url}", flush=True))


def _settings(
    suite: Path | None, ignore: list[str], *, from_stdin: bool
) -> "tuple[frozenset[str], tuple[Provider, ...]]":
    """What to ignore and which real models to offer: from flags, from a suite, from whoever started us."""
    import json
    import sys

    from harness.standin.models import Endpoint, real_providers

    told = json.load(sys.stdin) if from_stdin else {"ignore": [], "providers": {}}
    configured = {
        name: (Endpoint(one["base_url"], one["api_key"]), one["models"])
        for name, one in told["providers"].items()
    }
    ignored = {*told["ignore"], *_known(ignore)}
    if suite is not None:
        from harness.suite.keys import standin_of
        from harness.suite.read import load_suite
        from harness.suite.servers import Standin

        written = standin_of(load_suite(suite)) or Standin()
        ignored |= set(written.ignore)
        for name, one in written.providers.items():
            key = one.api_key.get_secret_value() if one.api_key else None
            configured[name] = (Endpoint(one.base_url, key), one.models)
    return frozenset(ignored), real_providers(configured)


def _known(ignore: list[str]) -> list[str]:
    from harness.errors import UsageError, did_you_mean
    from harness.standin.simulate import IGNORABLE

    for name in ignore:
        if name not in IGNORABLE:
            near = did_you_mean(name, IGNORABLE)
            raise UsageError(
                f"--ignore {name}: no such setting; there are {', '.join(sorted(IGNORABLE))}{near}"
            )
    return ignore
