"""`harness schema`: the JSON Schema of suites, for editors."""

from pathlib import Path
from typing import Annotated

import typer


def schema(
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write it here.", show_default="standard output"),
    ] = None,
) -> None:
    """Print the JSON Schema of suites, by which editors complete, explain and check them.

    Beside the suites and named in their first line, editors with yaml-language-server find it:

    # yaml-language-server: $schema=suite.schema.json
    """
    from harness.errors import UsageError
    from harness.suite.schema import FIRST_LINE, SCHEMA_FILE, schema_text

    if out is None:
        typer.echo(schema_text(), nl=False)
        return
    try:
        out.write_text(schema_text(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--out {out}: the file cannot be written: {error.strerror}") from None
    typer.echo(
        f"{out}: written; a suite beside it begins with: {FIRST_LINE.replace(SCHEMA_FILE, out.name)}",
        err=True,
    )
