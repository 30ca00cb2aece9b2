"""What `gates:`, `quarantine:` and the money of `budget:` say, and what is wrong with that."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec import Struct

from harness.errors import did_you_mean
from harness.suite import literals
from harness.suite.metric import Metric, metric
from harness.suite.model import GateRule, Suite
from harness.suite.places import Finding, Tell, Where
from harness.suite.prompts import Variant
from harness.suite.resolve import Case, repeats, runs_on

AGAINST_A_NUMBER = ("min", "max")
AGAINST_THE_BASELINE = ("max_drop", "max_rise", "max_ratio", "min_ratio")
_LIMITS = (*AGAINST_A_NUMBER, *AGAINST_THE_BASELINE)


class Rule(Struct, frozen=True):
    """One limit of a `GateRule`, read: *key* is which one, and *limit* it in the unit of the metric.

    Times are in ms, shares and differences of shares of 1, ratios plain numbers.
    """

    metric: Metric
    key: str
    limit: float
    written: str
    variant: str | None = None
    tag: str | None = None
    load: str | None = None

    @property
    def compares(self) -> bool:
        """Whether it takes a baseline."""
        return self.key in AGAINST_THE_BASELINE

    @property
    def told(self) -> str:
        """The rule as people wrote it."""
        of = [f"tag {self.tag}"] if self.tag else []
        of += [f"load {self.load}"] if self.load else []
        return f"{self.metric.name} {self.key} {self.written}" + (f" ({', '.join(of)})" if of else "")


def rules_of(suite: Suite) -> list[Rule]:
    """The rules of a suite that was found right, one for each limit."""
    found = [_read(rule) for rule in suite.gates.rules] if suite.gates else []
    return [rule for rules in found for rule in rules]


@dataclass(frozen=True, slots=True)
class Names:
    """What rules may name: *variants* as they are run, all names of variants, phases; and the cases."""

    variants: Mapping[str, Variant]
    of_variants: Collection[str]
    phases: Collection[str]
    cases: Sequence[tuple[int, Case]]


def check(suite: Suite, tell: Tell, names: Names) -> None:
    """Tell of rules that mean nothing, and of names that are none."""
    for index, rule in enumerate(suite.gates.rules if suite.gates else ()):
        at: Where = ("gates", "rules", index)
        for finding in (*_names(rule, at, suite, names), *_rule(rule, at), *_too_few(rule, at, suite, names)):
            tell(finding)
    _plan(suite, tell)
    if suite.gates is not None and not suite.gates.rules:
        tell(Finding(("gates", "rules"), "this is empty: nothing would be decided"))
    _quarantine(suite, tell, names)
    _money(suite, names.variants, tell)


def _names(rule: GateRule, at: Where, suite: Suite, names: Names) -> Iterator[Finding]:
    tags = {tag for prompt in suite.prompts for tag in prompt.tags}
    for key, name, kind, known in (
        ("variant", rule.variant, "variant", names.of_variants),
        ("load", rule.load, "phase of load", names.phases),
        ("tag", rule.tag, "tag of a prompt", tags),
    ):
        if name is not None and name not in known:
            yield unknown((*at, key), name, kind, known)


def _plan(suite: Suite, tell: Tell) -> None:
    """Tell of settings that would do nothing: more rounds are asked only where rounds are looked at."""
    gates = suite.gates
    if gates is not None and gates.on_inconclusive == "extend" and gates.plan == "fixed":
        tell(Finding(("gates", "on_inconclusive"), "a fixed plan looks once: say plan: sequential, too"))
    if gates is not None and "extend_to" in gates.model_fields_set and gates.on_inconclusive != "extend":
        message = "nothing is extended: say on_inconclusive: extend, too"
        tell(Finding(("gates", "extend_to"), message, at_key=True))


def _quarantine(suite: Suite, tell: Tell, names: Names) -> None:
    ids = {case.case_id for _, case in names.cases}
    for index, held in enumerate(suite.quarantine):
        if held.prompt not in ids and len(ids) >= len(suite.prompts):
            tell(unknown(("quarantine", index, "prompt"), held.prompt, "prompt", ids))
        if held.variant is not None and held.variant not in names.of_variants:
            tell(unknown(("quarantine", index, "variant"), held.variant, "variant", names.of_variants))


Held = Callable[[str, str], str | None]
"""Of a case and a variant, the last day on which it decides nothing; None where it decides."""


def held_on(suite: Suite, day: str) -> Held:
    """What is in quarantine on *day*; what has expired by then decides again."""
    until: dict[tuple[str, str | None], str] = {}
    for each in suite.quarantine:
        if each.until >= day:
            until[each.prompt, each.variant] = each.until
    return lambda case, variant: until.get((case, variant)) or until.get((case, None))


def expired(suite: Suite, day: str) -> list[str]:
    """A sentence for each quarantine that is over on *day*."""
    return [
        f"the quarantine of {each.prompt} ended on {each.until}: it decides again"
        + (f" (owner: {each.owner})" if each.owner else "")
        for each in suite.quarantine
        if each.until < day
    ]


def priced(suite: Suite, model: str) -> bool:
    """Whether the suite says what *model*, as `provider/name` or a name alone, costs."""
    return model in suite.prices or model.rpartition("/")[2] in suite.prices


def model_of(variant: Variant | None) -> str:
    """The model that a variant asks for, as people write it in `prices`."""
    override = variant.llm_override if variant is not None else None
    if override is None or override.model_version is None:
        return "default"
    return "/".join(part for part in (override.model_provider, override.model_version) if part)


def unknown(at: Where, name: str, kind: str, known: Collection[str]) -> Finding:
    """That *name* is none of those that are *known*, and which was probably meant."""
    there = ", ".join(sorted(known)) or "none"
    return Finding(at, f'"{name}" is no {kind}{did_you_mean(name, known) or ";"} there are {there}')


def _rule(rule: GateRule, at: Where) -> Iterator[Finding]:
    try:
        of = metric(rule.metric)
    except ValueError as error:
        yield Finding((*at, "metric"), str(error))
        return
    written = [key for key in _LIMITS if getattr(rule, key) is not None]
    if not written:
        yield Finding(at, f"a limit is wanted: {_example(of)}")
    for key in written:
        if key not in _allowed(of):
            told = f"{of.name} has no {key}: {_example(of)}"
            yield Finding((*at, key), told, at_key=True)
            continue
        try:
            limit_of(of, key, getattr(rule, key))
        except ValueError as error:
            yield Finding((*at, key), f"{getattr(rule, key)}: {error}")


def _allowed(of: Metric) -> tuple[str, ...]:
    """The limits that mean something: a drop of what should be high, a rise of what should be low."""
    if of.kind in {"pass@", "pass^"}:
        return (*AGAINST_A_NUMBER, "max_drop")
    if of.is_share:
        return (*AGAINST_A_NUMBER, "max_drop" if of.higher_is_better else "max_rise")
    return (*AGAINST_A_NUMBER, "min_ratio" if of.higher_is_better else "max_ratio")


def _example(of: Metric) -> str:
    if of.is_share:
        return "max_drop: 3pp or min: 95%" if of.higher_is_better else "max: 1% or max_rise: 1pp"
    if of.higher_is_better:
        return "min_ratio: 0.9 or min: 20"
    return f"max_ratio: 1.15 or max: {'4s' if of.unit == 'ms' else '500'}"


def limit_of(of: Metric, key: str, written: float | str) -> float:
    """The limit in the unit of the metric. Raises `ValueError`, which says how to write it."""
    if key.endswith("_ratio"):
        wrong = "a ratio is a number: 1.15 is 15 % more"
        value = _number(written, wrong)
        if (value < 1) != (key == "min_ratio") or value <= 0:
            raise ValueError(
                "at least 1 is wanted" if key == "max_ratio" else "more than 0 and less than 1 is wanted"
            )
        return value
    if of.is_share:
        return _share(written, is_difference=key.startswith("max_") and key != "max")
    if of.unit == "ms":
        return literals.duration(written) / 1e6
    value = float(literals.count(written)) if isinstance(written, str) else float(written)
    if value < 0:
        raise ValueError("at least 0 is wanted")
    return value


def _share(written: float | str, *, is_difference: bool) -> float:
    if isinstance(written, str):
        value = literals.share(written)
    elif is_difference:
        raise ValueError("a difference of shares has a unit: 3pp")
    else:
        value = float(written)
    if not 0 <= value <= 1:
        raise ValueError("a share lies between 0 and 1, or 0% and 100%")
    return value


def _number(written: float | str, wrong: str) -> float:
    if isinstance(written, str):
        raise ValueError(wrong)
    return float(written)


def _too_few(rule: GateRule, at: Where, suite: Suite, names: Names) -> Iterator[Finding]:
    """What of pass@k no repeats are asked for."""
    try:
        of = metric(rule.metric)
    except ValueError:
        return
    if of.k is None or all(load.is_timed for load in suite.load.values()):
        return
    asked = [
        repeats(case, variant, suite)
        for name, variant in names.variants.items()
        for _, case in names.cases
        if runs_on(variant, case)
        and (rule.variant in {None, name})
        and (rule.tag is None or rule.tag in case.tags)
    ]
    if asked and max(asked) < of.k:
        yield Finding((*at, "metric"), f"{of.name} needs repeat: {of.k}; there are {max(asked)}")


def _read(rule: GateRule) -> list[Rule]:
    of = metric(rule.metric)
    return [
        Rule(of, key, limit_of(of, key, value), str(value), rule.variant, rule.tag, rule.load)
        for key in _LIMITS
        if (value := getattr(rule, key)) is not None
    ]


def _money(suite: Suite, variants: Mapping[str, Variant], tell: Tell) -> None:
    """Tell of a rule in USD where it is not known what a model costs."""
    rules = suite.gates.rules if suite.gates else ()
    wants: list[Where] = [
        ("gates", "rules", index, "metric") for index, rule in enumerate(rules) if rule.metric == "cost"
    ]
    unpriced = [
        model for model in dict.fromkeys(map(model_of, variants.values())) if not priced(suite, model)
    ]
    for at in wants if unpriced else ():
        lines = ", ".join(f"{model}: {{input: ..., output: ...}}" for model in unpriced)
        tell(Finding(at, f"what a model costs is not known; add prices: {{{lines}}}, in USD for 1M tokens"))
