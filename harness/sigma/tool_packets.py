"""The packets of tools, and what each of them says about its call (the table of reading rule R6).

The wire has no uniform tool call: every tool has packets of its own, none carries an id, and an older server
calls them something else (R9). Each struct below is one packet as it is on the wire, under the name it has
there, and its `part` is the translation into the one vocabulary that `harness.sigma.calls` folds. A table of
functions by packet type would say the same twice.

Every field has a default: a packet that lacks one, or holds nonsense in it, is still a packet of its tool.
"""

from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

from msgspec import UNSET, Struct
from msgspec.structs import asdict

from harness.sigma.documents import Applied, Documents, document_ids


class Tool(StrEnum):
    """A row of the table, by the name its calls have unless their packets say another.

    Packets of one tool at one placement belong to one call.
    """

    SEARCH = "internal_search"
    OPEN_URL = "open_url"
    IMAGES = "generate_image"
    PYTHON = "run_python"
    CUSTOM = ""
    READ_FILE = "read_file"
    MEMORY = "add_memory"
    CODING = "coding_agent"
    BASH = "bash"
    RESEARCH = "research_agent"


class Part(NamedTuple):
    """What one packet says about its call.

    *arguments* and *result* are `UNSET` where the packet says nothing of them. With *adds* they are
    increments: lists and texts join what came before; without, they replace it.
    """

    tool: Tool
    name: str | None = None
    start: bool = False
    arguments: Any = UNSET
    result: Any = UNSET
    adds: bool = False
    failed: bool = False
    ends: bool = False
    documents: Documents = None
    applied: Applied | None = None

    @property
    def call_name(self) -> str | None:
        """What a call is named that this packet opens: as it says, else as its tool is named."""
        return self.name or self.tool.value or None


class ToolPacket(Struct, frozen=True, gc=False, tag_field="type"):
    """A packet that belongs to a call: a start, a detail or a result. Each has `part() -> Part`."""


def _search(queries: list[str] | None, documents: Documents) -> Part:
    """Queries, documents or both: `None` means that the packet does not say."""
    return Part(
        Tool.SEARCH,
        arguments=UNSET if queries is None else {"queries": queries},
        result=UNSET if documents is None else document_ids(documents),
        adds=True,
        documents=documents,
    )


# Searches, internal and on the web


class _SearchStart(ToolPacket, tag="search_tool_start", frozen=True):
    is_internet_search: bool = False

    def part(self) -> Part:
        return Part(Tool.SEARCH, name="web_search" if self.is_internet_search else None, start=True)


class _SearchFilter(ToolPacket, tag="search_tool_filter_delta", frozen=True):
    sources: list[str] | None = None
    time_filter_start: str | None = None
    time_filter_end: str | None = None

    def part(self) -> Part:
        sources = None if self.sources is None else tuple(self.sources)
        return Part(Tool.SEARCH, applied=Applied(sources, self.time_filter_start, self.time_filter_end))


class _SearchQueries(ToolPacket, tag="search_tool_queries_delta", frozen=True):
    queries: list[str] | None = None

    def part(self) -> Part:
        return _search(self.queries or [], None)


class _SearchDocuments(ToolPacket, tag="search_tool_documents_delta", frozen=True):
    documents: Documents = None

    def part(self) -> Part:
        return _search(None, self.documents or [])


class _OldSearchStart(ToolPacket, tag="internal_search_tool_start", frozen=True):
    def part(self) -> Part:
        return Part(Tool.SEARCH, start=True)


class _OldSearchDelta(ToolPacket, tag="search_tool_delta", frozen=True):
    queries: list[str] | None = None
    documents: Documents = None

    def part(self) -> Part:
        return _search(self.queries or None, self.documents or None)


class _OldInternalSearchDelta(_OldSearchDelta, tag="internal_search_tool_delta", frozen=True):
    pass


# Open URL


class _OpenUrlStart(ToolPacket, tag="open_url_start", frozen=True):
    def part(self) -> Part:
        return Part(Tool.OPEN_URL, start=True)


class _OpenUrlUrls(ToolPacket, tag="open_url_urls", frozen=True):
    urls: list[str] | None = None

    def part(self) -> Part:
        return Part(Tool.OPEN_URL, arguments={"urls": self.urls or []}, adds=True)


class _OpenUrlDocuments(ToolPacket, tag="open_url_documents", frozen=True):
    documents: Documents = None

    def part(self) -> Part:
        return Part(
            Tool.OPEN_URL, result=document_ids(self.documents), adds=True, documents=self.documents or []
        )


class _FetchStart(ToolPacket, tag="fetch_tool_start", frozen=True):
    documents: Documents = None

    def part(self) -> Part:
        result = document_ids(self.documents) if self.documents else UNSET
        return Part(Tool.OPEN_URL, start=True, result=result, adds=True, documents=self.documents)


class _FetchDelta(ToolPacket, tag="fetch_tool_delta", frozen=True):
    documents: Documents = None

    def part(self) -> Part:
        result = document_ids(self.documents) if self.documents else UNSET
        return Part(Tool.OPEN_URL, result=result, adds=True, documents=self.documents)


# Images


class _ImagesStart(ToolPacket, tag="image_generation_start", frozen=True):
    def part(self) -> Part:
        return Part(Tool.IMAGES, start=True)


class _ImagesHeartbeat(ToolPacket, tag="image_generation_heartbeat", frozen=True):
    def part(self) -> Part:
        return Part(Tool.IMAGES)


class _ImagesFinal(ToolPacket, tag="image_generation_final", frozen=True):
    images: Any = None

    def part(self) -> Part:
        return Part(Tool.IMAGES, result={"images": self.images})


class _OldImagesStart(_ImagesStart, tag="image_generation_tool_start", frozen=True):
    pass


class _OldImagesHeartbeat(_ImagesHeartbeat, tag="image_generation_tool_heartbeat", frozen=True):
    pass


class _OldImagesDelta(_ImagesFinal, tag="image_generation_tool_delta", frozen=True):
    pass


# Python and the shell: results come in increments, and there is no last one


class _PythonStart(ToolPacket, tag="python_tool_start", frozen=True):
    code: str = ""

    def part(self) -> Part:
        return Part(Tool.PYTHON, start=True, arguments={"code": self.code})


class _PythonDelta(ToolPacket, tag="python_tool_delta", frozen=True):
    stdout: str = ""
    stderr: str = ""
    file_ids: list[str] | None = None

    def part(self) -> Part:
        result = {"stdout": self.stdout, "stderr": self.stderr, "file_ids": self.file_ids or []}
        return Part(Tool.PYTHON, result=result, adds=True, failed=bool(self.stderr.strip()))


class _BashStart(ToolPacket, tag="bash_tool_start", frozen=True):
    cmd: str = ""

    def part(self) -> Part:
        return Part(Tool.BASH, start=True, arguments={"cmd": self.cmd})


class _BashDelta(ToolPacket, tag="bash_tool_delta", frozen=True):
    stdout: str = ""
    stderr: str = ""
    exit_code: int | None = None
    timed_out: bool = False

    def part(self) -> Part:
        result: dict[str, Any] = {"stdout": self.stdout, "stderr": self.stderr}
        if self.exit_code is not None:
            result |= {"exit_code": self.exit_code}
        if self.timed_out:
            result |= {"timed_out": True}
        return Part(Tool.BASH, result=result, adds=True, failed=self.timed_out or bool(self.exit_code))


# Custom tools: OpenAPI operations and MCP


class _CustomStart(ToolPacket, tag="custom_tool_start", frozen=True):
    tool_name: str | None = None

    def part(self) -> Part:
        return Part(Tool.CUSTOM, name=self.tool_name, start=True)


class _CustomArgs(ToolPacket, tag="custom_tool_args", frozen=True):
    tool_name: str | None = None
    tool_args: Any = None

    def part(self) -> Part:
        return Part(Tool.CUSTOM, name=self.tool_name, arguments=self.tool_args)


class _CustomDelta(ToolPacket, tag="custom_tool_delta", frozen=True):
    tool_name: str | None = None
    tool_id: Any = None
    response_type: str | None = None
    data: Any = None
    file_ids: Any = None
    error: Any = None

    def part(self) -> Part:
        """An MCP tool (no *tool_id*) leaves `error` null: that it failed is then all that its data say."""
        mcp_failed = self.tool_id is None and isinstance(self.data, dict) and self.data.keys() == {"error"}
        return Part(
            Tool.CUSTOM,
            name=self.tool_name,
            result=asdict(self),
            failed=self.error is not None or mcp_failed,
        )


# Files and memory


class _FileReaderStart(ToolPacket, tag="file_reader_start", frozen=True):
    def part(self) -> Part:
        return Part(Tool.READ_FILE, start=True)


class _FileReaderResult(ToolPacket, tag="file_reader_result", frozen=True):
    file_name: str | None = None
    file_id: str | None = None
    start_char: int | None = None
    end_char: int | None = None
    total_chars: int | None = None

    def part(self) -> Part:
        return Part(Tool.READ_FILE, result=asdict(self))


class _MemoryStart(ToolPacket, tag="memory_tool_start", frozen=True):
    def part(self) -> Part:
        return Part(Tool.MEMORY, start=True)


class _MemoryDelta(ToolPacket, tag="memory_tool_delta", frozen=True):
    memory_text: str | None = None
    operation: str | None = None
    memory_id: int | None = None

    def part(self) -> Part:
        return Part(Tool.MEMORY, result=asdict(self))


class _MemoryNoAccess(ToolPacket, tag="memory_tool_no_access", frozen=True):
    def part(self) -> Part:
        return Part(Tool.MEMORY, failed=True)


# Agents: their nested packets are packets of other tools, with a sub turn


class _CodingStart(ToolPacket, tag="coding_agent_start", frozen=True):
    query: str = ""
    repo: str = ""

    def part(self) -> Part:
        arguments = {"query": self.query, "repo": self.repo}
        return Part(Tool.CODING, start=True, arguments=arguments)


class _CodingThinking(ToolPacket, tag="coding_agent_thinking_delta", frozen=True):
    content: str = ""

    def part(self) -> Part:
        return Part(Tool.CODING)


class _CodingFinal(ToolPacket, tag="coding_agent_final", frozen=True):
    answer: str = ""

    def part(self) -> Part:
        return Part(Tool.CODING, result={"answer": self.answer}, ends=True)


class _ResearchStart(ToolPacket, tag="research_agent_start", frozen=True):
    research_task: str = ""

    def part(self) -> Part:
        arguments = {"research_task": self.research_task}
        return Part(Tool.RESEARCH, start=True, arguments=arguments)


class _ReportStart(ToolPacket, tag="intermediate_report_start", frozen=True):
    def part(self) -> Part:
        return Part(Tool.RESEARCH, result={"report": ""}, adds=True)


class _ReportDelta(ToolPacket, tag="intermediate_report_delta", frozen=True):
    content: str = ""

    def part(self) -> Part:
        return Part(Tool.RESEARCH, result={"report": self.content}, adds=True)


class _ReportDocuments(ToolPacket, tag="intermediate_report_cited_docs", frozen=True):
    cited_docs: Documents = None

    def part(self) -> Part:
        cited = {"cited_docs": document_ids(self.cited_docs)}
        return Part(Tool.RESEARCH, result=cited, adds=True, documents=self.cited_docs)


AnyToolPacket: TypeAlias = (
    _SearchStart
    | _SearchFilter
    | _SearchQueries
    | _SearchDocuments
    | _OldSearchStart
    | _OldSearchDelta
    | _OldInternalSearchDelta
    | _OpenUrlStart
    | _OpenUrlUrls
    | _OpenUrlDocuments
    | _FetchStart
    | _FetchDelta
    | _ImagesStart
    | _ImagesHeartbeat
    | _ImagesFinal
    | _OldImagesStart
    | _OldImagesHeartbeat
    | _OldImagesDelta
    | _PythonStart
    | _PythonDelta
    | _BashStart
    | _BashDelta
    | _CustomStart
    | _CustomArgs
    | _CustomDelta
    | _FileReaderStart
    | _FileReaderResult
    | _MemoryStart
    | _MemoryDelta
    | _MemoryNoAccess
    | _CodingStart
    | _CodingThinking
    | _CodingFinal
    | _ResearchStart
    | _ReportStart
    | _ReportDelta
    | _ReportDocuments
)
"""Every packet of a tool that has a name, old and new."""
