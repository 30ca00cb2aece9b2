"""The files of a first suite: the suite itself, what its secrets are, and a nightly job for it.

The jobs are those of `docs/ci`, which are tested as they stand; here they get another suite and another way
to install. What is put in place of what is said piece by piece, so that a job that was changed without this
module is noticed.
"""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from typing import Any

from harness import __version__
from harness.suite.edit import as_yaml
from harness.suite.schema import FIRST_LINE

SUITE = "suite.yaml"
SECRETS = ".env.example"
IGNORED = ".gitignore"
JOBS = {"github": ".github/workflows/nightly.yml", "gitlab": "nightly.gitlab-ci.yml"}
"""Where the nightly job goes, by who runs it."""

_PLAIN = re.compile(r"[A-Za-z][\w.-]*", re.ASCII)
_WORDS = frozenset({"true", "false", "null"})


@dataclass(frozen=True, slots=True)
class Names:
    """Names of a Sigma for the examples, each None where it has none, or none that YAML could hold."""

    provider: str | None = None
    model: str | None = None
    tool: str | None = None
    document_set: str | None = None
    persona: str | None = None


def suite_text(target: dict[str, Any] | str, names: Names) -> str:
    """A first suite for *target*; what *names* has is used in it, the rest is told of in comments."""
    parts = (
        f"{FIRST_LINE}\n{_HEAD}",
        as_yaml({"target": target}),
        _defaults(names),
        _variants(names),
        _PROMPTS,
    )
    return "\n".join((*parts, _searching(names)))


_HEAD = """\
# A first suite. What it asks and expects is an example: put your own questions in its place.
#
#   harness check "$SIGMA_URL"               what your Sigma has and your key may ask; the names to write here
#   harness plan suite.yaml                  what would be sent, and what it would cost; nothing is
#   harness run suite.yaml                   ask, record, check: results/ has everything
#   harness run suite.yaml --target standin  the same against a Sigma of our own, without a key
#
# ${SIGMA_URL} and ${SIGMA_API_KEY} come from the environment (.env.example); no key stands in a suite.
suite: first
"""


def _defaults(names: Names) -> str:
    persona = names.persona and quoted(names.persona)
    return f"""\
# What holds for every prompt that does not say otherwise.
defaults:
  repeat: 2                         # models do not say the same twice
  time_limit: 2m
  assert: [stream-complete]         # {{type: ttft, threshold: 5s}} also gates the time to the first word
  # persona_id: {(persona or "NAME").ljust(20)}# another agent than the default one: harness check lists them
"""


def _variants(names: Names) -> str:
    head = "# Ways to ask, side by side: every prompt is asked in each of them.\nvariants:\n"
    usual = "  as-it-is: {}                      # whatever your Sigma answers with by itself\n"
    provider, model = quoted(names.provider or "NAME"), quoted(names.model or "NAME")
    override = f"{{model_provider: {provider}, model_version: {model}}}"
    if names.model is not None:
        return f"{head}{usual}  other-model:\n    llm_override: {override}\n"
    note = "  # other-model:                    # harness check lists them\n"
    return f"{head}{usual}{note}  #   llm_override: {override}\n"


_PROMPTS = """\
prompts:
  - id: capital
    message: What is the capital of France?
    assert:
      - {type: icontains, value: Paris}

  - id: two-turns                   # one conversation: each turn knows those before it
    turns:
      - message: What is the capital of Italy?
        assert: [{type: icontains, value: Rome}]
      - message: And what is 17 * 3?
        assert: [{type: contains, value: "51"}]
"""


def _searching(names: Names) -> str:
    """A prompt that has to search: of use only where there is a tool to search with."""
    tool, where = quoted(names.tool or "internal_search"), quoted(names.document_set or "NAME")
    off = "# " if names.document_set is None else ""
    lines = (
        "- id: our-documents               # a tool that has to be used, and where it looks",
        "  message: What do our documents say about refunds?",
        f"  forced_tool_id: {tool}",
        f"  {off}search_filters: {{document_set: [{where}]}}",
        "  assert:",
        f'    - {{type: "trajectory:tool-used", value: {tool}}}',
    )
    if names.tool is not None:
        return "".join(f"  {line}\n" for line in lines)
    return "".join(f"  # {line}\n" for line in ("harness check lists tools and document sets", *lines))


def can_stand(name: str) -> bool:
    """Whether a suite can name *name*: what cannot be seen is in none, and templates are for messages."""
    return name != "" and name.isprintable() and not any(each in name for each in ("{{", "{%", "{#"))


def quoted(name: str) -> str:
    """*name*, which can stand in a suite, as it does within braces."""
    if _PLAIN.fullmatch(name) and name.lower() not in _WORDS:
        return name
    return json.dumps(name.replace("${", "$${"), ensure_ascii=False)


def secrets_text(url: str | None) -> str:
    """What the environment has to have, as a file to be copied."""
    return f"""\
# Copy this to .env, which belongs into no repository, and fill it in. Then, in each shell:
#   set -a; . ./.env; set +a
SIGMA_URL={shlex.quote(url or "https://sigma.example.com/api")}
# A personal access token, or an API key, from the settings of your Sigma.
SIGMA_API_KEY=
"""


def ignored_text() -> str:
    """What does not belong into a repository."""
    return "results/\n.env\n.venv/\n"


def job_text(forge: str, folder: str = "") -> str:
    """The nightly job of *forge*, one of `JOBS`, for the suite in *folder* of its repository."""
    text = files(__name__).joinpath(f"{forge}.yml").read_text(encoding="utf-8")
    text = _ABOUT[forge] + re.sub(r"\A(#.*\n)+", "", text)
    for said, instead in (*_changes(forge), *(_places(forge, folder) if folder else ())):
        if said not in text:
            raise AssertionError(f"{forge}.yml has no {said!r} any more")
        text = text.replace(said, instead)
    return text


_ABOUT = {
    "github": f"""\
# Every night {SUITE} is run, and what it found is kept. SIGMA_URL and SIGMA_API_KEY are secrets:
# Settings, Secrets and variables, Actions of the repository. pip has to find harness: in an index, say.
""",
    "gitlab": f"""\
# Every night {SUITE} is run, and what it found is kept. To be written in .gitlab-ci.yml:
#   include: [{{local: nightly.gitlab-ci.yml}}]
# SIGMA_URL and SIGMA_API_KEY are masked variables of the project (Settings, CI/CD, Variables). When it
# runs is said in Build, Pipeline schedules: 17 3 * * *. pip has to find harness: in an index, say.
""",
}


def _changes(forge: str) -> Iterator[tuple[str, str]]:
    """What is said in a job of `docs/ci`, and what instead of it."""
    yield "-c .ci/constraints.txt .", f'"{requirement()}"'
    # Prompts that are asked twice each are too few for a gate: what failed decides, until there are more.
    yield "suites/nightly.yaml --gate ", f"{SUITE} "
    yield "suites/nightly.yaml", SUITE
    if forge == "github":
        yield "    # env:\n    #   SIGMA_URL", "    env:\n      SIGMA_URL"
        yield "    #   SIGMA_API_KEY", "      SIGMA_API_KEY"
    else:
        yield "results/nightly/latest", '"$(ls -dtL results/*/latest | head -n 1)"'
        # Without a gate that is an error of Sigma, and not that too little was asked.
        yield (
            "  allow_failure:\n    exit_codes: [3]  # inconclusive, or not to be believed: yellow, not red\n",
            "",
        )


def _places(forge: str, folder: str) -> Iterator[tuple[str, str]]:
    """What is said of places in a job, and what instead of it where the suite is in *folder*."""
    if forge == "github":
        where = f"    defaults:\n      run:\n        working-directory: {quoted(folder)}\n"
        yield "    timeout-minutes: 30\n", f"    timeout-minutes: 30\n{where}"
        yield " junit.xml\n            results/", f" {folder}/junit.xml\n            {folder}/results/"
        return
    for script in ("  script:\n", "  after_script:\n"):
        yield script, f"{script}    - cd {shlex.quote(folder)}\n"
    for path in ("[results/]", "[night/]"):
        yield path, f"[{quoted(f'{folder}/{path[1:-1]}')}]"
    yield "junit: junit.xml", f"junit: {quoted(f'{folder}/junit.xml')}"


def requirement() -> str:
    """What pip installs this harness by: the commit of the repository that it came from, else its version."""
    try:
        told = json.loads(distribution("sigma-harness").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        told = {}
    commit = told.get("vcs_info", {}).get("commit_id")
    return f"sigma-harness @ git+{told['url']}@{commit}" if commit else f"sigma-harness=={__version__}"
