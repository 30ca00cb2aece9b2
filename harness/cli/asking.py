"""A question to whoever sits at the terminal, before something that cannot be taken back."""

import sys

import typer


def agreed(question: str, *, what: str) -> bool:
    """Whether the answer to *question* was yes; a Ctrl-C is a no.

    Raises `UsageError` where nobody is there to answer; *what* is what would be done.
    """
    import click

    from harness.errors import UsageError
    from harness.report.visible import visible

    if not sys.stdin.isatty():
        raise UsageError(f"{what}: nobody is at a terminal to be asked; --yes goes on without asking")
    try:
        return typer.confirm(visible(question), err=True)
    except click.Abort:
        typer.echo("", err=True)
        return False
