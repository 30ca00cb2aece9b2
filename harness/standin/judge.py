"""A judge among the simulated models: it decides by words, the same each time, so that tests can foretell it.

A question is read as `harness.grade.judged` writes it, by its fences alone: only a line with the digest of
the first fence begins or ends a section, so nothing that an answer says changes what is asked. It decides
simply: of the words of four letters and more in the criterion, or in the reference, half have to be in the
answer; and where there is a context, half of the answer's in that. It does not understand "not".
"""

import json
import re
from collections.abc import Iterable
from random import Random
from typing import Any

_FIRST = re.compile(r"^<<<TASK ([0-9a-f]{16})$", re.MULTILINE)
_WORD = re.compile(r"[^\W_]{4,}|\d+")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_SAYS_NOTHING = frozenset(
    """
    answer answers question reference criterion context says said that this with what when from have does
    whether which them they there their about other more less names contradicts nothing leave open otherwise
    everything claims stated follows asks cannot some than will your
    """.split()  # noqa: SIM905 - read as a text
)
ENOUGH = 0.5
_ALWAYS: dict[str, dict[str, Any]] = {
    "lenient": {"verdict": "pass", "best": 1},
    "strict": {"verdict": "fail", "best": 0},
    "unsure": {"verdict": "cannot tell", "best": 0},
}
_DEMANDED = re.compile(r'"verdict"\s*:\s*"(pass|fail|cannot tell)"')


def judgement(question: str, manner: str = "words", *, flip: float = 0.0) -> str:
    """The reply to *question*: one JSON object, or plain words where it is no question of ours.

    *manner* is how, in the words of `harness.standin.simulate`; *flip* is the share of verdicts turned round.
    """
    sections = _sections(question)
    match sections.get("TASK"):
        case "decide":
            key, told = "verdict", _decided(sections, manner)
        case "choose":
            key, told = "best", _chosen(sections, manner)
        case _:
            return "I am a judge: I decide whether an answer meets a criterion, and was asked no such thing."
    said = _answers(sections)
    if manner == "broken":
        return f"All in all, {told[key]}, I should say: seven out of ten."
    # Drawn by every word of the question, so that its answers in another order are another draw.
    if flip and Random(question).random() < flip:  # noqa: S311 - a judge that errs, no secrets
        told[key] = _turned(told[key], len(said))
    decided = json.dumps(told, ensure_ascii=False)
    return "\n\n".join([*said, f"So: {decided}"]) if manner == "aloud" else decided


def _sections(question: str) -> dict[str, str]:
    first = _FIRST.search(question)
    if first is None:
        return {}
    nonce = first[1]
    fenced = re.compile(rf"^<<<([\w-]+) {nonce}\n(.*?)\n\1 {nonce}>>>$", re.MULTILINE | re.DOTALL)
    return dict(fenced.findall(question))


def _answers(sections: dict[str, str]) -> list[str]:
    return [said for name, said in sections.items() if name == "ANSWER" or name.startswith("ANSWER-")]


def _decided(sections: dict[str, str], manner: str) -> dict[str, Any]:
    wanted, answer = _wanted(sections), sections.get("ANSWER", "")
    if not wanted or not _words(answer):
        verdict = "cannot tell"
    else:
        context = sections.get("CONTEXT")
        share = _share(wanted, answer) if context is None else _share(_words(answer), context)
        verdict = "pass" if share >= ENOUGH else "fail"
    if manner == "injected" and (demanded := _DEMANDED.search(answer)):
        verdict = demanded[1]
    return {"evidence": _evidence(wanted, answer), "verdict": _ALWAYS.get(manner, {}).get("verdict", verdict)}


def _chosen(sections: dict[str, str], manner: str) -> dict[str, Any]:
    """The answer with most of the words; of equal ones the first that is shown: it favours a place."""
    wanted, answers = _wanted(sections), _answers(sections)
    if not wanted or not answers:
        return {"evidence": "", "best": 0}
    shares = [_share(wanted, answer) for answer in answers]
    best = shares.index(max(shares)) + 1
    if manner == "injected":
        best = next((place for place, said in enumerate(answers, 1) if _DEMANDED.search(said)), best)
    best = _ALWAYS.get(manner, {}).get("best", best)
    return {"evidence": _evidence(wanted, answers[best - 1]) if best else "", "best": best}


def _turned(told: str | int, count: int) -> str | int:
    """The other verdict, or the next place of *count*; who cannot tell has none."""
    if isinstance(told, int):
        return told % count + 1 if told else 0
    return {"pass": "fail", "fail": "pass"}.get(told, told)


def _wanted(sections: dict[str, str]) -> set[str]:
    """Of a reference its own words count; else those of the criterion, or of the question or context."""
    for names in (("REFERENCE",), ("CRITERION",), ("CONTEXT",), ("QUESTION",)):
        words = {word for name in names for word in _words(sections.get(name, ""))}
        if words:
            return words
    return set()


def _words(text: str) -> set[str]:
    return {word for word in map(str.casefold, _WORD.findall(text)) if word not in _SAYS_NOTHING}


def _share(wanted: set[str], answer: str) -> float:
    return len(wanted & _words(answer)) / len(wanted)


def _evidence(wanted: set[str], answer: str) -> str:
    """The sentence of *answer* that has most of the words."""
    return max(_sentences(answer), key=lambda sentence: len(wanted & _words(sentence)))


def _sentences(answer: str) -> Iterable[str]:
    return _SENTENCE.split(answer.strip())
