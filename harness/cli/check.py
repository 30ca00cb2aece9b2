"""`harness check TARGET`: what this Sigma can do and what this key may ask."""

from typing import Annotated

import typer

from harness.cli import complete
from harness.cli.choice import CaFile, ClientCert, ClientKey, Insecure, KeyFile, Proxy

QUESTION = "What is the capital of France?"


def check(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            envvar="SIGMA_URL",
            help="URL of a Sigma, with or without /api; the file of a suite; or [bold]standin[/].",
            show_default=False,
            autocompletion=complete.servers,
        ),
    ] = None,
    ask: Annotated[
        str | None,
        typer.Option(
            metavar="[MESSAGE]",
            help="Ask one question, too: yours, or one of ours. Its conversation is deleted again.",
            show_default=False,
        ),
    ] = None,
    api_key_file: KeyFile = None,
    ca_file: CaFile = None,
    client_cert: ClientCert = None,
    client_key: ClientKey = None,
    proxy: Proxy = None,
    insecure: Insecure = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON, on standard output.")] = False,
) -> None:
    """Say what a Sigma can do and what this key may ask, and how a suite names what is there.

    No model is asked, and nothing is left behind, also with --ask. The key is that of SIGMA_API_KEY, or of
    the suite. Exit codes: 0 · 2 there is no such suite, or the address is none · 3 you interrupted · 4 no
    Sigma answers, it refuses the key or takes it for nobody's, or with --ask there was no answer.
    """
    from functools import partial

    from rich.console import Console

    from harness.drive.access import Access
    from harness.drive.survey import look_around
    from harness.errors import Exit, UsageError
    from harness.report.abilities import stands_in_the_way
    from harness.report.checked import as_told, has_answered, lines
    from harness.report.live import say
    from harness.report.visible import document

    if target is None:
        raise UsageError(
            "check which Sigma? harness check URL, or set SIGMA_URL; harness check standin is ours"
        )
    access = Access(ca_file, client_cert, client_key, proxy, insecure=insecure)
    talk = Console(stderr=True)
    message = None if ask is None else ask or QUESTION
    try:
        seen, asked = look_around(
            target,
            access,
            api_key_file,
            message=message,
            say=partial(say, talk),
            warn=lambda words: say(talk, f"warning: {words}", style="bold red"),
        )
    except KeyboardInterrupt:
        talk.print("interrupted")
        raise typer.Exit(Exit.INCOMPLETE) from None
    if as_json:
        typer.echo(document(as_told(seen, asked)))
    else:
        figures = Console()
        for line in lines(seen, asked, figures.width if figures.is_terminal else None):
            figures.print(line, soft_wrap=True)
    if stands_in_the_way(seen) or (asked is not None and not has_answered(asked)):
        raise typer.Exit(Exit.ENVIRONMENT)
