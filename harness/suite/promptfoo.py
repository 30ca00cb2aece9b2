"""A promptfoo config as a suite of ours, and the list of what has no equivalent.

Pure but for the files that the config names, which the caller finds. Every key
of the config is either in the suite or in the list: each place that reads a
mapping goes through all of its keys (`harness.suite.promptfoo_pieces`). Each
prompt of theirs under each test of theirs is a prompt of ours, with an id that
says so; each provider that is a model is a variant.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from harness.errors import UsageError
from harness.suite.places import Place
from harness.suite.promptfoo_asserts import Check, as_duration
from harness.suite.promptfoo_pieces import Find, Note, Piece, Source, document
from harness.suite.promptfoo_prompts import Arm, Asked, arms_of, prompts_of
from harness.suite.promptfoo_templates import as_jinja, filled_in
from harness.suite.promptfoo_tests import Test, combinations, scenarios_of, test_of, tests_of
from harness.suite.read import as_yaml
from harness.suite.templates import is_template

_LONGEST_ID = 100
_JUDGED = frozenset(
    {"llm-rubric", "factuality", "model-graded-factuality", "model-graded-closedqa"}
    | {"answer-relevance", "context-faithfulness", "select-best"}
)


@dataclass(frozen=True, slots=True)
class Imported:
    """A *suite*, as its file would have it, and what of the config is not in it."""

    suite: dict[str, Any]
    notes: tuple[Note, ...]

    @property
    def remarks(self) -> list[str]:
        """What holds of every suite that was made so."""
        said = ["Comments of the original are not carried over."]
        overrides = [each["llm_override"] for each in self.suite.get("variants", {}).values()]
        if overrides:
            names = ", ".join(sorted({each["model_provider"] for each in overrides}))
            said.append(f"The model_provider of a variant has to be a name on your Sigma: {names}.")
        return said

    def text(self, name: str) -> str:
        """The file of the suite. *name* is the config's; the notes are comments at its head."""
        head = [f"Made from {name} by harness import promptfoo.", *self.remarks]
        if self.notes:
            head += ["", "No equivalent:", *map(str, self.notes)]
        lines = "\n".join(f"# {_printable(line)}".rstrip() for line in head)
        return f"{lines}\n\n{as_yaml(self.suite)}"

    def counts(self) -> str:
        """``12 prompts, 3 variants, 20 checks; 4 things have no equivalent``."""
        prompts = self.suite["prompts"]
        owners = [self.suite.get("defaults", {}), *prompts]
        owners += [turn for prompt in prompts for turn in prompt.get("turns", ())]
        made = (
            _counted(len(prompts), "prompt"),
            _counted(len(self.suite.get("variants", ())), "variant"),
            _counted(sum(_number_of(owner.get("assert", ())) for owner in owners), "check"),
        )
        lost = len(self.notes)
        return f"{', '.join(made)}; {_counted(lost, 'thing')} {'has' if lost == 1 else 'have'} no equivalent"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _number_of(checks: Iterable[Check]) -> int:
    return sum(_number_of(each["assert"]) if "assert" in each else 1 for each in checks)


def _printable(line: str) -> str:
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in line)


def imported(text: str, file: str, find: Find, *, target: str | None = None, prefix: str = "") -> Imported:
    """The suite that the config *text*, in *file*, describes. Raises `UsageError` if it is none.

    *find* finds the files it names. *target* is a URL or ``standin``; without it the suite asks the
    environment. *prefix* leads from the suite's folder to the config's.
    """
    notes: dict[tuple[str, int, str], Note] = {}

    def tell(piece: Piece, why: str) -> None:
        note = Note(piece.file, piece.line, piece.name, why)
        notes.setdefault((note.file, note.line, why), note)

    source = Source(find, tell, prefix)
    root = document(Piece(text, Place("", 1, 1, 1), file), tell)
    if root is None:
        raise UsageError("\n".join(map(str, notes.values())))
    _refuse_others(root)
    suite = {"target": _target(target)} | _suite(_read(root, text, source), source)
    described = {"description": suite.pop("description")} if "description" in suite else {}
    ordered = sorted(notes.values(), key=lambda note: (note.file != file, note.file, note.line))
    return Imported(described | suite, tuple(ordered))


def _refuse_others(root: Piece) -> None:
    keys = root.value.keys() if isinstance(root.value, dict) else set()
    if "target" in keys and "prompts" in keys and not {"providers", "targets", "tests"} & keys:
        raise UsageError(f"{root.file}: this is a suite of ours already")
    if not keys & {"prompts", "providers", "targets", "tests", "scenarios", "redteam"}:
        raise UsageError(
            f"{root.file}: this is no promptfoo config: it has neither prompts, providers nor tests"
        )


def _target(said: str | None) -> Any:
    if said == "standin":
        return "standin"
    return {"base_url": said or "${SIGMA_URL}", "api_key": "${SIGMA_API_KEY}"}


# What the config says


@dataclass(frozen=True, slots=True)
class _Config:
    """A config, read. *knobs* are how it is run: repeat, workers, time_limit, minutes."""

    description: str = ""
    prompts: tuple[Asked, ...] | None = None
    tests: tuple[Test, ...] = ()
    has_tests: bool = False
    default: Test = field(default_factory=lambda: Test(Piece(None, Place("", 1, 1, 1), "")))
    arms: tuple[Arm, ...] = ()
    knobs: dict[str, Any] = field(default_factory=dict)


_RESULTS = "results are always written, as Parquet and JSON, into --results"
_REASONS = {
    "outputPath": _RESULTS,
    "writeLatestResults": _RESULTS,
    "env": "a suite sets no variables: set them where harness runs, and write ${NAME}",
    "redteam": "red-team generation is not offered: write the attacks as prompts",
    "sharing": "nothing is ever sent to anybody but the Sigma under test",
    "tags": "a suite as a whole has no tags: prompts have",
    "metadata": "a suite as a whole has no tags: prompts have",
    "extensions": "nothing of one's own runs around a run; checks may be python",
    "derivedMetrics": "figures of one's own are not worked out: metric names what is in the tables",
    "nunjucksFilters": "Jinja2's filters are the ones there are",
    "tracing": "packets of the reply have their times: steps.parquet, without OpenTelemetry",
    "$schema": "it is promptfoo's",
    "delay": "say rate: in load: of the suite",
    "cache": "nothing is cached: each trial is sent",
    "showProgressBar": "say --quiet where it runs",
    "providerPromptMap": "say only: of a variant",
}
_OF_A_RUN = "how a run goes is said on the command line: harness run --help"


def _read(root: Piece, text: str, source: Source) -> _Config:
    config = _Config()
    for key, below in sorted(root.entries(), key=lambda entry: entry[0] != "commandLineOptions"):
        if key in _KEYS:
            config = _KEYS[key](config, below, source)
        elif re.search(rf"#/{re.escape(key)}/", text):
            for name, unused in below.entries():
                if not re.search(rf"#/{re.escape(key)}/{re.escape(name)}(?![\w-])", text):
                    source.tell(unused, "left out: nothing refers to it")
        else:
            source.tell(below, f"left out: {_REASONS.get(key, 'no such key of promptfoo is known')}")
    return config


def _described(config: _Config, piece: Piece, source: Source) -> _Config:
    text = "" if piece.value is None else str(piece.value)
    return replace(config, description=as_jinja(piece, text, source.tell))


def _asking(config: _Config, piece: Piece, source: Source) -> _Config:
    return replace(config, prompts=tuple(prompts_of(piece, source)))


def _answering(config: _Config, piece: Piece, source: Source) -> _Config:
    return replace(config, arms=(*config.arms, *arms_of(piece, source)))


def _tested(config: _Config, piece: Piece, source: Source) -> _Config:
    return replace(config, tests=(*config.tests, *tests_of(piece, source)), has_tests=True)


def _scenarios(config: _Config, piece: Piece, source: Source) -> _Config:
    return replace(config, tests=(*config.tests, *scenarios_of(piece, source)), has_tests=True)


def _default(config: _Config, piece: Piece, source: Source) -> _Config:
    read = source.documents(piece) if isinstance(piece.value, str) else [piece]
    return replace(config, default=test_of(read[0], source)) if read else config


def _run(config: _Config, piece: Piece, source: Source) -> _Config:
    knobs = dict(config.knobs)
    for key, below in piece.entries():
        name, read = _KNOBS.get(key, ("", None))
        if read is None:
            source.tell(below, f"left out: {_REASONS.get(key, _OF_A_RUN)}")
        elif name in knobs:
            source.tell(below, "left out: commandLineOptions says it, too, and counts")
        elif isinstance(below.value, bool) or not isinstance(below.value, int | float) or below.value < 0:
            source.tell(below, "left out: a number is wanted")
        elif below.value:
            knobs[name] = read(below.value)
    return replace(config, knobs=knobs)


_KNOBS: dict[str, tuple[str, Callable[[float], Any]]] = {
    "repeat": ("repeat", lambda number: max(1, int(number))),
    "maxConcurrency": ("workers", lambda number: max(1, int(number))),
    "timeoutMs": ("time_limit", as_duration),
    "maxEvalTimeMs": ("minutes", lambda number: round(number / 60_000, 3)),
}
_KEYS: dict[str, Callable[[_Config, Piece, Source], _Config]] = {
    "description": _described,
    "prompts": _asking,
    "providers": _answering,
    "targets": _answering,
    "tests": _tested,
    "scenarios": _scenarios,
    "defaultTest": _default,
    "evaluateOptions": _run,
    "commandLineOptions": _run,
}


# What the suite says


@dataclass(frozen=True, slots=True)
class _Made:
    """A prompt of the suite, and what it was made from."""

    prompt: dict[str, Any]
    asked: Asked
    test: Test


def _suite(config: _Config, source: Source) -> dict[str, Any]:
    asked = _asked(config, source)
    spread = _is_spread(config, asked)
    defaults = _defaults(config, spread=spread)
    made = _named(list(_prompts(config, asked, defaults, source)), source)
    variants = _variants(config.arms, made, source)
    suite = {
        "description": config.description,
        "judge": {"target": "self"} if _JUDGED & set(_types(defaults, made)) else None,
        "defaults": defaults,
        "variants": variants,
        "prompts": [each.prompt for each in made],
        "load": {"eval": {"workers": config.knobs["workers"]}} if "workers" in config.knobs else None,
        "budget": {"minutes": config.knobs["minutes"]} if "minutes" in config.knobs else None,
    }
    return {key: value for key, value in suite.items() if value or key == "prompts"}


def _asked(config: _Config, source: Source) -> tuple[Asked, ...]:
    if config.prompts is None and any("prompt" in test.variables for test in config.tests):
        return (Asked(config.tests[0].piece, (), ("{{ prompt }}",)),)  # as promptfoo does without prompts
    if not config.prompts and config.tests:
        source.tell(config.tests[0].piece, "left out with all other tests: there is no prompt to ask")
    return config.prompts or ()


def _is_spread(config: _Config, asked: tuple[Asked, ...]) -> bool:
    """Whether the default checks are written to each prompt, since not every answer is to meet them."""
    spared = any(test.options.get("disableDefaultAsserts") for test in config.tests)
    return bool(config.default.checks) and (spared or any(len(each.messages) > 1 for each in asked))


def _defaults(config: _Config, *, spread: bool) -> dict[str, Any]:
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
    config: _Config, asked: tuple[Asked, ...], defaults: dict[str, Any], source: Source
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
    description = re.sub(r"[{}]|[%#](?=\})|(?<=\{)[%#]", "", filled_in(test.description, variables))
    name = " ".join(description.split())
    if len(name) > _LONGEST_ID:
        name = f"{name[:_LONGEST_ID].rstrip()}..."
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


def _types(defaults: dict[str, Any], made: list[_Made]) -> Iterator[str]:
    """The type of every check, without its ``not-``."""
    waiting = list(defaults.get("assert", ()))
    for each in made:
        waiting += each.prompt.get("assert", ())
        waiting += [check for turn in each.prompt.get("turns", ()) for check in turn.get("assert", ())]
    while waiting:
        check = waiting.pop()
        waiting += check.get("assert", ())
        yield check["type"].removeprefix("not-")


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
    name = re.sub(r"[/+\s]+", "-", own).strip("-") or "variant"
    names = (f"{name}-{number}" if number > 1 else name for number in itertools.count(1))
    return next(each for each in names if each not in taken)
