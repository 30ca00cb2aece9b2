"""The request as a server reads it: what is legal, what is ignored, what is refused, per dialect.

pydantic, because real servers validate with it: its lax rules (`"3"` for an int) and its texts are what a
client meets on the wire. Fields that are not in the dialect are dropped without a word, which is the trap
that the two dialects set for each other (`search_filters` against `internal_search_filters`).
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from harness.standin.models import Override
from harness.standin.search import NO_FILTERS, Filters, Span

Dialect = Literal["sigma", "onyx"]

Source = StrEnum(
    "Source",
    """
    ingestion_api slack web google_drive gmail github gitbook gitlab guru bookstack outline confluence
    jira slab productboard file coda canvas notion zulip linear hubspot document360 gong google_sites
    zendesk loopio box dropbox sharepoint teams salesforce discourse axero clickup mediawiki wikipedia
    asana s3 r2 google_cloud_storage oci_storage xenforo not_applicable discord freshdesk fireflies
    egnyte airtable highspot drupal_wiki imap bitbucket testrail braintrust lumapps mock_connector
    user_file craft_file
    """,
)


class _Override(BaseModel, protected_namespaces=()):
    model_configuration_id: int | None = None
    model_provider: str | None = None
    model_version: str | None = None
    temperature: float | None = None
    display_name: str | None = None

    def values(self) -> Override:
        return Override(**self.model_dump())


class _File(BaseModel):
    id: str
    type: Literal["image", "document", "plain_text", "tabular"]
    name: str | None = None
    user_file_id: str | None = None


class _SessionInfo(BaseModel):
    persona_id: int = 0
    description: str | None = None
    project_id: int | None = None
    incognito: bool = False
    incognito_session_id: UUID | None = None


class _Tag(BaseModel):
    tag_key: str
    tag_value: str


class _TimeRange(BaseModel):
    start: datetime | None = None
    end: datetime | None = None

    def span(self) -> Span:
        return Span(_utc(self.start), _utc(self.end))


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class _OnyxFilters(BaseModel):
    source_type: list[Source] | None = None
    document_set: list[str] | None = None
    created_at_range: _TimeRange | None = None
    updated_at_range: _TimeRange | None = None
    tags: list[_Tag] | None = None
    time_cutoff: datetime | None = None

    def filters(self) -> Filters:
        updated = self.updated_at_range or _TimeRange(start=self.time_cutoff)
        return Filters(
            sources=tuple(map(str, self.source_type or ())),
            sets=tuple(self.document_set or ()),
            tags=tuple((tag.tag_key, tag.tag_value) for tag in self.tags or ()),
            created=(self.created_at_range or _TimeRange()).span(),
            updated=updated.span(),
        )


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _pairs(value: object) -> object:
    """The guide's `{"key": "value"}` as the list that real servers take."""
    if isinstance(value, dict):
        return [{"tag_key": key, "tag_value": text} for key, text in value.items()]
    return value


class _SigmaFilters(BaseModel):
    source_type: Annotated[list[Source] | None, BeforeValidator(_listed)] = None
    document_set: Annotated[list[str] | None, BeforeValidator(_listed)] = None
    tags: Annotated[list[_Tag] | None, BeforeValidator(_pairs)] = None
    time_cutoff: datetime | None = None

    def filters(self) -> Filters:
        return Filters(
            sources=tuple(map(str, self.source_type or ())),
            sets=tuple(self.document_set or ()),
            tags=tuple((tag.tag_key, tag.tag_value) for tag in self.tags or ()),
            touched_since=_utc(self.time_cutoff),
        )


_Origin = Literal[
    "webapp", "chrome_extension", "api", "slackbot", "widget", "discordbot", "mobile", "unknown", "unset"
]


class Ask(BaseModel):
    """The body of `POST /chat/send-chat-message`: what the two dialects share."""

    message: str
    llm_override: _Override | None = None
    llm_overrides: list[_Override] | None = None
    mock_llm_response: str | None = None
    allowed_tool_ids: list[int] | None = None
    forced_tool_id: int | None = None
    file_descriptors: list[_File] = Field(default_factory=list)
    deep_research: bool = False
    mcp_headers: dict[str, str] | None = None
    origin: _Origin = "unset"
    parent_message_id: int | None = -1
    chat_session_id: UUID | None = None
    chat_session_info: _SessionInfo | None = None
    stream: bool = True
    include_citations: bool = True
    additional_context: str | None = None

    @model_validator(mode="after")
    def _one_session(self) -> Self:
        if self.chat_session_id is not None and self.chat_session_info is not None:
            raise ValueError("Only one of chat_session_id or chat_session_info should be provided, not both.")
        return self

    def filters(self) -> Filters:
        """The filters for internal search; none in a body without them."""
        return NO_FILTERS

    def overrides(self) -> list[Override]:
        """The models asked for.

        Several for a side-by-side turn, else one. A list of one is ignored altogether.
        """
        if self.llm_overrides and len(self.llm_overrides) > 1:
            return [override.values() for override in self.llm_overrides]
        return [self.llm_override.values() if self.llm_override else Override()]


class SigmaAsk(Ask):
    """The body as the guide describes it."""

    search_filters: _SigmaFilters | None = None

    def filters(self) -> Filters:
        """The filters of `search_filters`."""
        return self.search_filters.filters() if self.search_filters else NO_FILTERS


class OnyxAsk(Ask):
    """The body as real servers read it."""

    internal_search_filters: _OnyxFilters | None = None

    def filters(self) -> Filters:
        """The filters of `internal_search_filters`."""
        return self.internal_search_filters.filters() if self.internal_search_filters else NO_FILTERS


def read_ask(body: bytes, dialect: Dialect) -> Ask:
    """The request in *body*; a `ValidationError` says what is wrong with it."""
    return (SigmaAsk if dialect == "sigma" else OnyxAsk).model_validate_json(body)


def read_session_info(body: bytes) -> _SessionInfo:
    """The body of `POST /chat/create-chat-session`."""
    return _SessionInfo.model_validate_json(body or b"{}")


class Rename(BaseModel):
    """The body of `PUT /chat/rename-chat-session`; without a name the server finds one."""

    chat_session_id: UUID
    name: str | None = None


class Latest(BaseModel):
    """The body of `PUT /chat/set-message-as-latest`."""

    message_id: int


class Preferred(BaseModel):
    """The body of `PUT /chat/set-preferred-response`."""

    user_message_id: int
    preferred_response_id: int


class FileIds(BaseModel):
    """The body of `POST /user/projects/file/statuses`."""

    file_ids: list[str]


class Instructions(BaseModel):
    """The body of `POST /user/projects/{id}/instructions`."""

    instructions: str


def complaint(error: ValidationError, route: str) -> dict[str, Any]:
    """The body of a 422, in the shape of real servers (wire reference 4.1)."""
    problems = []
    for problem in error.errors(include_url=False):
        located = {"type": problem["type"], "loc": ("body", *problem["loc"])}
        problems.append(located | {key: value for key, value in problem.items() if key not in located})
    count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''}"
    where = 'File "/app/onyx/server/query_and_chat/chat_backend.py", line 771, in handle_send_chat_message'
    return {
        "status_code": 422,
        "message": f"{count}: {' '.join(map(str, problems))}  {where}   {route}",
        "data": None,
    }
