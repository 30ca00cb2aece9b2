"""`harness run SUITE`: the main job."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli import complete
from harness.cli.choice import (
    AskAbove,
    CaFile,
    ClientCert,
    ClientKey,
    Cluster,
    Insecure,
    Limit,
    Of,
    Processes,
    Prompts,
    Proxy,
    Repeat,
    Rerun,
    Seed,
    Tags,
    Target,
    Variants,
    Yes,
    process_count,
)
from harness.cli.report import Html, Junit, Markdown, Otel, exporter, publish
from harness.cli.written import others_than

if TYPE_CHECKING:
    from rich.console import Console

    from harness.pipeline import Options, Run
    from harness.plan.trials import Choice
    from harness.record.store import Rerun as Selection
    from harness.report.tally import Tally


def run(
    context: typer.Context,
    suite: Annotated[
        Path | None,
        typer.Argument(
            metavar="SUITE",
            help="The suite, a YAML file; with --resume only where it lies elsewhere now.",
            show_default=False,
            autocompletion=complete.suites,
        ),
    ] = None,
    target: Target = None,
    ca_file: CaFile = None,
    client_cert: ClientCert = None,
    client_key: ClientKey = None,
    proxy: Proxy = None,
    insecure: Insecure = False,
    variant: Variants = None,
    prompt: Prompts = None,
    only: Tags = None,
    limit: Limit = None,
    repeat: Repeat = None,
    seed: Seed = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Conversations at once, in every phase.")] = None,
    processes: Processes = "1",
    cluster: Cluster = None,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Go on with a run that was killed or stopped: what is missing is sent, once. A folder, an "
            "id, a suite (its latest run), or latest.",
            autocompletion=complete.runs,
        ),
    ] = None,
    rerun: Rerun = None,
    of: Of = None,
    gate: Annotated[
        bool,
        typer.Option(
            "--gate", help="Decide by the suite's gates, and stop asking what is decided (gates.plan)."
        ),
    ] = False,
    baseline: Annotated[
        str | None,
        typer.Option(
            help="With --gate: hold it against this, a variant, a stored baseline or a run.",
            autocompletion=complete.baselines,
        ),
    ] = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at the first failure of Sigma.")
    ] = False,
    results: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("results"),
    html: Html = None,
    markdown: Markdown = None,
    junit: Junit = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON, on standard output.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="Serve what the run has come to as Prometheus text on 127.0.0.1, as long as it goes on; "
            "0 takes any free port.",
        ),
    ] = None,
    otel: Otel = False,
    ask_above: AskAbove = None,
    yes: Yes = False,
) -> None:
    """Run a suite: send every trial, record, grade, and print a summary per variant.

    Exit codes: 0 all passed · 1 some failed · 2 the suite or a name in it is wrong, nothing was sent ·
    3 some trials ended in an error, were invalid or were not run, or you interrupted or said no · 4 no Sigma
    answers, the results cannot be written, or a port is taken. With --gate the rules decide: 0 pass · 1 fail
    · 3 inconclusive.
    """
    from rich.console import Console

    from harness.cli.asking import before_spending
    from harness.cli.next_step import next_step
    from harness.drive.access import Access
    from harness.errors import Exit, UsageError
    from harness.pipeline import Options
    from harness.plan.trials import Choice

    begin = _to_start(suite) if resume is None else _to_resume(context, suite, resume, results)
    if baseline is not None and not gate:
        raise UsageError("--baseline: what for? add --gate")
    talk = Console(stderr=True)
    send = exporter() if otel else None
    choice = Choice(tuple(variant or ()), tuple(prompt or ()), tuple(only or ()), repeat, limit)
    choice, selection = to_rerun(context, suite, choice, talk)
    options = Options(
        choice=choice,
        rerun=selection,
        agree=None if yes else before_spending(results, ask_above or (), None if quiet else talk),
        seed=seed,
        target=target,
        access=Access(ca_file, client_cert, client_key, proxy, insecure=insecure),
        workers=workers,
        processes=process_count(processes, cluster),
        cluster=cluster,
        fail_fast=fail_fast,
        gate=gate,
        baseline=baseline,
        results=results,
        console=None if quiet else talk,
        interruptible=True,
    )
    try:
        with _metrics(metrics_port, talk) as onlooker:
            done = begin(replace(options, onlooker=onlooker))
    except KeyboardInterrupt:  # before the first trial, or after the last: between them it is the run's own
        talk.print("interrupted")
        raise typer.Exit(Exit.INCOMPLETE) from None
    show(done, as_json=as_json, talk=talk, warn=quiet)
    if not (quiet or as_json) and (step := next_step(done)):
        talk.print(step, highlight=False, markup=False, soft_wrap=True)
    publish(done.folder, markdown=markdown, junit=junit, html=html)
    if send is not None:
        talk.print(f"traces sent: {send(done.folder)}", highlight=False)
    raise typer.Exit(done.exit_code)


_WITH_RESUME = frozenset(
    {
        *(
            "suite",
            "resume",
            "results",
            "target",
            "workers",
            "processes",
            "cluster",
            "fail_fast",
            "html",
            "markdown",
            "junit",
        ),
        *("as_json", "quiet", "metrics_port", "otel", "ask_above", "yes"),
        *("ca_file", "client_cert", "client_key", "proxy", "insecure"),
    }
)


def _to_start(suite: Path | None) -> "Callable[[Options], Run]":
    from harness.errors import UsageError
    from harness.pipeline import run as run_suite

    if suite is None:
        raise UsageError(
            "which suite? harness run SUITE.yaml, or harness run --resume RUN to go on with one that stopped"
        )
    return partial(run_suite, suite)


def _to_resume(
    context: typer.Context, suite: Path | None, run: str, results: Path
) -> "Callable[[Options], Run]":
    """How to go on with *run*. Raises `UsageError` for an option that would make it another one."""
    from harness.errors import UsageError
    from harness.pipeline import resume
    from harness.record.runs import run_folder

    if others := others_than(context, _WITH_RESUME):
        raise UsageError(
            f"{', '.join(others)}: not with --resume, which asks what the run was to ask; leave it out"
        )
    folder = run_folder(run, results)
    return lambda options: resume(folder, options, suite)


def to_rerun(
    context: typer.Context, suite: Path | None, choice: "Choice", talk: "Console"
) -> "tuple[Choice, Selection | None]":
    """What of *choice* is asked again, and of which run, and says so; all of it where no rerun is asked for.

    Ends the command where nothing is left to be asked. Raises `UsageError` for an option that does not go
    with a rerun.
    """
    from harness.decide.rerun import NO_GATE, again, states_of
    from harness.errors import Exit, UsageError
    from harness.report.live import say
    from harness.suite.read import load_suite

    given = context.params
    if given["rerun"] is None or suite is None:
        if given["of"] is not None:
            raise UsageError("--of: what for? add --rerun failed, or failed,error")
        return choice, None
    if given.get("gate"):
        raise UsageError(NO_GATE)
    if choice.repeat is not None:
        raise UsageError(
            "--repeat: not with --rerun, which asks each trial again that ended so; leave it out"
        )
    states = states_of(given["rerun"])
    loaded = load_suite(suite, elsewhere=given["target"] is not None)
    found = again(loaded, choice, states, results=given["results"], of=given["of"])
    for line in found.told:
        say(talk, line)
    count = min(len(found.choice.trials), choice.limit or len(found.choice.trials))
    say(talk, f"a rerun of {count:,} of them" if count else "nothing is left to rerun", style="bold")
    if not count:
        raise typer.Exit(Exit.OK)
    return found.choice, found.rerun


@contextmanager
def _metrics(port: int | None, talk: "Console") -> "Iterator[Callable[[Tally], None] | None]":
    """Who looks on for Prometheus, where a *port* is given; it is taken before anything is sent."""
    if port is None:
        yield None
        return
    from harness.report.prometheus import serving

    with serving(port) as told:
        talk.print(f"metrics: {told.url}", highlight=False, soft_wrap=True)
        yield told.look


def show(done: "Run", *, as_json: bool, talk: "Console", warn: bool) -> None:
    """The figures go to standard output, the talk about them to standard error.

    *warn*: warnings have not been shown yet, since nothing was.
    """
    from harness.cli.next_step import what_next
    from harness.report.terminal import reasons, spending
    from harness.report.visible import document

    _warn(done, talk, everything=warn)
    if as_json:
        typer.echo(document(_as_told(done)))
    else:
        _figures(done)
    for sentence in spending(done.manifest.spent):
        talk.print(sentence, highlight=False, markup=False, soft_wrap=True)
    for line in reasons(done.not_passed()):
        talk.print(line, highlight=False, soft_wrap=True)
    for sentence in (f"results: {done.folder}", *what_next(done)):
        talk.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _figures(done: "Run") -> None:
    from rich.console import Console

    from harness.report.decided import ruling
    from harness.report.nodes import clock_lines
    from harness.report.terminal import exactness, named, summary_table, verdict_lines
    from harness.report.visible import visible

    figures, told = Console(), done.manifest
    figures.width = figures.width if figures.is_terminal else 160
    if told.rerun is not None:
        figures.print(named(f"this is {told.rerun.says}", "bold yellow"), soft_wrap=True)
    figures.print(summary_table(done.summary), crop=False)
    for line in (*verdict_lines(done.verdict), *exactness(told.calibration), *clock_lines(told.nodes)):
        figures.print(line)
    if done.ruling is not None:
        figures.print(ruling(done.ruling))
    for sentence in done.confirmed:
        figures.print(visible(sentence), highlight=False, markup=False, emoji=False)


def _as_told(done: "Run") -> dict[str, Any]:
    """What `--json` prints."""
    import msgspec

    told: dict[str, Any] = {"run_id": done.manifest.run_id, "exit_code": done.manifest.exit_code}
    told |= {"verdict": msgspec.to_builtins(done.verdict), "calibration": done.manifest.calibration}
    told |= {} if done.manifest.rerun is None else {"rerun": msgspec.to_builtins(done.manifest.rerun)}
    told |= {"nodes": msgspec.to_builtins(done.manifest.nodes)} if done.manifest.nodes else {}
    told |= msgspec.to_builtins(done.summary)
    return told | ({} if done.ruling is None else {"gate": msgspec.to_builtins(done.ruling)})


def _warn(done: "Run", talk: "Console", *, everything: bool) -> None:
    """That anybody was taken for the target stands beside the figures, too."""
    from harness.drive.access import UNVERIFIED
    from harness.report.visible import visible

    for warning in done.manifest.warnings:
        loud = warning.startswith(UNVERIFIED)
        if everything or loud:
            style = "bold red" if loud else "yellow"
            talk.print(f"warning: {visible(warning)}", style=style, markup=False, emoji=False, soft_wrap=True)
