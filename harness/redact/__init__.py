"""Masking in the bytes of a reply: what is secret, before anything of it is kept."""
