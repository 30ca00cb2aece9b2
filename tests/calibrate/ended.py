"""A source that comes up and goes at once."""

print("ready http://127.0.0.1:1")
