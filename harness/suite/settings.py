"""What a request can be asked to do: the settings of target, defaults, prompts, turns and variants.

Fields keep the API's own names. Absent means "leave the field out of the body"; so does null, which moreover
takes away what a lower layer set (`model_fields_set` tells the two apart). What one value may be is said by
its type (`harness.suite.values`); the text below a field is what editors and docs/suite.md say of it
(`harness.suite.schema`).
"""

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Tag

from harness.suite.values import (
    AtLeastOne,
    Duration,
    Endpoint,
    Flag,
    HeaderName,
    HeaderValue,
    Id,
    Moment,
    Number,
    Origin,
    Span,
    Text,
    Texts,
    Uuid,
    Whole,
    file_or_text,
    list_of_one,
)


class Written(BaseModel):
    """Something a person wrote: frozen, unknown keys refused, values kept out of messages.

    *short* is the type of its short form, where it may be written in another way than as a mapping.
    """

    short: ClassVar[Any] = None
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class LlmOverride(Written):
    """The model asked for, in the API's own names."""

    model_provider: Text | None = None
    """The provider's name, as the server lists it."""
    model_version: Text | None = None
    """The model's name, as the server lists it."""
    temperature: Number | None = None
    """The sampling temperature; the server's own if not said."""
    model_configuration_id: Whole | None = None
    """The server's id of a model, in place of its name."""
    display_name: Text | None = None
    """What the server is to call the model; sent as it is."""


class SearchFilters(Written):
    """What internal search may return."""

    source_type: Texts | None = None
    """Only documents of these sources, such as `confluence` or `google_drive`."""
    document_set: Texts | None = None
    """Only documents of these sets, by name."""
    time_cutoff: Moment | None = None
    """Only documents that changed since then, in UTC."""
    tags: dict[str, Text] | None = None
    """Only documents with these tags: `{team: core}`."""


class FileDescriptor(Written):
    """An uploaded file, as the API wants it named.

    People write a path, an id or a name; look-ups and uploads put one of these in its place.
    """

    id: Text
    """The id of the file's content."""
    type: Text
    """What the server takes it for, such as `document` or `image`."""
    name: Text | None = None
    """Its name."""
    user_file_id: Text | None = None
    """The id of the upload."""


File = Annotated[
    Annotated[Text, Tag("text")] | Annotated[FileDescriptor, Tag("descriptor")], Discriminator(file_or_text)
]
Files = Annotated[tuple[File, ...], BeforeValidator(list_of_one)]


class Settings(Written):
    """Everything a request can be asked to do. *time_limit* and *think_time* are in nanoseconds."""

    llm_override: LlmOverride | None = None
    """The model that answers. Laid over that of a lower layer key by key; every other setting takes the place
    of the lower one whole.
    """
    allowed_tool_ids: tuple[Id, ...] | None = None
    """The tools that may be used, by id or name; `[]` allows none."""
    forced_tool_id: Id | None = None
    """The tool that has to be used, by id or name; it must be among the allowed ones."""
    search_filters: SearchFilters | None = None
    """What internal search may return."""
    deep_research: Flag | None = None
    """Ask for deep research: minutes and many tokens each time, so `budget.deep_research` has to say how many
    there may be.
    """
    persona_id: Id | None = None
    """The persona (assistant) whose conversation it is, by id or name."""
    project_id: Id | None = None
    """The project that the conversation is in, by id or name."""
    stream: Flag | None = None
    """`false` asks for the answer in one piece: the same record, no TTFT."""
    time_limit: Duration | None = None
    """How long one turn may take. What is cut is stopped on the server, too."""
    think_time: Span | None = None
    """The wait before a turn that follows another: how long a person would take over the answer."""
    chat_session_id: Uuid | None = None
    """Go on in this conversation, which exists; below its last message, or below `parent_message_id`."""
    parent_message_id: AtLeastOne | None = None
    """The message to go on below, in the conversation `chat_session_id`. Within a conversation of the suite's
    own, a turn says `after` or `regenerate`.
    """
    files: Files | None = None
    """Files that go with the message: paths beside the suite (uploaded once, deleted after the run), or ids
    or names of files that were uploaded before.
    """
    include_citations: Flag | None = None
    """Whether the answer is to cite its documents."""
    additional_context: Text | None = None
    """Text that the model is given beside the message; sent as it is."""
    mcp_headers: dict[HeaderName, HeaderValue] | None = None
    """Headers for MCP servers: `{X-Tenant: acme}`. Their values are kept nowhere; one that opens something
    comes from the environment, `${NAME}`.
    """
    llm_overrides: tuple[LlmOverride, ...] | None = None
    """Two or three models that answer side by side (`target.dialect: onyx`). A check holds only if every
    model's answer passes it.
    """
    origin: Origin | None = None
    """Where the message is said to come from; sent as it is."""
    endpoint: Endpoint | None = None
    """The endpoint that is asked: `send-chat-message` if not said. The other two are deprecated, and not
    every server still has them.
    """
