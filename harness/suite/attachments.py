"""Files beside a suite: which entries of `files:` are paths, and what is wrong with them.

An entry is a path where a file is; otherwise it is the id or the name of a file that was uploaded before,
which only the server can tell. What has a slash in it was meant as a path.
"""

from hashlib import file_digest
from pathlib import Path

from harness.errors import UsageError, did_you_mean


def path_of(written: str, suite_path: Path) -> Path | None:
    """The file that *written* names, relative to the suite's folder; None where it is no path."""
    path = suite_path.parent / written
    try:
        return path if path.exists() else None
    except OSError:  # too long a name for a file, say
        return None


def is_there(path: Path) -> bool:
    """Whether something is at *path*; nothing is where the name is longer than any file's."""
    try:
        return path.exists()
    except OSError:
        return False


def wrong_with(written: str, suite_path: Path) -> str | None:
    """Why the entry *written* cannot be sent, None where it can, or where only the server knows."""
    path = path_of(written, suite_path)
    if path is None:
        return _not_there(suite_path.parent / written) if "/" in written else None
    if not path.is_file():
        return f"this is {'a folder' if path.is_dir() else 'no ordinary file'}, and a file is wanted"
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        return f"the file cannot be read: {error.strerror}"
    return "the file is empty, which servers reject" if empty else None


def digest(path: Path) -> str:
    """A digest of the content of *path*. Raises `UsageError` where it cannot be read any more."""
    try:
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{path}: the file cannot be read: {error.strerror}") from error


def _not_there(path: Path) -> str:
    folder = path.parent
    try:
        names = sorted(each.name for each in folder.iterdir() if each.is_file())
    except (FileNotFoundError, NotADirectoryError):
        return f"there is no folder {folder}"
    except OSError as error:
        return f"the folder {folder} cannot be read: {error.strerror}"
    near = did_you_mean(path.name, names) or (f"; {folder} has {', '.join(names[:8])}" if names else "")
    return f"there is no such file{near}"
