"""Evaluate and load-test Sigma chat agents.

The public names are loaded when they are first used, so that importing the
package costs nothing.
"""

__version__ = "0.1.0"
