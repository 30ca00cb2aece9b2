"""Tables -> figures per variant, each with its count; and what variants do to each other."""
