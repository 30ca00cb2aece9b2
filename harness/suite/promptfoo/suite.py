"""From what a promptfoo config says to what a suite says.

Each prompt of theirs under each test of theirs is a prompt of ours, with an id
that says so; each provider that is a model is a variant. Which provider is
asked what becomes its ``only``.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from harness.suite.promptfoo.config import Config
from harness.suite.promptfoo.pieces import Source
from harness.suite.promptfoo.prompts import Arm, Asked
from harness.suite.promptfoo.templates import filled_in
from harness.suite.promptfoo.tests import Test, combinations
from harness.suite.promptfoo.tools import Check
from harness.suite.templates import is_template

_LONGEST_ID = 100


@dataclass(frozen=True, slots=True)
class _Made:
    """A prompt of the suite, and what it was made from."""

    prompt: dict[str, Any]
    asked: Asked
    test: Test


def suite_of(config: Config, source: Source) -> dict[str, Any]:
    """The suite without its target; what cannot be said in it is told."""
    asked = _asked(config, source)
    spread = _is_spread(config, asked)
    defaults = _defaults(config, spread=spread)
    made = _named(list(_prompts(config, asked, defaults, source)), source)
    variants = _variants(config.arms, made, source)
    suite = {
        "description": config.description,
        "defaults": defaults,
        "variants": variants,
        "prompts": [each.prompt for each in made],
        "load": {"eval": {"workers": config.knobs["workers"]}} if "workers" in config.knobs else None,
        "budget": {"minutes": config.knobs["minutes"]} if "minutes" in config.knobs else None,
    }
    return {key: value for key, value in suite.items() if value or key == "prompts"}


def _asked(config: Config, source: Source) -> tuple[Asked, ...]:
    if config.prompts is None and any("prompt" in test.variables for test in config.tests):
        return (Asked(config.tests[0].piece, (), ("{{ prompt }}",)),)  # as promptfoo does without prompts
    if not config.prompts and config.tests:
        source.tell(config.tests[0].piece, "left out with all other tests: there is no prompt to ask")
    return config.prompts or ()


def _is_spread(config: Config, asked: tuple[Asked, ...]) -> bool:
    """Whether the default checks are written to each prompt, since not every answer is to meet them."""
    spared = any(test.options.get("disableDefaultAsserts") for test in config.tests)
    return bool(config.default.checks) and (spared or any(len(each.messages) > 1 for each in asked))


def _defaults(config: Config, *, spread: bool) -> dict[str, Any]:
    default = config.default
    several = {name for name, value in default.variables.items() if isinstance(value, list)}
    (variables,) = combinations(replace(default, options={"disableVarExpansion": True}))
    made = {
        "vars": {
            name: value for name, value in variables.items() if name not in several and _is_plain(value)
        },
        "threshold": default.threshold,
        "repeat": config.knobs.get("repeat"),
        "time_limit": config.knobs.get("time_limit"),
        "assert": [] if spread else list(default.checks),
    }
    return {key: value for key, value in made.items() if value not in (None, {}, [])}


def _is_plain(value: Any) -> bool:
    match value:
        case str():
            return not is_template(value)
        case list():
            return all(map(_is_plain, value))
        case dict():
            return all(map(_is_plain, value.values()))
        case _:
            return True


def _prompts(
    config: Config, asked: tuple[Asked, ...], defaults: dict[str, Any], source: Source
) -> Iterator[_Made]:
    bare = replace(config.default, checks=())
    tests = config.tests if config.has_tests else (Test(config.default.piece),)
    for number, test in enumerate(tests, 1):
        whole = test.over(bare)
        checks = list(test.checks)
        if "assert" not in defaults and not test.options.get("disableDefaultAsserts"):
            checks = [*config.default.checks, *checks]
        if test.lost_checks and not checks and "assert" not in defaults:
            source.tell(test.piece, "none of its checks is left: it is checked for a whole reply only")
        one = _OneTest(whole, checks, defaults)
        for variables in combinations(whole):
            for place, each in enumerate(asked, 1):
                if whole.prompts is None or _matches(whole.prompts, each.names):
                    label = (each.names or (f"prompt-{place}",))[0] if len(asked) > 1 else ""
                    name = {"id": _id(whole, number, variables, label)}
                    yield _Made(name | _prompt(each, one, variables, source), each, whole)


@dataclass(frozen=True, slots=True)
class _OneTest:
    """A test laid over the defaults of the config, its *checks*, and the *defaults* of the suite."""

    test: Test
    checks: list[Check]
    defaults: dict[str, Any]


def _prompt(asked: Asked, one: _OneTest, variables: dict[str, Any], source: Source) -> dict[str, Any]:
    test, known = one.test, one.defaults.get("vars", {})
    for name, value in variables.items():
        if not _is_plain(value):
            source.tell(test.piece, f"the variable {name} holds a template that nothing fills in")
        shown = rf"\{{\{{-?\s*{name}\s*-?\}}\}}"
        if isinstance(value, list | dict) and any(re.search(shown, each) for each in asked.messages):
            why = f"{{{{ {name} }}}} shows data as Python does: write {{{{ {name} | tojson }}}}, or join it"
            source.tell(asked.piece, why)
    made = {
        "tags": list(test.tags),
        **_said(asked, test, one.checks, source),
        "additional_context": _system(asked, variables, source),
        "vars": {
            name: value for name, value in variables.items() if name not in known or known[name] != value
        },
        "threshold": None if test.threshold == one.defaults.get("threshold") else test.threshold,
        "repeat": test.options.get("repeat"),
        "assert": one.checks if len(asked.messages) == 1 else [],
    }
    return {key: value for key, value in made.items() if value not in (None, "", [], {}) or key == "message"}


def _said(asked: Asked, test: Test, checks: list[Check], source: Source) -> dict[str, Any]:
    """A message, or turns of which the last has the checks."""
    around = test.options.get("prefix", ""), test.options.get("suffix", "")
    if len(asked.messages) == 1:
        return {"message": around[0] + asked.messages[0] + around[1]}
    if any(around):
        source.tell(test.piece, "prefix and suffix are not put around the turns of a chat")
    turns: list[dict[str, Any]] = [{"message": message} for message in asked.messages]
    if checks:
        turns[-1]["assert"] = checks
    return {"turns": turns}


def _system(asked: Asked, variables: dict[str, Any], source: Source) -> str:
    """What the system is told, as plain text; told and left out where it takes a template."""
    if not asked.system:
        return ""
    text = filled_in(asked.system, variables)
    if is_template(text):
        source.tell(asked.piece, "left out: a system prompt with a template; put it into a persona of Sigma")
        return ""
    source.tell(asked.piece, "the system prompt goes along as additional_context; a persona is nearer to it")
    return text


def _id(test: Test, number: int, variables: dict[str, Any], label: str) -> str:
    description = filled_in(test.description, variables)
    name = re.sub(r"\{(?=[{%#])", "{ ", " ".join(description.split()))  # an id is a template, too
    if len(name) > _LONGEST_ID:
        name = f"{name[:_LONGEST_ID].rstrip()}..."
    if name.startswith("tag:"):  # which only: would take for a tag
        name = f"test-{number}: {name}"
    return "/".join(filter(None, (name or f"test-{number}", label)))


def _named(made: list[_Made], source: Source) -> list[_Made]:
    """The prompts with ids that differ; a description that had to be cut is told."""
    seen: Counter[str] = Counter()
    taken = {each.prompt["id"] for each in made}
    for each in made:
        name = each.prompt["id"]
        seen[name] += 1
        while seen[name] > 1 and f"{name}-{seen[name]}" in taken:
            seen[name] += 1
        if seen[name] > 1:
            each.prompt["id"] = f"{name}-{seen[name]}"
            taken.add(each.prompt["id"])
        if len(each.test.description) > _LONGEST_ID:
            source.tell(each.test.piece, f"its description is cut after {_LONGEST_ID} characters, as an id")
    return made


# Variants


def _variants(arms: tuple[Arm, ...], made: list[_Made], source: Source) -> dict[str, Any]:
    variants: dict[str, Any] = {}
    for arm in arms:
        only = [each.prompt["id"] for each in made if _is_asked(arm, each)]
        if made and not only:
            source.tell(arm.piece, "left out: this provider is asked nothing, by its prompts or by the tests")
            continue
        some = {"only": only} if len(only) < len(made) else {}
        variants[_variant_name(arm, variants)] = {"llm_override": arm.override} | some
    for each in made:
        wanted = each.test.providers
        if wanted is not None and not any(_matches(wanted, arm.names) for arm in arms):
            source.tell(each.test.piece, f"its providers ({', '.join(wanted)}) are no variants: see only:")
    return variants


def _is_asked(arm: Arm, made: _Made) -> bool:
    return (arm.prompts is None or _matches(arm.prompts, made.asked.names)) and (
        made.test.providers is None or _matches(made.test.providers, arm.names)
    )


def _matches(wanted: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """By exact name, by ``openai:*``, or by what stands before the first colon, as promptfoo does."""
    return any(
        name == each or (each.endswith("*") and name.startswith(each[:-1])) or name.startswith(f"{each}:")
        for each in wanted
        for name in names
    )


def _variant_name(arm: Arm, taken: dict[str, Any]) -> str:
    own = arm.names[0] if len(arm.names) > 1 else arm.override["model_version"]
    name = re.sub(r"[^\w.:@]+", "-", own).strip("-") or "variant"
    names = (f"{name}-{number}" if number > 1 else name for number in itertools.count(1))
    return next(each for each in names if each not in taken)
