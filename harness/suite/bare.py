"""A suite that has a target and nothing to ask, for who only wants to look at a server."""

import os
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from harness.errors import UsageError
from harness.suite import values
from harness.suite.keys import FILE_VARIABLE, KEY_VARIABLE, key_around
from harness.suite.model import Suite, SuiteFile
from harness.suite.read import load_suite
from harness.suite.servers import Target

URL_VARIABLE = "SIGMA_URL"
"""Where the address of a server is that nobody names."""

ENDINGS = (".yaml", ".yml")
"""Of the files of suites."""


def suite_at(written: str, key_file: Path | None = None) -> Suite:
    """The suite that *written* names, or one for the server that it is the URL of, or for our stand-in.

    A server gets the key in *key_file*, else that of the environment; a suite's own server that of the suite,
    unless there is a *key_file*. Raises `UsageError` and `SuiteError`.
    """
    suite = load_suite(written) if is_file(written) else _bare(written)
    if key_file is None:
        return suite
    if suite.target.base_url is None:
        raise UsageError("--api-key-file: for a server; the stand-in that is started here wants no key")
    if not key_file.exists():
        raise UsageError(f"--api-key-file {key_file}: there is no such file")
    keys = {"api_key": None, "api_key_file": str(key_file.absolute())}
    return suite.model_copy(update={"target": suite.target.model_copy(update=keys)})


def is_file(written: str) -> bool:
    """Whether what is *written* for a target is the file of a suite."""
    if written == "standin":  # also where something of that name lies about
        return False
    return written.endswith(ENDINGS) or ("://" not in written and Path(written).exists())


def _bare(written: str) -> Suite:
    """A suite for the server at *written*, which speaks whatever it speaks."""
    target = Target.model_validate("standin")
    if written != "standin":
        target = Target(base_url=_address(written), dialect="auto")
        # Put there and not validated: what does not come by a suite's ${NAME} would be refused.
        target = target.model_copy(update=_key_around())
    return Suite.of(SuiteFile(target=target, prompts=()), Path("suite.yaml"), "")


def _key_around() -> dict[str, Any]:
    """The key that the environment has, as a suite has it. Raises `UsageError` where its file has none."""
    key = key_around()
    if key is None:
        return {}
    if os.environ.get(KEY_VARIABLE):
        return {"api_key": SecretStr(key)}
    return {"api_key_file": str(Path(os.environ[FILE_VARIABLE]).expanduser().absolute())}


def _address(written: str) -> str:
    try:
        return values.address(written)
    except values.HiddenValueError as error:
        raise UsageError(f"{error}; the key is taken from {KEY_VARIABLE}") from None
    except ValueError as error:
        near = f"; did you mean http://{written}?" if _lacks_scheme(written) else ""
        if not near and "://" not in written:
            near = "; or standin, or the file of a suite, which ends in .yaml"
        raise UsageError(f"{written}: {error}{near}") from None


def _lacks_scheme(written: str) -> bool:
    try:
        values.address(f"http://{written}")
    except ValueError:
        return False
    return "." in written or ":" in written
