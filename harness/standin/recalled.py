"""What a run came across of the rest of an API: lists of what there is, sessions, uploads.

The lists of the server were not recorded. But what a suite names, and to which ids that came, can be told
from the suite in the manifest and from the requests that became of it; so the same suite finds everything
that it names, and another one is told what there is.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any
from uuid import uuid4

import msgspec

from harness.errors import HarnessError
from harness.record.runs import planned
from harness.record.store import Manifest
from harness.standin.files import kind_of
from harness.standin.recordings import Conversation, Recording, Recordings
from harness.suite.settings import Settings

Names = dict[int, list[str]]
"""For each id, the words that the suite has for it, the first one first."""


@dataclass(slots=True)
class Recalled:
    """*lists* are answers by path. *uploads* are the rows of files by name; *given*, how often each was."""

    lists: dict[str, Any]
    projects: dict[int, str]
    uploads: dict[str, list[dict[str, Any]]]
    given: "Counter[str]" = field(default_factory=Counter)

    def upload(self, name: str) -> dict[str, Any]:
        """The file that an upload of that name becomes: the recorded one, or a fresh one.

        Of several files of one name they take turns: their contents are not on record.
        """
        known = self.uploads.setdefault(name, [_row(str(uuid4()), str(uuid4()), name, kind_of(name))])
        self.given[name] += 1
        return known[(self.given[name] - 1) % len(known)]

    def file(self, user_file_id: str) -> dict[str, Any] | None:
        """One file, by the id of its upload."""
        every = chain.from_iterable(self.uploads.values())
        return next((row for row in every if row["id"] == user_file_id), None)


def recall(recordings: Recordings) -> Recalled:
    """All that is known beside the replies."""
    tools, personas, projects = Names(), Names(), Names()
    for settings, asked in _pairs(recordings):
        _learn(tools, (settings.forced_tool_id,), (asked.get("forced_tool_id"),))
        _learn(tools, settings.allowed_tool_ids or (), asked.get("allowed_tool_ids") or ())
        _learn(personas, (settings.persona_id,), (asked.get("persona_id"),))
        _learn(projects, (settings.project_id,), (asked.get("project_id"),))
    for detail in recordings.details.values():
        _learn(personas, (None,), (detail.persona_id,))
        _learn(projects, [None] * len(detail.projects or ()), detail.projects or ())
    manifest = recordings.manifest
    lists: dict[str, Any] = {
        "/health": {"success": True, "message": "ok", "data": None},
        "/persona": _personas(personas),
    }
    if tools or manifest.called:
        lists["/tool"] = _tools(tools, manifest.called)
    if manifest.providers:
        lists["/llm/provider"] = _providers(manifest, recordings.every)
    if sets := _document_sets(recordings.every):
        lists["/manage/document-set"] = [{"name": name} for name in sets]
    if manifest.fingerprint is not None and manifest.fingerprint.version is not None:
        lists["/version"] = {"backend_version": manifest.fingerprint.version}
    named = {number: next(iter(names), f"project {number}") for number, names in projects.items()}
    return Recalled(lists, named, _uploads(recordings.every))


def session(recordings: Recordings, conversation: Conversation) -> dict[str, Any] | None:
    """`GET /chat/get-chat-session/{id}`, as far as the run looked at what *conversation* was given."""
    found = [recordings.details[each] for each in conversation.recorded if each in recordings.details]
    if not found:
        return None
    messages = {message.message_id: message for detail in found for message in detail.messages}
    return {
        "chat_session_id": conversation.session_id,
        "description": conversation.title or "",
        "persona_id": found[0].persona_id,
        "messages": [msgspec.to_builtins(message) for message in messages.values()],
        "current_run": None,
    }


def projects(
    recordings: Recordings, recalled: Recalled, conversations: Iterable[Conversation]
) -> list[dict[str, Any]] | None:
    """`GET /user/projects`, with the conversations of each; None where the run saw nothing of projects."""
    if not recalled.projects and all(one.projects is None for one in recordings.details.values()):
        return None
    listed: dict[int, list[dict[str, str]]] = {number: [] for number in recalled.projects}
    for conversation in conversations:
        seen = (recordings.details.get(each) for each in conversation.recorded)
        for number in {number for detail in seen if detail for number in detail.projects or ()}:
            listed[number].append({"id": conversation.session_id})
    return [
        {"id": number, "name": recalled.projects[number], "chat_sessions": sessions}
        for number, sessions in listed.items()
    ]


def _pairs(recordings: Recordings) -> Iterator[tuple[Settings, Mapping[str, Any]]]:
    """What was sent, and the settings that it was made from; nobody's where the suite cannot be read now."""
    written = _written(recordings.manifest)
    for one in recordings.every:
        yield written.get(one.of) or Settings(), one.asked.settings


def _written(manifest: Manifest) -> dict[tuple[str, str, str], Settings]:
    """The settings of each case, variant and turn, names and all."""
    try:
        plan = planned(manifest)
    except (HarnessError, msgspec.ValidationError):  # of another version, or a file of its is gone
        return {}
    return {
        (each.case.case_id, each.variant, str(turn.id)): settings
        for each in plan.asked()
        for turn, settings in zip(each.case.turns, each.settings, strict=True)
    }


def _learn(names: Names, written: Iterable[int | str | None], sent: Iterable[Any]) -> None:
    """Each id that was *sent*, with the word that was *written* for it, if it was a word."""
    words = [*written]
    numbers = [*sent]
    words += [None] * (len(numbers) - len(words))
    for word, number in zip(words, numbers, strict=False):
        if isinstance(number, int):
            known = names.setdefault(number, [])
            if isinstance(word, str) and word not in known:
                known.append(word)


def _personas(names: Names) -> list[dict[str, Any]]:
    words = Names({0: []}) | names
    return [{"id": number, "name": next(iter(known), f"persona {number}")} for number, known in words.items()]


def _tools(names: Names, called: Mapping[int, tuple[str, ...]]) -> list[dict[str, Any]]:
    return [_tool(number, names.get(number, []), called.get(number, ())) for number in {**called, **names}]


def _tool(number: int, words: list[str], called: tuple[str, ...]) -> dict[str, Any]:
    """A row of `GET /tool`: one with several names for the model is of OpenAPI, with as many operations."""
    others = [word for word in words if word not in called]
    name, display, in_code = [*([called[0]] if len(called) == 1 else []), *others, None, None, None][:3]
    operations = {"/": {one: {"operationId": one} for one in called}} if len(called) > 1 else {}
    return {
        "id": number,
        "name": name or next(iter(called), str(number)),
        "display_name": display,
        "in_code_tool_id": in_code,
        "description": "",
        "definition": {"paths": operations} if operations else None,
    }


def _document_sets(every: list[Recording]) -> list[str]:
    """The sets that were searched in; the two dialects call the filters by different names."""
    filters = (
        one.asked.settings.get(name) or {}
        for one in every
        for name in ("search_filters", "internal_search_filters")
    )
    return sorted({name for each in filters for name in each.get("document_set") or ()})


def _providers(manifest: Manifest, every: list[Recording]) -> dict[str, Any]:
    """The models. The default provider is not on record: it is one that has what was asked of it."""
    overrides = [one.asked.settings.get("llm_override") or {} for one in every]
    unplaced = [one for one in overrides if one.get("model_provider") is None]
    wanted = {str(one["model_version"]) for one in unplaced if one.get("model_version") is not None}
    default = next(
        (
            number
            for number, provider in enumerate(manifest.providers)
            if wanted and all(any(fnmatchcase(one, model) for model in provider.models) for one in wanted)
        ),
        None,
    )
    rows = [
        {
            "id": number,
            "name": provider.name,
            "provider": provider.vendor,
            "model_configurations": [{"name": model} for model in provider.models],
        }
        for number, provider in enumerate(manifest.providers)
    ]
    return {"providers": rows, "default_text": None if default is None else {"provider_id": default}}


def _uploads(every: list[Recording]) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, dict[str, dict[str, Any]]] = {}
    for one in every:
        for file in one.asked.files:
            file_id, name = str(file.get("id")), str(file.get("name") or file.get("id"))
            row = _row(str(file.get("user_file_id") or file_id), file_id, name, file.get("type"))
            rows.setdefault(name, {})[row["id"]] = row
    return {name: list(found.values()) for name, found in rows.items()}


def _row(user_file_id: str, file_id: str, name: str, kind: str | None) -> dict[str, Any]:
    """One file, as all of the endpoints for files tell it."""
    return {
        "id": user_file_id,
        "file_id": file_id,
        "name": name,
        "chat_file_type": kind or "document",
        "status": "COMPLETED",
    }
