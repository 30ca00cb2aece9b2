"""Tables in a terminal that is too narrow for them: rich would leave of each column a letter and dots."""

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table

_WIDEST = 110
"""Characters of a line beyond which cells are folded all the same."""


def plain() -> Table:
    """A table without lines, with a heading."""
    return Table(box=None, pad_edge=False, header_style="bold", show_edge=False)


class Fitting:
    """The first of several *forms* that fits into the terminal, which are the same in ever fewer characters.

    Where none does, the last is as wide as it has to be, and the terminal wraps its lines: nothing is lost.
    It is to be printed with ``crop=False``. What is no terminal gets the first. No line ends in blanks.
    """

    def __init__(self, *forms: RenderableType) -> None:
        self.forms = forms

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        form, width = self._chosen(console, options) if console.is_terminal else (0, options.max_width)
        for line in console.render_lines(self.forms[form], options.update(width=width), pad=False):
            yield from _without_blanks(line)
            yield Segment.line()

    def _chosen(self, console: Console, options: ConsoleOptions) -> tuple[int, int]:
        free = options.update(max_width=10 * _WIDEST)
        needs = [Measurement.get(console, free, form).maximum for form in self.forms]
        fits = (at for at, width in enumerate(needs) if width <= options.max_width)
        form = next(fits, len(needs) - 1)
        return form, max(options.max_width, min(needs[form], _WIDEST))


def _without_blanks(line: Sequence[Segment]) -> Iterator[Segment]:
    said = max((at for at, part in enumerate(line) if part.text.strip()), default=-1)
    yield from line[: max(said, 0)]
    if said >= 0:
        yield Segment(line[said].text.rstrip(), line[said].style)
