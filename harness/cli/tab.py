"""How what is offered at a TAB is written for the shell that asks.

typer finds what is offered, and its scripts ask for it. But it writes names as they are: in bash a space ends
one, a `$` in it is the shell's, and behind a colon nothing is offered; zsh loses quotes; neither zsh nor fish
knows what follows `--variant=`. So typer is asked as by fish, which takes names as they are, and bash, zsh
and fish are told each as it is written there. PowerShell is typer's own.
"""

import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout, suppress
from io import StringIO
from typing import NamedTuple

import typer

_ASKED = "_HARNESS_COMPLETE"
_APART = frozenset(":=@")
"""Where bash begins another word, and nobody else."""


_MENDED = {
    # At the first TAB zsh finds a function by the name of its file: it makes another, and offers nothing.
    "zsh": (
        "compdef %(complete_func)s %(prog_name)s\n",
        """compdef %(complete_func)s %(prog_name)s
if [[ $funcstack[1] == _%(prog_name)s ]]; then %(complete_func)s; fi
""",
    ),
    "bash": (
        "    return 0\n",
        """    [[ ${#COMPREPLY[@]} == 1 && $COMPREPLY == */ ]] && compopt -o nospace
    return 0
""",
    ),
}
"""What is wrong in the scripts themselves that typer installs, and what stands there instead."""


class _Line(NamedTuple):
    """A command line up to the cursor: its words, but of the last how it is *begun*, and in which *quote*."""

    words: Sequence[str]
    begun: str
    quote: str


def answered(app: typer.Typer) -> bool:
    """Whether a shell asked what to offer, and was told on standard output.

    Ends the command where fish asks whether there is anything: 0 if so, else 1.
    """
    match os.environ.get(_ASKED):
        case "complete_bash":
            line, kept = _of_bash()
            told = "\n".join(_for_bash(_offered(app, line), kept, line.quote))
        case "complete_zsh":
            told = _for_zsh(list(_offered(app, _of_others())))
        case "complete_fish":
            is_question = os.environ.get("_TYPER_COMPLETE_FISH_ACTION") == "is-args"
            found = list(_offered(app, _of_others()))
            if is_question:
                sys.exit(not found)
            told = "\n".join(f"{value}\t{about}" for value, about in found)
        case _:
            return False
    if told:
        print(told)
    return True


def mend_scripts() -> None:
    """Have `--install-completion` write scripts that are mended; typer's, where it has them elsewhere."""
    with suppress(ImportError):
        from typer._completion_shared import _completion_scripts as scripts

        for shell, (wrong, right) in _MENDED.items():
            scripts[shell] = scripts[shell].replace(wrong, right)


def _offered(app: typer.Typer, line: _Line) -> Iterator[tuple[str, str]]:
    """What may stand for the word that is begun, and what is said of it."""
    begun = shlex.quote(line.begun) if line.begun else ""
    os.environ |= {
        _ASKED: "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": f"{shlex.join(line.words)} {begun}",
        "COLUMNS": "1000000",  # or a help text is broken into lines, of which each would be a name
    }
    with redirect_stdout(StringIO()) as told, suppress(SystemExit):
        app(prog_name="harness")
    name, is_set, _ = line.begun.partition("=")
    before = f"{name}=" if is_set and name.startswith("-") and "--" not in line.words else ""
    for each in told.getvalue().splitlines():
        value, _, about = each.partition("\t")
        if value:  # a file or a folder has none: which there are is for the shell to say
            yield f"{before}{value}", about


def _of_others() -> _Line:
    return _read(os.environ.get("_TYPER_COMPLETE_ARGS", ""))


def _read(written: str) -> _Line:
    """*written* as a shell reads it; its end may be within quotes, or behind a backslash."""
    ended = f"{written}|"  # with something at its end, there is always a last word
    quote = next(each for each in ("", "'", '"') if _is_closed(ended + each))
    words = shlex.split(ended + quote)
    return _Line(words[:-1], words[-1][:-1], quote)


def _is_closed(written: str) -> bool:
    try:
        shlex.split(written)
    except ValueError:  # which says that it ends within quotes
        return False
    return True


# bash


def _of_bash() -> tuple[_Line, str]:
    """The line, and how much of the word that is begun bash has behind it, and does not replace."""
    at = int(os.environ.get("COMP_CWORD", "0"))
    raw = [*os.environ.get("COMP_WORDS", "").split("\n"), ""][: at + 1]
    joined: list[str] = []
    for before, word in zip(["", *raw], raw, strict=False):
        is_one = word and joined and (_is_apart(before) or _is_apart(word))
        joined[-1:] = [f"{joined[-1]}{word}"] if is_one else [*joined[-1:], word]
    ours = "" if _is_apart(raw[-1]) else raw[-1]
    kept = joined[-1].removesuffix(ours)
    return _read(" ".join(joined)), _read(kept).begun


def _is_apart(word: str) -> bool:
    return bool(word) and _APART.issuperset(word)


def _for_bash(offered: Iterable[tuple[str, str]], kept: str, quote: str) -> Iterator[str]:
    for value, _ in offered:
        rest = value[len(kept) :]
        match quote:
            case "'":
                yield rest.replace("'", r"'\''")
            case '"':
                yield re.sub(r'[$`"\\]', r"\\\g<0>", rest)
            case _:
                yield re.sub(r"[^\w@%+=:,./-]", r"\\\g<0>", rest)


# zsh


def _for_zsh(offered: Sequence[tuple[str, str]]) -> str:
    """What zsh is to do: offer it, without a space behind a folder; or files, where there is nothing."""
    folders = [each for each in offered if each[0].endswith("/")]
    others = [each for each in offered if each not in folders]
    sets = ((folders, "-S ''"), (others, ""))
    told = (f"offered=({_zsh_words(each)}); _describe '' offered {how}" for each, how in sets if each)
    return f"local -a offered; {'; '.join(told)}" if offered else "_files"


def _zsh_words(offered: Iterable[tuple[str, str]]) -> str:
    return " ".join(
        _zsh_word(re.sub(r"[\\:]", r"\\\g<0>", value) + (f":{about}" if about else ""))
        for value, about in offered
    )


def _zsh_word(word: str) -> str:
    """*word*, with what zsh might read otherwise as a number: the script of typer splits what it is told."""
    return "$'" + re.sub(r"[^\w.,/+-]", lambda each: _zsh_letter(each[0]), word) + "'"


def _zsh_letter(letter: str) -> str:
    return f"\\x{ord(letter):02x}" if letter.isascii() else letter
