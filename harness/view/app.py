"""The view as an application: which page a URL is, and how it is served.

Every page is made in a thread, from files, when it is asked for; there is nothing else to keep in order.
"""

import re
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import polars as pl
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from harness.errors import RunDirectoryError, did_you_mean
from harness.listing import Heads
from harness.record.places import Place, place, places
from harness.report.pages import environment, render
from harness.view import pages
from harness.view.charted import Drawings
from harness.view.guard import Door, guarded
from harness.view.seen import Followed, Seen, seen

_HERE = Path(__file__).parent
_REPORT = _HERE.parent / "report" / "templates"
_STATIC = {
    "look.css": _REPORT / "look.css",
    "view.css": _HERE / "static" / "view.css",
    "view.js": _HERE / "static" / "view.js",
}
_LARGEST_REPORT = 16 << 20
_STYLE = re.compile(rb"<style>(.*?)</style>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class View:
    """What all pages are made with: the results, from a template to a page, and what was read before."""

    results: Path
    show: Callable[..., str]
    followed: Followed = field(default_factory=Followed)
    heads: Heads = field(default_factory=Heads)
    drawings: Drawings = field(default_factory=Drawings)


def create_app(results: Path, door: Door) -> ASGIApp:
    """The view of *results*, for whom *door* lets in."""
    templates = environment(_HERE / "templates")
    templates.globals |= pages.SHOWN
    view = View(results.resolve(), partial(render, templates))
    of_run: dict[str, Callable[[View, Seen, Request], Response]] = {
        "": _run,
        "/trial/{trial}": _trial,
        "/trial/{trial}/packets": _packets,
        "/trial/{trial}/raw": _raw,
        "/compare": _compare,
        "/charts": _charts,
        "/report.html": _report,
    }
    routes = [Route("/", _page(view, _runs)), Route("/static/{name}", _static)]
    routes += [
        Route(f"/run/{{suite}}/{{run}}{path}", _page(view, _of(make))) for path, make in of_run.items()
    ]
    return guarded(Starlette(routes=routes, exception_handlers={HTTPException: _page(view, _missing)}), door)


_Make = Callable[[View, Request], Response]


def _page(view: View, make: _Make) -> Callable[..., Response]:
    """*make* as an endpoint; it runs in a thread."""

    def answer(request: Request, error: Exception | None = None) -> Response:
        if isinstance(error, HTTPException):
            request.state.error = error
        return make(view, request)

    return answer


def _of(make: Callable[[View, Seen, Request], Response]) -> _Make:
    """*make* for the run that the URL names; of one that is missing or cannot be read, a page says so."""

    def answer(view: View, request: Request) -> Response:
        suite, run = request.path_params["suite"], request.path_params["run"]
        found = place(view.results, suite, run)
        if found is None:
            return _not_found(view, _no_run(view.results, suite, run))
        if found.run_id != run:
            return RedirectResponse(_moved(request, found))
        try:
            return make(view, seen(found, view.followed), request)
        except RunDirectoryError as error:
            return _shown(view, "broken.html", {"place": found, "problem": str(error)}, 500)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:  # a stranger's tables
            told = f"its tables cannot be read: {str(error).partition(chr(10))[0]}; harness grade --retime"
            return _shown(view, "broken.html", {"place": found, "problem": told}, 500)

    return answer


def _moved(request: Request, found: Place) -> str:
    """The same page under the id of the run: what `latest` shows today has another name tomorrow."""
    prefix = f"/run/{request.path_params['suite']}/{request.path_params['run']}"
    rest = request.url.path.removeprefix(prefix)
    return found.url + rest + (f"?{request.url.query}" if request.url.query else "")


def _runs(view: View, request: Request) -> Response:
    return _shown(view, "runs.html", pages.runs(view.results, request.query_params, view.heads))


def _run(view: View, run: Seen, request: Request) -> Response:
    return _shown(view, "run.html", pages.run(run, request.query_params))


def _trial(view: View, run: Seen, request: Request) -> Response:
    told = pages.trial(run, request.path_params["trial"])
    if told is None:
        return _not_found(view, _no_trial(run, request.path_params["trial"]))
    return _shown(view, "trial.html", told)


def _packets(view: View, run: Seen, request: Request) -> Response:
    told = pages.packets(run, request.path_params["trial"], request.query_params)
    if told is None:
        return _not_found(view, f"Trial {request.path_params['trial']} has no such exchange.")
    return _shown(view, "packets.html", told)


def _raw(view: View, run: Seen, request: Request) -> Response:
    body = pages.raw(run, request.path_params["trial"], request.query_params)
    if body is None:
        return _not_found(view, "The journal has no reply of that name.")
    return Response(body, media_type="text/plain; charset=utf-8")


def _compare(view: View, run: Seen, request: Request) -> Response:
    other = request.query_params.get("run_b", "")
    found = place(view.results, run.place.suite, other) if other else run.place
    if found is None:
        return _not_found(view, _no_run(view.results, run.place.suite, other))
    after = run if found == run.place else seen(found, view.followed)
    runs = [each.run_id for each in places(view.results) if each.suite == run.place.suite]
    return _shown(view, "compare.html", pages.compare(run, after, request.query_params, runs))


def _charts(view: View, run: Seen, request: Request) -> Response:
    """All charts on a page, or for the page of the run: the places of all, or the one of a name."""
    name = request.query_params.get("name", "")
    if name:
        return _shown(view, "chart.html", pages.charts(run, view.drawings, name))
    if request.query_params.get("of") == "names":
        return _shown(view, "chart_places.html", {"names": view.drawings.names(run), "place": run.place})
    return _shown(view, "charts.html", pages.charts(run, view.drawings, ""))


def _report(view: View, run: Seen, request: Request) -> Response:
    path = run.place.folder / "report.html"
    if path.is_symlink() or not path.is_file():
        return _not_found(view, f"{run.place.run_id} has no report.html; harness report --html makes one.")
    if path.stat().st_size > _LARGEST_REPORT:
        return _not_found(view, f"{path.name} is larger than any report of ours, which have 3 MiB at most.")
    page = path.read_bytes()
    return Response(page, media_type="text/html", headers={"content-security-policy": _policy(page)})


def _policy(report: bytes) -> str:
    """What a report may do: a page with its own style, and of scripts only ours, as if from somewhere else.

    It may be somebody else's file. Its styles can ask nobody for anything; a script that this version's
    reports do not have is not run.
    """
    styles = " ".join(_digest(style) for style in _STYLE.findall(report)[:10]) or "'none'"
    return (
        f"default-src 'none'; style-src {styles}; script-src {_script()}; img-src data:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts"
    )


def _digest(text: bytes) -> str:
    return f"'sha256-{b64encode(sha256(text).digest()).decode()}'"


@cache
def _script() -> str:
    return _digest((_REPORT / "report.js").read_bytes())


def _static(request: Request) -> Response:
    path = _STATIC.get(request.path_params["name"])
    return FileResponse(path, headers={"cache-control": "no-cache"}) if path else Response(status_code=404)


def _missing(view: View, request: Request) -> Response:
    error: HTTPException = request.state.error
    if error.status_code == 404:
        return _not_found(view, "There is no such page.")
    return Response(error.detail, error.status_code)


def _not_found(view: View, says: str) -> Response:
    return _shown(view, "missing.html", {"says": says}, 404)


def _shown(view: View, template: str, told: dict[str, Any], status: int = 200) -> Response:
    return HTMLResponse(view.show(template, **told), status)


def _no_run(results: Path, suite: str, run: str) -> str:
    known = places(results)
    suites = sorted({each.suite for each in known})
    if suite not in suites:
        said = f"There is no suite {suite} among these results{did_you_mean(suite, suites)}"
        return (
            f"{said}. There are {', '.join(suites[:20])}." if suites else f"{said}: there is no run at all."
        )
    ids = [each.run_id for each in known if each.suite == suite]
    return f"{suite} has no run {run}{did_you_mean(run, ids)}. The newest are {', '.join(ids[:3])}."


def _no_trial(run: Seen, trial: str) -> str:
    of = f"{run.place.suite}/{run.place.run_id}"
    if run.progress is not None:
        return (
            f"{of} has no result of trial {trial} yet: {run.progress.done} of {run.manifest.planned} are in."
        )
    return f"{of} has no trial {trial}; its page lists those that there are."
