"""What people write: the YAML of a suite, read and checked."""
