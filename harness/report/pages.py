"""Our own pages: Jinja2 with every value escaped, and how numbers and texts look in them.

What is shown comes from prompts and answers, which may be hostile. Autoescape makes text of all markup;
`visible` shows what would turn a line round, or be acted on by a terminal that it is pasted into.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from harness.report.terminal import DASH
from harness.report.visible import LONGEST as CUT
from harness.report.visible import cut

_LONG = re.compile(r"\S{200}")


def environment(*folders: Path) -> jinja2.Environment:
    """Templates in *folders*, after those shared by all pages. An undefined name is an error, never a gap."""
    loader = jinja2.FileSystemLoader([*folders, Path(__file__).parent / "templates"])
    pages = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    filters: dict[str, Callable[..., str]] = {
        "ms": ms,
        "number": number,
        "share": share,
        "plain": plain,
        "words": words,
    }
    pages.filters |= filters
    pages.globals["breakable"] = breakable
    return pages


def ours(text: str) -> Markup:
    """*text* as it is, markup and all: for what we wrote ourselves, and never for what came from outside."""
    return Markup(text)  # noqa: S704  ours


def ms(value: float | None) -> str:
    """A time in ms: 87.8 ms, 1,204 ms, 12.3 s; a dash where there is none."""
    if value is None:
        return DASH
    if value >= 10_000:
        return f"{value / 1000:,.1f} s"
    return f"{value:,.{1 if value < 100 else 0}f} ms"


def number(value: float | None) -> str:
    """A count or an amount; a dash where there is none."""
    if value is None:
        return DASH
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.{3 if value < 1 else 1 if value < 100 else 0}f}"


def share(value: float | None) -> str:
    """A share in percent; a dash where there is none."""
    return DASH if value is None else f"{value:.1%}"


def plain(value: object, longest: int = CUT) -> str:
    """*value* as text with nothing hidden in it, and no longer than a page bears; says what it left out."""
    return cut(str(value), longest)


def breakable(text: str) -> Markup:
    """*text*, escaped, with places where a long word may be broken: a browser hangs over 20,000 letters."""
    at, stretches = 0, []
    for found in _LONG.finditer(text):
        stretches.append(text[at : found.end()])
        at = found.end()
    return Markup("<wbr>").join([*stretches, text[at:]])


def words(value: object) -> str:
    """The name of a state or a word of ours, as it reads: not run, server-saturated."""
    return str(value).replace("_", " ")


def render(pages: jinja2.Environment, template: str, **values: Any) -> str:
    """*template* with *values*."""
    return pages.get_template(template).render(**values)
