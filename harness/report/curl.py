"""Requests as curl commands: the guide's code sample, for a suite of one's own.

What is secret stays a variable of the shell. What only an earlier reply can tell (a session, the id of an
answer, of an upload) is a variable too, and a comment says where it is found.
"""

import json
from collections.abc import Iterator
from shlex import quote
from typing import Any

from harness.plan import Plan, Trial
from harness.sigma.client import Address
from harness.sigma.deprecated import PATHS, deprecated_body
from harness.sigma.request import SEND, masked, request_body, session_info
from harness.suite.attachments import path_of
from harness.suite.model import FileDescriptor, Settings, Turn

_SESSION, _PARENT = "$CHAT_SESSION_ID", "$PARENT_MESSAGE_ID"
_A_NUMBER = 987654321987654321
"""Stands in a body for a number that is not known yet, until the body is text."""


def curl_commands(plan: Plan, address: Address) -> Iterator[str]:
    """The lines of a shell script that sends each distinct request of *plan*, repeats and phases once.

    Uploads come first; a conversation's session is made where the dialect makes it, and its later turns go on
    in it.
    """
    uploaded: set[str] = set()
    seen: set[tuple[str, str]] = set()
    for trial in plan.trials:
        if (trial.case.case_id, trial.variant) in seen:
            continue
        seen.add((trial.case.case_id, trial.variant))
        for file in dict.fromkeys(file for settings in trial.settings for file in _paths(settings, plan)):
            if file not in uploaded:
                uploaded.add(file)
                yield from _upload(file, plan, address)
        yield from _conversation(trial, plan, address)


def _paths(settings: Settings, plan: Plan) -> Iterator[str]:
    for file in settings.files or ():
        if isinstance(file, str) and path_of(file, plan.suite.path) is not None:
            yield file


def _upload(file: str, plan: Plan, address: Address) -> Iterator[str]:
    name = _variable(file)
    yield f"# file {file}: of the answer's user_files[0], file_id is ${name}_ID, id ${name}_USER_FILE_ID, "
    yield f"# and chat_file_type ${name}_TYPE"
    form = quote(f"files=@{path_of(file, plan.suite.path)}")
    yield f"curl {_url(address, '/user/projects/file/upload')}{_key(address)} -F {form}"
    yield ""


def _variable(file: str) -> str:
    return "FILE_" + "".join(letter if letter.isalnum() else "_" for letter in file).upper()


def _conversation(trial: Trial, plan: Plan, address: Address) -> Iterator[str]:
    before: str | None = None
    for turn, asked in zip(trial.case.turns, trial.settings, strict=True):
        settings = _with_variables(asked, plan)
        title = f"# {trial.case.case_id} [{trial.variant}]"
        yield title if len(trial.case.turns) == 1 else f"{title} turn {turn.id}"
        session = settings.chat_session_id or (_SESSION if before is not None else None)
        if session is None and (address.dialect == "onyx" or settings.endpoint in PATHS):
            info = json.dumps(session_info(settings))
            yield f"# the chat_session_id of the answer is {_SESSION}"
            yield _command(address, "/chat/create-chat-session", info)
            session = _SESSION
        elif session is None and len(trial.case.turns) > 1:
            yield f"# the chat_session_id in the first line of the answer is {_SESSION}"
        yield from _comments(turn, before, settings)
        body = _json(turn, settings, address.dialect, before=before, session=session)
        yield _command(address, PATHS.get(settings.endpoint or "", SEND), body)
        yield ""
        before = turn.id


def _with_variables(settings: Settings, plan: Plan) -> Settings:
    """*settings* with a descriptor of variables in the place of each path."""
    if not any(True for _ in _paths(settings, plan)):
        return settings
    files = [
        FileDescriptor(
            id=f"${_variable(file)}_ID",
            type=f"${_variable(file)}_TYPE",
            name=file.rpartition("/")[2],
            user_file_id=f"${_variable(file)}_USER_FILE_ID",
        )
        if isinstance(file, str) and path_of(file, plan.suite.path) is not None
        else file
        for file in settings.files or ()
    ]
    return settings.model_copy(update={"files": tuple(files)})


def _comments(turn: Turn, before: str | None, settings: Settings) -> Iterator[str]:
    if turn.regenerate is not None:
        yield f"# {_PARENT} is the user_message_id of turn {turn.regenerate}"
    elif turn.after is not None or (before is not None and settings.endpoint == "send-message"):
        yield f"# {_PARENT} is the reserved_assistant_message_id of turn {turn.after or before}"
    if settings.mcp_headers:
        yield "# the values of mcp_headers are not shown"


def _json(turn: Turn, settings: Settings, dialect: str, *, before: str | None, session: str | None) -> str:
    hangs = turn.after or turn.regenerate or (before if settings.endpoint == "send-message" else None)
    parent = settings.parent_message_id if before is None else _A_NUMBER if hangs else None
    message = turn.message or ""
    if settings.endpoint in PATHS:
        body: dict[str, Any] = deprecated_body(
            message, settings, session_id=session, parent_message_id=parent
        )
    else:
        body = request_body(message, settings, dialect=dialect, session_id=session, parent_message_id=parent)
    return json.dumps(masked(body), ensure_ascii=False).replace(str(_A_NUMBER), _PARENT)


def _command(address: Address, path: str, body: str) -> str:
    """One curl command; the variables in *body* are left for the shell to fill in."""
    data = _quoted(body)
    return f"curl -N {_url(address, path)}{_key(address)} -H 'Content-Type: application/json' --data {data}"


def _quoted(body: str) -> str:
    """*body* for the shell: in single quotes, but for the variables that stand for what is not known yet."""
    names = (_SESSION, _PARENT, *_file_variables(body))
    text = quote(body)
    for name in names:
        text = text.replace(name, f"'\"{name}\"'")
    return text


def _file_variables(body: str) -> list[str]:
    words = {word.strip('",{}[] ') for word in body.split()}
    return sorted((word for word in words if word.startswith("$FILE_")), key=len, reverse=True)


def _url(address: Address, path: str) -> str:
    return quote(address.base_url.rstrip("/") + path)


def _key(address: Address) -> str:
    """The key, by the variable that holds it: it is in no command."""
    return ' -H "Authorization: Bearer $SIGMA_API_KEY"' if address.api_key else ""
