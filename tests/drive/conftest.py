"""Certificates for all tests of the network: a CA takes a while to make."""

import pytest

from tests.drive.streaming import Certificates


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))
