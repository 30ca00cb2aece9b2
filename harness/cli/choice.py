"""The options by which `run` and `plan` choose what of a suite to take."""

import os
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import complete

SuitePath = Annotated[
    Path,
    typer.Argument(
        metavar="SUITE",
        help="The suite, a YAML file.",
        show_default=False,
        autocompletion=complete.suites,
    ),
]
RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A folder, an id, a suite (its latest run), a baseline, or latest.",
        show_default=False,
        autocompletion=complete.runs,
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        help="URL of a Sigma, or [bold]standin[/], in place of the suite's target; its key in SIGMA_API_KEY.",
        autocompletion=complete.targets,
    ),
]
Variants = Annotated[
    list[str] | None,
    typer.Option(
        "--variant",
        help="Only this variant; may be given again.",
        show_default=False,
        autocompletion=complete.variants,
    ),
]
Prompts = Annotated[
    list[str] | None,
    typer.Option(
        "--prompt",
        help="Only the prompt with this id; may be given again.",
        autocompletion=complete.prompts,
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="TAG",
        help="Only prompts with this tag; may be given again.",
        autocompletion=complete.tags,
    ),
]
Limit = Annotated[int | None, typer.Option(min=1, help="Only the first so many trials.")]
Repeat = Annotated[int | None, typer.Option(min=1, help="Repeats of every trial, whatever the suite says.")]
Rerun = Annotated[
    str | None,
    typer.Option(
        metavar="STATES",
        help="Only the trials that ended so in the latest whole run of the suite: failed, error, invalid, "
        "not_run, or several with commas. It makes a run of its own, that no gate rules on.",
        show_default=False,
    ),
]
Of = Annotated[
    str | None,
    typer.Option(
        "--of",
        metavar="RUN",
        help="With --rerun: of this run. A folder, an id, a suite, or latest.",
        show_default=False,
        autocompletion=complete.runs,
    ),
]
Yes = Annotated[
    bool,
    typer.Option("--yes", "-y", help="Do not ask before much is spent (the suite's budget, or --ask-above)."),
]
AskAbove = Annotated[
    list[str] | None,
    typer.Option(
        metavar="AMOUNT",
        help="Ask first where the run is forecast to take more than this, '2M tokens' or '5 usd'; may be "
        "given again. By default what the suite's budget has of both, or else 1M tokens and 10 USD.",
        show_default=False,
    ),
]
Processes = Annotated[
    str,
    typer.Option(
        metavar="N|auto",
        autocompletion=complete.processes,
        help="Processes of this machine that share the load; auto takes one for each of its cores. With "
        "--cluster: processes in all, spread over its nodes; one on each if not given.",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="WHERE",
        autocompletion=complete.clusters,
        help="Send the load from the nodes of a Ray cluster: [bold]local[/] (a Ray on this machine), "
        "[bold]auto[/] (the one that runs here), HOST:6379, or ray://HOST:10001 from outside.",
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of the order of trials.")]

# The way to the target: the suite's keys of these names, and what curl calls them.
CaFile = Annotated[
    Path | None,
    typer.Option("--ca-file", "--cacert", help="CAs to trust for the target, in place of the usual ones."),
]
ClientCert = Annotated[
    Path | None,
    typer.Option("--client-cert", "--cert", help="Our certificate for the target, with its key or without."),
]
ClientKey = Annotated[Path | None, typer.Option("--client-key", "--key", help="The key of --client-cert.")]
Proxy = Annotated[
    str | None, typer.Option(metavar="URL", help="Reach the target through this proxy; none goes directly.")
]
Insecure = Annotated[
    bool,
    typer.Option("--insecure", "-k", help="Take whoever answers for the target: no certificate is verified."),
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--api-key-file", help="The file that holds the key, and nothing else."),
]


def process_count(written: str, cluster: str | None = None) -> int:
    """How many processes *written* means. Raises `UsageError`."""
    from harness.errors import UsageError

    if written == "auto" and cluster is not None:
        raise UsageError(
            "--processes auto: counts the cores of this machine, not of a cluster; say how many in all, or "
            "leave it out for one on each node"
        )
    if written == "auto":
        return cores()
    if not (written.isascii() and written.isdecimal() and int(written)):
        raise UsageError(f"--processes {written}: a number from 1 on, or auto: one for each core ({cores()})")
    return int(written)


def cores() -> int:
    """How many cores this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
