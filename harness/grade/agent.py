"""What the agent did: which tools it called, how, and in what order (`harness.suite.asserts.agent`)."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from harness.audit import Finding, Word
from harness.grade.arguments import Difference, differences
from harness.grade.opinion import Opinion, failed, passed, ungraded
from harness.grade.subject import Subject
from harness.sigma.transcript import Status, ToolCall
from harness.suite.asserts.agent import (
    AgentCheck,
    Called,
    Named,
    StepCount,
    Steps,
    ToolArgs,
    ToolCallF1,
    ToolError,
    ToolSequence,
    ToolsObeyed,
    ToolUsed,
    Used,
)
from harness.suite.asserts.agent import Sequence as Wanted


def check(args: AgentCheck, subject: Subject) -> Opinion:
    """What a check of the tool calls finds; nothing, where a reply is no whole one."""
    return subject.broken() or _called(args, subject)


def _called(args: AgentCheck, subject: Subject) -> Opinion:
    calls = [call for call in subject.calls if call.name is not None]
    match args:
        case ToolUsed(value=tools):
            return _tools_used(calls, tools)
        case ToolSequence(value=wanted):
            return _sequence(subject, wanted)
        case ToolArgs(value=wanted):
            return _args_match(calls, wanted)
        case ToolsObeyed():
            return obeyed(subject, ("allowed_tool_ids", "forced_tool_id"), "tools")
        case _:
            return _counted(args, subject, calls)


def _counted(args: AgentCheck, subject: Subject, calls: Sequence[ToolCall]) -> Opinion:
    match args:
        case StepCount(value=steps):
            return _step_count(subject, calls, steps)
        case ToolError():
            return _errors(calls, args)
        case ToolCallF1(value=tools, threshold=threshold):
            return _f1(calls, tools, threshold)
        case _:
            raise AssertionError(f"unreachable: {type(args).__name__} has no grade")


def _names(calls: Sequence[ToolCall]) -> str:
    return f"called: {', '.join(str(call.name) for call in calls) or 'no tool'}"


def _tools_used(calls: Sequence[ToolCall], tools: Sequence[Used]) -> Opinion:
    for used in tools:
        opinion = _times_used(calls, used)
        if not opinion.passed:
            return failed(f"{opinion.reason}; {_names(calls)}")
    return passed(_names(calls))


def _times_used(calls: Sequence[ToolCall], used: Used) -> Opinion:
    """Without bounds at least once; with `max` alone, also not at all."""
    count = sum(used.fits(call.name) for call in calls)
    least = used.min if used.min is not None else 1 if used.max is None else 0
    asked = f"at least {least}" if used.max is None else f"{least} to {used.max}"
    within = least <= count and (used.max is None or count <= used.max)
    return Opinion(within, f"{used.told} was called {count} times; asked for {asked}")


# Sequences


def _sequence(subject: Subject, wanted: Wanted) -> Opinion:
    rounds = list(_rounds(subject))
    calls = [call for beside in rounds for call in beside]
    steps = [step.told for step in wanted.steps]
    told = f"{_names(calls)}; wanted {wanted.mode}: {', '.join(steps)}"
    if wanted.mode == "only":
        other = [call.name for call in calls if not any(step.fits(call.name) for step in wanted.steps)]
        return Opinion(not other, told)
    if wanted.mode in {"exact", "in_order"}:
        met = _met_in_order(rounds, wanted.steps)
    else:
        met = _matching(calls, wanted.steps)
    no_other = wanted.mode in {"in_order", "at_least"} or len(calls) == len(steps)
    return Opinion(met == len(steps) and no_other, told, _share(met, len(steps), len(calls), no_other))


def _share(met: int, steps: int, calls: int, no_other: bool) -> float:  # noqa: FBT001  a figure of its own
    """The steps that were met, among all steps or, where no other call is wanted, among all calls."""
    return met / (steps if no_other else max(steps, calls))


def _rounds(subject: Subject) -> Iterator[list[ToolCall]]:
    """The calls that ran side by side together, in the order of the rounds; those of later turns later."""
    for exchange in subject.exchanges:
        calls = exchange.transcript.tool_calls if exchange.transcript is not None else ()
        named = [call for call in calls if call.name is not None]
        placed = sorted((call for call in named if call.placement), key=_round)
        for _, beside in groupby(placed, key=_round):
            yield list(beside)
        yield from ([call] for call in named if call.placement is None)


def _round(call: ToolCall) -> int:
    return call.placement[0] if call.placement else 0


def _met_in_order(rounds: Sequence[Sequence[ToolCall]], steps: Sequence[Named]) -> int:
    """How many of *steps*, from the first on, are met in this order; calls side by side in the best one.

    Whatever a round can meet it meets: a step that is left for later has fewer calls to be met by.
    """
    met = 0
    for beside in rounds:
        left = steps[met : met + len(beside)]
        met += next((n for n in range(len(left), 0, -1) if _matching(beside, left[:n]) == n), 0)
    return met


def _matching(calls: Sequence[ToolCall], steps: Sequence[Named]) -> int:
    """How many of *steps* can be met at once, each by a call of its own (Kuhn's augmenting paths)."""
    by_call: dict[int, int] = {}

    def place(step: int, tried: set[int]) -> bool:
        for at, call in enumerate(calls):
            if at not in tried and steps[step].fits(call.name):
                tried.add(at)
                if at not in by_call or place(by_call[at], tried):
                    by_call[at] = step
                    return True
        return False

    return sum(place(step, set()) for step in range(len(steps)))


# Arguments, counts, errors


def _args_match(calls: Sequence[ToolCall], wanted: Called) -> Opinion:
    """Of several calls that do not fit, the reason is that of the one with the fewest differences."""
    fitting = [call for call in calls if wanted.fits(call.name)]
    if not fitting:
        return failed(f"{wanted.told} was not called; {_names(calls)}")
    unknown = [call for call in fitting if call.arguments is None]
    nearest: list[Difference] | None = None
    for call in fitting:
        if call.arguments is None:
            continue
        found = list(differences(wanted, call.arguments))
        if not found:
            return passed(f"{call.name} was called with {str(call.arguments)[:120]}")
        nearest = found if nearest is None or len(found) < len(nearest) else nearest
    if nearest is None or unknown:
        return ungraded(f"the arguments of {len(unknown)} calls of {wanted.told} are not on the wire")
    return failed(f"{wanted.told}: {nearest[0]}")


def _step_count(subject: Subject, calls: Sequence[ToolCall], steps: Steps) -> Opinion:
    match steps.type:
        case "tool":
            named = Named(pattern=steps.pattern) if steps.pattern else None
            count = sum(named is None or named.fits(call.name) for call in calls)
            what = "tool calls" if named is None else f"calls of {named.told}"
        case "round":
            count, what = len(list(_rounds(subject))), "rounds of tool calls"
        case _:
            transcripts = (exchange.transcript for exchange in subject.exchanges)
            count = sum(len(told.reasoning) for told in transcripts if told is not None)
            what = "blocks of reasoning"
    within = (steps.min or 0) <= count and (steps.max is None or count <= steps.max)
    asked = f"at least {steps.min}" if steps.max is None else f"{steps.min or 0} to {steps.max}"
    return Opinion(within, f"{count} {what}; asked for {asked}")


def _errors(calls: Sequence[ToolCall], args: ToolError) -> Opinion:
    """A status that the wire does not show leaves it open, where it would decide."""
    meant = [call for call in calls if _is_meant(call, args)]
    errors = [str(call.name) for call in meant if call.status is Status.ERROR]
    unknown = sum(call.status is Status.UNKNOWN for call in meant)
    told = f"{len(errors)} of {len(meant)} calls failed" + (f": {', '.join(errors)}" if errors else "")
    if len(errors) > args.max:
        return failed(f"{told}; at most {args.max} may")
    if len(errors) + unknown > args.max:
        return ungraded(f"{told}; how {unknown} more went is not on the wire")
    return passed(told)


def _is_meant(call: ToolCall, args: ToolError) -> bool:
    if args.name is None and args.pattern is None:
        return True
    return Named(name=args.name, pattern=args.pattern).fits(call.name)


def _f1(calls: Sequence[ToolCall], tools: Sequence[str], threshold: float) -> Opinion:
    called, wanted = {call.name for call in calls}, set(tools)
    both = len(called & wanted)
    score = 2 * both / (len(called) + len(wanted)) if called or wanted else 1.0
    told = f"F1 {score:.3f}, {threshold:g} is wanted; {_names(calls)}; wanted: {', '.join(tools)}"
    return Opinion(score >= threshold, told, score)


def obeyed(subject: Subject, settings: Sequence[str], what: str) -> Opinion:
    """What the audit found of *settings*: a name stands for all that begin with it."""
    found = [
        finding
        for exchange in subject.exchanges
        for finding in subject.findings.get(exchange.exchange_id, ())
        if any(finding.setting == name or finding.setting.startswith(f"{name}.") for name in settings)
    ]
    ignored = [finding for finding in found if finding.word is Word.IGNORED]
    if ignored:
        return failed("; ".join(f"{each.setting}: asked {each.asked}, seen {each.seen}" for each in ignored))
    if not found:
        return ungraded(f"no {what} were asked for")
    effective = [finding for finding in found if finding.word is Word.TOOK_EFFECT]
    if len(effective) == len(found):
        return passed("; ".join(f"{each.setting}: {each.seen or each.asked}" for each in effective))
    return ungraded("; ".join(map(_left_open, (each for each in found if each not in effective))))


def _left_open(finding: Finding) -> str:
    return f"{finding.setting}: {finding.word}" + (f" ({finding.seen})" if finding.seen else "")
