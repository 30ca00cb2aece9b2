"""The manifest of a run as it begins, as it goes on after a stop, and as its last trial is over."""

import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from msgspec import convert, structs

from harness.conduct.earlier import Earlier, digest_of
from harness.conduct.going import Conduct
from harness.conduct.options import Options
from harness.plan.trials import Choice, Plan
from harness.record import store
from harness.sigma.catalogue import Catalogue
from harness.sigma.client import Address
from harness.sigma.fingerprint import changed, fingerprint
from harness.suite.gates import expired
from harness.suite.model import Suite


def begun(
    plan: Plan, catalogue: Catalogue, address: Address, options: Options
) -> tuple[Path, store.Manifest]:
    """A folder for a new run, and what is known before its first trial."""
    started = datetime.now(UTC), time.perf_counter_ns()
    folder = store.new_run(options.results, plan.suite.name, started[0])
    manifest = _manifest(plan, catalogue, address, run_id=folder.name, started=started)
    names = ("target", "workers", "cluster", "fail_fast", "gate", "baseline", "confirm")
    asked = {name: getattr(options, name) for name in names}
    given = {name: value for name, value in asked.items() if value not in {None, False}}
    given |= {"processes": options.processes} if options.processes > 1 else {}
    made = {"options": given, "rerun": options.rerun, "trials_digest": digest_of(plan)}
    return folder, structs.replace(manifest, **made)


def going_on(before: Earlier, catalogue: Catalogue, address: Address) -> store.Manifest:
    """The manifest of a run that goes on: it has not ended, and whether the target is the same is told."""
    was = before.manifest
    told = list(was.warnings)
    moved = was.target != address.base_url
    if moved and called(None, was.target) != called(None, address.base_url):
        told.append(f"the run began against {was.target} and went on against {address.base_url}")
    others = [] if was.fingerprint is None else changed(was.fingerprint, fingerprint(catalogue))
    if others:
        told.append(f"the target had changed when the run went on: {', '.join(others)}")
    return structs.replace(
        was,
        resumed=(*was.resumed, before.leg),
        target=address.base_url,
        changed=tuple(dict.fromkeys((*was.changed, *others))),
        warnings=tuple(told),
        ended_ns=None,
        exit_code=None,
        interrupted=False,
    )


def ended(manifest: store.Manifest, going: Conduct) -> store.Manifest:
    """The manifest of a run whose last trial is over; of one that went on, for all of its legs."""
    before, reins = going.before, going.reins
    shift_ns, took_ns = (before.leg.shift_ns, before.took_ns) if before else (0, 0)
    return structs.replace(
        manifest,
        ended_ns=time.perf_counter_ns() + shift_ns,
        nodes=(*manifest.nodes[: len(manifest.nodes) - len(going.nodes)], *going.nodes),
        interrupted=reins.interrupted,
        clock_steps=manifest.clock_steps + going.clock_steps,
        in_flight_ns=took_ns + reins.in_flight_ns,
        warnings=(*manifest.warnings, *going.warnings),
        deleted=going.deleted,
        changed=tuple(dict.fromkeys((*manifest.changed, *going.changed))),
        decided=dict(going.decided) or None,
        spent=_spent(going),
    )


def _manifest(
    plan: Plan, catalogue: Catalogue, address: Address, *, run_id: str, started: tuple[datetime, int]
) -> store.Manifest:
    """What is known before the first trial; *started* is one moment on the wall clock and on ours."""
    suite = plan.suite
    return store.Manifest(
        run_id=run_id,
        suite=suite.name,
        suite_path=str(suite.path),
        suite_text=suite.text,
        target=address.base_url,
        dialect=address.dialect,
        seed=plan.seed,
        choice=asdict(plan.choice),
        called=catalogue.called,
        providers=catalogue.providers or (),
        planned=len(plan.trials),
        started_at=started[0].isoformat(),
        started_ns=started[1],
        fingerprint=fingerprint(catalogue),
        warnings=warnings_of(suite, catalogue),
        versions=store.versions(),
    )


def called(suite: Suite | None, target: str) -> str:
    """What *target* is called in the fingerprint of a judge."""
    standin = suite is None or suite.target.standin is not None
    own = standin and target.startswith("http://127.0.0.1:")
    return "standin" if own else target


def _spent(going: Conduct) -> dict[str, float]:
    """What the run cost: our estimate where a budget was kept, and what the server itself counted."""
    purse, told = going.reins.purse, {}
    if purse.is_limited:
        told = {"estimated_tokens": purse.spent_tokens, "estimated_usd": purse.spent_usd}
    if going.used is not None and going.before is None:  # else it counted this leg alone
        told |= {"server_tokens": going.used.tokens, "server_usd": going.used.usd}
    return told


def as_before(options: Options, manifest: store.Manifest) -> Options:
    """*options* with all that decides what is asked as it was when the run began."""
    asked = manifest.options
    return replace(
        options,
        choice=convert(manifest.choice, Choice),
        seed=manifest.seed,
        target=options.target or asked.get("target"),
        workers=options.workers or asked.get("workers"),
        processes=options.processes if options.processes > 1 else asked.get("processes", 1),
        cluster=options.cluster or (asked.get("cluster") if options.processes == 1 else None),
        fail_fast=options.fail_fast or asked.get("fail_fast", False),
        gate=asked.get("gate", False),
        baseline=asked.get("baseline"),
        confirm=asked.get("confirm", False),
    )


def warnings_of(suite: Suite, catalogue: Catalogue) -> tuple[str, ...]:
    """What is to be said of a suite and of its target before anything is sent."""
    return (*suite.warnings, *_expired(suite), *catalogue.warnings)


def _expired(suite: Suite) -> list[str]:
    return expired(suite, f"{datetime.now(UTC):%Y-%m-%d}")
