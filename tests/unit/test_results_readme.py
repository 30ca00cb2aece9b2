"""What results/README.md says of the tables is so, and its questions give the answers that it shows."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from harness.record.tables import SCHEMAS

ROOT = Path(__file__).parents[2]
README = (ROOT / "results" / "README.md").read_text()
QUESTIONS = README.partition("## Five questions")[2]
TITLES = re.findall(r"^### (.*)$", QUESTIONS, re.M)

ASK = """
import contextlib, io, json, sys
import duckdb

told, names = [], {}
for language, block in json.load(sys.stdin):
    if language == "python":
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(block, names)
        if "answer" in names:
            told.append({"printed": printed.getvalue(), "polars": names["answer"].rows()})
            told[-1]["columns"] = names["answer"].columns
    elif told:
        asked = duckdb.sql(block)
        told[-1] |= {"duckdb": asked.fetchall(), "named": asked.columns}
    else:
        duckdb.execute(block)
print(json.dumps(told))
"""


class Answer(NamedTuple):
    printed: list[str]
    columns: list[str]
    polars: list[list[Any]]
    named: list[str]
    duckdb: list[list[Any]]


def blocks() -> list[tuple[str, str]]:
    return re.findall(r"```(python|sql)\n(.*?)```", QUESTIONS, re.S)


def shown() -> list[list[str]]:
    """The lines of each table that the page shows."""
    tables = re.findall(r"^(?:\|.*\n)+", QUESTIONS, re.M)
    return [table.rstrip().split("\n") for table in tables]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def kinds(rows: list[str]) -> list[set[str]]:
    """What stands in each column: numbers with a decimal, whole ones, or words."""
    columns = zip(*map(cells, rows), strict=True)
    return [{_kind(cell) for cell in column if cell != "null"} for column in columns]


def _kind(cell: str) -> str:
    if re.fullmatch(r"\d+", cell):
        return "whole"
    return "decimal" if re.fullmatch(r"\d+\.\d", cell) else "words"


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[Answer]:
    """Every question, asked in the folder of a run of the suite that the page names."""
    cwd = tmp_path_factory.mktemp("asked")
    suite = ROOT / "tests" / "suites" / "showcase.yaml"
    command = [sys.executable, "-m", "harness", "run", str(suite), "--repeat", "1", "-q"]
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=150, check=False)
    assert "Traceback" not in ran.stderr, ran.stderr
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", ASK],
        cwd=cwd / "results" / "showcase" / "latest",
        input=json.dumps(blocks()),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    fields = ("columns", "polars", "named", "duckdb")
    return [
        Answer(each["printed"].rstrip().split("\n"), *(each[name] for name in fields))
        for each in json.loads(done.stdout)
    ]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_there_are_five_questions_and_each_is_asked_both_ways(answers: list[Answer]) -> None:
    assert len(TITLES) == len(answers) == len(shown()) == 5
    assert [language for language, _ in blocks()] == ["python", "sql"] * 6


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("question", range(5), ids=TITLES)
def test_polars_and_duckdb_give_the_same_rows(answers: list[Answer], question: int) -> None:
    answer = answers[question]
    assert answer.columns == answer.named
    assert len(answer.polars) == len(answer.duckdb) > 1
    for one, other in zip(answer.polars, answer.duckdb, strict=True):
        assert one == pytest.approx(other)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("question", range(5), ids=TITLES)
def test_what_is_printed_looks_as_on_the_page(answers: list[Answer], question: int) -> None:
    page, printed = shown()[question], answers[question].printed
    assert cells(page[0]) == cells(printed[0])
    assert kinds(page[2:]) == kinds(printed[2:])
    assert len(printed) == 2 + len(answers[question].polars)


def test_the_pages_tables_are_the_ones_that_there_are() -> None:
    assert set(re.findall(r"^## `(\w+)\.parquet`", README, re.M)) == set(SCHEMAS)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_column_is_on_the_page_and_no_other(name: str) -> None:
    section = README.partition(f"## `{name}.parquet`")[2].partition("\n## ")[0]
    told = re.findall(r"^\| (`[^|]*`) \| [a-z0-9 ]* ?\|", section.partition("\n| step |")[0], re.M)
    columns = {column for row in told for column in re.findall(r"`(\w+)`", row)}
    prose = set(re.findall(r"`(\w+)` \(int32\)|`(passed|failed|error|invalid|not_run)`", section))
    missing = set(SCHEMAS[name]) - columns - {word for pair in prose for word in pair}
    assert missing == set()
    assert columns - set(SCHEMAS[name]) == set()
