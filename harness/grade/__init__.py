"""Checks: plain functions of (result, expectation) that return a Grade."""
