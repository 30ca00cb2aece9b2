"""Driving load: the stamped transport, one trial, the pool."""
