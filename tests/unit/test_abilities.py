"""What a look around saw -> yes, no or not known; each word only where the server shows it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from harness.cli.optional import OptionalValue
from harness.drive.survey import READY, UPLOAD, USAGE, Heard, Seen
from harness.report.abilities import abilities, stands_in_the_way, told_apart
from harness.report.checked import advised, as_told, lines, target_lines
from harness.report.visible import document
from harness.sigma.catalogue import Catalogue, Persona, Provider, Tool
from harness.sigma.client import Address
from harness.sigma.deprecated import PATHS
from harness.sigma.request import SEND
from harness.suite.bare import suite_at
from harness.suite.keys import key_of
from harness.suite.read import parse_suite

NO_ANSWER = Heard(None, "did not answer (reset)")
SILENT = dict.fromkeys((SEND, UPLOAD, USAGE, READY, *PATHS.values()), NO_ANSWER)
SEARCH = Tool(1, "internal_search", ("internal_search",), ("internal_search",))


def seen(**of: Any) -> Seen:
    """A look around at a server that told nothing but what is *of* it."""
    fields: dict[str, Any] = {
        "suite": suite_at("https://sigma.example.com"),
        "address": Address("https://sigma.example.com/api", "onyx", "a-key-of-mine"),
        "dialect": "onyx",
        "catalogue": Catalogue(),
        "trips_ns": (2_000_000, 1_000_000, 9_000_000),
        "heard": SILENT,
        "sources": None,
        "answers": 0,
        "models": (),
        "unverified": False,
    }
    heard = SILENT | of.pop("heard", {})
    return Seen(**fields | {"heard": heard} | of)


def word(what: str, **of: Any) -> str:
    (found,) = (one.known for one in abilities(seen(**of)) if one.what == what)
    return str(found)


def test_of_a_server_that_tells_nothing_nothing_is_known() -> None:
    told = {one.what: str(one.known) for one in abilities(seen())}
    assert set(told.values()) == {"not known"}
    assert all(one.why for one in abilities(seen()))


@pytest.mark.parametrize(
    ("status", "known"),
    [(422, "yes"), (401, "no"), (403, "no"), (404, "no"), (429, "no"), (200, "not known")],
)
def test_whether_a_key_may_ask_shows_in_how_an_empty_request_is_refused(status: int, known: str) -> None:
    heard = {SEND: Heard(status)}
    assert word("asking", heard=heard) == known
    assert stands_in_the_way(seen(heard=heard)) is (known == "no")


@pytest.mark.parametrize(
    ("status", "known"), [(422, "yes"), (403, "no"), (405, "no"), (500, "not known"), (200, "not known")]
)
def test_uploads_are_taken_where_one_without_a_file_is_refused_for_that(status: int, known: str) -> None:
    assert word("files", heard={UPLOAD: Heard(status)}) == known


def test_a_deprecated_endpoint_is_gone_only_where_that_is_what_it_says() -> None:
    old, simple = PATHS.values()
    assert word("deprecated endpoints", heard={old: Heard(404), simple: Heard(422)}) == "yes"
    assert word("deprecated endpoints", heard={old: Heard(404), simple: Heard(404)}) == "no"
    assert word("deprecated endpoints", heard={old: Heard(404), simple: Heard(503)}) == "not known"


@pytest.mark.parametrize(("switch", "known"), [(True, "yes"), (False, "no"), (None, "not known")])
def test_a_switch_that_is_left_open_is_not_known(switch: bool | None, known: str) -> None:
    switches = {"deep_research_enabled": switch, "multi_model_chat_enabled": switch}
    catalogue = Catalogue(switches=switches)
    assert word("deep_research", catalogue=catalogue) == known
    assert word("llm_overrides", catalogue=catalogue) == known
    assert word("llm_overrides", catalogue=catalogue, dialect="sigma") == "no"


def test_filters_want_a_tool_to_search_with_and_a_dialect_to_be_sent_in() -> None:
    assert word("search_filters", catalogue=Catalogue(tools=(SEARCH,))) == "yes"
    assert word("search_filters", catalogue=Catalogue(tools=())) == "no"
    assert word("search_filters", catalogue=Catalogue(tools=(SEARCH,)), dialect=None) == "not known"


def test_a_key_that_is_nobodys_stands_in_the_way_and_no_key_at_all_does_not() -> None:
    nobody = Catalogue(account={"is_anonymous_user": True})
    wrong = seen(catalogue=nobody, heard={SEND: Heard(422)})
    assert stands_in_the_way(wrong)
    assert "NOBODY'S" in abilities(wrong)[0].why
    assert "allow_anonymous" not in advised(wrong)
    none = replace(wrong, address=Address("https://sigma.example.com/api", "onyx"))
    assert not stands_in_the_way(none)
    assert advised(none)["allow_anonymous"] is True


def test_a_budget_that_is_not_told_of_is_not_called_none() -> None:
    days = [{"input_tokens": 5, "output_tokens": 7}]
    (silent,) = (
        one.why
        for one in abilities(seen(heard={USAGE: Heard(200, told={"per_day_by_model": days})}))
        if one.what == "its own count"
    )
    assert silent == "12 tokens since yesterday"
    assert word("its own count", heard={USAGE: Heard(200)}) == "not known"


def why(what: str, **of: Any) -> str:
    (found,) = (one.why for one in abilities(seen(**of)) if one.what == what)
    return found


@pytest.mark.parametrize(
    "odd", [10**400, float("nan"), float("inf"), True, "5", None], ids=lambda it: str(it)[:9]
)
def test_a_number_that_is_none_is_not_told_as_one(odd: Any) -> None:
    catalogue = Catalogue(switches={"user_file_max_upload_size_mb": odd})
    assert why("files", catalogue=catalogue, heard={UPLOAD: Heard(422)}) == "uploads are taken"
    told = {"budget_cents": odd, "budget_remaining_cents": odd, "per_day_by_model": []}
    assert "left" not in why("its own count", heard={USAGE: Heard(200, told=told)})


def test_tokens_of_a_day_that_does_not_say_them_are_not_none() -> None:
    heard = {USAGE: Heard(200, told={"per_day_by_model": [{"input_tokens": 5}]})}
    assert why("its own count", heard=heard) == "how many tokens is not said"
    assert word("its own count", heard=heard) == "not known"


def test_a_model_for_an_example_is_one_that_a_session_can_tell_apart() -> None:
    two = (Provider("A", ("x", "y*", "z"), "v"), Provider("B", ("x",), "v"))
    assert told_apart(two, ("A", "q")) == ("A", "z")
    assert told_apart((Provider("A", ("x",), "v"),), ("A", "x")) is None


def test_a_folder_called_standin_is_not_in_the_way_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("standin").mkdir()
    assert suite_at("standin").target.base_url is None


def test_the_lines_for_a_suite_are_a_suite() -> None:
    intro, blank, *text = target_lines(seen())
    assert (intro, blank) == ("for a suite:", "")
    suite = parse_suite(
        "\n".join([*text, "prompts: [{message: hi}]"]), Path("s.yaml"), {"SIGMA_API_KEY": "k"}
    )
    assert (suite.target.base_url, suite.target.dialect) == ("https://sigma.example.com/api", "onyx")


def test_of_a_suite_only_what_does_not_fit_is_told() -> None:
    text = "target: {base_url: https://sigma.example.com/api, dialect: sigma}\nprompts: [{message: hi}]\n"
    suite = parse_suite(text, Path("s.yaml"), {})
    assert advised(seen(suite=suite)) == {"dialect": "onyx"}
    assert advised(seen(suite=suite, dialect="sigma")) == {}


def test_a_key_that_is_in_a_file_stays_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    file.write_text("a-key-of-mine\n")
    monkeypatch.delenv("SIGMA_API_KEY", raising=False)
    monkeypatch.setenv("SIGMA_API_KEY_FILE", str(file))
    for suite in (suite_at("https://sigma.example.com"), suite_at("https://sigma.example.com", file)):
        assert key_of(suite.target, suite.path) == "a-key-of-mine"
        assert advised(seen(suite=suite))["api_key_file"] == str(file)
        assert "api_key" not in advised(seen(suite=suite))
    monkeypatch.setenv("SIGMA_API_KEY", "another-key")
    suite = suite_at("https://sigma.example.com")
    assert key_of(suite.target, suite.path) == "another-key"


def test_nothing_that_a_server_says_reaches_the_terminal_as_it_is() -> None:
    evil = "\x1b]0;pwned\x07\u202e\ud800[red]\n\ttool"
    catalogue = Catalogue(
        tools=(Tool(1, evil, (evil,), (evil,)),),
        personas=(Persona(0, evil, (1,)),),
        providers=(Provider(evil, (evil,) * 50, evil),),
        document_sets=(evil,) * 50,
        projects={1: evil},
        version=evil,
        account={"email": evil, "token_expires_at": evil},
    )
    found = seen(catalogue=catalogue, heard={SEND: Heard(403, told={"detail": evil})})
    for width in (None, 40):
        shown = [line.plain for line in lines(found, None, width)]
        assert all(line.isprintable() for line in shown)
    told = json.loads(document(as_told(found, None)))
    assert told["tools"][0]["name"].startswith("\x1b]0;pwned")


@pytest.mark.parametrize(
    ("written", "ask"),
    [
        (["URL", "--ask"], ""),
        (["--ask", "standin"], ""),
        (["--ask", "http://sigma"], ""),
        (["--ask", "--json", "URL"], ""),
        (["URL", "--ask", "How are you?"], "How are you?"),
        (["URL"], None),
    ],
)
def test_a_question_may_be_left_out(written: list[str], ask: str | None) -> None:
    app = typer.Typer()

    @app.command(cls=OptionalValue)
    def check(
        target: str, ask: Annotated[str | None, typer.Option()] = None, as_json: Annotated[bool, FLAG] = False
    ) -> None:
        typer.echo(json.dumps([target, ask]))

    target, asked = json.loads(CliRunner().invoke(app, written).stdout)
    assert (asked, target) == (ask, next(word for word in written if word in TARGETS))


FLAG = typer.Option("--json")
TARGETS = {"URL", "standin", "http://sigma"}
