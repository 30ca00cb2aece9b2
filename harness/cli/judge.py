"""`harness judge label RUN`: people say of a sample what the judge should have said."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.choice import RunName

if TYPE_CHECKING:
    from rich.console import Console

    from harness.record.labels import Item

judge = typer.Typer(name="judge", help="Find out how good the judge is.", no_args_is_help=True)

KEYS = "[p]ass  [f]ail  [s]kip  [b]ack  [q]uit"


@judge.callback()
def _root() -> None:
    """Find out how good the judge is."""


@judge.command()
def label(
    run: RunName,
    sample: Annotated[int, typer.Option(min=1, help="How many answers to label, at most.")] = 50,
    seed: Annotated[int, typer.Option(help="Seed of the sample.")] = 0,
    labels: Annotated[
        Path | None,
        typer.Option(help="The file of labels.", show_default="judge.labels of the suite, or RUN/labels.csv"),
    ] = None,
    by: Annotated[str, typer.Option(envvar="USER", help="Who labels.")] = "",
    results: Annotated[Path, typer.Option(help="Where runs are kept.")] = Path("results"),
) -> None:
    """Label a sample of judged answers by hand, to know how far the judge can be trusted.

    As many answers are drawn that the judge passed as it failed, in random order; neither its verdict nor the
    variant is shown. Each label is kept at once, so stop whenever you like: the next time goes on with what
    has none. With labels every summary has the judge's sensitivity, specificity and kappa, and pass rates
    that are corrected for its mistakes.
    """
    from rich.console import Console

    from harness.errors import Exit, UsageError
    from harness.pipeline import judged_items
    from harness.record import labels as book
    from harness.record.runs import run_folder

    folder = run_folder(run, results)
    items, judges_file = judged_items(folder)
    path = labels or judges_file
    done = frozenset(each.question for each in book.read(path)) if path.exists() else frozenset[str]()
    drawn = book.draw(items, sample, seed, without=done)
    talk = Console(stderr=True)
    if not drawn:
        if done:
            talk.print(f"every judged answer of this run has a label in {path}", markup=False)
            raise typer.Exit(Exit.OK)
        raise UsageError(
            f"{folder}: no judge has decided anything in this run: its suite needs a judge: and checks such "
            "as llm-rubric; harness grade RUN asks what is open"
        )
    try:
        count = _label_all(drawn, path, by, talk)
    except (KeyboardInterrupt, EOFError):
        count = 0
        talk.print("")
    kept = len(book.read(path)) if path.exists() else 0
    talk.print(
        f"{count} labelled now, {kept} in all, in {path}", markup=False, highlight=False, soft_wrap=True
    )
    talk.print("harness grade shows what they say of the judge", style="dim")


def _label_all(drawn: "Sequence[Item]", path: Path, by: str, talk: "Console") -> int:
    """Ask for each of *drawn*; how many have a label now."""
    from harness.record import labels as book

    said: dict[int, bool] = {}
    at = 0
    while at < len(drawn):
        for line in _shown(drawn[at], at + 1, len(drawn)):
            talk.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)
        match talk.input(f"{KEYS} > ", markup=False).strip().casefold():
            case "p" | "pass" | "f" | "fail" as answer:
                said[at] = answer.startswith("p")
                book.append(path, drawn[at], human=said[at], by=by)
                at += 1
            case "s" | "skip":
                at += 1
            case "b" | "back":
                at = max(0, at - 1)
            case "q" | "quit":
                break
            case other:
                talk.print(f"{other!r} is none of {KEYS}", style="yellow", markup=False)
    return len(said)


def _shown(item: "Item", place: int, count: int) -> Iterator[str]:
    """What a person needs to decide, and nothing of what the judge or the variant was."""
    from harness.report.visible import cut

    yield ""
    yield f"──── {place} of {count} · {item.check} " + "─" * 40
    for name, text in (*item.question.sections, ("ANSWER", item.question.answers[0])):
        yield f"{name}:"
        yield from (f"    {line}" for line in cut(text).split("\n"))
    yield "Does the ANSWER meet the CRITERION?"
