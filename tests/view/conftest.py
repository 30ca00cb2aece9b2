"""Two runs that are over, and a view of them."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.view.viewing import results_to_show, viewing


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of results, with a run of the suite `shown` and one of `hostile`."""
    return results_to_show(tmp_path_factory)


@pytest.fixture(scope="session")
def shown(results: Path) -> Path:
    """The folder of the run of `shown`."""
    return (results / "shown" / "latest").resolve()


@pytest.fixture(scope="session")
def hostile(results: Path) -> Path:
    """The folder of the run of `hostile`."""
    return (results / "hostile" / "latest").resolve()


@pytest.fixture(scope="session")
def view(results: Path) -> Iterator[httpx.Client]:
    """A view of both."""
    with viewing(results) as http:
        yield http
