"""Somebody at a shell, who types: what stands on the command line then."""

import os
import pty
import select
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.bounds import started

_PROMPT = b"ready> "
_SETTINGS = {  # a Ctrl-G tells what stands on the line, and takes it away
    "bash": (
        ".bashrc",
        """PS1='ready> '
told() { printf '%s\\n' "$READLINE_LINE" >"$TOLD"; READLINE_LINE=; }
bind -x '"\\C-g": told'
""",
    ),
    "zsh": (
        ".zshrc",
        """PS1='ready> '
told() { print -r -- "$BUFFER" >"$TOLD"; BUFFER= }
zle -N told
bindkey '^G' told
""",
    ),
    "fish": (
        ".config/fish/config.fish",
        """function fish_prompt; echo -n 'ready> '; end
set -g fish_autosuggestion_enabled 0
bind \\cg 'commandline >$TOLD; commandline ""'
""",
    ),
}


def settle(shell: str, home: Path) -> None:
    """Write what *shell* reads when it starts, as somebody has who works with it."""
    name, text = _SETTINGS[shell]
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_text(text)


def ran(shell: str, command: str, *, folder: Path, environment: Mapping[str, str]) -> None:
    """Run *command* at the prompt of a new *shell*, and leave."""
    _at(shell, lambda terminal, _: os.write(terminal, f"{command}\r".encode()), folder, environment)


def typed(shell: str, keys: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> list[str]:
    """What stands on the line of a new *shell* after each of *keys* was typed, on a line of its own."""
    lines: list[str] = []

    def type_them(terminal: int, told: int) -> None:
        for each in keys:
            os.write(terminal, f"{each}\a".encode())
            said = b""
            while not said.endswith(b"\n"):
                if terminal in select.select([terminal, told], [], [])[0]:
                    os.read(terminal, 4096)  # or the shell waits until there is room for what it shows
                else:
                    said += os.read(told, 4096)
            lines.append(said.decode().removesuffix("\n"))

    _at(shell, type_them, folder, environment)
    return lines


def _at(shell: str, work: Callable[[int, int], object], folder: Path, environment: Mapping[str, str]) -> None:
    """Do *work* at the prompt of a new *shell*: with its terminal, and where a Ctrl-G tells the line."""
    pipe = Path(environment["HOME"]) / "told"
    if not pipe.exists():
        os.mkfifo(pipe)
    told = os.open(pipe, os.O_RDWR)
    ours, theirs = pty.openpty()
    with started(
        ["setsid", "--ctty", shell, "-i"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env={**environment, "TOLD": str(pipe), "TERM": "xterm"},
    ) as process:
        os.close(theirs)
        seen = b""
        while _PROMPT not in seen:
            seen += os.read(ours, 4096)
        work(ours, told)
        os.write(ours, b"exit\r")
        try:
            while os.read(ours, 4096):
                continue
        except OSError:  # Linux says so where nobody has the other side open any more
            process.wait()
    os.close(ours)
    os.close(told)
