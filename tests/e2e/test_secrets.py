"""Keys are nowhere: not in a byte of what a run leaves, prints or shows, whatever a server does with them.

The server here repeats each secret that it is told, in every way there is (`tests.e2e.repeating`).
"""

import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from html import escape
from pathlib import Path
from urllib.parse import quote

import polars as pl
import pytest

from harness.errors import Exit
from harness.journal import JOURNAL, read
from tests.bounds import started
from tests.conftest import Standin
from tests.e2e.repeating import PERSON, Relay, relaying
from tests.view.viewing import viewing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # one fixture does all that one does with the tool

KEYS = {
    "target": "sk-target-7Qd/kz+91mXw",
    "judge": "sk-judge-0aF4\u002dcc81bHq".encode().decode("unicode_escape"),
    "embeddings": "sk-embed-Zk22/9920ppLw",
    "provider": "sk-provider-6yTTq81zzXc",
    "password": "pr0xy/pa55=w0rd",
    "header": "hdr-5521-Rm0nnQxz",
}
PROXIED = f"me:{quote(KEYS['password'], safe='')}"
SUITE = """
suite: planted
target:
  base_url: {base}
  api_key_file: target.key
  proxy: ${{PLANTED_PROXY}}
judge: {{base_url: "{relay}/v1", api_key: "${{PLANTED_JUDGE}}", model: j}}
embeddings: {{base_url: "{relay}/v1", api_key: "${{PLANTED_EMBEDDINGS}}", model: e}}
redact: [email]
defaults:
  mcp_headers: {{Authorization: "Bearer ${{PLANTED_HEADER}}"}}
  retry: {{attempts: 1}}
prompts:
  - id: good
    message: hello
    assert:
      - {{type: llm-rubric, value: it is fine}}
      - {{type: llm-rubric, value: "rubric: refuse"}}
      - {{type: similar, value: hello, threshold: 0.1}}
  - id: slow
    message: hello
    llm_override: {{model_provider: Simulated, model_version: "sim:ttft={slow},tokens=3"}}
  - {{id: refuse, message: refuse, assert: [{{type: outcome, value: error}}]}}
  - {{id: move, message: move}}
  - {{id: page, message: page}}
  - {{id: line, message: line}}
  - id: repeat
    message: repeat
    assert: [{{type: contains, value: nothing}}, {{type: llm-rubric, value: fine}}]
  - {{id: torn, message: torn}}
  - id: person
    message: person
    assert:
      - {{type: equals, value: "Write to ******************** or call."}}
      - {{type: llm-rubric, value: fine}}
load: {{main: {{workers: 2}}}}
"""
STANDIN = """
suite: provided
target:
  standin: {{providers: {{real: {{base_url: "{relay}/v1", api_key: "${{PLANTED_PROVIDER}}", models: [m]}}}}}}
prompts:
  - {{message: hello, llm_override: {{model_provider: real, model_version: m}}, retry: {{attempts: 1}}}}
  - {{message: hello again, llm_override: {{model_provider: Simulated, model_version: "sim:ttft=4s"}}}}
"""


@dataclass
class Heard:
    """All that was written and said: by name of what was done, and in it the bytes."""

    folder: Path
    relay: Relay
    said: dict[str, bytes] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    children: dict[str, bytes] = field(default_factory=dict)

    def harness(self, name: str, *args: str, look: Callable[[int], None] = lambda _: None) -> None:
        """Run a command, with the keys in its environment; *look* gets its process id."""
        proxy = f"http://{PROXIED}@{self.relay.url.removeprefix('http://')}"
        theirs = KEYS.keys() & ({"provider"} if name == "provided" else {"judge", "embeddings", "header"})
        planted = {f"PLANTED_{key.upper()}": KEYS[key] for key in theirs}
        env = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
        env |= planted | {"OTEL_EXPORTER_OTLP_ENDPOINT": self.relay.url}
        env |= {} if name == "provided" else {"PLANTED_PROXY": proxy}
        command = [sys.executable, "-m", "harness", *args]
        with started(
            command, cwd=self.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            look(process.pid)
            told = process.communicate(timeout=120)
        self.said[name] = b"\n".join(told)
        self.codes[name] = process.returncode

    def watch(self, pid: int, count: int) -> None:
        """Keep the command lines and environments of the children that *pid* starts, so many as *count*."""
        found: set[str] = set()

        def look() -> bool:
            for child in children(pid):
                line = read_bytes(Path(f"/proc/{child}/cmdline"))
                if b"-m\0harness" in line and b"\0run\0" not in line:  # else it is not started yet
                    found.add(child)
                    self.children[f"cmdline of {child}"] = line
                    self.children[f"environ of {child}"] = read_bytes(Path(f"/proc/{child}/environ"))
            return len(found) == count

        wait_for(look)
        self.children[f"cmdline of {pid}"] = read_bytes(Path(f"/proc/{pid}/cmdline"))


def children(pid: int) -> list[str]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += read_bytes(task / "children").decode().split()
    return found


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def forms(secret: str) -> Iterator[str]:
    """Every stretch of ten characters of *secret*, as it is and as others may write it."""
    for whole in (secret, base64.b64encode(f"me:{secret}".encode()).decode(), secret[::-1]):
        stretches = {whole[at : at + 10] for at in range(len(whole) - 9)}
        for each in stretches:
            yield from {each, quote(each, safe=""), each.replace("/", "\\/"), escape(each)}
    yield base64.b64encode(secret.encode()).decode().rstrip("=")[:-1]


NEVER = {form for text in (*KEYS.values(), PERSON) for form in forms(text)}
PLANTED = re.compile("|".join(map(re.escape, NEVER)).encode())


def leaks(where: str, told: bytes) -> list[str]:
    return [f"{where}: {told[max(0, at.start() - 60) : at.end() + 10]!r}" for at in PLANTED.finditer(told)]


def killed_in_the_middle(heard: Heard) -> None:
    def kill(pid: int) -> None:
        (folder,) = wait_for(lambda: list((heard.folder / "killed").glob("*/*/journal-0.jsonl")))
        wait_for(lambda: folder.read_bytes().count(b"\n") > 4)
        os.kill(pid, 9)

    heard.harness("killed", "run", "slow.yaml", "--results", "killed", look=kill)


def wait_for(found: Callable[[], object]) -> list[Path]:
    end = time.monotonic() + 30
    while not (come := found()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return come if isinstance(come, list) else []


@pytest.fixture(scope="module")
def heard(sigma: Standin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heard]:
    """Everything that one does with the tool, against servers that repeat what they are told."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "target.key").write_text(KEYS["target"] + "\n")
    (folder / "target.key").chmod(0o600)
    with relaying(sigma.url) as relay:
        heard = Heard(folder, relay)
        suites = {
            "planted": SUITE.format(base="http://sigma.test", relay=relay.url, slow="1ms"),
            "slow": SUITE.format(base="http://sigma.test", relay=relay.url, slow="60s"),
            "tls": SUITE.format(base="https://sigma.test", relay=relay.url, slow="1ms"),
            "direct": SUITE.format(base=relay.url.replace("http:", "https:"), relay=relay.url, slow="1ms"),
            "provided": STANDIN.format(relay=relay.url),
        }
        for name, text in suites.items():
            through = "false" if name == "direct" else "${PLANTED_PROXY}"
            (folder / f"{name}.yaml").write_text(text.replace("${PLANTED_PROXY}", through))
        files = (
            "--html",
            "run.html",
            "--markdown",
            "run.md",
            "--junit",
            "run.xml",
            "--metrics-port",
            "0",
            "--otel",
        )
        heard.harness("run", "run", "planted.yaml", "--json", *files)
        some = ("--prompt", "refuse", "--prompt", "repeat", "--prompt", "person")
        watch = partial(heard.watch, count=1)
        heard.harness("debug", "--debug", "run", "planted.yaml", *some, look=watch)
        heard.harness("provided", "--debug", "run", "provided.yaml", look=partial(heard.watch, count=2))
        killed_in_the_middle(heard)
        for name in ("tls", "direct"):
            heard.harness(name, "--debug", "run", f"{name}.yaml")
        heard.harness("plan", "plan", "planted.yaml")
        heard.harness("requests", "plan", "planted.yaml", "--requests")
        (run, other) = sorted(path.parent.name for path in folder.glob("results/planted/*/manifest.json"))[:2]
        heard.harness("grade", "grade", run)
        heard.harness("grade killed", "grade", "latest", "--results", "killed")
        heard.harness("report", "report", run, "--csv", "csv", "--png", "png", "--html", "again.html")
        heard.harness("compare", "compare", run, other)
        heard.harness("flaky", "flaky", "planted")
        heard.said["view"] = viewed(folder / "results")
        heard.said["traces"] = b"\n".join(relay.traces)
        yield heard


def viewed(results: Path) -> bytes:
    """Every page of the view, and what its pages fetch."""
    seen: dict[str, bytes] = {}
    with viewing(results) as http:
        open_ = ["/"]
        while open_ and len(seen) < 300:
            at = open_.pop()
            if at in seen:
                continue
            page = http.get(at, follow_redirects=True)
            seen[at] = page.content
            links = re.findall(r'(?:href|src|hx-get|data-src)="(/[^"#]*)', page.text)
            open_ += [link.replace("&amp;", "&") for link in links if "/static/" not in link]
    assert len(seen) > 20
    return b"\n".join(seen.values())


def test_the_servers_were_told_every_secret(heard: Heard) -> None:
    """Else nothing here could fail."""
    told = " ".join(heard.relay.told)
    basic = base64.b64encode(f"me:{KEYS['password']}".encode()).decode()
    assert all(key in told for name, key in KEYS.items() if name != "password")
    assert basic in told


def test_every_command_did_what_it_was_there_for(heard: Heard) -> None:
    assert heard.codes["run"] == heard.codes["debug"] == Exit.INCOMPLETE, heard.said["run"]
    assert heard.codes["tls"] == heard.codes["direct"] == Exit.ENVIRONMENT
    assert heard.codes["killed"] == -9
    did = ("plan", "requests", "report", "compare", "flaky")
    assert {name: heard.codes[name] for name in did} == dict.fromkeys(did, Exit.OK)
    assert b"407" in heard.said["tls"]
    assert b"Traceback" in heard.said["direct"]
    assert b"POST /chat/send-chat-message 403" in heard.said["debug"]
    assert json.JSONDecoder().raw_decode(heard.said["run"].decode())[0]["verdict"]
    assert b"$SIGMA_API_KEY" in heard.said["requests"]
    assert heard.said["traces"]


def test_nothing_that_is_said_or_shown_has_a_secret_in_it(heard: Heard) -> None:
    assert [leak for name, told in heard.said.items() for leak in leaks(name, told)] == []


def test_no_file_that_is_left_has_a_secret_in_it(heard: Heard) -> None:
    kept = {"target.key"}
    files = [path for path in heard.folder.rglob("*") if path.is_file() and path.name not in kept]
    assert len([path for path in files if path.suffix == ".parquet"]) > 20
    assert [leak for path in files for leak in leaks(path.name, path.read_bytes())] == []
    for path in files:
        if path.suffix == ".parquet":
            assert leaks(path.name, pl.read_parquet(path).write_ndjson().encode()) == []


def test_no_process_shows_a_secret_and_none_of_ours_inherits_one(heard: Heard) -> None:
    lines = [name for name in heard.children if name.startswith("environ")]
    assert len(lines) >= 2
    assert [leak for name, told in heard.children.items() for leak in leaks(name, told)] == []
    assert all(b"PATH=" in heard.children[name] for name in lines)


def test_what_was_repeated_is_masked_and_counted(heard: Heard) -> None:
    run = min(heard.folder.glob("results/planted/*/manifest.json")).parent
    results = {result.case_id: result.exchanges[-1] for result in read(run / JOURNAL)}
    repeated, torn = results["repeat"].transcript, results["torn"].transcript
    assert repeated is not None
    assert torn is not None
    assert re.fullmatch(r"\*+ and \*+|[*a-zA-Z: ]+", repeated.answer)
    assert repeated.narration[0].startswith("You sent Bearer *")
    assert repeated.reasoning[0].startswith("I was told Bearer *")
    assert repeated.bad_lines == 1
    assert torn.answer.strip("*") in {"Bearer ", "Bearer"} or "*" in torn.answer
    assert all(results[name].masked > 0 for name in ("refuse", "page", "line", "repeat", "torn"))
    assert results["good"].masked == 0
    assert results["person"].masked == 4
    assert results["person"].failure is None
    assert b"stretches masked before anything of them was kept" in heard.said["grade"]
