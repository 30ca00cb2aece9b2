"""Evaluate and load-test Sigma chat agents.

    >>> from harness import load_suite, run
    >>> done = run(load_suite("suites/quickstart.yaml"))
    >>> done.summary.rows[0].ttft_p50_ms
    >>> done.tables["exchanges"].select("ttft_ms", "answer")

The public names are loaded when they are first used, so that importing the
package, and `harness --help`, cost next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.errors import HarnessError as HarnessError
    from harness.errors import SuiteError as SuiteError
    from harness.pipeline import Options as Options
    from harness.pipeline import Run as Run
    from harness.pipeline import run as run
    from harness.plan.trials import Choice as Choice
    from harness.plan.trials import Plan as Plan
    from harness.plan.trials import make_plan as make_plan
    from harness.suite.read import load_suite as load_suite

__version__ = "0.1.0"

_HOMES = {
    "Choice": "harness.plan.trials",
    "HarnessError": "harness.errors",
    "Options": "harness.pipeline",
    "Plan": "harness.plan.trials",
    "Run": "harness.pipeline",
    "SuiteError": "harness.errors",
    "load_suite": "harness.suite.read",
    "make_plan": "harness.plan.trials",
    "run": "harness.pipeline",
}

__all__ = [
    "Choice",
    "HarnessError",
    "Options",
    "Plan",
    "Run",
    "SuiteError",
    "__version__",
    "load_suite",
    "make_plan",
    "run",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
