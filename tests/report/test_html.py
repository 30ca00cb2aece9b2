"""The page of a run: what stands in it, that hostile texts are text in it, and that it has an end."""

import re
import unicodedata
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from harness.compare.arms import Arm
from harness.compare.comparison import compare
from harness.decide.sides import source
from harness.errors import RunDirectoryError
from harness.gate.ruling import Word
from harness.grade.states import State
from harness.record.store import SUMMARY, Rerun, read_manifest
from harness.report import versus
from harness.report.failures import SHOWN, failures, said
from harness.report.html import LIMIT, Beside, Drawn, command, page, took
from harness.report.junit import junit
from harness.report.markdown import markdown
from harness.report.outcome import outcome
from harness.report.pages import ours
from harness.report.story import COLUMNS, ROWS, story
from harness.report.twins import pieces, twins
from harness.report.visible import LONGEST
from tests.replies import answer, found, packet
from tests.report.made import Came, made, manifest, ruled

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(1)> \x1b[31m \u202eevil \x00 {{ 7*7 }} </details>"
)
VOID = {"meta", "br", "input", "link", "img", "hr", "wbr"}


class Read(HTMLParser):
    """A page as a browser reads it: its tags with attributes, its text, and tags that were never closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"script", "style"}:
            self.text.append(data)

    def ids(self) -> list[str]:
        return [attrs["id"] or "" for _, attrs in self.tags if "id" in attrs]

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def words(text: str) -> str:
    """What a reader reads, spaces run together."""
    return " ".join(" ".join(Read(text).text).split())


def hidden(letter: str) -> bool:
    """Whether a reader does not see it, or it does something."""
    return unicodedata.category(letter)[0] == "C"


def run(folder: Path, *came: Came, **fields: object) -> str:
    return page(story(made(folder / "r1", came, **fields)))


@pytest.mark.parametrize("word", list(Word))
def test_it_says_first_whether_to_believe_the_run_and_whether_the_gate_passed(
    tmp_path: Path, word: Word
) -> None:
    reason = {"word": "degraded", "phase": "main", "sign": "cpu", "value": 0.9, "limit": 0.8}
    reason |= {"says": "this process was near its limit: 90.0% of one CPU; 80% is allowed"}
    verdict = {"word": "degraded", "reasons": [reason]}
    text = words(run(tmp_path, Came(), verdict=verdict, gate=ruled(word, "from 90% to 80%")))
    first = [text.index(each) for each in ("degraded", "near its limit", f" {word} ", "from 90% to 80%")]
    assert first == sorted(first)
    assert text.index("from 90% to 80%") < text.index("A row for each variant")
    assert "12 of 20 planned trials were sent, 8 saved" in text


def test_a_run_without_a_gate_or_a_measurement_says_so(tmp_path: Path) -> None:
    text = words(run(tmp_path, Came(), verdict=None))
    assert "nothing was measured" in text
    assert "no gate ruled" in text


def test_a_run_of_which_nothing_was_run_has_nothing_that_passed(tmp_path: Path) -> None:
    text = words(run(tmp_path, Came(state=State.NOT_RUN, reason="interrupted"), exit_code=3))
    assert "Every prompt that was run passed" not in text
    assert "No prompt was run to its end" in text


def test_figures_have_their_counts_and_what_is_missing_is_a_dash(tmp_path: Path) -> None:
    came = [Came(f"q{at}", "a", state=State.PASSED if at else State.FAILED) for at in range(4)]
    text = words(run(tmp_path, *came, Came(variant="b", state=State.INVALID)))
    assert "75.0%" in text
    assert "3 of 4" in text
    row = text[text.index(" b 1 0 0 0 1 0") :]
    assert row.startswith(" b 1 0 0 0 1 0 – 0 of 0 – n 0 – n 0")


def test_a_failure_shows_its_check_and_its_conversation(tmp_path: Path) -> None:
    lines = found({"document_id": "d1", "semantic_identifier": "A policy", "link": "https://d.example"})
    lines = [
        *answer()[:2],
        packet("reasoning_start"),
        packet("reasoning_delta", reasoning="Let me think"),
        *lines,
    ]
    lines += [packet("message_start", 1, final_documents=None)]
    lines += [packet("message_delta", 1, content="30 days [1]")]
    lines += [packet("citation_info", 1, citation_number=1, document_id="d1"), packet("stop", 2)]
    text = words(run(tmp_path, Came("refund", lines=lines, tags=("policy",), repeat=1)))
    for each in ("How long?", "Let me think", "internal_search", "d1", "30 days [1]", "A policy"):
        assert each in text
    assert "contains: the answer does not contain 'x'" in text
    assert "Shown is repeat 1, trial refund/v/main/1" in text


def test_prompts_that_did_not_pass_link_to_their_conversation(tmp_path: Path) -> None:
    read = Read(
        run(tmp_path, Came("a b", "x/y"), Came("a b", "x+y"), Came("fine", "x/y", state=State.PASSED))
    )
    links = [each["href"] or "" for each in read.of("a")]
    cases = [link[1:] for link in links if link.startswith("#case-")]
    assert set(cases) == {"case-a-b-x-y-main-0", "case-a-b-x-y-main-1"}
    ids = read.ids()
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in links} <= set(ids)


def test_hostile_texts_are_text_wherever_they_stand(tmp_path: Path) -> None:
    came = [Came(HOSTILE, HOSTILE, message=HOSTILE, answer=HOSTILE, reason=HOSTILE, tags=(HOSTILE,))]
    lines = [*answer()[:2], packet("reasoning_start"), packet("reasoning_delta", reasoning=HOSTILE)]
    lines += found({"document_id": HOSTILE, "semantic_identifier": HOSTILE, "link": "javascript:alert(1)"})
    lines += [packet("custom_tool_start", 1, tool_name=HOSTILE, tool_id=1)]
    lines += [packet("custom_tool_delta", 1, tool_name=HOSTILE, response_type="json", data={"x": HOSTILE})]
    lines += [packet("citation_info", 2, citation_number=1, document_id=HOSTILE), packet("stop", 3)]
    came.append(Came("second", lines=lines))
    told: dict[str, Any] = {
        "suite": HOSTILE,
        "suite_text": HOSTILE,
        "target": HOSTILE,
        "warnings": (HOSTILE,),
    }
    told |= {"choice": {"variants": [HOSTILE]}, "judge": HOSTILE, "gate": ruled(Word.FAIL, HOSTILE)}
    text = run(tmp_path, *came, **told)
    read = Read(text)
    assert read.open == []
    assert len(read.of("script")) == 1
    assert not read.of("img")
    assert not [name for _, attrs in read.tags for name in attrs if name.startswith("on")]
    assert [line for line in text.split("\n") if any(map(hidden, line))] == []
    assert "\\u202eevil \\x00 {{ 7*7 }}" in "".join(read.text)
    assert not any("javascript:" in (attrs.get("href") or "") for _, attrs in read.tags)


def test_nothing_is_loaded_from_anywhere(tmp_path: Path) -> None:
    text = run(tmp_path, Came(answer="see https://example.invalid/x.png"))
    read = Read(text)
    for tag, attrs in read.tags:
        for name in ("src", "href", "srcset", "action", "data", "xlink:href"):
            assert (attrs.get(name) or "#").startswith("#"), (tag, attrs)
    styles = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in styles
    assert "@import" not in styles


def test_the_policy_of_the_page_allows_its_own_script_and_nothing_else(tmp_path: Path) -> None:
    text = run(tmp_path, Came())
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = b64encode(sha256(script.encode()).digest()).decode()
    (policy,) = [
        each["content"] or ""
        for each in Read(text).of("meta")
        if each.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules == {
        "default-src": "'none'",
        "style-src": "'unsafe-inline'",
        "script-src": f"'sha256-{digest}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def many(count: int, length: int) -> Iterator[Came]:
    """So many failures of two variants, each with answers that grow where they are escaped."""
    for at in range(count):
        yield Came(f"prompt {at}", f"v{at % 2}", answer="<&\"'\u202e" * (length // 5), tags=("a", "b"))


@pytest.mark.slow
def test_it_stays_below_its_limit_and_says_what_it_left_out(tmp_path: Path) -> None:
    told = story(made(tmp_path / "r1", many(3_000, 1_000)))
    text = page(told)
    assert len(text.encode()) <= LIMIT
    assert told.not_passed == 3_000
    assert f"{SHOWN} of them are shown" in words(text)
    assert f"{3_000 - ROWS:,} more prompts are not shown here" in words(text)


@pytest.mark.slow
def test_long_texts_are_cut_before_anything_is_left_out(tmp_path: Path) -> None:
    told = story(made(tmp_path / "r1", many(SHOWN, 200_000)))
    text = page(told)
    assert len(text.encode()) <= LIMIT
    (longest,) = re.findall(r"Texts are cut at ([\d,]+) characters", words(text))
    assert 0 < int(longest.replace(",", "")) < LONGEST
    assert text.count('class="failure"') == SHOWN
    assert "more characters)" in text


@pytest.mark.slow
def test_tables_have_an_end_too_and_say_what_is_missing(tmp_path: Path) -> None:
    """Every prompt under as many variants as are shown, each with a long name and a tag of its own."""
    names = [f"{at} <&>" + "\u202e" * 200 for at in range(ROWS + 50)]
    came = [Came(name, f"v{arm}", tags=(name,)) for name in names for arm in range(COLUMNS)]
    drawn = [Drawn("c", "A chart", "of what", ours("<svg>" + "x" * 1_000_000 + "</svg>"), None)]
    text = page(story(made(tmp_path / "r1", came)), Beside(drawn))
    assert len(text.encode()) <= LIMIT
    assert "<figure" in text
    (rows,) = re.findall(r"Tables are cut at (\d+) rows", words(text))
    assert f"{len(names) - int(rows)} more prompts are not shown here" in words(text)
    assert f"{len(names) - int(rows)} more tags are not shown here" in words(text)


def test_charts_go_last_and_are_missed(tmp_path: Path) -> None:
    drawn = [
        Drawn(f"c{at}", "A chart", "of what", ours("<svg>" + "x" * 700_000 + "</svg>"), None)
        for at in range(6)
    ]
    text = page(story(made(tmp_path / "r1", many(20, 20_000))), Beside(drawn))
    assert len(text.encode()) <= LIMIT
    assert "Conversations are left out" in words(text)
    assert "2 charts had no room" in words(text)
    assert text.count("<figure") == 4


def test_an_answer_of_megabytes_is_cut_and_its_length_told(tmp_path: Path) -> None:
    text = run(tmp_path, Came(answer="x" * 5_000_000, message="y" * 1_000_000))
    assert f"({5_000_000 - LONGEST:,} more characters)" in text
    assert f"({1_000_000 - LONGEST:,} more characters)" in text
    assert len(text) < 200_000


def test_what_is_cut_tells_how_much_is_left() -> None:
    assert said("abcdef").shown(10) == "abcdef"
    assert said("abcdef").shown(2) == "ab … (4 more characters)"
    assert said("a" * (LONGEST + 5)).shown(LONGEST).endswith("… (5 more characters)")
    assert said("a" * (LONGEST + 5)).shown(7) == f"aaaaaaa … ({LONGEST - 2:,} more characters)"


def test_failures_are_taken_from_every_variant_and_state(tmp_path: Path) -> None:
    came = [Came(f"q{at}", "much") for at in range(50)]
    came += [Came("e", "little"), Came("i", "much", state=State.INVALID)]
    folder = made(tmp_path / "r1", came)
    shown = failures(folder, story(folder).outcome.prompts, most=5)
    assert [(each.prompt.case_id, each.prompt.variant) for each in shown] == [
        ("q0", "much"),
        ("q1", "much"),
        ("q2", "much"),
        ("e", "little"),
        ("i", "much"),
    ]


def test_of_a_prompt_the_first_repeat_is_shown_that_came_to_its_state(tmp_path: Path) -> None:
    states = [State.PASSED, State.ERROR, State.FAILED, State.FAILED]
    folder = made(tmp_path / "r1", [Came(state=state, repeat=at) for at, state in enumerate(states, 1)])
    (shown,) = failures(folder, story(folder).outcome.prompts)
    assert (shown.state, shown.repeat) == (State.FAILED, 3)


def test_many_variants_and_prompts_have_an_end_too(tmp_path: Path) -> None:
    told = story(
        made(tmp_path / "r1", [Came("q", f"v{at}", state=State.PASSED) for at in range(COLUMNS + 3)])
    )
    assert "3 more variants and phases are not shown here" in words(page(told))


def test_a_run_that_has_no_figures_yet_says_what_to_do(tmp_path: Path) -> None:
    folder = made(tmp_path / "r1", [Came()])
    (folder / SUMMARY).unlink()
    with pytest.raises(RunDirectoryError, match="harness grade r1 --retime"):
        story(folder)


def test_the_command_runs_the_same_again() -> None:
    told = manifest(Path("r1"), 1, suite_path="my suites/a.yaml", options={"gate": True, "workers": 3})
    again = "harness run 'my suites/a.yaml' --seed 7 --variant v --repeat 2 --workers 3 --gate"
    assert command(told) == again


@pytest.mark.parametrize(
    ("seconds", "says"), [(9.96, "10.0 s"), (90, "1 min 30 s"), (3_725, "1 h 2 min"), (None, "not known")]
)
def test_how_long_a_run_took(seconds: float | None, says: str) -> None:
    ended = None if seconds is None else round(seconds * 1e9)
    assert took(structs.replace(manifest(Path("r"), 1), ended_ns=ended)).startswith(says)


def test_what_both_texts_have_and_what_one_has() -> None:
    told = list(pieces("The Team plan costs 24 EUR.", "The Team plan is free."))
    assert "".join(each.text for each in told if each.of != "after") == "The Team plan costs 24 EUR."
    assert "".join(each.text for each in told if each.of != "before") == "The Team plan is free."
    assert told[0] == ("both", "The Team plan ")


def versus_page(folder: Path) -> str:
    both = []
    for name, state, text in (("r1", State.PASSED, "24 EUR <b>"), ("r2", State.FAILED, "It is free <b>")):
        came = [Came("price", repeat=at, state=state, answer=text) for at in range(1, 13)]
        came += [Came("same", repeat=1, state=State.PASSED, answer="yes")]
        both.append(made(folder / name, came))
    before, after = (Arm((source(each),), "v", "main") for each in both)
    found_ = compare(before, after, flags=["the judge is another"])
    beside = tuple(twins(found_, (before, after), {each.name: each for each in both}))
    sides = tuple((read_manifest(each),) for each in both)
    return versus.page(versus.Versus(("r1", "r2"), sides, [versus.Told(found_, beside)]))


def test_a_comparison_shows_flags_metrics_what_moved_and_both_answers(tmp_path: Path) -> None:
    page_ = versus_page(tmp_path)
    text = words(page_)
    for each in ("! the judge is another", "pass_rate", "price: 12 of 12 → 0 of 12", "the answer"):
        assert each in text
    assert "<ins>It</ins>" in page_
    assert "<del>24</del>" in page_
    assert "&lt;b&gt;" in page_
    read = Read(page_)
    assert read.open == []
    assert len(read.ids()) == len(set(read.ids()))


def test_a_rerun_says_so_and_how_it_is_made_again(tmp_path: Path) -> None:
    rerun = Rerun("20261101T000000Z-0001", ("failed", "not_run"), ("0123",))
    ids = ["q/v/main/1"]
    folder = made(tmp_path / "r1", [Came()], rerun=rerun, choice={"trials": ids, "repeat": 2})
    text = page(story(folder))
    assert "a rerun of what ended as failed or not run in 20261101T000000Z-0001" in text
    assert "No gate rules on a rerun" in text
    assert "harness gate" not in text
    assert "1 by their ids" in text
    assert command(read_manifest(folder)).endswith("--rerun failed,not_run --of 20261101T000000Z-0001")
    told = outcome(folder)
    assert rerun.of in markdown(told)
    assert rerun.says in junit(told)
