"""`harness plan --requests` prints a script, and the script says to a Sigma what a run would say."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Serving, Standin

ROOT = Path(__file__).parents[2]
SUITE = """
target: {{base_url: "{url}", api_key: "${{KEY}}", dialect: {dialect}}}
prompts:
  - id: filtered
    message: "It's $CHAT_SESSION_ID, isn't \\"it\\"?"
    search_filters: {{document_set: [Policies], tags: {{region: EU}}}}
    mcp_headers: {{X-Token: hunter2}}
    persona_id: Support Agent
  - id: tree
    turns:
      - {{id: ask, message: one}}
      - {{id: more, message: two}}
      - {{id: other, after: ask, message: three}}
      - {{id: again, regenerate: ask}}
  - {{id: old, message: hi, endpoint: send-message}}
  - {{id: filed, message: When does the canteen open?, files: [canteen.md]}}
"""


def requests_of(target: Standin, dialect: str, folder: Path) -> str:
    (folder / "canteen.md").write_text("The canteen opens at 11:30.\n")
    suite = folder / "s.yaml"
    suite.write_text(SUITE.format(url=target.url, dialect=dialect))
    command = [sys.executable, "-m", "harness", "plan", str(suite), "--requests"]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={"KEY": "sk-secret"}, timeout=30
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def sent(target: Standin) -> list[dict[str, Any]]:
    return [json.loads(each["body"]) for each in target.get("/_standin/requests")]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
@pytest.mark.parametrize("dialect", ["sigma", "onyx"])
def test_the_script_asks_what_the_suite_asks(serving: Serving, tmp_path: Path, dialect: str) -> None:
    with serving("--dialect", dialect) as target:
        script = requests_of(target, dialect, tmp_path)
        before = len(sent(target))
        done = subprocess.run(
            ["bash", "-e"], check=False, input=script, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        filtered, *tree, old, filed = sent(target)[before:]
        assert filtered["message"] == """It's $CHAT_SESSION_ID, isn't "it"?"""
        assert filtered["chat_session_info"] == {"persona_id": 1}
        name = "search_filters" if dialect == "sigma" else "internal_search_filters"
        assert filtered[name]["document_set"] == ["Policies"]
        session = target.get(f"/chat/get-chat-session/{tree[1]['chat_session_id']}")
        messages = {each["message_id"]: each for each in session["messages"]}
        assert messages[tree[2]["parent_message_id"]]["message_type"] == "assistant"
        assert messages[tree[3]["parent_message_id"]]["message"] == "one"
        assert old["chat_session_id"]
        assert filed["file_descriptors"][0]["name"] == "canteen.md"
        assert "canteen.md says" in done.stdout or "11:30" in done.stdout


def test_no_secret_is_in_the_script(sigma: Standin, tmp_path: Path) -> None:
    script = requests_of(sigma, "sigma", tmp_path)
    assert "hunter2" not in script
    assert "sk-secret" not in script
    assert script.count("Bearer $SIGMA_API_KEY") == script.count("curl ")


def test_repeats_and_phases_are_printed_once_and_a_single_request_alone(tmp_path: Path) -> None:
    suite = tmp_path / "s.yaml"
    suite.write_text(
        "target: standin\ndefaults: {repeat: 3}\nload: {a: {workers: 1}, b: {workers: 2}}\n"
        "prompts: [{message: hi}]\n"
    )
    command = [sys.executable, "-m", "harness", "plan", str(suite), "--requests", "--offline"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith("#")]
    (only,) = lines
    assert only.startswith("curl -N http://127.0.0.1:8080/chat/send-chat-message ")
    assert only.endswith("""--data '{"message": "hi", "stream": true}'""")
    assert "harness serve --port 8080 --dialect sigma" in done.stdout
