"""What `view` and `serve` have in common: who may reach them, and where a secret comes from."""

import os
from pathlib import Path


def refuse_remote(host: str, *, allowed: bool, does: str) -> bool:
    """Whether other machines may reach *host*. Raises `UsageError` where that is so and not *allowed*.

    *does* says what they could do then.
    """
    from harness.doors import is_loopback
    from harness.errors import UsageError

    remote = not is_loopback(host)
    if remote and not allowed:
        raise UsageError(
            f"--host {host}: other machines may reach that, and whoever does {does}; add --allow-remote if "
            "that is meant"
        )
    return remote


def held_secret(file: Path | None, option: str, variable: str, *, guarding: bool) -> str | None:
    """The secret in *file*, which *option* names, else in the environment's *variable*, else None.

    Never from the command line, which every user of a machine can read. Raises `UsageError`, without the
    secret, for one that no header could hold, and where it is *guarding* a door for one that can be guessed.
    """
    from harness.doors import SHORTEST
    from harness.errors import UsageError

    if file is None:
        named, secret = variable, os.environ.get(variable, "")
        if not secret:
            return None
    else:
        named = f"{option} {file}"
        try:
            secret = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise UsageError(f"{named}: cannot be read: {reason}") from None
    if not (secret and secret.isascii() and secret.isprintable() and " " not in secret):
        raise UsageError(f"{named}: one word of letters, digits and signs is wanted, and nothing else")
    if guarding and len(secret) < SHORTEST:
        raise UsageError(f"{named}: at least {SHORTEST} letters, since it is all that keeps others out")
    return secret
