"""A fingerprint of what was tested, so that a change of the server under a run, or between two, is seen.

Each part of the catalogue gets a digest of its own: what changed is worth more than that something did. Left
out is what changes by itself: sessions, uploads, what the memory tool noted, when a token ends.
"""

from hashlib import sha256
from typing import Any

import msgspec
from msgspec import Struct

from harness.sigma.catalogue import Catalogue

_OF_ACCOUNT = ("id", "email", "is_anonymous_user", "effective_permissions")
_OF_MEMORY = ("use_memories", "enable_memory_tool")
_OF_SETTINGS = (
    "version",
    "tier",
    "ee_features_enabled",
    "deep_research_enabled",
    "multi_model_chat_enabled",
    "auto_detect_search_filters",
    "temperature_override_enabled",
    "reasoning_override_enabled",
    "vector_db_enabled",
    "image_extraction_and_analysis_enabled",
    "user_knowledge_enabled",
    "user_file_max_upload_size_mb",
    "file_token_count_threshold_k",
    "hooks_enabled",
)
"""What of `/settings` bears on an answer: it also counts seats and holds notifications."""


class Fingerprint(Struct, frozen=True):
    """*parts* are digests by name, None for what could not be had; *version* and *account* can be read."""

    parts: dict[str, str | None]
    version: str | None = None
    account: str | None = None

    @property
    def digest(self) -> str:
        """All parts in one."""
        return _digest(self.parts) or ""


def fingerprint(catalogue: Catalogue) -> Fingerprint:
    """The fingerprint of what *catalogue* was told."""
    account = catalogue.account
    memory = account.get("personalization") or {}
    whose = {key: account.get(key) for key in _OF_ACCOUNT} | {key: memory.get(key) for key in _OF_MEMORY}
    email = account.get("email")
    return Fingerprint(
        {
            "version": _digest(catalogue.version),
            "account": _digest(whose) if account else None,
            "models": _digest(
                catalogue.providers
                and (catalogue.providers, catalogue.default_provider, catalogue.default_model)
            ),
            "tools": _digest(catalogue.tools),
            "personas": _digest(catalogue.personas),
            "prompts": _digest(sorted(catalogue.prompts.items()) or None),
            "document sets": _digest(catalogue.document_sets and sorted(catalogue.document_sets)),
            "settings": _digest(
                {key: catalogue.switches.get(key) for key in _OF_SETTINGS} if catalogue.switches else None
            ),
        },
        version=catalogue.version,
        account=email if isinstance(email, str) else None,
    )


def changed(before: Fingerprint, after: Fingerprint) -> list[str]:
    """The parts that are not what they were, of those that could be read both times."""
    return [
        part
        for part, digest in before.parts.items()
        if digest is not None and after.parts.get(part) is not None and digest != after.parts[part]
    ]


def _digest(value: Any) -> str | None:
    if value is None:
        return None
    return sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()[:12]
