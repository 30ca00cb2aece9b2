"""What the tools do. These are no simulations: a conversion converts, a date is counted, a page is fetched.

Only the custom tools live here; internal search, web search and opening a page are the library's.
Conversions and dates are read from the question by pattern, which stands in for a model filling in arguments.
"""

import re
from datetime import date, timedelta
from typing import Any

from harness.standin.search import words

_LENGTH = {
    "mm": 0.001,
    "cm": 0.01,
    "m": 1.0,
    "km": 1000.0,
    "in": 0.0254,
    "ft": 0.3048,
    "yd": 0.9144,
    "mi": 1609.344,
}
_MASS = {"g": 0.001, "kg": 1.0, "t": 1000.0, "oz": 0.028349523125, "lb": 0.45359237}
_DATA = {
    "b": 1.0,
    "kb": 1e3,
    "mb": 1e6,
    "gb": 1e9,
    "tb": 1e12,
    "kib": 1024.0,
    "mib": 1024.0**2,
    "gib": 1024.0**3,
}
_TIME = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "wk": 604800.0}
_SCALES = (_LENGTH, _MASS, _DATA, _TIME)
_KELVIN = {"c": (1.0, 273.15), "f": (5 / 9, 459.67 * 5 / 9), "k": (1.0, 0.0)}
_NAMES = {
    "metre": "m",
    "meter": "m",
    "kilometre": "km",
    "kilometer": "km",
    "centimetre": "cm",
    "centimeter": "cm",
    "mile": "mi",
    "foot": "ft",
    "feet": "ft",
    "inch": "in",
    "inche": "in",
    "yard": "yd",
    "gram": "g",
    "kilogram": "kg",
    "kilo": "kg",
    "tonne": "t",
    "ounce": "oz",
    "pound": "lb",
    "second": "s",
    "sec": "s",
    "minute": "min",
    "hour": "h",
    "day": "d",
    "week": "wk",
    "byte": "b",
    "kilobyte": "kb",
    "megabyte": "mb",
    "gigabyte": "gb",
    "terabyte": "tb",
    "celsius": "c",
    "fahrenheit": "f",
    "kelvin": "k",
    "°c": "c",
    "°f": "f",
}
_QUESTION = re.compile(
    r"(-?\d[\d,]*(?:\.\d+)?)\s*(?:degrees\s+)?(°?[a-z]+)\s+(?:is\s+)?(?:to|in|into|as)\s+(?:degrees\s+)?(°?[a-z]+)",
    re.I,
)
_OWN = frozenset({"convert", "day", "days", "between", "after", "date"})
_DATE = re.compile(r"\b(\d{4}-\d\d-\d\d)\b")
_ADD = re.compile(r"\b(\d+)\s+days?\s+after\s+(\d{4}-\d\d-\d\d)", re.I)


def _unit(name: str) -> str | None:
    low = name.lower()
    short = _NAMES.get(low) or _NAMES.get(low.rstrip("s")) or low
    known = short in _KELVIN or any(short in scale for scale in _SCALES)
    return short if known else None


def conversion_in(question: str) -> dict[str, Any] | None:
    """The arguments for `unit_convert` that a question asks for: "5 km in miles"."""
    for match in _QUESTION.finditer(question):
        source, target = _unit(match[2]), _unit(match[3])
        if source and target:
            return {"value": float(match[1].replace(",", "")), "from": source, "to": target}
    return None


def beyond(question: str) -> list[str]:
    """The words of a question that are not part of a conversion or a date it asks for."""
    rest = _DATE.sub(" ", _ADD.sub(" ", _QUESTION.sub(" ", question)))
    return [word for word in words(rest) if word not in _OWN]


def dates_in(question: str) -> tuple[str, dict[str, Any]] | None:
    """The calendar operation and its arguments that a question asks for."""
    if added := _ADD.search(question):
        return "add_days", {"start": added[2], "days": int(added[1])}
    found = _DATE.findall(question)
    if len(found) >= 2 and "day" in question.lower():
        return "days_between", {"start": found[0], "end": found[1]}
    return None


def call(operation: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The result of a custom tool.

    `{"error": ...}` where the arguments make no sense, as an HTTP API answers.
    """
    try:
        match operation:
            case "unit_convert":
                return _convert(arguments["value"], arguments["from"], arguments["to"])
            case "days_between":
                days = date.fromisoformat(arguments["end"]) - date.fromisoformat(arguments["start"])
                return {"days": days.days}
            case "add_days":
                return {
                    "date": str(date.fromisoformat(arguments["start"]) + timedelta(days=arguments["days"]))
                }
    except KeyError as missing:
        return {"error": f"missing argument {missing}"}
    except (ValueError, OverflowError) as wrong:
        return {"error": str(wrong)}
    return {"error": f"no operation {operation!r}"}


def _convert(value: float, source: str, target: str) -> dict[str, Any]:
    if source in _KELVIN and target in _KELVIN:
        (scale, offset), (out_scale, out_offset) = _KELVIN[source], _KELVIN[target]
        result = (value * scale + offset - out_offset) / out_scale
    else:
        scales = [scale for scale in _SCALES if source in scale and target in scale]
        if not scales:
            raise ValueError(f"cannot convert {source} to {target}")
        result = value * scales[0][source] / scales[0][target]
    return {"value": round(result, 6), "unit": target}


def sentence(operation: str, arguments: dict[str, Any], result: dict[str, Any]) -> str:
    """What a model says about a result."""
    if "error" in result:
        return f"The tool could not do that: {result['error']}."
    match operation:
        case "unit_convert":
            return f"{arguments['value']:g} {arguments['from']} is {result['value']:g} {result['unit']}."
        case "days_between":
            return f"From {arguments['start']} to {arguments['end']} it is {result['days']} days."
    return f"{arguments['days']} days after {arguments['start']} is {result['date']}."
