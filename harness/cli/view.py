"""`harness view`: recorded runs, and those that go on, in a browser."""

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

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
        typer.Option("--allow-remote", help="Listen where other machines reach it, and ask for a token."),
    ] = False,
    with_token: Annotated[
        bool,
        typer.Option("--with-token", help="Ask for a token, which keeps other users of this machine out."),
    ] = False,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="A file with the token, else HARNESS_VIEW_TOKEN has it, else it is made.", show_default=False
        ),
    ] = None,
    results: Annotated[Path, typer.Option(help="Where runs are kept, if RESULTS is one run.")] = Path(
        "results"
    ),
    open_: Annotated[bool, typer.Option("--open/--no-open", help="Open it in a browser.")] = False,
) -> None:
    """Show runs in a browser: their trials turn by turn, packet by packet, side by side.

    Prints the address and serves until interrupted. A run that goes on is shown as it grows. Only this
    machine is answered, without a token; with one, the address that is printed has it: a browser opens that
    once, a program sends Authorization: Bearer TOKEN. Nothing is written, nobody is asked, and no code of a
    suite is run. Exit codes: 0 you ended it · 2 no such folder or run, or a bad option · 4 the port is taken.
    """
    import socket
    import webbrowser

    from harness.cli.doors import refuse_remote
    from harness.errors import UsageError
    from harness.view.app import create_app
    from harness.view.guard import TOKEN, Door
    from harness.view.server import listen, serve

    folder, opened = _where(run, results)
    remote = refuse_remote(host, allowed=allow_remote, does="reads every prompt and answer")
    token = _token(token_file, wanted=remote or with_token)
    if token is not None and open_:
        raise UsageError("--open would put the token on a command line, for all to see: open it yourself")
    names = {"localhost", host.lower()}
    if remote:
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        typer.echo(
            f"! Whoever has the address below reads every prompt and every answer in {folder}. It is plain "
            "http: so does whoever can listen on the way, and takes the token. Over networks that are not "
            "yours, use a tunnel (ssh -L) or a proxy with TLS.",
            err=True,
        )
    listener = listen(host, port)
    taken = listener.getsockname()[1]
    at = f"[{host}]" if ":" in host else host
    url = f"http://{at}:{taken}{opened}" + ("" if token is None else f"?{TOKEN}={quote(token, safe='')}")

    def ready() -> None:
        print(url, flush=True)
        if open_:
            webbrowser.open(url)

    serve(create_app(folder, Door(frozenset(names), token, taken)), listener, ready)


def _token(file: Path | None, *, wanted: bool) -> str | None:
    """The token that is asked for: one that was given is, wherever we listen."""
    from secrets import token_urlsafe

    from harness.cli.doors import held_secret

    given = held_secret(file, "--token-file", "HARNESS_VIEW_TOKEN", guarding=True)
    return given or (token_urlsafe(32) if wanted else None)


def _where(run: str, results: Path) -> tuple[Path, str]:
    """The folder of all results that is meant, and the page to open at."""
    from harness.errors import UsageError
    from harness.record.places import Place
    from harness.record.runs import run_folder
    from harness.record.store import MANIFEST

    folder = Path(run)
    if folder.is_dir() and not (folder / MANIFEST).is_file():
        return folder, "/"
    if run == "results" or (folder.is_absolute() and not folder.exists()):
        raise UsageError(f"{run}: no such folder; harness run SUITE makes it, or name where runs are kept")
    found = run_folder(run, results)
    return found.parent.parent, Place(found.parent.name, found.name, found).url
