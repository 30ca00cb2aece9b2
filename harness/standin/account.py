"""Who asks, and what this server can do: the answers that never change, key for key those of a real server.

Their values are the stand-in's own: it has one user, who logs in nowhere, and no administration.
"""

from collections.abc import Sequence
from typing import Any

from harness.standin.files import LARGEST_MB, USER_ID

_RIGHTS = ("read:chat", "write:chat", "read:agents", "read:search", "read:document_sets")


def me() -> dict[str, Any]:
    """The answer of `GET /me`. Nothing is remembered from one conversation to the next."""
    return {
        "id": USER_ID,
        "email": "standin@atlas.example",
        "is_active": True,
        "is_superuser": False,
        "is_verified": True,
        "account_type": "STANDARD",
        "preferences": _preferences(),
        "personalization": {
            "name": "",
            "role": "",
            "use_memories": False,
            "enable_memory_tool": False,
            "memories": [],
            "user_preferences": "",
        },
        "token_expires_at": None,
        "is_cloud_superuser": False,
        "team_name": "public",
        "is_anonymous_user": None,
        "password_configured": False,
        "tenant_info": {"invitation": None, "new_tenant": None},
        "effective_permissions": list(_RIGHTS),
        "is_group_manager": False,
        "admin_capabilities": [],
    }


def _preferences() -> dict[str, Any]:
    return {
        "chosen_assistants": None,
        "hidden_assistants": [],
        "visible_assistants": [],
        "default_model": None,
        "pinned_assistants": [],
        "shortcut_enabled": False,
        "auto_scroll": None,
        "temperature_override_enabled": None,
        "theme_preference": None,
        "language": "en",
        "chat_background": None,
        "default_app_mode": "CHAT",
        "paste_as_tile": False,
        "voice_auto_send": False,
        "voice_auto_playback": False,
        "voice_playback_speed": 1.0,
        "assistant_specific_configs": None,
    }


def settings() -> dict[str, Any]:
    """The answer of `GET /settings`."""
    return {
        "maximum_chat_retention_days": None,
        "company_name": None,
        "company_description": None,
        "gpu_enabled": None,
        "application_status": "active",
        "anonymous_user_enabled": False,
        "invite_only_enabled": False,
        "deep_research_enabled": True,
        "multi_model_chat_enabled": True,
        "search_ui_enabled": False,
        "auto_detect_search_filters": False,
        "ee_features_enabled": False,
        "tier": "community",
        "temperature_override_enabled": True,
        "reasoning_override_enabled": False,
        "auto_scroll": False,
        "query_history_type": "normal",
        "hide_query_history_from_admin_panel": False,
        "image_extraction_and_analysis_enabled": False,
        "image_analysis_max_size_mb": 20,
        "user_knowledge_enabled": True,
        "user_file_max_upload_size_mb": LARGEST_MB,
        "file_token_count_threshold_k": 10_000,
        "show_extra_connectors": False,
        "disable_default_assistant": False,
        "craft_default_enabled": False,
        "craft_instructions": None,
        "seat_count": None,
        "used_seats": None,
        "opensearch_indexing_enabled": False,
        "notifications": [],
        "needs_reindexing": False,
        "tenant_id": "public",
        "onyx_craft_enabled": False,
        "onyx_craft_available": False,
        "opencode_debugging_enabled": False,
        "vector_db_enabled": True,
        "hooks_enabled": False,
        "version": "stand-in",
        "max_allowed_upload_size_mb": 250,
        "default_pruning_freq": 604_800,
        "default_user_file_max_upload_size_mb": LARGEST_MB,
        "default_file_token_count_threshold_k": 10_000,
        "is_containerized": False,
        "posthog_key": None,
        "posthog_host": None,
    }


SYSTEM_TOKENS = 300
"""What stands before every question, and is paid for with it."""
_CHARS_A_TOKEN = 4
_CENTS_A_MTOK = (25.0, 200.0)


def usage(said: Sequence[tuple[str, int, int, int]], day: str) -> dict[str, Any]:
    """The answer of `GET /user/usage`: everything on one *day*, a token four characters."""
    models = [_model_usage(*each, day=day) for each in said]
    cost = sum(each["cost_cents"] for each in models)
    return {
        "per_day_by_model": models,
        "window_cost_cents": cost,
        "budget_cents": None,
        "budget_remaining_cents": None,
        "budget_period_hours": None,
        "budget_reset_at": None,
        "selected_model_price": None,
        "available_model_prices": [],
    }


def _model_usage(model: str, answers: int, asked: int, answered: int, *, day: str) -> dict[str, Any]:
    tokens = answers * SYSTEM_TOKENS + asked // _CHARS_A_TOKEN, answered // _CHARS_A_TOKEN
    return {
        "day": day,
        "model": model,
        "input_tokens": tokens[0],
        "output_tokens": tokens[1],
        "cache_read_tokens": 0,
        "cache_creation_tokens": 0,
        "cost_cents": sum(count * cents / 1e6 for count, cents in zip(tokens, _CENTS_A_MTOK, strict=True)),
    }


def auth_type() -> dict[str, Any]:
    """The answer of `GET /auth/type`."""
    return {
        "multi_tenant": False,
        "requires_verification": False,
        "anonymous_user_enabled": False,
        "password_min_length": 8,
        "password_max_length": 64,
        "password_require_uppercase": False,
        "password_require_lowercase": False,
        "password_require_digit": False,
        "password_require_special_char": False,
        "has_users": True,
        "oauth_enabled": False,
        "password_auth_enabled": False,
        "sso_providers": [],
    }
