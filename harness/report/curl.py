"""Requests as curl commands: the guide's code sample, for a suite of one's own.

The lines are a script for bash, and most of them can be pasted by themselves. What is secret stays a variable
of the shell. What only an earlier reply tells (a session, the id of an answer, of an upload) is taken out of
it, so that a conversation runs as it stands here.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any

from harness.plan.trials import Arm, Plan, Trial
from harness.report.visible import as_json, one_line
from harness.sigma.client import Address
from harness.sigma.deprecated import PATHS, deprecated_body
from harness.sigma.request import SEND, masked, request_body, session_info
from harness.suite.attachments import path_of
from harness.suite.prompts import Turn
from harness.suite.settings import FileDescriptor, Settings

_SESSION = "CHAT_SESSION_ID"
_MARK = re.compile(r"variable-of-the-shell:(\w+);")
"""Stands in a body for a variable until the body is quoted: a message may have dollars of its own."""

_A_NUMBER = 987654321987654321
"""Stands in a body for a number that is not known yet, until the body is text."""

_TOLD = r"""# told FIELD: the value of that field in the last reply
told() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^,\"}]*\).*/\1/p" <<<"$REPLY" | head -n 1; }"""


def curl_commands(plan: Plan, address: Address) -> Iterator[str]:
    """The lines of a script that sends each distinct request of *plan*; repeats and phases are sent once.

    A conversation of one turn is one command. Of a longer one, and of a file, the replies are kept.
    """
    trials = {(trial.case.case_id, trial.variant): trial for trial in reversed(list(plan.asked()))}
    chosen = list(trials.values())[::-1]
    files = dict.fromkeys(
        file for trial in chosen for settings in trial.settings for file in _paths(settings, plan)
    )
    if files or any(_keeps(trial) for trial in chosen):
        yield _TOLD
        yield ""
    for file in files:
        yield from _upload(file, plan, address)
    for trial in chosen:
        yield from _conversation(trial, plan, address)


def _keeps(trial: Trial | Arm) -> bool:
    """Whether something is taken out of a reply: of all but a single request to today's endpoint."""
    return len(trial.settings) > 1 or trial.settings[0].endpoint in PATHS


def _paths(settings: Settings, plan: Plan) -> Iterator[str]:
    for file in settings.files or ():
        if isinstance(file, str) and path_of(file, plan.suite.path) is not None:
            yield file


def _upload(file: str, plan: Plan, address: Address) -> Iterator[str]:
    name = _variable("FILE", file)
    form = quote(f"files=@{path_of(file, plan.suite.path)}")
    yield f"# the file {one_line(file)}"
    yield f"REPLY=$(curl -s {_url(address, '/user/projects/file/upload')}{_key(address)} -F {form})"
    fields = {"ID": "file_id", "TYPE": "chat_file_type", "UPLOAD": "id"}
    yield "; ".join(f"{name}_{suffix}=$(told {field})" for suffix, field in fields.items())
    yield ""


def _variable(kind: str, name: object) -> str:
    return f"{kind}_" + "".join(letter if letter.isalnum() else "_" for letter in str(name)).upper()


def _marked(name: str) -> str:
    return f"variable-of-the-shell:{name};"


def _conversation(trial: Trial | Arm, plan: Plan, address: Address) -> Iterator[str]:
    turns = list(zip(trial.case.turns, trial.settings, strict=True))
    named = {name for turn, _ in turns for name in (turn.after, turn.regenerate)}
    before: Turn | None = None
    for turn, asked in turns:
        settings = _with_variables(asked, plan)
        title = f"# {one_line(trial.case.case_id)} [{one_line(trial.variant)}]"  # a script: no line of theirs
        yield title if len(turns) == 1 else f"{title} turn {turn.id}"
        session = settings.chat_session_id or (_marked(_SESSION) if before is not None else None)
        if session is None and settings.endpoint in PATHS:
            made = _command(address, "/chat/create-chat-session", json.dumps(session_info(settings)))
            yield f"REPLY=$({made.replace('curl -N', 'curl -s')}); {_SESSION}=$(told chat_session_id)"
            session = _marked(_SESSION)
        if settings.mcp_headers:
            yield "# the values of mcp_headers are not shown"
        body = _json(turn, settings, address.dialect, before=before, session=session)
        command = _command(address, PATHS.get(settings.endpoint or "", SEND), body)
        if len(turns) == 1:
            yield command
        else:
            yield f"""REPLY=$({command.replace("curl -N", "curl -s")}); echo "$REPLY\""""
            yield from _kept(
                turn, wanted=turn.id in named, first=session is None, old=settings.endpoint in PATHS
            )
        yield ""
        before = turn


def _kept(turn: Turn, *, wanted: bool, first: bool, old: bool) -> Iterator[str]:
    """What later turns need of this one's reply."""
    if first:
        yield f"{_SESSION}=$(told chat_session_id)"
    if wanted or old:
        yield f"{_variable('QUESTION', turn.id)}=$(told user_message_id)"
        yield f"{_variable('ANSWER', turn.id)}=$(told reserved_assistant_message_id)"


def _with_variables(settings: Settings, plan: Plan) -> Settings:
    """*settings* with a descriptor of variables in the place of each path."""
    paths = set(_paths(settings, plan))
    if not paths:
        return settings
    files = tuple(_descriptor(file) if file in paths else file for file in settings.files or ())
    return settings.model_copy(update={"files": files})


def _descriptor(file: str | FileDescriptor) -> FileDescriptor:
    name = _variable("FILE", file)
    return FileDescriptor(
        id=_marked(f"{name}_ID"),
        type=_marked(f"{name}_TYPE"),
        name=Path(str(file)).name,
        user_file_id=_marked(f"{name}_UPLOAD"),
    )


def _json(turn: Turn, settings: Settings, dialect: str, *, before: Turn | None, session: str | None) -> str:
    """The body as text, with a variable where only an earlier reply knows the value."""
    variable = ""
    if turn.regenerate is not None:
        variable = _variable("QUESTION", turn.regenerate)
    elif turn.after is not None:
        variable = _variable("ANSWER", turn.after)
    elif before is not None and settings.endpoint == "send-message":
        variable = _variable("ANSWER", before.id)
    parent = _A_NUMBER if variable else settings.parent_message_id if before is None else None
    message = turn.message or ""
    if settings.endpoint in PATHS:
        body: dict[str, Any] = deprecated_body(
            message, settings, session_id=session, parent_message_id=parent
        )
    else:
        body = request_body(message, settings, dialect=dialect, session_id=session, parent_message_id=parent)
    return as_json(masked(body)).replace(str(_A_NUMBER), _marked(variable))


def _command(address: Address, path: str, body: str) -> str:
    """One curl command; the variables in *body* are left for the shell to fill in."""
    data = _MARK.sub(r"""'"$\1"'""", quote(body))
    return f"curl -N {_url(address, path)}{_key(address)} -H 'Content-Type: application/json' --data {data}"


def _url(address: Address, path: str) -> str:
    return quote(address.base_url.rstrip("/") + path)


def _key(address: Address) -> str:
    """The key, by the variable that holds it: it is in no command."""
    return ' -H "Authorization: Bearer $SIGMA_API_KEY"' if address.api_key else ""
