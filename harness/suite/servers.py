"""Who is asked: the Sigma under test; and a judge, or what compares embeddings, for what no rule can say.

The text below a field is what editors and docs/suite.md say of it (`harness.suite.schema`).
"""

from typing import Annotated, Any, Literal

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
    api_key: Secret | None = None
    api_key_file: Text | None = None
    models: Annotated[Texts, Field(min_length=1)]


class Standin(Written):
    """Our own Sigma on loopback, started for the run and ended with it.

    *ignore* are settings that it accepts and does nothing with, as real servers sometimes do; *providers* are
    real models beside its simulated ones, by the provider's name.
    """

    dialect: Literal["sigma", "onyx"] | None = None
    ignore: tuple[Ignorable, ...] = ()
    providers: dict[Text, OpenAiProvider] = {}


class Cleanup(Written):
    """What a run deletes of what it made, when it ends: only its own sessions, only its own uploads."""

    sessions: Flag = False
    files: Flag = True

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, written: Any) -> Any:
        return {"sessions": written, "files": written} if isinstance(written, bool) else written


class Target(Written):
    """The Sigma under test: the stand-in, or a server at *base_url*.

    *api_key* is from the environment, or the one line of *api_key_file*, which is relative to the suite.

    *allow_anonymous*: a key that the server takes for nobody's is an error unless this is set. *audit* is the
    share of trials whose session is looked at afterwards, to see which model answered. *ca_file* has the CAs
    that may vouch for the server, in place of the usual ones; *client_cert* and *client_key* (which may be
    in the same file) say who we are. These paths are relative to the suite. *proxy* goes before what the
    environment says; false is none. All of this is for *base_url* only.
    """

    standin: Standin | None = None
    base_url: Address | None = None
    api_key: Secret | None = None
    api_key_file: Text | None = None
    dialect: Literal["sigma", "onyx", "auto"] = "sigma"
    persona_id: Id | None = None
    project_id: Id | None = None
    endpoint: Endpoint | None = None
    allow_anonymous: Flag = False
    ca_file: Text | None = None
    client_cert: Text | None = None
    client_key: Text | None = None
    verify_tls: Flag = True
    proxy: ProxyAddress | None = None
    audit: Share = 1.0
    cleanup: Cleanup = Cleanup()

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, written: Any) -> Any:
        if written == "standin":
            return {"standin": {}}
        if isinstance(written, dict) and isinstance(standin := written.get("standin"), dict):
            return {"dialect": standin.get("dialect") or "sigma"} | written
        return written


class Judge(Written):
    """Who grades what cannot be checked by rule.

    Sigma itself (``target: self``), with its tools off and each question in a session of its own, or the
    *model* of an OpenAI-compatible server at *base_url*. Each question is put *votes* times, and the majority
    says. *labels* are a file of people's judgements, which tell how good the judge is. *workers* questions
    are asked at once.
    """

    target: Literal["self"] | None = None
    base_url: Address | None = None
    api_key: Secret | None = None
    api_key_file: Text | None = None
    model: Text | None = None
    temperature: Number | None = None
    llm_override: LlmOverride | None = None
    votes: AtLeastOne = 1
    workers: AtLeastOne = 4
    time_limit: Duration = 120_000_000_000
    labels: Text | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, written: Any) -> Any:
        return {"target": written} if written == "self" else written


class Embeddings(Written):
    """What says how alike two texts are: an OpenAI-compatible endpoint, or a model in a folder (an extra)."""

    base_url: Address | None = None
    api_key: Secret | None = None
    api_key_file: Text | None = None
    model: Text
