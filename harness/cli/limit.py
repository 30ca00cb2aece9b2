"""`harness limit SUITE`: the highest load under which an SLO holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from harness.cli.choice import (
    AskAbove,
    CaFile,
    ClientCert,
    ClientKey,
    Insecure,
    Prompts,
    Proxy,
    Seed,
    SuitePath,
    Tags,
    Target,
    Variants,
    Yes,
)

if TYPE_CHECKING:
    from harness.limit.search import Span
    from harness.limit.seeking import Found
    from harness.limit.slo import Term
    from harness.suite.model import Suite


def limit(
    suite: SuitePath,
    slo: Annotated[
        str | None,
        typer.Option(
            help='What has to hold, such as "ttft.p95<2s, error_rate<1%"; if not said, what the gates of the '
            "suite hold against a number."
        ),
    ] = None,
    quality: Annotated[str | None, typer.Option(help='And of the answers: "pass_rate>0.9".')] = None,
    concurrency: Annotated[
        bool, typer.Option("--concurrency", help="Look for a number of workers, not for a rate.")
    ] = False,
    arrivals: Annotated[
        Literal["poisson", "constant"], typer.Option(help="How the arrivals of a rate are spaced.")
    ] = "poisson",
    start: Annotated[
        str | None, typer.Option(metavar="LOAD", help="The first load: 2/s, 30/m, or so many workers.")
    ] = None,
    most: Annotated[
        str | None, typer.Option("--max", metavar="LOAD", help="No load above this is asked.")
    ] = None,
    longest: Annotated[
        str, typer.Option("--for", metavar="TIME", help="How long a probe is measured at the longest.")
    ] = "60s",
    cool_down: Annotated[
        str, typer.Option(metavar="TIME", help="How long nothing is asked after a load that was too high.")
    ] = "5s",
    tolerance: Annotated[
        str, typer.Option(help="How close the loads that hold and do not hold are to come to each other.")
    ] = "5%",
    target: Target = None,
    ca_file: CaFile = None,
    client_cert: ClientCert = None,
    client_key: ClientKey = None,
    proxy: Proxy = None,
    insecure: Insecure = False,
    variant: Variants = None,
    prompt: Prompts = None,
    only: Tags = None,
    seed: Seed = 0,
    results: Annotated[Path, typer.Option(help="Where the runs of the probes are kept.")] = Path("results"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON, on standard output.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    ask_above: AskAbove = None,
    yes: Yes = False,
) -> None:
    """Find the highest load that holds: doubling, then bisection, each probe a run of its own.

    A probe ends as soon as it is decided, or the server turns away what it is asked. Where this machine and
    not the server is the limit, that is the answer.

    Exit codes: 0 found, or the highest allowed load holds · 1 not even the lowest holds · 2 the suite, a name
    or the SLO is wrong, or nobody can be asked, and nothing was sent · 3 this machine is the limit, or the
    search was stopped, what is known is shown; or you said no · 4 no Sigma answers.
    """
    from rich.console import Console

    from harness.cli.asking import before_searching
    from harness.conduct.options import Options
    from harness.drive.access import Access
    from harness.errors import UsageError
    from harness.limit.probing import Asked
    from harness.limit.seeking import folder_of
    from harness.limit.seeking import limit as seek
    from harness.plan.trials import Choice
    from harness.report.visible import visible
    from harness.suite.read import load_suite

    if concurrency and arrivals != "poisson":
        raise UsageError(
            f"--arrivals {arrivals}: workers have none, each begins when it is free; leave it out"
        )
    read = load_suite(suite, elsewhere=target is not None)
    terms = _terms(read, slo, quality)
    for_ns = _duration("--for", longest, least_ns=1_000_000_000)
    span = _span(terms, for_ns, start=start, most=most, tolerance=tolerance, whole=concurrency)
    talk = Console(stderr=True)
    console = None if quiet else talk
    above = ask_above or ()
    agree = None if yes else before_searching(results, above, console, read.name, span, for_ns)
    options = Options(
        choice=Choice(tuple(variant or ()), tuple(prompt or ()), tuple(only or ())),
        seed=seed,
        target=target,
        access=Access(ca_file, client_cert, client_key, proxy, insecure=insecure),
        results=results,
        console=console,
        interruptible=True,
        agree=agree,
    )
    asked = Asked(read, terms, options, for_ns, "workers" if concurrency else "rate", arrivals)

    def say(words: str) -> None:
        if not quiet:
            talk.print(visible(words), style="bold", highlight=False, markup=False, soft_wrap=True)

    found = seek(asked, span, cool_down_s=_duration("--cool-down", cool_down) / 1e9, say=say)
    _show(found, terms, as_json=as_json)
    if found.probes:
        where = folder_of(found.suite, results)
        talk.print(f"probes: {where}", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(found.exit_code)


def _show(found: "Found", terms: "tuple[Term, ...]", *, as_json: bool) -> None:
    """What was found, on standard output."""
    from rich.console import Console

    from harness.limit.telling import lines_of, probes_table
    from harness.report.fitting import Fitting
    from harness.report.visible import document

    if as_json:
        typer.echo(document(found))
        return
    figures = Console()
    figures.width = figures.width if figures.is_terminal else 200
    figures.print(Fitting(probes_table(found, terms)), crop=False)
    for line in lines_of(found, terms):
        figures.print(line, highlight=False, soft_wrap=True)


def _terms(suite: "Suite", slo: str | None, quality: str | None) -> "tuple[Term, ...]":
    from harness.errors import UsageError
    from harness.limit.slo import read_slo, slo_of

    if slo is None and quality is None:
        slo, quality = slo_of(suite)
    terms = read_slo(slo, quality)
    if not terms:
        raise UsageError(
            'what has to hold? --slo "ttft.p95<2s, error_rate<1%"; or rules with a max or min in the gates '
            "of the suite"
        )
    return terms


def _span(
    terms: "tuple[Term, ...]",
    for_ns: int,
    *,
    start: str | None,
    most: str | None,
    tolerance: str,
    whole: bool,
) -> "Span":
    """Where to search. Raises `UsageError` where a load is none, or too low for its terms to be told."""
    from math import ceil, sqrt

    from harness.errors import UsageError
    from harness.limit.search import Span
    from harness.suite import literals

    try:
        within = literals.share(tolerance)
    except ValueError as error:
        raise UsageError(f"--tolerance {tolerance}: {error}") from None
    if not 0.01 <= within <= 0.5:
        raise UsageError(f"--tolerance {tolerance}: it lies between 1% and 50%")
    highest = None if most is None else _load("--max", most, whole=whole)
    if whole:
        first = 1.0 if start is None else _load("--start", start, whole=True)
        least = 1.0
    else:
        needs = max(terms, key=lambda term: term.least)
        # By chance fewer come than on average: three standard errors of a Poisson count.
        least = ceil((needs.least + 3 * sqrt(needs.least)) / (for_ns / 1e9) * 1e3) / 1e3
        first = max(1.0, least) if start is None else _load("--start", start, whole=False)
        if first < least:
            raise UsageError(
                f"--start {start}: {needs.told} asks for {needs.least} trials, and for that, as they come by "
                f"chance, for {least:g}/s over {for_ns / 1e9:g} s; start higher, or ask for longer (--for)"
            )
    if highest is not None and highest < first:
        raise UsageError(f"--max {most}: this is less than the first load, {first:g}; --start says that")
    return Span(first, min(first, least), highest, within, whole=whole)


def _load(option: str, written: str, *, whole: bool) -> float:
    from harness.errors import UsageError
    from harness.suite import literals

    if whole:
        if not (written.isascii() and written.isdecimal() and int(written)):
            raise UsageError(
                f"{option} {written}: with --concurrency a load is a number of workers, such as 8"
            )
        return float(written)
    try:
        return literals.rate(written if "/" in written else f"{written}/s")
    except ValueError as error:
        raise UsageError(f"{option} {written}: {error}") from None


def _duration(option: str, written: str, *, least_ns: int = 0) -> int:
    from harness.errors import UsageError
    from harness.suite.literals import duration

    try:
        found = duration(written)
    except ValueError as error:
        raise UsageError(f"{option} {written}: {error}") from None
    if found < least_ns:
        raise UsageError(f"{option} {written}: at least {least_ns / 1e9:g} s are wanted")
    return found
