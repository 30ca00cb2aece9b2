"""A run as JUnit XML, as CI systems read it: a test case for each prompt and variant, and for each gate rule.

What failed is a failure, what broke or says nothing is an error, what was not run or decides nothing is
skipped. An inconclusive rule is an error: a tool that knows only green and red must not show it green.
"""

from collections.abc import Iterable
from itertools import groupby
from xml.etree import ElementTree as Xml

from harness.gate.ruling import Ruled, Word
from harness.grade.states import State
from harness.record.store import Manifest
from harness.report.outcome import Outcome, Prompt
from harness.report.visible import cut, shortened


def junit(told: Outcome) -> str:
    """The whole document."""
    root = Xml.Element("testsuites", {"name": _text(told.manifest.suite)})
    phases = len({each.phase for each in told.prompts}) > 1
    ordered = sorted(told.prompts, key=lambda each: (each.variant, each.phase))
    for (variant, phase), prompts in groupby(ordered, key=lambda each: (each.variant, each.phase)):
        name = f"{told.manifest.suite}.{variant}" + (f".{phase}" if phases else "")
        _suite(root, name, [_case(name, each) for each in prompts], told.manifest)
    if told.ruling is not None:
        name = f"{told.manifest.suite}.gate"
        _suite(root, name, [_rule(name, each) for each in told.ruling.rules], told.manifest)
    _count(root, [case for suite in root for case in suite.iter("testcase")])
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _suite(root: Xml.Element, name: str, cases: list[Xml.Element], of: Manifest) -> None:
    suite = Xml.SubElement(root, "testsuite", {"name": _text(name), "timestamp": of.started_at[:19]})
    _count(suite, cases)
    if of.rerun is not None:
        told = Xml.SubElement(suite, "properties")
        Xml.SubElement(told, "property", {"name": "rerun", "value": _text(of.rerun.says)})
    suite.extend(cases)


def _count(element: Xml.Element, cases: Iterable[Xml.Element]) -> None:
    listed = list(cases)
    element.set("tests", str(len(listed)))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        element.set(name, str(sum(case.find(tag) is not None for case in listed)))
    element.set("time", f"{sum(float(case.get('time') or 0) for case in listed):.3f}")


def _case(suite: str, prompt: Prompt) -> Xml.Element:
    case = _element(suite, prompt.case_id, prompt.seconds)
    says = prompt.reason or str(prompt.state)
    if prompt.quarantined is not None:
        _skipped(case, f"in quarantine until {prompt.quarantined}: {prompt.repeats}")
        return case
    match prompt.state:
        case State.FAILED:
            _said(case, "failure", "failed", f"{says} ({prompt.repeats})")
        case State.ERROR | State.INVALID:
            _said(case, "error", str(prompt.state), f"{says} ({prompt.repeats})")
        case State.NOT_RUN:
            _skipped(case, "not needed: all was decided" if prompt.decided else f"not run: {says}")
    return case


def _rule(suite: str, ruled: Ruled) -> Xml.Element:
    case = _element(suite, f"{ruled.rule} [{ruled.variant}]", 0.0)
    match ruled.word:
        case Word.FAIL:
            _said(case, "failure", "fail", ruled.reason)
        case Word.INCONCLUSIVE:
            _said(case, "error", "inconclusive", ruled.reason)
        case Word.PASS:
            Xml.SubElement(case, "system-out").text = _text(ruled.reason)
    return case


def _element(suite: str, name: str, seconds: float) -> Xml.Element:
    return Xml.Element("testcase", {"classname": _text(suite), "name": _text(name), "time": f"{seconds:.3f}"})


def _said(case: Xml.Element, tag: str, kind: str, says: str) -> None:
    told = Xml.SubElement(case, tag, {"type": kind, "message": shortened(says, 300)})
    told.text = _text(says)


def _skipped(case: Xml.Element, says: str) -> None:
    Xml.SubElement(case, "skipped", {"message": shortened(says, 300)})


def _text(text: str) -> str:
    """*text* without what XML cannot hold, or a reader would act on: answers may be hostile, and long."""
    return cut(text)
