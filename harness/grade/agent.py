"""What the agent did: which tools it called, how, and in what order (`harness.suite.asserts.agent`)."""

import re

from harness.grade.opinion import Opinion, failed, passed
from harness.grade.subject import Subject
from harness.suite.asserts.agent import AgentCheck, ToolUsed, Used


def check(args: AgentCheck, subject: Subject) -> Opinion:
    """What a check of the tool calls finds; nothing, where a reply is no whole one."""
    return subject.broken() or _called(args, subject)


def _called(args: AgentCheck, subject: Subject) -> Opinion:
    names = [call.name for call in subject.calls if call.name is not None]
    match args:
        case ToolUsed(value=tools):
            return _tools_used(names, tools)
        case _:
            raise AssertionError(f"unreachable: {type(args).__name__} has no grade")


def _tools_used(names: list[str], tools: tuple[Used, ...]) -> Opinion:
    seen = f"called: {', '.join(names) or 'no tool'}"
    for used in tools:
        opinion = _times_used(names, used)
        if not opinion.passed:
            return failed(f"{opinion.reason}; {seen}")
    return passed(seen)


def _times_used(names: list[str], used: Used) -> Opinion:
    """Without bounds at least once; with `max` alone, also not at all."""
    if used.name is not None:
        what, count = used.name, names.count(used.name)
    else:
        what = f"a tool like {used.pattern}"
        count = sum(re.search(used.pattern or "", name) is not None for name in names)
    least = used.min if used.min is not None else 1 if used.max is None else 0
    asked = f"at least {least}" if used.max is None else f"{least} to {used.max}"
    within = least <= count and (used.max is None or count <= used.max)
    return Opinion(within, f"{what} was called {count} times; asked for {asked}")
