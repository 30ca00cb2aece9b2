"""What people install: the wheel, alone with what it depends on, in a folder far from this one."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from harness import __version__
from harness.errors import Exit

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / ".ci" / "constraints.txt"
UV = [sys.executable, "-m", "uv", "--quiet"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

SUITE = """
suite: outside
target: standin
embeddings: {model: sentences}
variants:
  plain: {llm_override: {model_provider: Simulated, model_version: "sim:tokens=5"}}
prompts:
  - {id: hello, message: hello, assert: [stream-complete, {type: word-count, value: {min: 1}}]}
"""
LIKE = SUITE.replace("stream-complete", "{type: similar, value: hello, threshold: 0.1}")


class Built(NamedTuple):
    """A wheel, the source distribution beside it, and the wheel made of that."""

    wheel: Path
    source: Path
    again: Path


@pytest.fixture(scope="module", name="built")
def _built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("built")
    hatch(ROOT, "-t", "sdist", "-t", "wheel", "-d", folder)
    (source,) = folder.glob("*.tar.gz")
    with tarfile.open(source) as packed:
        packed.extractall(folder, filter="data")
    hatch(folder / source.name.removesuffix(".tar.gz"), "-t", "wheel", "-d", folder / "again")
    (wheel,), (again,) = folder.glob("*.whl"), (folder / "again").glob("*.whl")
    return Built(wheel, source, again)


@pytest.fixture(scope="module", name="bin_")
def _bin(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with nothing but the wheel and what it depends on."""
    python = tmp_path_factory.mktemp("installed") / "venv" / "bin" / "python"
    did(*UV, "venv", "--python", sys.executable, python.parents[1])
    did(*UV, "pip", "install", "--python", python, "--constraint", CONSTRAINTS, built.wheel)
    return python.parent


@pytest.fixture(scope="module", name="outside")
def _outside(bin_: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a suite of its own, and the run of it."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "sentences").mkdir()
    (folder / "suite.yaml").write_text(SUITE)
    done = harness(bin_, folder, "run", "suite.yaml")
    assert done.returncode == Exit.OK, done.stdout + done.stderr
    return folder


def hatch(folder: Path, *args: str | Path) -> None:
    did(sys.executable, "-m", "hatchling", "build", *args, cwd=folder)


def did(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def clean(bin_: Path, folder: Path) -> dict[str, str]:
    """What a new user's shell has: no home to speak of, and nothing that points here."""
    return {"PATH": f"{bin_}:/usr/bin:/bin", "HOME": os.fspath(folder), "LANG": "C.UTF-8"}


def harness(bin_: Path, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return ran(bin_, folder, bin_ / "harness", *args)


def ran(bin_: Path, folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=clean(bin_, folder), capture_output=True, text=True, check=False
    )


@contextmanager
def serving(bin_: Path, folder: Path, *args: str) -> Iterator[str]:
    """The URL of a server of ours that has said that it is ready."""
    command = [os.fspath(bin_ / "harness"), *args, "--port", "0"]
    with subprocess.Popen(
        command, cwd=folder, env=clean(bin_, folder), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            told = re.search(r"http://\S+", process.stdout.readline())
            assert told is not None
            yield told[0]
        finally:
            process.terminate()


def kept() -> set[str]:
    """The files that are the project's: those git has, or would take."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    told = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\n")
    return {name for name in told if name and (ROOT / name).exists()}


def test_the_wheel_has_all_of_the_package_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = set(wheel.namelist())
    about = {name for name in names if ".dist-info/" in name}
    assert names - about == {name for name in kept() if name.startswith("harness/")}
    assert {name.partition("/")[2] for name in about} == {
        *("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"),
    }
    for needed in ("py.typed", "standin/corpus.jsonl", "report/templates/report.html", "view/static/view.js"):
        assert f"harness/{needed}" in names


def test_the_source_has_all_that_is_kept_and_makes_the_same_wheel(built: Built) -> None:
    with tarfile.open(built.source) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert names == kept() | {"PKG-INFO"}
    assert built.again.read_bytes() == built.wheel.read_bytes()


def test_a_suite_written_anywhere_runs(bin_: Path, outside: Path) -> None:
    assert harness(bin_, outside, "--version").stdout == f"harness {__version__}\n"
    (run,) = (each for each in (outside / "results" / "outside").iterdir() if not each.is_symlink())
    assert (run / "trials.parquet").exists()
    assert (run / "summary.json").exists()


def test_every_module_loads_without_what_is_for_developers(bin_: Path, outside: Path) -> None:
    """All but those that an extra is for, which say so."""
    program = (
        "import importlib, pkgutil, harness\n"
        "for found in pkgutil.walk_packages(harness.__path__, 'harness.'):\n"
        "    if found.name not in ('harness.__main__', 'harness.report.otel'):\n"
        "        importlib.import_module(found.name)\n"
        "print(harness.__file__)"
    )
    done = ran(bin_, outside, bin_ / "python", "-c", program)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(bin_.parent)


def test_reports_of_all_kinds_are_written(bin_: Path, outside: Path) -> None:
    files = (
        "--html",
        "a.html",
        "--junit",
        "a.xml",
        "--markdown",
        "a.md",
        "--csv",
        "tables",
        "--png",
        "charts",
    )
    done = harness(bin_, outside, "report", "latest", *files)
    assert done.returncode == Exit.OK, done.stdout + done.stderr
    assert (outside / "a.html").read_text().startswith("<!doctype html>")
    assert list((outside / "charts").glob("*.png"))


@pytest.mark.parametrize(("command", "path"), [("view", "/"), ("serve", "/health")])
def test_its_servers_answer(bin_: Path, outside: Path, command: str, path: str) -> None:
    with serving(bin_, outside, command) as url:
        assert httpx.get(url.rstrip("/") + path).status_code == 200


def test_what_needs_an_extra_says_which(bin_: Path, outside: Path) -> None:
    clustered = harness(bin_, outside, "run", "suite.yaml", "--cluster", "local")
    assert clustered.returncode == Exit.USAGE
    assert "pip install 'sigma-harness[ray]'" in " ".join(clustered.stderr.split())
    traced = harness(bin_, outside, "report", "latest", "--otel")
    assert traced.returncode == Exit.USAGE
    assert "pip install 'sigma-harness[otel]'" in " ".join(traced.stderr.split())
    (outside / "like.yaml").write_text(LIKE)
    alike = harness(bin_, outside, "grade", "latest", "--suite", "like.yaml")
    assert 'pip install "sigma-harness[similar]"' in " ".join((alike.stdout + alike.stderr).split())


@pytest.mark.parametrize("extra", ["similar", "ray", "otel"])
def test_an_extra_can_be_had_beside_the_rest(bin_: Path, built: Built, extra: str) -> None:
    wanted = f"sigma-harness[{extra}] @ {built.wheel.as_uri()}"
    did(*UV, "pip", "install", "--python", bin_ / "python", "--constraint", CONSTRAINTS, "--dry-run", wanted)
