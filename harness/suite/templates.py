"""``{{ name }}`` filled in, as Jinja2 would.

A template with nothing but ``{{ name }}`` in it, as nearly all are, is filled in
here; the rest goes to Jinja2 (`harness.suite.sandbox`), which takes 50 ms to
import and 0.7 ms to compile each template: most of a second for a thousand
prompts. A property test holds the short way to Jinja2's results.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

Complain = Callable[[str, str], None]
"""Takes a message, and a regular expression that finds the spot in the template."""

_SIMPLE = re.compile(r"(?<!\{)\{\{\s*([A-Za-z_]\w*)\s*\}\}(?!\})", re.ASCII)
_MARKS = re.compile(r"\{[{%#]|[%#]\}")


def is_template(text: str) -> bool:
    """Whether *text* has anything to fill in."""
    return "{{" in text or "{%" in text or "{#" in text


def render(source: str, variables: Mapping[str, Any], complain: Complain) -> str:
    """*source* with its variables. What is wrong with it goes to *complain*; the text is then of no use."""
    if not is_template(source):
        return source
    simple = _SIMPLE.sub("", source)
    if (
        not _MARKS.search(simple)
        and "\r" not in source
        and all(name in variables for name in _SIMPLE.findall(source))
    ):
        return _SIMPLE.sub(lambda match: str(variables[match[1]]), source)
    from harness.suite import sandbox  # noqa: PLC0415 - 50 ms that most suites never pay

    return sandbox.render(source, variables, complain)
