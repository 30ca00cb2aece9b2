"""Did what was asked take effect? (request, transcript, evidence) -> findings.

Sigma can silently answer with another model, drop a filter, skip a forced tool,
or answer a research question with a question of its own, under HTTP 200. Each
thing that was asked is judged by what the wire shows of it: the reply, and the
session as the server has it afterwards. Only proof makes a setting `ignored`;
where a server does not say, it is `not shown`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from harness.audit import in_reply, in_searches, in_session, models
from harness.audit.finding import Evidence, Finding, Told, Word
from harness.audit.in_reply import MEMORY_TOOL, RESEARCH_AGENT
from harness.audit.models import model_params
from harness.sigma.transcript import Transcript

__all__ = [
    "MEMORY_TOOL",
    "RESEARCH_AGENT",
    "Evidence",
    "Finding",
    "Word",
    "audit",
    "model_params",
    "worst",
]

_JUDGED: Mapping[str, Callable[[Any, Told], Iterable[Finding]]] = {
    "llm_override": models.override,
    "llm_overrides": models.overrides,
    "allowed_tool_ids": in_reply.allowed_tools,
    "forced_tool_id": in_reply.forced_tool,
    "search_filters": in_searches.filters,
    "deep_research": in_reply.research,
    "file_descriptors": in_session.files,
    "parent_message_id": in_session.parent,
    "chat_session_id": in_session.conversation,
    "persona_id": in_session.persona,
    "project_id": in_session.project,
    "include_citations": in_reply.citations,
    "stream": in_reply.stream,
}
_UNSEEN = ("additional_context", "mcp_headers", "origin")


def audit(request: Mapping[str, Any], transcript: Transcript, evidence: Evidence) -> list[Finding]:
    """The findings for one exchange: one for each thing asked.

    *request* is the body as it was sent, to any of the endpoints.
    """
    told = Told(request, transcript, evidence)
    findings: list[Finding] = []
    for setting, asked in _asked(request, evidence).items():
        if asked is None:
            continue
        if setting in _UNSEEN:
            findings.append(in_reply.unseen(setting, asked))
        elif (judge := _JUDGED.get(setting)) is not None:
            findings += judge(asked, told)
    return findings


def worst(findings: Iterable[Finding]) -> Word | None:
    """The worst word of *findings*, None where nothing was asked."""
    return max((finding.word for finding in findings), key=list(Word).index, default=None)


def _asked(request: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """What *request* asks for, each thing under the one name that it has here.

    Onyx and the deprecated endpoints have names of their own, and the settings of a session stand in it or
    went ahead of it.
    """
    asked = dict(request)
    own = request.get("internal_search_filters") or (request.get("retrieval_options") or {}).get("filters")
    if own:
        asked["search_filters"] = own
    if request.get("forced_tool_ids"):
        asked["forced_tool_id"] = request["forced_tool_ids"][0]
    info = request.get("chat_session_info") or evidence.session_info
    return asked | {name: info[name] for name in ("persona_id", "project_id") if name in info}
