"""No bytes of others make a reader raise anything but its own error; the endurance tier has more."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutated import bytes_of
from tests.fuzz.readers import FOUND, READERS, seeds

EXAMPLES = 25


def fuzz(name: str, examples: int) -> None:
    """Have the reader called *name* read so many changed inputs."""

    @settings(max_examples=examples, database=None, suppress_health_check=list(HealthCheck))
    @given(bytes_of(seeds(name)) | st.binary(max_size=200))
    def reads(data: bytes) -> None:
        READERS[name](data)

    reads()


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_changed_input_is_read_or_is_the_readers_own_error(name: str) -> None:
    fuzz(name, EXAMPLES)


@pytest.mark.parametrize("name", READERS)
def test_honest_input_and_what_was_found_once_are_read(name: str) -> None:
    assert seeds(name)
    for data in seeds(name)[:40]:
        READERS[name](data)


def test_what_was_found_is_of_a_reader_that_there_is() -> None:
    assert {path.name.partition("-")[0] for path in FOUND.glob("*-*")} <= set(READERS)
