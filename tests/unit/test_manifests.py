"""The manifests of docs/cluster are what Kubernetes takes, and what they run is what there is.

The built-in kinds are held against the published schemas, as kubernetes-validate brings them, strictly: a
field that is none is an error. That of RayJob no package brings: its pods are held against the built-in one,
and the names of its own fields against those of KubeRay's API (ray.io/v1, as in its sources).
"""

import re
import shlex
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer.main
import yaml

from harness.cli import app

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "docs" / "cluster").glob("*.yaml"))
PAGE = (ROOT / "docs" / "cluster.md").read_text()
OLDEST, NEWEST = "1.33", kubernetes_validate.latest_version()
"""From the first version that has all of it (`successPolicy`) to the newest that the package knows."""

JOB = {"entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "rayClusterSpec"}
CLUSTER = {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
HEAD = {"rayStartParams", "template"}
WORKERS = HEAD | {"groupName", "replicas", "minReplicas", "maxReplicas"}


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


BUILT_IN = [
    pytest.param(document, id=f"{path.name}-{document['kind']}")
    for path in FILES
    for document in documents(path)
    if document["kind"] != "RayJob"
]
(RAYJOB,) = documents(ROOT / "docs" / "cluster" / "rayjob.yaml")


def groups() -> Iterator[tuple[str, dict[str, Any]]]:
    """The groups of pods of the RayJob."""
    cluster = RAYJOB["spec"]["rayClusterSpec"]
    yield "head", cluster["headGroupSpec"]
    for group in cluster["workerGroupSpecs"]:
        yield group["groupName"], group


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("document", BUILT_IN)
def test_a_manifest_is_of_the_published_schema(document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_a_manifest_that_is_wrong_is_found_to_be() -> None:
    (job,) = (each for each in documents(ROOT / "docs" / "cluster" / "job.yaml") if each["kind"] == "Job")
    misspelt, mistyped = deepcopy(job), deepcopy(job)
    misspelt["spec"]["template"]["spec"]["containers"][0]["volumeMount"] = []
    mistyped["spec"]["backoffLimit"] = "none"
    for wrong in (misspelt, mistyped):
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, NEWEST, strict=True)


@pytest.mark.parametrize(("name", "group"), [pytest.param(*each, id=each[0]) for each in groups()])
def test_the_pods_of_the_rayjob_are_of_the_published_schema(name: str, group: dict[str, Any]) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": group["template"]["spec"]}
    kubernetes_validate.validate(pod, NEWEST, strict=True)
    assert all(isinstance(value, str) for value in group["rayStartParams"].values())
    assert set(group) <= (HEAD if name == "head" else WORKERS)


def test_the_fields_of_the_rayjob_are_those_of_its_api() -> None:
    assert (RAYJOB["apiVersion"], RAYJOB["kind"]) == ("ray.io/v1", "RayJob")
    assert set(RAYJOB["spec"]) == JOB
    assert set(RAYJOB["spec"]["rayClusterSpec"]) == CLUSTER
    image = re.search(r"rayproject/ray:([\d.]+)", (ROOT / "docs/cluster/Dockerfile").read_text())
    assert image is not None
    assert RAYJOB["spec"]["rayClusterSpec"]["rayVersion"] == image[1]
    assert f"ray=={image[1]}\n" in (ROOT / ".ci" / "constraints.txt").read_text()


def commands(text: str) -> list[list[str]]:
    """Every `harness run` of a manifest or the page."""
    listed = re.findall(r"\[(harness, run[^\]]*)\]", text)
    written = re.findall(r"harness run /?[a-z][^\n`#]*", text)
    return [[word.strip() for word in line.split(",")] for line in listed] + list(map(shlex.split, written))


@pytest.mark.parametrize("path", [*FILES, ROOT / "docs" / "cluster.md"], ids=lambda path: path.name)
def test_what_they_run_is_what_there_is(path: Path) -> None:
    run = typer.main.get_group(app).commands["run"]
    found = commands(path.read_text())
    assert found
    for words in found:
        run.make_context("harness run", words[2:])  # raises for an option that there is none of


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_manifest_is_on_the_page_and_the_key_comes_from_a_secret(path: Path) -> None:
    text = path.read_text()
    assert f"cluster/{path.name}" in PAGE
    assert "secretKeyRef: {name: sigma, key: api-key}" in text
    assert not re.search(r"SIGMA_API_KEY, value:", text)


def test_what_the_manifests_name_is_made_on_the_page() -> None:
    for made in (
        "create secret generic sigma --from-file=api-key=./sigma.key --from-file=ray-token=",
        "create configmap harness-suite --from-file=",
    ):
        assert made in PAGE
    room = [int(group["rayStartParams"]["num-cpus"]) * group.get("replicas", 1) for _, group in groups()]
    assert f"--processes {sum(room)} " in RAYJOB["spec"]["entrypoint"]
