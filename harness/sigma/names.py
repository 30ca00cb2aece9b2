"""Names -> ids, by what a catalogue has; what does not exist is said with what does, and the likely fix.

Where a list could not be had, ids pass as they are, and only a name that has to become an id is an error. A
model is never translated, so there only the check is lost.
"""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.errors import did_you_mean
from harness.sigma.catalogue import Catalogue, UserFile
from harness.suite.attachments import path_of
from harness.suite.settings import FileDescriptor, LlmOverride, Settings

MEMORY_TOOL = "add_memory"


def resolve(
    settings: Settings, catalogue: Catalogue, suite_path: Path = Path("suite.yaml")
) -> tuple[Settings, list[str]]:
    """*settings* with ids for names, and what of them does not exist, one sentence each.

    Files that are paths beside the suite at *suite_path* stay paths: they are uploaded when the run begins.
    """
    problems: list[str] = []
    update: dict[str, Any] = {}
    if settings.allowed_tool_ids is not None:
        ids = (_tool_id(tool, catalogue, problems, "allowed_tool_ids") for tool in settings.allowed_tool_ids)
        update["allowed_tool_ids"] = tuple(ids)
    if settings.forced_tool_id is not None:
        update["forced_tool_id"] = _tool_id(settings.forced_tool_id, catalogue, problems, "forced_tool_id")
    if settings.persona_id is not None:
        update["persona_id"] = _persona_id(settings.persona_id, catalogue, problems)
    if settings.project_id is not None:
        update["project_id"] = _project_id(settings.project_id, catalogue, problems)
    if settings.files is not None:
        files = (_file(file, catalogue, suite_path, problems) for file in settings.files)
        update["files"] = tuple(files)
    problems += _check(settings, catalogue)
    # Most settings name nothing: copying ten thousand of them would take longer than planning them.
    found = settings.model_copy(update=update) if update else settings
    return found, [*problems, *_forced(found, catalogue)]


def hints(settings: Settings, catalogue: Catalogue) -> Iterator[str]:
    """What a person should know of *settings*, resolved, although no request fails over it."""
    attached = _attached(settings, catalogue)
    for tool in settings.allowed_tool_ids or ():
        if attached is not None and isinstance(tool, int) and tool not in attached:
            name = _name_of(tool, catalogue)
            yield f"allowed_tool_ids: {name} is not attached to the persona asked: it is never offered"
    memory = catalogue.account.get("personalization") or {}
    if settings.allowed_tool_ids == () and memory.get("enable_memory_tool"):
        yield (
            f"allowed_tool_ids: [] leaves one tool, {MEMORY_TOOL}, while this account's memory tool is on; "
            "what it remembers goes into later prompts"
        )
    if settings.deep_research and catalogue.switches.get("deep_research_enabled") is False:
        yield "deep_research: this Sigma has it switched off (GET /settings)"
    if settings.llm_overrides and catalogue.switches.get("multi_model_chat_enabled") is False:
        yield "llm_overrides: this Sigma has answers side by side switched off (GET /settings)"
    tags = settings.search_filters.tags if settings.search_filters else None
    for key, value in (tags or {}).items():
        if catalogue.tags is not None and (key, value) not in catalogue.tags:
            values = sorted(known for other, known in catalogue.tags if other == key)
            near = did_you_mean(key, {other for other, _ in catalogue.tags})
            known = f"; {key} is {' or '.join(values[:12])}" if values else near
            yield f"search_filters.tags: no document has the tag {key}: {value}{known}"


def _check(settings: Settings, catalogue: Catalogue) -> Iterator[str]:
    """What is sent as it is, and would be answered with something else, or refused."""
    if settings.llm_override is not None:
        yield from _model(settings.llm_override, catalogue, "llm_override")
    for number, chosen in enumerate(settings.llm_overrides or ()):
        yield from _model(chosen, catalogue, f"llm_overrides[{number}]")
    for name in (settings.search_filters and settings.search_filters.document_set) or ():
        if catalogue.document_sets is not None and name not in catalogue.document_sets:
            have = ", ".join(catalogue.document_sets) or "none"
            near = did_you_mean(name, catalogue.document_sets)
            yield f"search_filters.document_set: this Sigma has no document set {name}; it has {have}{near}"
    session = settings.chat_session_id
    path = f"/chat/get-chat-session/{session}"
    if session is not None and session not in catalogue.conversations and path in catalogue.refused:
        yield f"chat_session_id: {session} cannot be gone on in: {catalogue.refused[path]}"


def _forced(settings: Settings, catalogue: Catalogue) -> Iterator[str]:
    """Why a forced tool cannot be used, once names are ids: the server would refuse the turn (wire 1.3)."""
    forced, allowed = settings.forced_tool_id, settings.allowed_tool_ids
    if not isinstance(forced, int) or any(isinstance(tool, str) for tool in allowed or ()):
        return  # a name that is none, or that could not be looked up, has been told of
    attached = _attached(settings, catalogue)
    name = _name_of(forced, catalogue)
    if allowed is not None and forced not in allowed:
        known = ", ".join(_name_of(tool, catalogue) for tool in allowed) or "none"
        yield f"forced_tool_id: {name} is not among allowed_tool_ids ({known})"
    elif attached is not None and forced not in attached:
        known = ", ".join(_name_of(tool, catalogue) for tool in attached) or "none"
        yield f"forced_tool_id: {name} is not attached to the persona that is asked; attached are {known}"


def _attached(settings: Settings, catalogue: Catalogue) -> tuple[int, ...] | None:
    """The tools of the persona that *settings* ask, None where that cannot be told."""
    persona = settings.persona_id
    if settings.chat_session_id is not None:
        persona = catalogue.conversations.get(settings.chat_session_id)
        if persona is None:
            return None
    asked = next((one for one in catalogue.personas or () if one.persona_id == (persona or 0)), None)
    return None if asked is None else asked.tools


def _name_of(tool: int | str, catalogue: Catalogue) -> str:
    return next((f"{one.name} ({tool})" for one in catalogue.tools or () if one.tool_id == tool), str(tool))


def _tool_id(wanted: int | str, catalogue: Catalogue, problems: list[str], where: str) -> int | str:
    if catalogue.tools is None:
        problems += _unlisted(wanted, catalogue, "/tool", where)
        return wanted
    named = [tool.tool_id for tool in catalogue.tools if wanted == tool.tool_id or wanted in tool.aliases]
    if len(named) == 1:
        return named[0]
    if named:
        problems.append(f"{where}: {wanted} names {len(named)} tools; write one of the ids {named}")
        return wanted
    have = ", ".join(f"{tool.name} ({tool.tool_id})" for tool in catalogue.tools)
    near = did_you_mean(wanted, (tool.name for tool in catalogue.tools))
    problems.append(f"{where}: this Sigma has no tool {wanted}; it has {have}{near}")
    return wanted


def _persona_id(wanted: int | str, catalogue: Catalogue, problems: list[str]) -> int | str:
    if catalogue.personas is None:
        problems += _unlisted(wanted, catalogue, "/persona", "persona_id")
        return wanted
    known = {one.persona_id: one.name for one in catalogue.personas}
    return _numbered(wanted, known, problems, "persona")


def _project_id(wanted: int | str, catalogue: Catalogue, problems: list[str]) -> int | str:
    if catalogue.projects is None:
        problems += _unlisted(wanted, catalogue, "/user/projects", "project_id")
        return wanted
    return _numbered(wanted, dict(catalogue.projects), problems, "project")


def _numbered(wanted: int | str, known: dict[int, str], problems: list[str], what: str) -> int | str:
    named = [number for number, name in known.items() if wanted in {number, name}]
    match named:
        case [number]:
            return number
        case []:
            have = ", ".join(f"{name} ({number})" for number, name in known.items()) or "none"
            near = did_you_mean(wanted, known.values())
            problems.append(f"{what}_id: this Sigma has no {what} {wanted}; it has {have}{near}")
        case _:
            problems.append(f"{what}_id: {wanted} names {len(named)} {what}s; write one of the ids {named}")
    return wanted


def _file(
    wanted: str | FileDescriptor, catalogue: Catalogue, suite_path: Path, problems: list[str]
) -> str | FileDescriptor:
    if isinstance(wanted, FileDescriptor):
        return wanted
    if (path := path_of(wanted, suite_path)) is not None:
        problems += _too_large(wanted, path, catalogue)
        return wanted
    if catalogue.files is None:
        refused = catalogue.refused.get("/user/files/recent", "the files were not looked up")
        problems.append(
            f"files: {wanted} is no file beside the suite, and cannot be looked up among those uploaded "
            f"({refused}); write a path, or the whole descriptor {{id, type, user_file_id}}"
        )
        return wanted
    named = [one for one in catalogue.files if wanted in {one.user_file_id, one.file_id, one.name}]
    if len(named) == 1 and named[0].status in {"COMPLETED", "SKIPPED"}:
        return named[0].descriptor
    problems.append(f"files: {_no_file(wanted, named, catalogue.files, suite_path)}")
    return wanted


def _too_large(wanted: str, path: Path, catalogue: Catalogue) -> Iterator[str]:
    most_mb = catalogue.switches.get("user_file_max_upload_size_mb")
    size = path.stat().st_size
    if isinstance(most_mb, int | float) and size > most_mb * 2**20:
        yield f"files: {wanted} has {size / 2**20:.1f} MB, and this Sigma takes {most_mb:g} MB at most"


def _no_file(wanted: str, named: list[UserFile], have: Iterable[UserFile], suite_path: Path) -> str:
    match named:
        case [one]:
            return f"{wanted} was uploaded, and is {one.status}: only a file that is COMPLETED is asked about"
        case []:
            names = sorted({one.name for one in have})
            shown = ", ".join(names[:12]) or "none"
            near = did_you_mean(wanted, [*names, *_beside(suite_path)])
            return (
                f"{wanted} is no file beside {suite_path} and none that was uploaded; there are {shown}{near}"
            )
    ids = ", ".join(one.user_file_id for one in named)
    return f"{wanted} names {len(named)} uploaded files; write one of the ids {ids}"


def _beside(suite_path: Path) -> list[str]:
    try:
        return [each.name for each in suite_path.parent.iterdir() if each.is_file()]
    except OSError:
        return []


def _model(chosen: LlmOverride, catalogue: Catalogue, where: str) -> Iterator[str]:
    if catalogue.providers is None or (chosen.model_version is None and chosen.model_provider is None):
        return
    if chosen.model_provider is None and catalogue.dialect == "onyx":
        have = [one.name for one in catalogue.providers if chosen.model_version in one.models]
        yield (
            f"{where}: model_version without model_provider is answered by the default model; "
            f"set model_provider to {' or '.join(have) or 'the provider that has it'}"
        )
        return
    name = chosen.model_provider or catalogue.default_provider
    if name is None:
        known = ", ".join(one.name for one in catalogue.providers)
        yield f"{where}: this Sigma names no default provider; set model_provider to one of {known}"
        return
    provider = next((one for one in catalogue.providers if one.name == name), None)
    if provider is None:
        names = [one.name for one in catalogue.providers]
        yield (
            f"{where}.model_provider: this Sigma has no provider {name}; it has "
            f"{', '.join(names)}{did_you_mean(name, names)}"
        )
    elif chosen.model_version is None:
        if catalogue.dialect != "onyx":
            return  # the guide lets any field be left out
        yield (
            f"{where}: model_provider {name} without model_version is answered by the default model; "
            f"name one of {', '.join(provider.models)}"
        )
    elif not any(fnmatchcase(chosen.model_version, model) for model in provider.models):
        others = [one.name for one in catalogue.providers if chosen.model_version in one.models]
        elsewhere = f"; {others[0]} has it: set model_provider: {others[0]}" if others else ""
        near = elsewhere or did_you_mean(chosen.model_version, provider.models)
        yield (
            f"{where}.model_version: provider {name} has no model {chosen.model_version}; it has "
            f"{', '.join(provider.models)}{near}"
        )


def _unlisted(wanted: int | str, catalogue: Catalogue, path: str, where: str) -> list[str]:
    if isinstance(wanted, int):
        return []
    why = catalogue.refused.get(path, f"{path} was not looked up")
    return [f"{where}: {wanted} cannot be looked up by name ({why}); write the id"]
