"""Rows of files as prompts."""

import json
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SuiteError
from harness.plan.trials import make_plan
from harness.suite.dataset import DatasetError, rows, variables
from harness.suite.prompts import Each
from harness.suite.read import parse_suite
from harness.suite.resolve import resolve_cases
from tests import formats

ROWS: list[dict[str, Any]] = [
    {"id": "007", "question": "one, or\ntwo?", "answer": "1.10"},
    {"id": "8", "question": 'a "quoted" one', "answer": None},
    {"id": "9", "question": "naïve 東京", "answer": "x"},
]


def written(folder: Path, name: str, of: list[dict[str, Any]] | None = None) -> Path:
    return formats.written(pl.DataFrame(of if of is not None else ROWS), folder / name)


FORMATS = ["a.csv", "a.tsv", "a.jsonl", "a.ndjson", "a.parquet"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    written(tmp_path, name)
    assert list(rows(Each(path=name), tmp_path)) == list(enumerate(ROWS, start=1))


@pytest.mark.parametrize("name", FORMATS)
def test_a_sample_is_the_same_rows_in_every_format_and_in_the_order_of_the_file(
    tmp_path: Path, name: str
) -> None:
    table = [{"n": str(number)} for number in range(40_000)]
    written(tmp_path, name, table)
    drawn = list(rows(Each(path=name, sample=5, seed=3), tmp_path))
    assert [number - 1 for number, _ in drawn] == sorted(Random(3).sample(range(40_000), 5))
    assert [int(row["n"]) + 1 for _, row in drawn] == [number for number, _ in drawn]
    csv = written(tmp_path, "b.csv", table)
    assert drawn == list(rows(Each(path=csv.name, sample=5, seed=3), tmp_path))


@given(st.integers(1, 60), st.integers(0, 5), st.data())
@settings(max_examples=40)
def test_a_sample_is_so_many_different_rows_and_the_same_again(
    tmp_path_factory: pytest.TempPathFactory, count: int, seed: int, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    written(folder, "a.jsonl", [{"n": number} for number in range(count)])
    sample = data.draw(st.integers(1, count))
    drawn = list(rows(Each(path="a.jsonl", sample=sample, seed=seed), folder))
    numbers = [number for number, _ in drawn]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == sample
    assert drawn == list(rows(Each(path="a.jsonl", sample=sample, seed=seed), folder))


def test_another_seed_draws_other_rows_and_a_changed_file_is_read_again(tmp_path: Path) -> None:
    written(tmp_path, "a.jsonl", [{"n": number} for number in range(1000)])
    first, other = (list(rows(Each(path="a.jsonl", sample=20, seed=seed), tmp_path)) for seed in (1, 2))
    assert first != other
    written(tmp_path, "a.jsonl", [{"n": -number} for number in range(1001)])
    assert list(rows(Each(path="a.jsonl", sample=20, seed=1), tmp_path)) != first


def test_a_null_is_no_variable_and_the_whole_row_is_one() -> None:
    assert variables({"a b": 1, "c": None}) == {"a b": 1, "row": {"a b": 1}}


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "", "there is no row in it"),
        ("a.csv", "id,x\n", "there is no row in it"),
        ("a.csv", "id,id\n1,2\n", 'two columns are called "id"'),
        ("a.csv", "id\n1,2\n", "line 2 has 2 cells, and there are 1 columns"),
        ("a.csv", 'id\n"1\n', "line 2 cannot be read: unexpected end of data"),
        ("a.csv", 'id\n1\n"2"x\n', "line 3 cannot be read: ',' expected after '\"'"),
        ("a.jsonl", '{"a": 1}\n[1]\n', "line 2 is no JSON object"),
        ("a.jsonl", '{"a": 1}\n{"a": \n', "line 2 is no JSON object"),
        ("a.parquet", "no parquet", "a.parquet: cannot be read"),
        ("a.xlsx", "x", "rows are read of .csv, .tsv, .jsonl, .ndjson, .parquet"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_its_line(
    tmp_path: Path, name: str, text: str, says: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DatasetError, match=says.replace(".", r"\.")):
        list(rows(Each(path=name), tmp_path))


def test_a_csv_with_a_byte_order_mark_and_latin_letters_is_read_or_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfid\n1\n")
    assert list(rows(Each(path="a.csv"), tmp_path)) == [(1, {"id": "1"})]
    (tmp_path / "b.csv").write_bytes(b"id\ncaf\xe9\n")
    with pytest.raises(DatasetError, match=r"b\.csv: cannot be read: .*utf-8"):
        list(rows(Each(path="b.csv"), tmp_path))


def test_too_many_rows_are_told_with_their_number(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"n": 1}\n' * 100_001)
    with pytest.raises(DatasetError, match="100,001 rows would make as many prompts"):
        list(rows(Each(path="a.jsonl"), tmp_path))


# In a suite

PROMPT = """
suite: s
target: standin
defaults: {{vars: {{question: default, more: "!"}}}}
prompts:
  - {more}
    each: {each}
    message: "{message}"
"""


def suite(
    folder: Path, message: str = "{{ question }}{{ more }}", more: str = "id: q/{{ id }}", each: str = "a.csv"
) -> Any:
    text = PROMPT.format(message=message, more=more, each=each)
    return parse_suite(text, folder / "s.yaml", {})


def told(folder: Path, **how: str) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        suite(folder, **how)
    return [problem.message for problem in caught.value.problems]


def test_a_row_is_a_case_with_its_columns_filled_in(tmp_path: Path) -> None:
    written(tmp_path, "a.csv")
    cases = resolve_cases(suite(tmp_path, more='id: q/{{ id }}\n    cluster: "{{ row.id }}"'))
    assert [case.case_id for case in cases] == ["q/007", "q/8", "q/9"]
    assert cases[0].turns[0].message == "one, or\ntwo?!"
    assert [case.cluster for case in cases] == ["007", "8", "9"]
    assert cases[1].vars["answer"] is None


def test_the_prompts_own_variables_win_over_columns_and_those_over_defaults(tmp_path: Path) -> None:
    written(tmp_path, "a.csv")
    (first, *_) = resolve_cases(suite(tmp_path, more="id: q/{{ id }}\n    vars: {more: '?'}"))
    assert first.turns[0].message == "one, or\ntwo??"


def test_without_an_id_a_row_is_called_by_its_message(tmp_path: Path) -> None:
    written(tmp_path, "a.csv")
    cases = resolve_cases(suite(tmp_path, more="tags: [x]"))
    assert len({case.case_id for case in cases}) == 3


def test_the_same_file_makes_the_same_trials_again(tmp_path: Path) -> None:
    written(tmp_path, "a.csv")
    first, again = (make_plan(suite(tmp_path)).trials for _ in range(2))
    assert [trial.trial_id for trial in first] == [trial.trial_id for trial in again]
    written(tmp_path, "a.csv", [*ROWS, {"id": "10", "question": "new", "answer": "y"}])
    more = make_plan(suite(tmp_path)).trials
    assert {trial.trial_id for trial in first} < {trial.trial_id for trial in more}


def test_a_mistake_of_every_row_is_told_once_with_the_first(tmp_path: Path) -> None:
    written(tmp_path, "a.csv")
    (problem,) = told(tmp_path, message="{{ nope }}")
    assert problem.startswith('prompts[0].message: variable "nope" is not defined')
    assert problem.endswith("row 1 of a.csv and 2 more")


def test_a_null_in_a_message_is_told_with_its_row(tmp_path: Path) -> None:
    written(tmp_path, "a.csv")
    (problem,) = told(tmp_path, message="{{ answer }}")
    assert problem.startswith('prompts[0].message: variable "answer" is not defined')
    assert problem.endswith("row 2 of a.csv, where answer is empty")


@pytest.mark.parametrize("message", ["{{ row.answer }}", "{{ row['answer'] }}", "{{ answer }}"])
def test_a_null_is_never_asked_as_text_however_it_is_named(tmp_path: Path, message: str) -> None:
    written(tmp_path, "a.csv")
    (problem,) = told(tmp_path, message=message)
    assert problem.endswith("row 2 of a.csv, where answer is empty")


def test_a_null_does_not_let_a_default_of_the_same_name_through(tmp_path: Path) -> None:
    written(tmp_path, "a.csv", [{"id": "1", "question": None}])
    (problem,) = told(tmp_path)
    assert problem.endswith("row 1 of a.csv, where question is empty")


def test_what_may_be_missing_is_written_with_a_default(tmp_path: Path) -> None:
    written(tmp_path, "a.csv")
    cases = resolve_cases(suite(tmp_path, message="{{ id }}: {{ answer | default('none') }}"))
    assert [case.turns[0].message for case in cases] == ["007: 1.10", "8: none", "9: x"]
    assert cases[1].vars["row"] == ROWS[1]


def test_a_column_whose_name_is_no_variable_is_reached_by_the_row(tmp_path: Path) -> None:
    written(tmp_path, "a.csv", [{"id": "1", "a b": "spaced", "2nd.x": "dotted"}])
    (case,) = resolve_cases(suite(tmp_path, message="{{ row['a b'] }} {{ row['2nd.x'] }}"))
    assert case.turns[0].message == "spaced dotted"


def test_an_id_that_is_the_same_of_every_row_is_told_with_what_to_write(tmp_path: Path) -> None:
    written(tmp_path, "a.csv", ROWS[:1])  # one row: nothing collides yet
    (problem,) = told(tmp_path, more="id: always")
    fix = "put a column into it, as in id: always/{{ id }}, or leave it out"
    assert problem == f"prompts[0].id: rows have the same id; {fix}"


def test_rows_that_make_the_same_prompt_are_told_with_both_their_numbers(tmp_path: Path) -> None:
    written(tmp_path, "a.csv", [{"id": each, "question": each} for each in "abacb"])
    (problem,) = told(tmp_path)
    assert problem.startswith('prompts[0].id: rows have the same id; "q/a" is that of row 1 already')
    assert problem.endswith("row 3 of a.csv and 1 more")
    (problem,) = told(tmp_path, more="tags: [x]")
    assert problem.startswith("prompts[0].each: rows make the same messages; those of row 1")
    assert problem.endswith("row 3 of a.csv and 1 more")


def test_an_id_that_comes_out_empty_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": " ", "question": "q"}\n')
    (problem,) = told(tmp_path, each="a.jsonl", more="id: '{{ id }}'")
    assert problem == "prompts[0].id: the id comes out empty; row 1 of a.jsonl"


def test_mistakes_that_differ_in_each_row_are_few_lines_all_the_same(tmp_path: Path) -> None:
    bad = [{"id": str(n), "question": "q", "pattern": "a" * n + "("} for n in range(1, 51)]
    written(tmp_path, "a.csv", bad)
    check = 'id: q/{{ id }}\n    assert: [{type: regex, value: "{{ pattern }}"}]'
    problems = told(tmp_path, more=check)
    assert [problem.rpartition("; ")[2] for problem in problems] == [
        "row 1 of a.csv",
        "row 2 of a.csv",
        "row 3 of a.csv and 47 more",
    ]


def test_a_conflict_is_found_on_whichever_row_the_variant_runs(tmp_path: Path) -> None:
    written(tmp_path, "a.csv")
    more = "id: q/{{ id }}\n    stream: true"
    text = (
        PROMPT.format(message="hi", more=more, each="a.csv") + "variants: {v: {only: q/9, stream: false}}\n"
    )
    with pytest.raises(SuiteError, match=r"variants\.v\.stream: prompts\[0\]"):
        parse_suite(text, tmp_path / "s.yaml", {})


def test_rows_of_several_prompts_are_counted_together(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("id,question\n" + "".join(f"{name}{n},q\n" for n in range(50_001)))
    text = PROMPT.format(message="{{ id }}", more="id: '{{ id }}'", each="a.csv")
    text += "  - {id: '{{ id }}', each: b.csv, message: hi}\n"
    with pytest.raises(SuiteError) as caught:
        parse_suite(text, tmp_path / "s.yaml", {})
    assert [problem.message for problem in caught.value.problems] == [
        "prompts[1].each: with these, rows make more than 100,000 prompts: say sample: 1000"
    ]


def test_a_file_of_json_lines_may_have_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'\xef\xbb\xbf{"id": 1}\n{"id": 2}\n')
    assert list(rows(Each(path="a.jsonl"), tmp_path)) == [(1, {"id": 1}), (2, {"id": 2})]


@pytest.mark.parametrize(
    ("each", "says"),
    [
        ("b.csv", "b.csv: there is no such file beside the suite; did you mean a.csv?"),
        ("hf://data/set", "only files beside the suite are read"),
        ("{path: a.csv, sample: 4}", "a.csv: it has 3 rows, and a sample of 4 is wanted"),
        ("{path: a.csv, sampel: 4}", "unknown key; did you mean sample?"),
        ("{path: a.csv, sample: 100001}", "a sample of 100,001 is wanted, and 100,000 are the most"),
        ("data/a.csv", "there is no folder"),
        ("folder.csv", "this is a folder, and a file is wanted"),
        ("''", "it must not be empty"),
    ],
)
def test_what_is_wrong_with_each_is_told_where_it_is(tmp_path: Path, each: str, says: str) -> None:
    written(tmp_path, "a.csv")
    (tmp_path / "folder.csv").mkdir()
    (problem,) = told(tmp_path, each=each)
    assert problem.startswith("prompts[0].each")
    assert says in problem


def test_json_values_keep_their_types_for_checks(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": 1, "question": "q", "tags": ["a"]}) + "\n")
    (case,) = resolve_cases(suite(tmp_path, each="a.jsonl"))
    assert case.vars["tags"] == ["a"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_a_sample_of_a_million_rows_takes_no_more_memory_than_one_of_ten_thousand(
    tmp_path: Path, name: str
) -> None:
    table = pl.DataFrame({"id": range(1_000_000)}).with_columns(
        question="What is number " + pl.col("id").cast(pl.String) + "? Say all that you know of it."
    )
    peaks = []
    for count in (10_000, 1_000_000):
        folder = tmp_path / str(count)
        folder.mkdir()
        written(folder, name, table.head(count).to_dicts())
        peaks.append(_peak_kb(folder / name))
    assert peaks[1] - peaks[0] < 30_000  # kB; the figures are 0 for lines, and 10,000 for Parquet


def _peak_kb(path: Path) -> int:
    """The most memory that a process of its own had, which drew a sample of this file."""
    code = (
        "import sys\nfrom pathlib import Path\nfrom harness.suite.dataset import rows\n"
        "from harness.suite.prompts import Each\npath = Path(sys.argv[1])\n"
        "assert len(list(rows(Each(path=path.name, sample=200), path.parent))) == 200\n"
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    )
    told = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    return int(told.stdout)
