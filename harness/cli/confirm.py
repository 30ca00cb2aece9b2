"""`harness confirm RUN`: what failed is asked again, until it is known to fail."""

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import complete
from harness.cli.choice import (
    AskAbove,
    CaFile,
    ClientCert,
    ClientKey,
    Insecure,
    Proxy,
    RunName,
    Seed,
    Target,
    Yes,
)


def confirm(
    run: RunName,
    suite: Annotated[
        Path | None,
        typer.Option(
            help="The suite, if it is not where it was, or was changed since.",
            autocompletion=complete.suites,
        ),
    ] = None,
    target: Target = None,
    ca_file: CaFile = None,
    client_cert: ClientCert = None,
    client_key: ClientKey = None,
    proxy: Proxy = None,
    insecure: Insecure = False,
    seed: Seed = 0,
    results: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("results"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON, on standard output.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    ask_above: AskAbove = None,
    yes: Yes = False,
) -> None:
    """Ask the prompts that failed in a run again, each until it is confirmed, or found to be flaky.

    A sequential test of a pass rate of 60 % against 90 %, with a chance of error of 5 % on either side and at
    most 30 fresh repeats a prompt; it makes a run of its own. Exit codes: 0 all were flaky · 1 some are
    confirmed · 2 no such run, or nothing failed in it · 3 some are undecided, invalid, or you interrupted ·
    4 no Sigma answers.
    """
    from rich.console import Console

    from harness.cli.asking import before_spending
    from harness.cli.run import show
    from harness.drive.access import Access
    from harness.errors import Exit
    from harness.pipeline import Options
    from harness.pipeline import confirm as ask_again
    from harness.record.runs import run_folder

    talk = Console(stderr=True)
    options = Options(
        seed=seed,
        target=target,
        access=Access(ca_file, client_cert, client_key, proxy, insecure=insecure),
        results=results,
        agree=None if yes else before_spending(results, ask_above or (), None if quiet else talk),
        console=None if quiet else talk,
        interruptible=True,
    )
    try:
        done = ask_again(run_folder(run, results), options, suite)
    except KeyboardInterrupt:
        talk.print("interrupted")
        raise typer.Exit(Exit.INCOMPLETE) from None
    show(done, as_json=as_json, talk=talk, warn=quiet)
    raise typer.Exit(done.exit_code)
