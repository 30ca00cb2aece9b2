"""A Sigma to run against, in a process of its own."""
