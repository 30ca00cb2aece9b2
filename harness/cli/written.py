"""Which options stand on the command line: what a key in the environment sets may be for another command."""

from collections.abc import Collection

import typer


def others_than(context: typer.Context, allowed: Collection[str]) -> list[str]:
    """The options that were written and are none of *allowed*, as they are written."""
    return [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in allowed and _was_written(context, str(parameter.name))
    ]


def _was_written(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
