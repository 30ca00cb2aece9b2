"""How far off this machine's times are, and how much it can read."""
