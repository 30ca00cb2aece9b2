"""The prompts and providers of promptfoo: messages to send, and variants that send them."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import SuiteError
from harness.suite.document import parse_foreign
from harness.suite.promptfoo.pieces import Piece, Source, ends, is_number, named_file
from harness.suite.promptfoo.templates import as_jinja


@dataclass(frozen=True, slots=True)
class Asked:
    """One prompt: the *messages* of the user, what the *system* is told, the *names* filters know it by."""

    piece: Piece
    names: tuple[str, ...]
    messages: tuple[str, ...]
    system: str = ""


_TEXT_FILES = (".txt", ".md", ".j2", ".njk")
_DATA_FILES = (".json", ".yaml", ".yml")
_CODE_FILES = (".js", ".ts", ".mjs", ".cjs", ".py", ".rb", ".go", ".sh")
_ELSEWHERE = re.compile(r"(exec|langfuse|helicone|portkey|python|https?|huggingface|az|s3|gs)://?\S|exec:")


def prompts_of(piece: Piece, source: Source) -> list[Asked]:
    """The prompts, in their order. Those that code or a service makes are told, and left out."""
    if isinstance(piece.value, dict):
        found = [_in_file(replace(below, value=key), below.value, source) for key, below in piece.entries()]
    else:
        found = [list(_prompt(each, source)) for each in piece.items()]
    return [each for several in found for each in several]


def _prompt(piece: Piece, source: Source) -> Iterator[Asked]:
    match piece.value:
        case str() as text if _is_file(text):
            yield from _in_file(piece, None, source)
        case str() as text if _ELSEWHERE.match(text):
            source.tell(
                piece, "left out: prompts of a service or a command have no equivalent: write them out"
            )
        case str() as text:
            yield _asked(piece, text, (), source)
        case dict() if any(key in piece.value for key in ("raw", "id", "label")):
            yield from _with_label(piece, source)
        case _:
            source.tell(piece, "left out: a prompt is a text, a file, or {id, label, raw}")


def _is_file(text: str) -> bool:
    if "\n" in text.strip():
        return False
    path = re.sub(r"(\.(?:py|js|ts|mjs|cjs)):\w+$", r"\1", text)
    is_path = text.startswith("file://") or " " not in text.strip()
    return is_path and ends(path, *_TEXT_FILES, *_DATA_FILES, *_CODE_FILES, ".jsonl", ".csv", "/*", "*")


def _with_label(piece: Piece, source: Source) -> Iterator[Asked]:
    names = tuple(str(piece.value[key]) for key in ("label", "id") if piece.value.get(key))
    for key, below in piece.entries():
        if key not in {"id", "label", "raw"}:
            source.tell(below, "left out: a prompt has nothing of the kind; say it in its message")
    raw, file = piece.at("raw"), piece.at("id")
    if raw is not None and isinstance(raw.value, str) and not raw.value.startswith("file://"):
        yield _asked(raw, raw.value, names, source)
        return
    wanted = raw or file
    if wanted is None or not isinstance(wanted.value, str) or not _is_file(wanted.value):
        source.tell(piece, "left out: this prompt has no text of its own (raw)")
        return
    found = _in_file(wanted, None, source)
    several = [names] if len(found) == 1 else [(f"{names[0]}#{n}", *names) for n in range(1, len(found) + 1)]
    yield from (replace(each, names=called) for each, called in zip(found, several, strict=True))


def _in_file(piece: Piece, label: Any, source: Source) -> list[Asked]:
    """The prompts of a file: several in a text are parted by ``---``."""
    path = named_file(piece.value)
    names = (str(label),) if label else ()
    if ends(path, ".csv") or ends(re.sub(r":\w+$", "", path), *_CODE_FILES):
        what = "a table of prompts" if ends(path, ".csv") else "a prompt that code makes"
        source.tell(piece, f"left out: {what} has no equivalent: write them out")
        return []
    found = []
    for file in source.files(piece):
        stem = named_file(file.file).rpartition("/")[2].rpartition(".")[0]
        own = names or (stem, path)
        parts = re.split(r"\r?\n---\r?\n", file.value) if ends(file.file, *_TEXT_FILES) else [file.value]
        if ends(file.file, ".jsonl"):
            parts = file.value.splitlines()
        several = [part.strip("\r\n") for part in parts if part.strip()]
        for number, text in enumerate(several, 1):
            called = own if len(several) == 1 else (f"{own[0]}#{number}", *own)
            found.append(_asked(replace(file, name="prompt"), text, called, source))
    return found


def _asked(piece: Piece, text: str, names: tuple[str, ...], source: Source) -> Asked:
    chat = _chat(text)
    if chat is None:
        if re.match(r"\s*(\[\s*\{|-\s+role:)", text):
            source.tell(piece, "a chat made by a template goes as one text: write it as turns, or as data")
        return Asked(piece, names, (as_jinja(piece, text, source.tell),))
    said = [(str(each.get("role")), _content(piece, each, source)) for each in chat]
    told = ["assistant"] if any(role == "assistant" for role, _ in said[:-1]) else []
    told += sorted({role for role, _ in said} - {"system", "developer", "user", "assistant"})
    for role in told:
        source.tell(piece, f"left out: what the {role} said: answers are the agent's own; the rest is turns")
    users = tuple(as_jinja(piece, text, source.tell) for role, text in said if role == "user")
    system = "\n\n".join(text for role, text in said if role in {"system", "developer"})
    if not users:
        source.tell(piece, "a chat in which the user says nothing: the system's text is sent as the message")
        return Asked(piece, names, (as_jinja(piece, system, source.tell),))
    return Asked(piece, names, users, as_jinja(piece, system, source.tell))


def _chat(text: str) -> list[dict[str, Any]] | None:
    """The messages of a chat written as JSON, or as the simple YAML that promptfoo reads."""
    quoted = re.sub(r"(?<![\"\\])\{\{\s*(\w+)\s*\|\s*(?:dump|tojson)\s*\}\}", r'"{{ \1 }}"', text)
    try:
        data = json.loads(quoted) if text.lstrip().startswith("[") else _yaml_chat(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, list) and data and all(map(_is_message, data)) else None


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and "role" in value


def _yaml_chat(text: str) -> Any:
    if not re.match(r"\s*-\s+role:", text):
        return None
    try:
        return parse_foreign(text, "")[0]
    except SuiteError:
        return None


def _content(piece: Piece, message: dict[str, Any], source: Source) -> str:
    for key in sorted(message.keys() - {"role", "content"}):
        source.tell(piece, f"left out: {key} of a chat message")
    content = message.get("content")
    if not isinstance(content, list):
        return "" if content is None else str(content)
    texts = [str(part["text"]) for part in content if isinstance(part, dict) and "text" in part]
    if len(texts) < len(content):
        source.tell(piece, "left out: parts of a message that are no text: images and files go into files:")
    return "\n".join(texts)


# Providers


@dataclass(frozen=True, slots=True)
class Arm:
    """One provider as a variant: *names* are what filters call it, *prompts* those that it alone is asked."""

    piece: Piece
    names: tuple[str, ...]
    override: dict[str, Any]
    prompts: tuple[str, ...] | None


_VENDORS = {
    "openai": "OpenAI",
    "anthropic": "Anthropic",
    "azure": "Azure",
    "azureopenai": "Azure",
    "google": "Google",
    "vertex": "Google",
    "palm": "Google",
    "bedrock": "Bedrock",
    "mistral": "Mistral",
    "ollama": "Ollama",
    "openrouter": "OpenRouter",
    "groq": "Groq",
    "cohere": "Cohere",
    "deepseek": "DeepSeek",
    "xai": "xAI",
    "togetherai": "Together AI",
    "fireworks": "Fireworks",
    "cerebras": "Cerebras",
    "litellm": "LiteLLM",
    "localai": "LocalAI",
    "vllm": "vLLM",
}
_WAYS = frozenset({"chat", "completion", "messages", "responses", "converse", "text"})
_NO_MODELS = frozenset(
    {"embedding", "embeddings", "image", "images", "assistant", "realtime", "transcription", "tts", "video"}
    | {
        "agents",
        "agent",
        "moderation",
        "codex-sdk",
        "claude-agent-sdk",
        "knowledge-base",
        "kb",
        "live",
        "vision",
    }
)
_CODE = "what answers is Sigma; code and services of one's own are not asked"
_NOT_OF_A_PROVIDER = {
    "env": "keys and addresses of models are set up in Sigma",
    "delay": "say rate: in load: of the suite",
    "transform": "the answer is checked as it is",
    "inputs": "red-team inputs are not offered",
    "env_file": "keys and addresses of models are set up in Sigma",
}


def arms_of(piece: Piece, source: Source) -> list[Arm]:
    """A variant for each provider that is a model; the others are told, and left out."""
    if isinstance(piece.value, dict) and not {"id", "config", "label"} & piece.value.keys():
        found = [arm for key, below in piece.entries() for arm in _options(below, key, source)]
    else:
        found = [arm for each in piece.items() for arm in _arms(each, source)]
    return found


def _arms(piece: Piece, source: Source) -> list[Arm]:
    match piece.value:
        case str() as text if text.startswith("file://") and ends(text, *_DATA_FILES):
            return [
                arm
                for read in source.documents(piece)
                for arm in arms_of(replace(read, name="provider"), source)
            ]
        case str() as text:
            return _arm(piece, text, source)
        case dict() if isinstance(piece.value.get("id"), str):
            return _options(piece, piece.value["id"], source)
        case dict() if len(piece.value) == 1:
            ((name, options),) = piece.entries()
            return _options(options, name, source)
        case _:
            source.tell(
                piece, "left out: a provider is a name such as openai:gpt-5-mini, or {id, label, config}"
            )
            return []


def _options(piece: Piece, name: str, source: Source) -> list[Arm]:
    made = _arm(piece, str(piece.value.get("id", name)) if isinstance(piece.value, dict) else name, source)
    for key, below in piece.entries() if made else ():
        match key:
            case "id":
                pass
            case "label":
                made = [replace(each, names=(str(below.value), *each.names)) for each in made]
            case "config":
                made = [replace(each, override=each.override | _temperature(below, source)) for each in made]
            case "prompts":
                wanted = tuple(str(each.value) for each in below.items())
                made = [replace(each, prompts=wanted) for each in made]
            case _:
                source.tell(
                    below, f"left out: {_NOT_OF_A_PROVIDER.get(key, 'a variant has nothing of the kind')}"
                )
    return made


def _temperature(piece: Piece, source: Source) -> dict[str, Any]:
    """Of the settings of a model, Sigma takes its temperature."""
    made = {}
    for key, below in piece.entries():
        if key == "temperature" and is_number(below.value):
            made[key] = below.value
        else:
            source.tell(below, "left out: of a model's settings Sigma takes the temperature only")
    if not isinstance(piece.value, dict) and piece.value is not None:
        source.tell(piece, "left out: settings are a mapping")
    return made


def _arm(piece: Piece, name: str, source: Source) -> list[Arm]:
    vendor, *rest = as_jinja(piece, name, source.tell).split(":")
    if vendor not in _VENDORS:
        kind = "code" if re.match(r"file:|exec|python|https?|ws|package|webhook|\.|/", name) else vendor
        why = _CODE if kind == "code" else "say in llm_override which model of your Sigma is meant"
        shown = re.sub(r"//[^/@]*@", "//...@", name.partition("?")[0])  # addresses may hold secrets
        source.tell(piece, f"{shown} has no equivalent: {why}")
        return []
    while rest and rest[0] in _WAYS:
        rest = rest[1:]
    if not rest or not rest[0] or rest[0] in _NO_MODELS:
        source.tell(piece, f"{name} has no equivalent: no model that chats is named by it")
        return []
    override = {"model_provider": _VENDORS[vendor], "model_version": ":".join(rest)}
    return [Arm(piece, (name,), override, None)]
