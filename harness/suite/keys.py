"""Where keys come from: the environment, or a file that only its owner may read. Never the suite itself.

A file is read when its key is needed and not before: who looks at a run of somebody else reads none of the
files that its suite names.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import SecretStr

from harness.errors import UsageError
from harness.suite.model import Suite
from harness.suite.places import Finding, Tell, Where, name_of
from harness.suite.scalars import is_secret
from harness.suite.servers import Embeddings, Judge, OpenAiProvider, Standin, Target
from harness.suite.settings import Settings

_LONGEST = 16_384
_OTHERS = 0o077

KEY_VARIABLE, FILE_VARIABLE = "SIGMA_API_KEY", "SIGMA_API_KEY_FILE"
"""Where the key of a server is that no suite names (``--target``)."""

Keyed = TypeVar("Keyed", Target, Judge, Embeddings, OpenAiProvider)


def key_of(owner: Target | Judge | Embeddings | OpenAiProvider, suite: Path) -> str | None:
    """The key of *owner*, from the environment or from its file, which is relative to *suite*.

    Raises `UsageError` where the file holds none.
    """
    if owner.api_key_file is None:
        return owner.api_key.get_secret_value() if owner.api_key else None
    try:
        return read_key(_place(owner.api_key_file, suite))
    except ValueError as error:
        raise UsageError(f"api_key_file: {owner.api_key_file}: {error}") from None


def keyed(owner: Keyed, suite: Path) -> Keyed:
    """*owner* with the key that its file holds, if it names one. Raises `UsageError`."""
    key = key_of(owner, suite) if owner.api_key_file is not None else None
    return owner if key is None else owner.model_copy(update={"api_key": SecretStr(key)})


def key_around(environment: Mapping[str, str] = os.environ) -> str | None:
    """The key that the *environment* has for a server that no suite names. Raises `UsageError`."""
    file = environment.get(FILE_VARIABLE)
    if environment.get(KEY_VARIABLE) or not file:
        return environment.get(KEY_VARIABLE)
    try:
        return read_key(Path(file).expanduser())
    except ValueError as error:
        raise UsageError(f"{FILE_VARIABLE}: {file}: {error}") from None


def standin_of(suite: Suite) -> Standin | None:
    """The stand-in that *suite* asks for, with the keys of its providers. Raises `UsageError`."""
    own = suite.target.standin
    if own is None or not own.providers:
        return own
    providers = {name: keyed(each, suite.path) for name, each in own.providers.items()}
    return own.model_copy(update={"providers": providers})


def read_key(path: Path) -> str:
    """The key in the file at *path*: all but one line end. Raises `ValueError`, which shows none."""
    try:
        with path.open("rb") as file:
            raw = file.read(_LONGEST + 1)
    except FileNotFoundError:
        raise ValueError("there is no such file") from None
    except IsADirectoryError:
        raise ValueError("this is a folder, and a key is in a file") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    key = raw.removesuffix(b"\n").removesuffix(b"\r")
    if not key.strip():
        raise ValueError("the file is empty: it should hold the key, and nothing else")
    if len(raw) > _LONGEST:
        raise ValueError("this is no key: it is longer than 16 KiB")
    if b"\n" in key or b"\r" in key:
        raise ValueError("this is more than one line: the file should hold the key, and nothing else")
    if not (key.isascii() and key.decode().isprintable()):
        raise ValueError("this is no key: it has characters that no header can hold")
    return key.decode()


def check(suite: Suite, tell: Tell) -> tuple[str, ...]:
    """Tell of files that hold no key; warn of those that others than their owner may read, as ssh does."""
    warnings: list[str] = []
    for at, owner in owners(suite):
        file = owner.api_key_file
        if file is None:
            continue
        if owner.api_key is not None:
            tell(Finding((*at, "api_key_file"), "api_key is here as well: keep one of them", at_key=True))
        path = _place(file, suite.path)
        try:
            read_key(path)
        except ValueError as error:
            tell(Finding((*at, "api_key_file"), f"{file}: {error}"))
            continue
        mode = path.stat().st_mode & 0o777
        if os.name == "posix" and mode & _OTHERS:
            where = name_of((*at, "api_key_file"))
            warnings.append(
                f"{where}: {file} may be read by others (mode {mode:03o}); for its owner alone: chmod 600"
            )
    return tuple(warnings)


def owners(suite: Suite) -> Iterator[tuple[Where, Target | Judge | Embeddings | OpenAiProvider]]:
    """Whoever in *suite* has a key, and where it is written."""
    yield ("target",), suite.target
    if suite.judge is not None:
        yield ("judge",), suite.judge
    if suite.embeddings is not None:
        yield ("embeddings",), suite.embeddings
    standin = suite.target.standin
    for name, provider in standin.providers.items() if standin else ():
        yield ("target", "standin", "providers", name), provider


def secrets_of(suite: Suite) -> Iterator[str]:
    """Every key that *suite* knows, and the values of headers that are named like one.

    A key whose file is gone was told to nobody. The environment's own is one, too: it may be anybody's.
    """
    with suppress(UsageError):
        yield key_around() or ""
    for _, owner in owners(suite):
        with suppress(UsageError):
            yield key_of(owner, suite.path) or ""
    for settings in _settings(suite):
        for name, value in (settings.mcp_headers or {}).items():
            if is_secret(name):
                yield value.get_secret_value()


def _settings(suite: Suite) -> Iterator[Settings]:
    yield suite.defaults
    for prompt in suite.prompts:
        yield prompt
        yield from prompt.turns or ()
    for variant in suite.variants.values():
        yield variant
        for cells in (variant.matrix or {}).values():
            yield from cells.values()


def _place(file: str, suite: Path) -> Path:
    return suite.parent / Path(file).expanduser()
