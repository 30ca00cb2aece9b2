"""`harness view`: recorded runs, and those that go on, in a browser."""

from pathlib import Path
from typing import Annotated

import typer


def view(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RESULTS",
            help="Where runs are kept, or one run to open at: a folder, an id, a suite, or latest.",
        ),
    ] = "results",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free port.")] = 8321,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    allow_remote: Annotated[
        bool,
        typer.Option(
            "--allow-remote", help="Listen where other machines reach it; whoever does reads everything."
        ),
    ] = False,
    results: Annotated[Path, typer.Option(help="Where runs are kept, if RESULTS is one run.")] = Path(
        "results"
    ),
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open it in a browser.")] = False,
) -> None:
    """Show runs in a browser: their trials turn by turn, packet by packet, side by side.

    Prints the address and serves until interrupted. A run that goes on is shown as it grows. Only this
    machine is answered. Nothing is written, nobody is asked, and no code of a suite is run.
    """
    import socket
    import webbrowser

    from harness.errors import UsageError
    from harness.view.app import create_app, listen, serve
    from harness.view.guard import is_loopback

    folder, opened = _where(run, results)
    remote = not is_loopback(host)
    if remote and not allow_remote:
        raise UsageError(
            f"--host {host}: other machines may reach that, and whoever does reads every prompt and answer; "
            "add --allow-remote if that is meant"
        )
    names = {"localhost", host.lower()}
    if remote:
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        typer.echo(f"! Whoever reaches {host} reads every prompt and every answer in {folder}.", err=True)
    listener = listen(host, port)
    at = f"[{host}]" if ":" in host else host
    url = f"http://{at}:{listener.getsockname()[1]}{opened}"

    def ready() -> None:
        print(url, flush=True)
        if open_:
            webbrowser.open(url)

    serve(create_app(folder, frozenset(names)), listener, ready)


def _where(run: str, results: Path) -> tuple[Path, str]:
    """The folder of all results that is meant, and the page to open at."""
    from harness.errors import UsageError
    from harness.record.runs import run_folder
    from harness.record.store import MANIFEST
    from harness.view.places import Place

    folder = Path(run)
    if folder.is_dir() and not (folder / MANIFEST).is_file():
        return folder, "/"
    if run == "results" or (folder.is_absolute() and not folder.exists()):
        raise UsageError(f"{run}: no such folder; harness run SUITE makes it, or name where runs are kept")
    found = run_folder(run, results)
    return found.parent.parent, Place(found.parent.name, found.name, found).url
