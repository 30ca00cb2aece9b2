"""What a hostile answer holds: markup, escapes of a terminal, marks that turn a line round.

A model may be made to say anything, by a document that it reads as well as by whoever asks. So everything
that shows an answer is tried on this one: it has to stand there as text, and do nothing.
"""

from collections.abc import Iterator
from dataclasses import replace

from harness.standin.agent import Call, run_custom, run_search
from harness.standin.catalogue import CALENDAR, SEARCH
from harness.standin.draft import Draft
from harness.standin.search import NO_FILTERS, Hit, Library
from harness.standin.wire import Beat

TEXT = "\n".join(
    [
        "<b>\x1b[31m\u202e\x07\x00\r\b[bold]{{7*7}}|`*",  # whoever cuts after twenty letters still has some
        "<script>alert(1)</script> <img src=x onerror=alert(1)> </pre></textarea></title>",
        "<svg/onload=alert(1)> <style>*{display:none}</style> <iframe src=javascript:alert(1)></iframe>",
        "\x1b[31mred\x1b[0m \x1b]0;a title\x07 \x1b]8;;https://example.invalid\x1b\\a link\x1b]8;;\x1b\\",
        "\x1b[2J\x1b[H \x9b31m \x1bPq\x1b\\",
        "\u202eturned round\u202c \u2066set apart\u2069 \u200fmarked \u200bhidden\ufeff \U000e0041tagged",
        "nul\x00 return\rover it, back\b\b\b\b, deleted\x7f, next\x85line\u2028and\u2029paragraph",
        "{{ 7*7 }} {% raw %} ${HOME} $(id) `id`",
        "[bold red]markup[/bold red] [/] [link=https://example.invalid]a link[/link] :boom:",
        "[a link](javascript:alert(1)) ![an image](https://example.invalid/x.png) | a cell | **bold**",
        "```",
        "# a heading",
        "::error title=no error::of ours%0A",
        "]]> &lt;b&gt; &#x202e; <!-- -->",
        '=HYPERLINK("https://example.invalid")',
    ]
)
"""Each of these has done harm somewhere."""

TOOL = "days_between<script>alert(1)</script>\x1b[31m\u202e|[bold]"
"""The name of a tool, as hostile as the rest."""


def reply(draft: Draft, library: Library, size: int) -> Iterator[Beat]:
    """The beats of a reply that is hostile in every part; its last line has *size* letters, if any.

    The parts: reasoning, a tool's name, arguments and result, a document, its link, an answer that cites it.
    """
    yield from draft.think(TEXT)
    yield from run_custom(draft, Call(CALENDAR, TOOL, {TOOL: TEXT}), TEXT, 0)
    draft.turn += 1
    known = library.search(["atlas"])[0].document
    document = replace(
        known, id=f"{known.id}<b>", title=TEXT, link="javascript:alert(1)", text=TEXT, tags={TOOL: TEXT}
    )
    hit = Hit(document, 1.0)
    yield from run_search(draft, Call(SEARCH, SEARCH.name, {"queries": [TEXT]}), NO_FILTERS, [hit])
    draft.turn += 1
    draft.answer = ""
    yield from draft.say([TEXT, hit, f"\n{'A' * size}"])
