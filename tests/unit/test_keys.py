"""Where keys come from, what a suite is told of a file that holds none, and what is hidden of them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import SuiteError, UsageError
from harness.redact.veil import passwords_of, veil_of
from harness.suite.keys import key_around, key_of, keyed, secrets_of, standin_of
from harness.suite.model import Suite
from harness.suite.read import load_suite, parse_suite

KEY = "sk-0123456789abcdef"
SUITE = """
target: {base_url: "https://sigma.test", api_key_file: sigma.key}
judge: {base_url: "https://judge.test/v1", api_key_file: keys/judge.key, model: j}
prompts: [{message: hi, assert: [is-json]}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A suite, and the files of its keys."""
    (tmp_path / "suite.yaml").write_text(SUITE)
    (tmp_path / "keys").mkdir()
    for name in ("sigma.key", "keys/judge.key"):
        (tmp_path / name).write_text(f"{KEY}-{name[0]}\n")
        (tmp_path / name).chmod(0o600)
    return tmp_path


def problem(folder: Path) -> str:
    with pytest.raises(SuiteError) as told:
        load_suite(folder / "suite.yaml")
    (found,) = told.value.problems
    return f"{found.line}:{found.column} {found.message}"


def test_a_key_is_the_one_line_of_a_file_beside_the_suite(folder: Path) -> None:
    suite = load_suite(folder / "suite.yaml")
    assert suite.warnings == ()
    assert suite.judge is not None
    assert key_of(suite.target, suite.path) == f"{KEY}-s"
    key = keyed(suite.judge, suite.path).api_key
    assert key is not None
    assert key.get_secret_value() == f"{KEY}-k"
    assert set(secrets_of(suite)) >= {f"{KEY}-s", f"{KEY}-k"}
    assert KEY not in repr(suite) + suite.text + repr(keyed(suite.judge, suite.path))


@pytest.mark.parametrize(
    ("content", "key"),
    [
        pytest.param(b"sk-1234\n", "sk-1234", id="a line"),
        pytest.param(b"sk-1234\r\n", "sk-1234", id="of Windows"),
        pytest.param(b"sk-1234", "sk-1234", id="without its end"),
        pytest.param(b" sk 1234 ", " sk 1234 ", id="blanks are part of it"),
    ],
)
def test_one_line_end_is_no_part_of_a_key(folder: Path, content: bytes, key: str) -> None:
    (folder / "sigma.key").write_bytes(content)
    suite = load_suite(folder / "suite.yaml")
    assert key_of(suite.target, suite.path) == key


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(Path.unlink, "there is no such file", id="gone"),
        pytest.param(lambda path: path.write_bytes(b""), "the file is empty", id="empty"),
        pytest.param(lambda path: path.write_bytes(b"\n"), "the file is empty", id="a line end"),
        pytest.param(lambda path: path.write_bytes(b"sk-secret\nmore\n"), "more than one line", id="lines"),
        pytest.param(lambda path: path.write_bytes(b"sk-secret\n\n"), "more than one line", id="two ends"),
        pytest.param(
            lambda path: path.write_bytes(b"sk-secret\xff\x00"), "characters that no header can", id="binary"
        ),
        pytest.param(
            lambda path: path.write_text("sk-secr\u00e9t"), "characters that no header", id="accent"
        ),
        pytest.param(lambda path: path.write_bytes(b"secret" * 9999), "longer than 16 KiB", id="a book"),
        pytest.param(lambda path: (path.unlink(), path.mkdir()), "this is a folder", id="a folder"),
    ],
)
def test_a_file_that_holds_no_key_is_told_of_without_what_it_holds(
    folder: Path, spoil: Callable[[Path], object], said: str
) -> None:
    suite = load_suite(folder / "suite.yaml")
    spoil(folder / "sigma.key")
    told = problem(folder)
    assert told.startswith("2:56 target.api_key_file: sigma.key: ")
    assert said in told
    assert "secr" not in told
    with pytest.raises(UsageError, match=r"api_key_file: sigma\.key: ") as late:
        key_of(suite.target, suite.path)
    assert "secr" not in str(late.value)


@pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_others_may_read_is_warned_of(folder: Path, mode: int) -> None:
    (folder / "sigma.key").chmod(mode)
    (told,) = load_suite(folder / "suite.yaml").warnings
    assert told == (
        f"target.api_key_file: sigma.key may be read by others (mode {mode:03o}); "
        "for its owner alone: chmod 600"
    )


def test_a_home_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder / "keys"))
    (folder / "suite.yaml").write_text(SUITE.replace("sigma.key", "~/judge.key"))
    suite = load_suite(folder / "suite.yaml")
    assert key_of(suite.target, suite.path) == f"{KEY}-k"


def test_a_key_has_one_place(folder: Path) -> None:
    text = SUITE.replace("api_key_file: sigma.key", 'api_key_file: sigma.key, api_key: "${K}"')
    with pytest.raises(SuiteError, match="api_key is here as well: keep one of them"):
        parse_suite(text, folder / "suite.yaml", {"K": KEY})


def test_a_recorded_suite_needs_no_files_and_reads_none(folder: Path) -> None:
    (folder / "sigma.key").unlink()
    suite = parse_suite(SUITE, folder / "suite.yaml", {}, recorded=True)
    assert set(secrets_of(suite)) - {""} == {f"{KEY}-k"}


def test_providers_of_the_stand_in_have_files_too(folder: Path) -> None:
    provider = '{base_url: "http://x.test/v1", api_key_file: sigma.key, models: [m]}'
    text = f"target: {{standin: {{providers: {{real: {provider}}}}}}}\nprompts: [{{message: hi}}]\n"
    suite = parse_suite(text, folder / "suite.yaml", {})
    standin = standin_of(suite)
    assert standin is not None
    key = standin.providers["real"].api_key
    assert key is not None
    assert key.get_secret_value() == f"{KEY}-s"
    assert standin_of(parse_suite("target: standin\nprompts: [{message: hi}]\n", Path("s.yaml"), {}))


def test_a_server_that_no_suite_names_has_a_variable_or_a_file(folder: Path) -> None:
    file = str(folder / "sigma.key")
    assert key_around({}) is None
    assert key_around({"SIGMA_API_KEY": KEY, "SIGMA_API_KEY_FILE": file}) == KEY
    assert key_around({"SIGMA_API_KEY_FILE": file}) == f"{KEY}-s"
    with pytest.raises(UsageError, match=r"SIGMA_API_KEY_FILE: .*: there is no such file"):
        key_around({"SIGMA_API_KEY_FILE": f"{file}.gone"})


def read(text: str, **environ: str) -> Suite:
    return parse_suite(text, Path("s.yaml"), environ)


def test_what_a_suite_knows_of_secrets_is_hidden() -> None:
    suite = read(
        'target: {base_url: "http://x.test", api_key: "${KEY}", proxy: "${PROXY}"}\n'
        "prompts:\n"
        '  - {message: a, mcp_headers: {X-Token: "${TOKEN}", X-Tenant: a-tenant-of-ours}}\n'
        '  - {turns: [{message: b, mcp_headers: {Authorization: "Bearer ${BEARER}"}}]}\n'
        'variants: {v: {matrix: {mcp_headers: {one: {Cookie: "${COOKIE}"}}}, overrides: true}}\n',
        KEY=KEY,
        PROXY="http://me:hunter2%2F3@p.test:1",
        TOKEN="t-0123456789",  # noqa: S106  no password of anything
        BEARER="b-0123456789",
        COOKIE="c-0123456789",
    )
    hidden = veil_of(suite).text
    for secret in (KEY, "hunter2/3", "hunter2%2F3", "t-0123456789", "b-0123456789", "c-0123456789"):
        assert hidden(f"so {secret}.") == f"so {'*' * len(secret)}."
    assert hidden("a-tenant-of-ours") == "a-tenant-of-ours"
    assert "bWU6" not in hidden("Basic bWU6aHVudGVyMi8z")


def test_a_header_that_looks_like_a_key_and_stands_in_the_suite_is_warned_of() -> None:
    text = "target: standin\nprompts: [{message: hi, assert: [is-json], mcp_headers: {%s}}]\n"
    (told,) = read(text % "X-Token: hunter2").warnings
    assert told.startswith("prompts[0].mcp_headers.X-Token: the suite is kept with its runs, and this with")
    assert read(text % "X-Tenant: acme").warnings == ()
    assert read(text % 'X-Token: "${T}"', T="hunter2").warnings == ()


@pytest.mark.parametrize(
    ("written", "said"),
    [
        pytest.param("emial", "known by name are api-key, card, email, .*; did you mean email", id="a slip"),
        pytest.param("Berlin", r"to mask the word itself write {pattern: Berlin}", id="a word"),
        pytest.param("'(a'", "this is no regular expression: ", id="no pattern"),
        pytest.param("'a*'", "this matches where there is nothing", id="nothing"),
        pytest.param("{name: card, pattern: '1+'}", "either a name or a pattern", id="both"),
        pytest.param("{}", "either a name or a pattern", id="neither"),
    ],
)
def test_what_redact_cannot_mean_is_told_with_its_place(written: str, said: str) -> None:
    with pytest.raises(SuiteError, match=rf"s.yaml:3:\d+: redact\[0\].*{said}"):
        read(f"target: standin\nprompts: [{{message: hi}}]\nredact: [{written}]\n")


def test_redact_takes_names_patterns_and_words() -> None:
    suite = read(
        "target: standin\nprompts: [{message: hi}]\n"
        "redact: [email, {name: card}, {pattern: Berlin}, 'no\\. \\d+']\n"
    )
    told = veil_of(suite).text("a@b.example in Berlin, no. 12, pays by 4111111111111111 or 12")
    assert told == "*********** in ******, ******, pays by **************** or 12"


@pytest.mark.parametrize("proxy", ["http://p.test:1", "p.test:1", "http://me@p.test", "http://[", ""])
def test_a_proxy_without_a_password_hides_nothing(proxy: str) -> None:
    assert list(passwords_of(proxy)) == []
