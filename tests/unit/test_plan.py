import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import SuiteError, UsageError
from harness.plan.trials import Choice, Plan, make_plan
from harness.suite.model import Suite
from harness.suite.read import load_suite, parse_suite

SUITE = """
suite: s
target: standin
defaults: {repeat: 2}
variants:
  base: {}
  fast: {llm_override: {model_provider: Simulated, model_version: swift}}
  deep: {deep_research: true, only: [tag:research], repeat: 1}
prompts:
  - {id: one, message: First}
  - {id: two, message: Second, tags: [research]}
budget: {deep_research: 5}
"""


def suite(text: str = SUITE) -> Suite:
    return parse_suite(text, Path("s.yaml"), {})


def ids(text: str = SUITE) -> dict[tuple[str, str, int], str]:
    return {
        (trial.case.case_id, trial.variant, trial.repeat): trial.trial_id
        for trial in make_plan(suite(text)).trials
    }


def test_a_plan_is_cases_times_variants_times_repeats() -> None:
    planned = ids()
    assert len(planned) == 2 * 2 * 2 + 1
    assert len(set(planned.values())) == len(planned)
    assert make_plan(suite()).deep_research == 1


def test_planning_twice_gives_the_same_trials_in_the_same_order() -> None:
    assert make_plan(suite()).trials == make_plan(suite()).trials


def test_another_seed_gives_another_order_of_the_same_trials() -> None:
    orders = {tuple(trial.trial_id for trial in make_plan(suite(), seed=seed).trials) for seed in range(8)}
    assert len(orders) > 1
    assert len({frozenset(order) for order in orders}) == 1


def test_rounds_come_one_after_the_other_and_arms_of_a_case_side_by_side() -> None:
    trials = make_plan(suite()).trials
    assert [trial.repeat for trial in trials] == sorted(trial.repeat for trial in trials)
    first_round = [trial.case.case_id for trial in trials if trial.repeat == 1]
    assert first_round == ["one", "one", "two", "two", "two"]


@given(st.integers(0, 2), st.text("abc xyz", min_size=1, max_size=9))
def test_adding_a_case_leaves_the_ids_of_the_others_alone(place: int, message: str) -> None:
    lines = SUITE.splitlines()
    at = lines.index("prompts:") + 1 + place
    lines.insert(at, f'  - {{id: added, message: "{message}"}}')
    grown = ids("\n".join(lines))
    assert {key: value for key, value in grown.items() if key[0] != "added"} == ids()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("message: First", "message: Furst"),
        ("model_version: swift", "model_version: steady"),
        ("  fast:", "  fest:"),
    ],
)
def test_what_is_sent_differently_has_another_id(old: str, new: str) -> None:
    changed = ids(SUITE.replace(old, new))
    kept = set(ids().values()) & set(changed.values())
    assert 0 < len(kept) < len(ids())


def test_a_changed_check_is_the_same_trial() -> None:
    checked = SUITE.replace("message: First}", "message: First, assert: [{type: contains, value: x}]}")
    assert ids(checked) == ids()


def test_a_choice_takes_variants_prompts_tags_and_a_number_of_trials() -> None:
    def chosen(choice: Choice) -> set[tuple[str, str]]:
        return {(trial.case.case_id, trial.variant) for trial in make_plan(suite(), choice).trials}

    assert chosen(Choice(variants=("fast",))) == {("one", "fast"), ("two", "fast")}
    assert chosen(Choice(prompts=("one",))) == {("one", "base"), ("one", "fast")}
    assert chosen(Choice(tags=("research",))) == {("two", "base"), ("two", "fast"), ("two", "deep")}
    assert len(make_plan(suite(), Choice(limit=3)).trials) == 3
    assert len(make_plan(suite(), Choice(repeat=4)).trials) == 4 * 5


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (
            Choice(variants=("fats",)),
            r"no variant fats in this suite; it has base, fast, deep; did you mean fast\?",
        ),
        (Choice(prompts=("three",)), r"no prompt three in this suite; it has one, two"),
        (
            Choice(tags=("reserch",)),
            r"no tag reserch in this suite; it has research; did you mean research\?",
        ),
    ],
)
def test_choosing_what_is_not_there_says_what_is(choice: Choice, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_plan(suite(), choice)


def test_ten_thousand_trials_are_planned_in_well_under_two_seconds_of_cpu() -> None:
    prompts = "".join(f"  - {{id: p{n}, message: 'Question {n}'}}\n" for n in range(1000))
    variants = "".join(
        f"  v{n}: {{llm_override: {{model_provider: P, model_version: m{n}}}}}\n" for n in range(10)
    )
    text = f"suite: big\ntarget: standin\nvariants:\n{variants}prompts:\n{prompts}"
    began = time.process_time()
    planned = make_plan(suite(text))
    assert len(planned.trials) == 10_000
    assert time.process_time() - began < 5  # CPU, and generous: the figure itself is printed by the benchmark


def test_a_time_limit_is_not_sent_and_so_makes_no_other_trial() -> None:
    assert ids(SUITE.replace("defaults: {repeat: 2}", "defaults: {repeat: 2, time_limit: 9s}")) == ids()


def test_a_file_is_part_of_an_id_by_its_content(tmp_path: Path) -> None:
    def ids(content: str | None, name: str = "notes.txt") -> list[str]:
        folder = tmp_path / str(content)
        folder.mkdir(exist_ok=True)
        if content is not None:
            (folder / name).write_text(content)
        text = "target: standin\nprompts: [{id: a, message: x, files: [notes.txt]}]\n"
        return [trial.trial_id for trial in make_plan(parse_suite(text, folder / "s.yaml", {})).trials]

    assert ids("one") == ids("one")
    assert ids("one") != ids("two") != ids(None)


def rows_of(folder: Path, rows: str, each: str = "a.csv") -> Suite:
    (folder / "a.csv").write_text("id,topic,question\n" + rows)
    text = (
        f"target: standin\nprompts: [{{id: 'q/{{{{ id }}}}', each: {each}, message: '{{{{ question }}}}'}}]\n"
    )
    return parse_suite(text, folder / "s.yaml", {})


def test_rows_are_planned_in_the_order_of_the_file_and_each_by_itself(tmp_path: Path) -> None:
    first = make_plan(rows_of(tmp_path, "a,x,one\nb,x,two\nc,y,three\n")).trials
    assert [trial.case.case_id for trial in first] == ["q/a", "q/b", "q/c"]
    other = make_plan(rows_of(tmp_path, "c,y,three\nb,x,changed\na,x,one\nd,y,four\n")).trials
    ids = [{trial.case.case_id: trial.trial_id for trial in trials} for trials in (first, other)]
    assert [name for name, trial_id in ids[0].items() if ids[1][name] != trial_id] == ["q/b"]


def test_a_column_that_is_not_asked_makes_no_other_trial(tmp_path: Path) -> None:
    first = make_plan(rows_of(tmp_path, "a,x,one\n")).trials
    other = make_plan(rows_of(tmp_path, "a,another topic,one\n")).trials
    assert [trial.trial_id for trial in first] == [trial.trial_id for trial in other]


def test_a_choice_takes_single_rows_and_so_many_of_them(tmp_path: Path) -> None:
    table = "".join(f"{number},x,question {number}\n" for number in range(20))
    sampled = rows_of(tmp_path, table, "{path: a.csv, sample: 5, seed: 1}")
    names = [trial.case.case_id for trial in make_plan(sampled).trials]
    assert len(names) == 5
    assert [trial.case.case_id for trial in make_plan(sampled, Choice(limit=2)).trials] == names[:2]
    assert [trial.case.case_id for trial in make_plan(sampled, Choice(prompts=(names[3],))).trials] == [
        names[3]
    ]


def test_a_sample_planned_again_is_the_same_whatever_the_seed_of_the_run(tmp_path: Path) -> None:
    table = "".join(f"{number},x,question {number}\n" for number in range(200))
    sampled = rows_of(tmp_path, table, "{path: a.csv, sample: 9, seed: 1}")
    plans = [frozenset(trial.trial_id for trial in make_plan(sampled, seed=seed).trials) for seed in (0, 1)]
    assert plans[0] == plans[1]


def test_a_file_that_goes_away_between_reading_and_planning_is_told(tmp_path: Path) -> None:
    read = rows_of(tmp_path, "a,x,one\n")
    (tmp_path / "a.csv").unlink()
    with pytest.raises(SuiteError, match=r"prompts\[0\]\.each\.path: a\.csv: there is no such file"):
        make_plan(read)


def test_no_secret_header_is_in_what_a_plan_shows_nor_in_its_ids() -> None:
    def plan(value: str) -> Plan:
        text = f"target: standin\nprompts: [{{id: a, message: x, mcp_headers: {{X-Token: {value}}}}}]\n"
        return make_plan(parse_suite(text, Path("s.yaml"), {}))

    assert plan("hunter2").trials[0].trial_id == plan("other").trials[0].trial_id
    assert "hunter2" not in str(plan("hunter2").trials[0].describe())


def test_the_ids_of_the_quick_start_stay_what_they_were() -> None:
    trials = make_plan(load_suite(Path(__file__).parents[2] / "suites" / "quickstart.yaml")).trials
    first = {(trial.case.case_id, trial.variant): trial.trial_id for trial in trials if trial.repeat == 1}
    assert first["capital", "steady"] == "f0bb4c92e0249021"
    assert first["sso-setup", "must-search"] == "545cb55cc2a9e08d"


@pytest.mark.parametrize(
    "load",
    ["{main: {workers: 1}}", "{main: {rate: 1000000/s, for: 1h, max_in_flight: 8}}"],
    ids=["repeats", "arrivals"],
)
@pytest.mark.slow
def test_more_trials_than_can_be_planned_are_refused_and_not_tried(load: str) -> None:
    text = SUITE.replace("repeat: 2", "repeat: 1000000000") + f"load: {load}\n"
    with pytest.raises(UsageError, match=r"s\.yaml: this makes more than 2,000,000 trials"):
        make_plan(suite(text))
