"""Who is asked: the Sigma under test; and a judge, or what compares embeddings, for what no rule can say.

The text below a field is what editors and docs/suite.md say of it (`harness.suite.schema`).
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from harness.suite.settings import LlmOverride, Written
from harness.suite.values import (
    Address,
    AtLeastOne,
    Duration,
    Endpoint,
    Flag,
    Id,
    Ignorable,
    Number,
    ProxyAddress,
    Secret,
    Share,
    Text,
    Texts,
)


class OpenAiProvider(Written):
    """A provider of the stand-in whose models are real: any OpenAI-compatible endpoint, streamed through."""

    base_url: Address
    """Where its API is: `http://127.0.0.1:8000/v1`."""
    api_key: Secret | None = None
    """The key of that server: `${NAME}`, from the environment, and never the key itself."""
    api_key_file: Text | None = None
    """A file that holds the key and nothing else, relative to the suite; in place of `api_key`."""
    models: Annotated[Texts, Field(min_length=1)]
    """The models that the stand-in offers of it."""


class Standin(Written):
    """Our own Sigma on loopback, started for the run and ended with it."""

    dialect: Literal["sigma", "onyx"] | None = None
    """What it speaks: the guide's API, or Onyx's; `sigma` if not said."""
    ignore: tuple[Ignorable, ...] = ()
    """Settings that it accepts and does nothing with, as real servers sometimes do."""
    providers: dict[Text, OpenAiProvider] = {}
    """Real models beside its simulated ones, by the provider's name."""


class Cleanup(Written):
    """What a run deletes of what it made, when it ends: only its own sessions, only its own uploads."""

    short: ClassVar[Any] = Flag
    sessions: Flag = False
    """Delete the conversations that the run began."""
    files: Flag = True
    """Delete the files that the run uploaded."""

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, written: Any) -> Any:
        return {"sessions": written, "files": written} if isinstance(written, bool) else written


class Target(Written):
    """The Sigma under test: the stand-in, or a server at *base_url*.

    Certificates and *proxy*, which goes before what the environment says, are for *base_url* only.
    """

    short: ClassVar[Any] = Literal["standin"]
    standin: Standin | None = None
    """Our own Sigma in place of a `base_url`: started for the run, ended with it."""
    base_url: Address | None = None
    """The server, with or without `/api`: where it answers is found out."""
    api_key: Secret | None = None
    """The key of the server: `${NAME}`, from the environment, and never the key itself."""
    api_key_file: Text | None = None
    """A file that holds the key and nothing else, relative to the suite; in place of `api_key`."""
    dialect: Literal["sigma", "onyx", "auto"] = "sigma"
    """`sigma` is the guide's API, `onyx` what Onyx servers speak (filters under another name, sessions
    made ahead), `auto` asks the server.
    """
    persona_id: Id | None = None
    """The persona of every conversation that does not say otherwise, by id or name."""
    project_id: Id | None = None
    """The project of every conversation that does not say otherwise, by id or name."""
    endpoint: Endpoint | None = None
    """The endpoint of every prompt that does not say otherwise."""
    allow_anonymous: Flag = False
    """Accept a server that takes the key for nobody's; otherwise that is an error."""
    ca_file: Text | None = None
    """The CAs that may vouch for the server, in place of the usual ones; a file, relative to the suite."""
    client_cert: Text | None = None
    """Our certificate; a file, relative to the suite, with its key or without."""
    client_key: Text | None = None
    """The key of `client_cert`, where that file has none."""
    verify_tls: Flag = True
    """`false` trusts anybody who answers, and the run says so in red."""
    proxy: ProxyAddress | None = None
    """The URL of an http proxy; `false` for none. If not said, `HTTP_PROXY`, `HTTPS_PROXY` and
    `NO_PROXY` count. A password in it comes from the environment.
    """
    audit: Share = 1.0
    """The share of trials whose conversation is looked at afterwards on the server, to see which model
    answered.
    """
    cleanup: Cleanup = Cleanup()
    """What the run deletes of what it made; `true` for all of it."""

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, written: Any) -> Any:
        if written == "standin":
            return {"standin": {}}
        if isinstance(written, dict) and isinstance(standin := written.get("standin"), dict):
            return {"dialect": standin.get("dialect") or "sigma"} | written
        return written


class Judge(Written):
    """Who grades what no rule can: Sigma itself, or a model of an OpenAI-compatible server."""

    short: ClassVar[Any] = Literal["self"]
    target: Literal["self"] | None = None
    """Sigma itself judges, its tools off and each question in a session of its own."""
    base_url: Address | None = None
    """In place of `target`, an OpenAI-compatible server: `https://api.example.com/v1`."""
    api_key: Secret | None = None
    """The key of that server: `${NAME}`, from the environment, and never the key itself."""
    api_key_file: Text | None = None
    """A file that holds the key and nothing else, relative to the suite; in place of `api_key`."""
    model: Text | None = None
    """The model of that server."""
    temperature: Number | None = None
    """Of that model; 0 if not said."""
    llm_override: LlmOverride | None = None
    """The model of Sigma that judges; temperature 0 unless it says otherwise."""
    votes: AtLeastOne = 1
    """How often each question is put; the majority says, and a draw could not be graded."""
    workers: AtLeastOne = 4
    """How many questions are asked at once."""
    time_limit: Duration = 120_000_000_000
    """How long one may take."""
    labels: Text | None = None
    """A file of people's judgements, which tell how good the judge is; `harness judge label` makes it."""

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, written: Any) -> Any:
        return {"target": written} if written == "self" else written


class Embeddings(Written):
    """What says how alike two texts are: an OpenAI-compatible endpoint, or a model in a folder (an extra)."""

    base_url: Address | None = None
    """An OpenAI-compatible server; without it `model` is a folder beside the suite."""
    api_key: Secret | None = None
    """The key of that server: `${NAME}`, from the environment, and never the key itself."""
    api_key_file: Text | None = None
    """A file that holds the key and nothing else, relative to the suite; in place of `api_key`."""
    model: Text
    """The model, or a folder with a sentence model (`sigma-harness[similar]`)."""
