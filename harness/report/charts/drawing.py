"""A chart drawn: as SVG in the colours of the page that it stands in, or as PNG.

Vega draws with stand-in colours. In an SVG they become the variables of the page's style sheet (look.css), so
that a chart follows its page into the dark; in a PNG the light ones. Whatever Vega says for screen readers of
each of its marks goes: a chart is one picture with a name.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any, TypeAlias
from xml.etree import ElementTree

import altair as alt
import vl_convert
from altair.utils.schemapi import debug_mode

from harness.report.visible import visible

DESK, PHONE = 1100, 360
"""Widths that pages want."""
NARROW = 600
"""Below this a chart has fewer ticks, and its legend beneath."""


Drawing: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart | alt.VConcatChart


@dataclass(frozen=True, slots=True)
class Chart:
    """Something to look at.

    *name* is its anchor and the name of its file, *says* one or two sentences: what is shown, of how many,
    and what was left out. *draw* makes it for a width in pixels.
    """

    name: str
    title: str
    says: str
    draw: Callable[[int], Drawing] = field(repr=False)


# What stands in for the colours of the page, and what these are on white.
_LIGHT = {
    "ground": "#ffffff",
    "line": "#d5d9e0",
    "ink": "#1b1f27",
    "soft": "#545c6b",
    "grid": "#e4e7ec",
    "good": "#00664b",
    "bad": "#b3261e",
    "warn": "#8a5a00",
    "odd": "#8f2f7c",
    "c1": "#0072b2",
    "c2": "#c24e00",
    "c3": "#007a5a",
    "c4": "#a83f85",
    "c5": "#8a6a00",
    "c6": "#2a7fae",
    "c7": "#5b5f97",
    "c8": "#555c66",
}
INK = {name: f"#fe00{at:02x}" for at, name in enumerate(_LIGHT)}
"""The colours that charts are drawn with, by their names in look.css."""

_ON_PAGE = {INK[name]: f"var(--{name})" for name in INK}
_ON_WHITE = {INK[name]: color for name, color in _LIGHT.items()}
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_FONT_ON_WHITE = "'DejaVu Sans', 'Liberation Sans', Arial, sans-serif"
_SVG = "http://www.w3.org/2000/svg"
ElementTree.register_namespace("", _SVG)


def svg(chart: Chart, width: int) -> str:
    """*chart* as an SVG element for a page with look.css, as wide as *width*.

    It has no styles, scripts or references of its own, and its ids begin with its name and width: several
    stand on one page.
    """
    root = _drawn(_made(chart, width))
    _clean(root, _ON_PAGE, f"{chart.name}-{width}-", _FONT)
    root.set("role", "img")
    root.set("aria-label", visible(f"{chart.title}. {chart.says}"))
    return ElementTree.tostring(root, encoding="unicode")


def png(chart: Chart) -> bytes:
    """*chart* as PNG on white, 900 pixels wide at twice the density, with its title and what it says."""
    said = wrap(visible(chart.says), 125)
    drawn = _made(chart, 900)
    drawn.padding = 20
    drawn.title = alt.TitleParams(visible(chart.title), subtitle=said)
    root = _drawn(drawn)
    _clean(root, _ON_WHITE, "", _FONT_ON_WHITE)
    ground = ElementTree.Element(f"{{{_SVG}}}rect", width="100%", height="100%", fill=_LIGHT["ground"])
    root.insert(0, ground)
    return vl_convert.svg_to_png(ElementTree.tostring(root, encoding="unicode"), scale=2)


def _made(chart: Chart, width: int) -> Drawing:
    with debug_mode(arg=False):  # else every part is validated as it is made, which tests do
        return chart.draw(width)


def _drawn(chart: Drawing) -> ElementTree.Element:
    spec = chart.to_dict(validate=False)  # tests do; of a thousand rows it takes longer than drawing them
    spec["config"] = _LOOK
    drawn = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    return ElementTree.fromstring(drawn)  # noqa: S314  drawn here; names in it are escaped


BROADER = 1.2
"""By how much some fonts are broader than the one that is measured with: texts are laid out as if larger."""
TEXT, SMALL = 12 * BROADER, 11 * BROADER
"""Sizes of text that come out as 12 and 11 pixels."""
_TEXT = {
    "labelFontSize": TEXT,
    "titleFontSize": TEXT,
    "titleFontWeight": "normal",
    "labelFontWeight": "normal",
}
_LOOK: dict[str, Any] = {
    "background": None,
    "font": "Arial, 'Liberation Sans', sans-serif",
    "padding": {"left": 2, "top": 2, "right": 12, "bottom": 2},
    "view": {"stroke": None},
    "axis": {
        **_TEXT,
        "labelColor": INK["soft"],
        "titleColor": INK["soft"],
        "gridColor": INK["grid"],
        "domainColor": INK["line"],
        "tickColor": INK["line"],
        "tickSize": 4,
        "labelPadding": 5,
        "labelLimit": 312,
    },
    "axisX": {"titlePadding": 8},
    "axisY": {
        "domain": False,
        "ticks": False,
        "titleAngle": 0,
        "titleAlign": "left",
        "titleAnchor": "start",
        "titleBaseline": "bottom",
        "titleY": -8,
    },
    "legend": {
        **_TEXT,
        "labelColor": INK["ink"],
        "titleColor": INK["soft"],
        "symbolOpacity": 1,
        "symbolStrokeWidth": 2,
        "symbolSize": 90,
        "columnPadding": 26,
        "rowPadding": 4,
        "labelLimit": 360,
        "offset": 10,
    },
    "title": {
        "anchor": "start",
        "frame": "bounds",
        "color": INK["ink"],
        "fontSize": 16 * BROADER,
        "fontWeight": 600,
        "subtitleColor": INK["soft"],
        "subtitleFontSize": TEXT,
        "subtitleLineHeight": 16,
        "subtitlePadding": 6,
        "offset": 16,
    },
    "text": {"fontSize": TEXT, "color": INK["ink"]},
}

_KEPT = frozenset(
    [
        "x",
        "y",
        "dx",
        "dy",
        "x1",
        "x2",
        "y1",
        "y2",
        "d",
        "width",
        "height",
        "viewBox",
        "fill",
        "stroke",
        "opacity",
        "transform",
        "clip-path",
        "id",
        "rx",
        "r",
        "cx",
        "cy",
        "fill-opacity",
        "stroke-opacity",
        "stroke-width",
        "stroke-dasharray",
        "stroke-linecap",
        "stroke-linejoin",
        "text-anchor",
        "font-size",
        "font-weight",
    ]
)
"""Attributes that draw something. Everything else goes: names for screen readers, classes, styles."""
_DEFAULTS = {
    "stroke-width": "1",
    "opacity": "1",
    "font-weight": "normal",
    "text-anchor": "start",
    "transform": "translate(0,0)",
}
_NUMBER = re.compile(r"-?\d+\.\d{2,}(?:e-?\d+)?")
_REFERENCE = re.compile(r"url\(['\"]?#(\w+)['\"]?\)")


def _clean(root: ElementTree.Element, colors: Mapping[str, str], prefix: str, font: str) -> None:
    """Take from the drawing what draws nothing, and put in colours and a font.

    Ids are numbered anew: Vega counts on from one drawing to the next.
    """
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    names = {name: f"{prefix}{at}" for at, name in enumerate(ids)}
    for element in root.iter():
        kept = {name: value for name, value in element.attrib.items() if name in _KEPT}
        element.attrib.clear()
        for name, value in kept.items():
            drawn = colors.get(value, value) if name in {"fill", "stroke"} else _of(name, value, names)
            if drawn != _DEFAULTS.get(name):
                element.set(name, drawn)
    _prune(root)
    root.set("font-family", font)
    root.set("overflow", "visible")


def _of(name: str, value: str, names: Mapping[str | None, str]) -> str:
    match name:
        case "d" | "transform" | "x1" | "x2" | "y1" | "y2":
            return _NUMBER.sub(lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), value)
        case "font-size":
            return f"{float(value.removesuffix('px')) / BROADER:.3g}"
        case "id":
            return names[value]
        case "clip-path":
            return _REFERENCE.sub(lambda found: f"url(#{names[found[1]]})", value)
        case _:
            return value


def _prune(element: ElementTree.Element) -> None:
    """Take out shapes without a colour, texts without a word, and groups that are empty or only group."""
    for child in list(element):
        _prune(child)
        tag = child.tag.removeprefix(f"{{{_SVG}}}")
        at = list(element).index(child)
        match tag:
            case "path" if element.tag != f"{{{_SVG}}}clipPath" and not _is_seen(child):
                element.remove(child)
            case "g" if not len(child):
                element.remove(child)
            case "text" if not (child.text or "").strip() and not len(child):
                element.remove(child)
            case "g" if not child.attrib:
                element[at : at + 1] = list(child)


def _is_seen(shape: ElementTree.Element) -> bool:
    return any(shape.get(name, "none") not in {"none", "transparent"} for name in ("fill", "stroke"))
