"""Values of options that are none: what is said of them."""

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.errors import Exit


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("run", "s.yaml", "--repeat", "x"), "'x' is no whole number"),
        (("run", "s.yaml", "--limit", "0"), "0: it is at least 1"),
        (("serve", "--port", "65536"), "65536: it is at most 65535"),
        (("view", "--port", "65536"), "65536: it is at most 65535"),
        (("serve", "--dialect", "foo"), "'foo' is not one of 'sigma', 'onyx'"),
    ],
)
def test_a_value_that_is_none_is_told_with_what_is_wrong_and_allowed(
    args: tuple[str, ...], says: str
) -> None:
    done = CliRunner().invoke(app, args)
    assert done.exit_code == Exit.USAGE
    assert f"Invalid value for '{args[-2]}'" in done.output
    assert says in done.output
