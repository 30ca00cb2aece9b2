"""What a simulated model knows without looking anything up.

Capitals and arithmetic, and that it knows nothing else.
"""

import ast
import operator
import re
from collections.abc import Callable

_CAPITALS = {
    "austria": "Vienna",
    "brazil": "Brasília",
    "canada": "Ottawa",
    "denmark": "Copenhagen",
    "egypt": "Cairo",
    "finland": "Helsinki",
    "france": "Paris",
    "germany": "Berlin",
    "greece": "Athens",
    "india": "New Delhi",
    "ireland": "Dublin",
    "italy": "Rome",
    "japan": "Tokyo",
    "kenya": "Nairobi",
    "norway": "Oslo",
    "poland": "Warsaw",
    "portugal": "Lisbon",
    "spain": "Madrid",
    "sweden": "Stockholm",
    "switzerland": "Bern",
}
_SUM = re.compile(r"\d[\d.\s]*(?:[-+*/x×]\s*\(?\s*\d[\d.\s)]*)+")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_OPERATIONS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return _OPERATIONS[type(op)](_value(left), _value(right))
    raise ValueError("not a sum")


def _arithmetic(question: str) -> str | None:
    match = _SUM.search(_DATE.sub(" ", question))
    if match is None:
        return None
    text = match[0].strip().replace("x", "*").replace("×", "*")
    try:
        return f"{text} = {_value(ast.parse(text, mode='eval').body):g}."
    except (SyntaxError, ValueError, ZeroDivisionError):
        return None


def known(question: str) -> str | None:
    """The answer to a question that needs no tool, or None."""
    low = question.lower()
    if "capital" in low:
        for country, capital in _CAPITALS.items():
            if country in low:
                return f"The capital of {country.capitalize()} is {capital}."
    return _arithmetic(question)
