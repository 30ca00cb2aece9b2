"""Jinja2, sandboxed and strict; imported only for a suite that needs it.

A variable that is not defined is an error, never an empty text: a prompt with
a hole in it would be asked and graded like any other. What is random (the
``random`` filter, ``lipsum``) is taken away: a suite gives the same prompts each
time.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import jinja2
from jinja2.sandbox import SandboxedEnvironment

from harness.errors import did_you_mean
from harness.suite.templates import Complain

_UNDEFINED = re.compile(r"'(\w+)' is undefined")

# No autoescape: what is filled in is chat text, and HTML never comes near it.
_jinja = SandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
_jinja.globals.pop("lipsum")
_jinja.filters.pop("random")
_compiled = lru_cache(maxsize=4096)(_jinja.from_string)  # by the reader, then by the plan


def render(source: str, variables: Mapping[str, Any], complain: Complain) -> str:
    """*source* with its variables; each undefined one, and whatever else is wrong, goes to *complain*."""
    try:
        template = _compiled(source)
    except jinja2.TemplateSyntaxError as error:
        complain(
            f"this template cannot be read: {error.message}; literal braces go into {{% raw %}}", r"\{[{%#]"
        )
        return ""
    known = dict(variables)
    while True:
        try:
            return template.render(known)
        except jinja2.UndefinedError as error:
            name = _UNDEFINED.search(str(error))
            if name is None or name[1] in known:
                if len(known) == len(variables):
                    complain(f"{error.message}; a variable has only what vars gave it", r"\{[{%]")
                return ""
            complain(_undefined(name[1], variables), rf"\{{[{{%][^}}]*?(?<![\w.])({name[1]})\b")
            known[name[1]] = jinja2.ChainableUndefined()  # blank, to hear of the next one
        except (
            jinja2.TemplateError,
            ArithmeticError,
            AttributeError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:
            if len(known) == len(variables):  # else it may come of the blank put in above
                complain(f"this template cannot be filled in: {error}", r"\{[{%]")
            return ""


def _undefined(name: str, variables: Mapping[str, Any]) -> str:
    available = (
        f"defined here: {', '.join(sorted(variables))}" if variables else "no variables are defined here"
    )
    close = did_you_mean(name, variables)
    return f'variable "{name}" is not defined{close or ";"} {available} (vars of the prompt, or of defaults)'
