"""Jinja2, sandboxed and strict; imported only for a suite that needs it.

A variable that is not defined is an error, never an empty text: a prompt with
a hole in it would be asked and graded like any other. What is random (the
``random`` filter, ``lipsum``) is taken away: a suite gives the same prompts each
time. How much a template may take is bounded.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

import jinja2
from jinja2 import nodes
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

from harness.errors import did_you_mean
from harness.suite import bounds
from harness.suite.templates import Complain

_UNDEFINED = re.compile(r"'(\w+)' is undefined")


class _Bounded(SandboxedEnvironment):
    """Jinja2's sandbox, in which a template pays for what it takes (`harness.suite.bounds`)."""

    intercepted_binops = frozenset({"*", "**", "%", "+"})
    concat = staticmethod(bounds.joined)

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        """The template with a count on each of its loops, and on the parts of each ``~``."""
        tree = super()._parse(source, name, filename)
        for loop in list(tree.find_all(nodes.For)):
            loop.iter = _filtered(loop.iter, _COUNTED)
        for text in list(tree.find_all(nodes.Concat)):
            text.nodes = [_filtered(part, _WRITTEN) for part in text.nodes]
        tree.set_environment(self)
        return tree

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805  theirs
        """What *__obj* gives, once it is paid for; a method is weighed with what it belongs to."""
        method = getattr(__obj, "__wrapped__", __obj)
        owner = getattr(method, "__self__", None)
        bounds.weigh(getattr(method, "__name__", ""), [owner, *args, *kwargs.values()])
        return bounds.charge(super().call(__context, __obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """What *operator* makes, once it is paid for."""
        bounds.weigh_operator(operator, left, right)
        return bounds.charge(super().call_binop(context, operator, left, right))


_COUNTED, _WRITTEN = " counted", " written"  # names that no template can write


def _filtered(node: nodes.Node, name: str) -> nodes.Expr:
    return nodes.Filter(cast(nodes.Expr, node), name, [], [], None, None, lineno=node.lineno)


# No autoescape: what is filled in is chat text, and HTML never comes near it.
_jinja = _Bounded(
    undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False, finalize=bounds.written
)
_jinja.globals.pop("lipsum")
_jinja.filters.pop("random")
_jinja.filters |= {name: bounds.paying(name, made_by) for name, made_by in _jinja.filters.items()}
_jinja.filters |= {_COUNTED: bounds.counted, _WRITTEN: bounds.written}
_compiled = lru_cache(maxsize=4096)(_jinja.from_string)  # by the reader, then by the plan


def render(source: str, variables: Mapping[str, Any], complain: Complain) -> str:
    """*source* with its variables; each undefined one, and whatever else is wrong, goes to *complain*."""
    with bounds.allowance():
        template = _template(source, complain)
        return "" if template is None else _filled(template, variables, complain)


def _template(source: str, complain: Complain) -> jinja2.Template | None:
    try:
        return _compiled(source)
    except jinja2.TemplateSyntaxError as error:
        complain(
            f"this template cannot be read: {error.message}; literal braces go into {{% raw %}}", r"\{[{%#]"
        )
    except (SyntaxError, RecursionError, MemoryError):  # what Python says of what Jinja2 made of it
        complain("this template cannot be read: it is nested too deeply", r"\{[{%#]")
    except ValueError as error:  # a number that Python does not write out
        complain(f"this template cannot be read: {error}", r"\{[{%#]")
    return None


def _filled(template: jinja2.Template, variables: Mapping[str, Any], complain: Complain) -> str:
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
        except (RecursionError, MemoryError):
            complain("this template cannot be filled in: it calls itself too deeply", r"\{[{%]")
            return ""
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
