"""What people write: the YAML of a suite, read and checked."""

ENDINGS = (".yaml", ".yml")
"""Of the files of suites."""
