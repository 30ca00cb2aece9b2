"""YAML written: a suite of data, or one key of a suite whose other lines stay as they were."""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import yaml

from harness.suite import scalars
from harness.suite.document import Loader
from harness.suite.places import lines_of


def with_key(text: str, key: str, value: Any) -> str:
    """*text*, a suite that was found right, with *value* for its *key*; the rest stays as it was written."""
    written = json.dumps(value)  # which is YAML, too
    events: Iterator[Any] = iter(yaml.parse(text, Loader=Loader))
    top: Any = next(event for event in events if isinstance(event, yaml.MappingStartEvent))
    while isinstance(name := next(events), yaml.ScalarEvent):
        first = next(events)
        last = _last_of(first, events)
        if name.value == key:
            # A block ends where the next key begins, after the line end and the comments between.
            end = "\n" if last is not first and not first.flow_style else ""
            begin = text.index(":", _after(name)) + 1
            return f"{text[:begin]} {written}{end}{text[_after(last) :]}"
    after = _after(top) if top.flow_style else top.start_mark.index
    new = f"{json.dumps(key)}: {written}, " if top.flow_style else f"{key}: {written}\n"
    return text[:after] + new + text[after:]


def _after(event: Any) -> int:
    """Where *event* ends in the text."""
    return int(event.end_mark.index)


def _last_of(first: Any, events: Iterator[Any]) -> Any:
    """The event with which the value ends that begins with *first*."""
    last, depth = first, int(isinstance(first, yaml.CollectionStartEvent))
    while depth:
        last = next(events)
        depth += isinstance(last, yaml.CollectionStartEvent) - isinstance(last, yaml.CollectionEndEvent)
    return last


def as_yaml(data: Any) -> str:
    """*data* as YAML that `parse_suite` reads as *data* again, in the order it has; nothing is an alias."""
    return str(yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=sys.maxsize))


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.2 reads as something else than text, and writes lines as lines."""

    def ignore_aliases(self, data: Any) -> bool:
        """Each use of a value is written out."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002 - theirs
        """The items of a list are further in than its key."""
        super().increase_indent(flow, indentless=False)


def _as_text(dumper: _Dumper, text: str) -> Any:
    style = None
    if len(lines_of(text)) > 1:
        style = "|" if not re.search("[\r\x85\u2028\u2029]", text) else '"'
    elif _is_more_than_text(text):
        style = "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _as_text)


def _is_more_than_text(text: str) -> bool:
    try:
        return not isinstance(scalars.plain(text), str)
    except ValueError:
        return True
