"""Pages of recorded runs, asked for by HTTP from a view in a process of its own."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlencode

import httpx
import polars as pl
import pytest

from tests.bounds import started
from tests.fuzz.readers import FOUND
from tests.program import HARNESS
from tests.view.viewing import until, viewing

pytestmark = pytest.mark.slow


def url(folder: Path) -> str:
    return f"/run/{folder.parent.name}/{folder.name}"


def page(view: httpx.Client, path: str, **query: str | list[str]) -> str:
    answer = view.get(f"{path}?{urlencode(query, doseq=True)}" if query else path)
    assert answer.status_code == 200, answer.text
    return answer.text


def listed(text: str) -> set[str]:
    """The trials that a page of a run lists."""
    return set(re.findall(r'/trial/([0-9a-f]{16})"', text))


def trials(folder: Path) -> pl.DataFrame:
    return pl.read_parquet(folder / "trials.parquet")


def one(folder: Path, case: str, variant: str) -> str:
    """The id of a trial."""
    mine = (pl.col("case_id") == case) & (pl.col("variant") == variant) & (pl.col("repeat") == 1)
    return str(trials(folder).filter(mine)["trial_id"].item())


def test_the_list_of_runs_has_the_states_and_the_exit_code_of_each(view: httpx.Client, shown: Path) -> None:
    text = page(view, "/")
    assert url(shown) in text
    row = text[text.index(url(shown)) :]
    assert re.search(r'class="state failed tally"[^>]*>4<', row)
    assert "2 of 2 runs" in text


def test_the_list_of_runs_is_filtered_by_suite_and_by_text(
    view: httpx.Client, shown: Path, hostile: Path
) -> None:
    for query in ({"suite": "shown"}, {"text": shown.name}):
        text = page(view, "/", **query)
        assert url(shown) in text
        assert url(hostile) not in text


def test_a_run_shows_the_figures_of_its_summary_with_their_counts(view: httpx.Client, shown: Path) -> None:
    text = page(view, url(shown))
    exchanges = pl.read_parquet(shown / "exchanges.parquet").join(trials(shown), on="trial_id")
    n = len(exchanges.filter(pl.col("counted") & (pl.col("variant") == "steady"))["ttft_ms"].drop_nulls())
    row = text[text.index('href="?variant=steady') :]
    assert f"n&nbsp;{n}<" in row[: row.index("</tr>")]
    assert "search_filters.source_type" in text


def test_a_run_shows_what_its_variants_did_to_each_other_with_links_to_the_worst(
    tmp_path: Path, shown: Path
) -> None:
    worst = one(shown, "refund", "thinker")
    run = shutil.copytree(shown, tmp_path / "shown" / shown.name)
    told = json.loads((run / "summary.json").read_text())
    (shared,) = told["fairness"]
    assert shared["worst"] == [], "two repeats of a prompt have no usual"
    row = {"variant": "thinker", "figure": "total", "trial_id": worst, "case_id": "refund", "at_s": 1.5}
    row |= {"value_ms": 900.0, "median_ms": 300.0, "times": 3.0, "among": "prompt", "n": 12, "of": 12}
    told["fairness"] = [shared | {"worst": [row]}]
    (run / "summary.json").write_text(json.dumps(told))
    with viewing(tmp_path) as http:
        text = page(http, url(run))
        assert "whether variants slow each other is not known (main)" in text
        assert (
            f'<a href="{url(run)}/trial/{worst}">refund</a>, 900 ms, 3.0 times the median of n = 12' in text
        )
        assert http.get(f"{url(run)}/trial/{worst}").status_code == 200


FILTERS: dict[str, tuple[dict[str, str | list[str]], pl.Expr]] = {
    "state": ({"state": ["failed", "error"]}, pl.col("state").is_in(["failed", "error"])),
    "variant": ({"variant": "thinker"}, pl.col("variant") == "thinker"),
    "tag": ({"tag": "money"}, pl.col("case_id") == "price"),
    "text in a reason": ({"text": "99 BANANAS"}, pl.col("case_id") == "price"),
    "text in the id of a prompt": (
        {"text": "refund", "variant": "filtered"},
        pl.col("variant") == "filtered",
    ),
    "several": (
        {"state": "passed", "variant": "steady", "tag": "policy"},
        (pl.col("case_id") == "refund") & (pl.col("variant") == "steady"),
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_leaves_what_the_tables_have(name: str, view: httpx.Client, shown: Path) -> None:
    query, kept = FILTERS[name]
    expected = set(trials(shown).filter(kept)["trial_id"])
    assert expected
    assert len(expected) < len(trials(shown))
    assert listed(page(view, url(shown), **query)) == expected


def test_a_tool_and_a_text_of_an_answer_are_looked_for_in_all_turns(view: httpx.Client, shown: Path) -> None:
    exchanges = pl.read_parquet(shown / "exchanges.parquet")
    calls = pl.read_parquet(shown / "tool_calls.parquet").filter(pl.col("name") == "internal_search")
    searched = exchanges.join(calls, on="exchange_id", how="semi")
    assert listed(page(view, url(shown), tool="internal_search")) == set(searched["trial_id"])
    said = exchanges.filter(pl.col("answer").fill_null("").str.contains("30 days"))
    assert listed(page(view, url(shown), text="30 DAYS")) == set(said["trial_id"])


def test_the_slowest_trial_comes_first_if_that_is_wanted(view: httpx.Client, shown: Path) -> None:
    text = page(view, url(shown), sort="total")
    first = re.findall(r'/trial/([0-9a-f]{16})"', text)[0]
    exchanges = pl.read_parquet(shown / "exchanges.parquet").sort(
        "total_ms", descending=True, nulls_last=True
    )
    assert first == exchanges["trial_id"][0]


def test_a_conversation_is_a_tree_of_its_turns(view: httpx.Client, shown: Path) -> None:
    text = page(view, f"{url(shown)}/trial/{one(shown, 'talk', 'steady')}")
    turns = re.findall(r'<article class="turn d(\d)" id="turn-(\w+)-1"', text)
    assert {name: int(depth) for depth, name in turns} == {
        "first": 0,
        "more": 0,
        "other": 1,
        "again": 1,
    }
    assert "a branch after first" in text
    assert "answered again" in text


def test_a_trial_shows_calls_documents_and_links_its_citations(view: httpx.Client, shown: Path) -> None:
    text = page(view, f"{url(shown)}/trial/{one(shown, 'refund', 'steady')}")
    anchor = re.search(r'<a class="cite" href="#([\w-]+)">\[1\]</a>', text)
    assert anchor is not None
    assert f'id="{anchor[1]}"' in text
    assert "pol-refund-2026-eu" in text
    assert "&#34;queries&#34;" in text
    assert "How long is the refund window for customers in the EU?" in text


def test_every_packet_of_an_exchange_can_be_read(view: httpx.Client, shown: Path) -> None:
    trial = one(shown, "refund", "thinker")
    packets = pl.read_parquet(shown / "packets.parquet").filter(pl.col("exchange_id") == f"{trial}.1.1")
    text = page(view, f"{url(shown)}/trial/{trial}/packets", exchange=f"{trial}.1.1")
    assert [int(seq) for seq in re.findall(r'<tr><td class="n">(\d+)</td>', text)] == packets["seq"].to_list()


def test_a_turn_that_was_tried_again_shows_both_attempts(view: httpx.Client, shown: Path) -> None:
    text = page(view, f"{url(shown)}/trial/{one(shown, 'again', 'broken')}")
    assert re.findall(r'id="turn-1-(\d)"', text) == ["1", "2"]
    assert "HTTP 503" in text


def test_the_body_of_a_reply_is_given_as_it_came(view: httpx.Client, shown: Path) -> None:
    trial = one(shown, "refund", "steady")
    answer = view.get(f"{url(shown)}/trial/{trial}/raw", params={"exchange": f"{trial}.1.1"})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.startswith("data: {")
    kept = pl.read_parquet(shown / "exchanges.parquet").filter(pl.col("exchange_id") == f"{trial}.1.1")
    said = view.get(f"{url(shown)}/trial/{trial}/raw", params={"exchange": f"{trial}.1.1", "of": "answer"})
    assert said.text == kept["answer"].item()


def test_two_variants_are_shown_side_by_side_with_where_they_part(view: httpx.Client, shown: Path) -> None:
    both = {"case": "talk", "a": "steady", "b": "thinker", "repeat": "1"}
    text = page(view, f"{url(shown)}/compare", **both)
    assert text.count('<section class="turn-pair"') == 4
    assert "nowhere" in text
    other = page(view, f"{url(shown)}/compare", case="refund", a="steady", b="filtered")
    assert "<del>" in other
    assert "<ins>" in other
    parted = re.search(r"Where they first part: <strong[^>]*>(.*?)</strong>", other)
    assert parted is not None
    assert parted[1] in {"the answer", "other documents", "other arguments", "another tool"}


def test_the_charts_of_a_run_are_drawn_without_styles_of_their_own(view: httpx.Client, shown: Path) -> None:
    names = re.findall(r"charts\?name=([\w-]+)\"", page(view, f"{url(shown)}/charts", of="names"))
    assert "results" in names
    text = page(view, f"{url(shown)}/charts", name="results")
    assert text.count("<svg") == 2
    assert "style=" not in text


def test_latest_leads_to_the_run_under_its_own_name(view: httpx.Client, shown: Path) -> None:
    answer = view.get("/run/shown/latest?state=failed")
    assert answer.headers["location"] == f"{url(shown)}?state=failed"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/run/shwon/latest", "There is no suite shwon among these results; did you mean shown?"),
        ("/run/shown/20200101T000000Z-0000", "The newest are"),
        ("/nothing", "There is no such page."),
    ],
)
def test_what_is_not_there_is_a_page_that_says_what_is(path: str, says: str, view: httpx.Client) -> None:
    answer = view.get(path)
    assert answer.status_code == 404
    assert says in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/run/..%2f../etc",
        "/run/shown/..%2fhostile",
        "/run/shown/%2e%2e",
        "/run/%2e%2e/results",
        "/static/..%2f..%2fapp.py",
        "/run/shown/latest/trial/..%2f..%2fmanifest.json",
    ],
)
def test_no_path_leads_out_of_the_results(path: str, view: httpx.Client) -> None:
    assert view.get(path, follow_redirects=True).status_code == 404


def test_links_out_of_the_results_are_not_followed(shown: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(shown, results / "mine" / shown.name)
    (results / "mine" / "20300101T000000Z-0000").symlink_to(shown)
    (results / "theirs").symlink_to(shown.parent)
    journal = results / "mine" / shown.name / "journal-0.jsonl"
    journal.unlink()
    journal.symlink_to("/etc/passwd")
    with viewing(results) as view:
        assert "1 of 1 run," in page(view, "/")
        assert view.get("/run/mine/20300101T000000Z-0000").status_code == 404
        assert view.get(f"/run/theirs/{shown.name}").status_code == 404
        told = "is a link, a pipe or a device, which is not followed"
        assert told in view.get(f"/run/mine/{shown.name}").text
        journal.unlink()
        os.mkfifo(journal)
        assert told in view.get(f"/run/mine/{shown.name}").text
        assert told in page(view, "/")


@pytest.mark.slow
def test_a_table_that_polars_panics_at_is_a_page_and_the_view_goes_on(shown: Path, tmp_path: Path) -> None:
    mine = tmp_path / "results" / "mine" / shown.name
    shutil.copytree(shown, mine)
    for name in ("cases", "tool_calls"):
        shutil.copy(FOUND / "table-panic", mine / f"{name}.parquet")
    with viewing(tmp_path / "results") as view:
        answer = view.get(f"/run/mine/{shown.name}")
        assert answer.status_code == 500
        assert ".parquet: cannot be read" in answer.text
        assert view.get("/").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8321", "127.0.0.1.evil.example", ""])
def test_it_answers_under_its_own_names_only(host: str, view: httpx.Client) -> None:
    answer = view.get("/", headers={"host": host})
    assert answer.status_code == 421
    assert "shown" not in answer.text


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:8321"])
def test_it_answers_under_an_address_whatever_the_port(host: str, view: httpx.Client) -> None:
    assert view.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_only_shows(method: str, view: httpx.Client) -> None:
    answer = view.request(method, "/")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/", "/run/shown/latest", "/nothing", "/static/view.css"])
def test_every_answer_says_what_a_browser_may_do_with_it(path: str, view: httpx.Client) -> None:
    headers = view.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "'unsafe-inline'" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_hostile_texts_are_texts_on_every_page(view: httpx.Client, hostile: Path) -> None:
    trial = trials(hostile)["trial_id"].item()
    paths = ("", f"/trial/{trial}", f"/trial/{trial}/packets?exchange={trial}.1.1", "/compare", "/charts")
    for path in ("/", *(url(hostile) + each for each in paths)):
        # What a form sends back has to be what it was; nobody sees that.
        text = re.sub(r' value="[^"]*"', "", view.get(path).text)
        assert set(re.findall(r"<script[^>]*>", text)) <= {'<script src="/static/view.js" defer>'}
        assert not re.search(r"<(img|iframe|b>|svg/)", text)
        assert not re.search(r'href="javascript:', text)
        assert not any(mark in text for mark in "\x1b\x07\u202e\u2066\u200f\x00")
        assert len(text) < 200_000


def test_an_answer_of_five_million_letters_is_cut_and_given_whole_as_text(
    view: httpx.Client, hostile: Path
) -> None:
    trial = trials(hostile)["trial_id"].item()
    text = page(view, f"{url(hostile)}/trial/{trial}")
    assert "more characters)" in text
    assert not re.search(r"[^\s<>]{20000}", text)
    assert "the whole answer, as text" in text
    whole = view.get(f"{url(hostile)}/trial/{trial}/raw", params={"exchange": f"{trial}.1.1", "of": "answer"})
    assert len(whole.text) > 5_000_000


def test_a_folder_that_is_no_run_of_ours_is_listed_with_what_is_wrong(shown: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    odd = {"aaaa": b"{", "bbbb": b'{"run_id": 1}', "cccc": b'{"run_id": "\xff"}', "dddd": b"[" * 100_000}
    for name, manifest in odd.items():
        folder = results / "odd" / f"20260101T000000Z-{name}"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_bytes(manifest)
    shutil.copytree(shown, results / "shown" / shown.name)
    with viewing(results) as view:
        text = page(view, "/")
        assert text.count("not to be read") == len(odd)
        assert url(shown) in text
        for name in odd:
            answer = view.get(f"/run/odd/20260101T000000Z-{name}")
            assert answer.status_code == 500
            assert "This run cannot be read" in answer.text


@pytest.mark.parametrize(("key", "told"), [("verdict", {"word": "superb"}), ("gate", {"word": "pass"})])
def test_a_verdict_or_ruling_of_another_version_is_said_to_be_one(
    key: str, told: dict[str, str], shown: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "results" / "shown" / shown.name
    shutil.copytree(shown, copy)
    manifest = json.loads((copy / "manifest.json").read_bytes())
    (copy / "manifest.json").write_text(json.dumps({**manifest, key: told}))
    with viewing(tmp_path / "results") as view:
        answer = view.get(url(copy))
    assert answer.status_code == 500
    assert "of another version" in answer.text


@pytest.mark.parametrize("number", ["9" * 5_000, "0", "-1", "²", "1.5"])
def test_a_page_that_there_is_not_is_one_that_there_is(number: str, view: httpx.Client, shown: Path) -> None:
    everything = listed(page(view, url(shown)))
    assert everything
    assert listed(page(view, url(shown), page=number)) == everything
    assert url(shown) in page(view, "/", page=number)


def test_a_rerun_is_shown_as_one(shown: Path, tmp_path: Path) -> None:
    copy = tmp_path / "results" / "shown" / shown.name
    shutil.copytree(shown, copy)
    manifest = json.loads((copy / "manifest.json").read_bytes())
    rerun = {"of": "20260101T000000Z-aaaa", "states": ["failed"], "gone": []}
    (copy / "manifest.json").write_text(json.dumps({**manifest, "rerun": rerun}))
    with viewing(tmp_path / "results") as view:
        assert "a rerun of what ended as failed in 20260101T000000Z-aaaa" in page(view, url(copy))
        assert "rerun of 20260101T000000Z-aaaa: failed" in page(view, "/")


def test_a_report_beside_the_run_is_shown_as_if_from_elsewhere(shown: Path, tmp_path: Path) -> None:
    copy = tmp_path / "results" / "shown" / shown.name
    shutil.copytree(shown, copy)
    (copy / "report.html").write_text("<script>fetch('/')</script>")
    with viewing(tmp_path / "results") as view:
        assert "/report.html" in page(view, url(shown))
        assert (
            "sandbox allow-scripts"
            in view.get(f"{url(shown)}/report.html").headers["content-security-policy"]
        )


def test_a_run_without_its_tables_is_read_from_its_journal(shown: Path, tmp_path: Path) -> None:
    copy = tmp_path / "results" / "shown" / shown.name
    shutil.copytree(shown, copy)
    for table in copy.glob("*.parquet"):
        table.unlink()
    with viewing(tmp_path / "results") as view:
        until(lambda: "data-refresh" not in page(view, url(shown)))
        text = page(view, url(shown), state="failed")
        assert "Its tables are missing" in text
        assert listed(text) == set(trials(shown).filter(pl.col("state") == "failed")["trial_id"])


def test_one_run_is_opened_at_its_page(shown: Path) -> None:
    command = [*HARNESS, "view", str(shown), "--port", "0"]
    with started(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        at = process.stdout.readline().strip()
        process.terminate()
    assert at.endswith(url(shown))


def test_an_interrupt_ends_it_quietly_with_exit_code_0(results: Path) -> None:
    command = [*HARNESS, "view", str(results), "--port", "0"]
    with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with httpx.Client(base_url=process.stdout.readline().strip()) as http:
            assert http.get("/").status_code == 200
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=10)
    assert (process.returncode, said) == (0, "")


def refused(*options: str, results: Path, code: int = 2) -> str:
    """What it says when it does not come up."""
    command = [*HARNESS, "view", str(results), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == code
    return done.stderr


def test_a_port_that_is_taken_is_said_with_what_to_do(results: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "--port 0 takes a free one" in refused("--port", port, results=results, code=4)


def test_other_machines_are_not_let_in_unless_that_is_meant(results: Path) -> None:
    assert "add --allow-remote" in refused("--host", "192.0.2.1", results=results)


def test_results_that_are_not_there_are_said(tmp_path: Path) -> None:
    assert "no such folder" in refused(results=tmp_path / "nothing")
