"""The API: routes, and what each asks of the daemon.

Every answer is JSON, every error `application/problem+json`. What a request means is the daemon's
business (`plugins.Control`); here it is only let in, read, and checked for its shape.
"""

import uuid
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from pydantic import SecretStr

from reaper import __version__
from reaper.errors import ReaperError
from reaper.plugins import Control
from reaper.web.auth import Gate
from reaper.web.body import MAX_BODY_BYTES, answer, bad_field, only_fields, read_object, seconds, text
from reaper.web.idle_checker import PATHS as IDLE_CHECKER, IdleChecker
from reaper.web.problem import Problem, problem_of
from reaper.web.requests import RequestCounts, route_of

__all__ = ["GATE", "make_app"]

GATE = web.AppKey("GATE", Gate)

log = structlog.get_logger("reaper.web")

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "reaper",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_NAMED_BY_REQUEST = frozenset(
    {
        ("GET", "/api/v1/explain"),
        ("HEAD", "/api/v1/explain"),
        ("POST", "/api/v1/holds"),
        ("DELETE", "/api/v1/holds/{id}"),
    }
)
"""Their shape was checked here, so that only the name can still be wrong: a `UsageError` is then a 404."""


def make_app(
    control: Control, *, api_token: SecretStr | None, allowed_hosts: Sequence[str] = ()
) -> web.Application:
    """Build the API.

    An application serves once: after `serve` has ended, make a new one.

    Args:
        control: The daemon.
        api_token: What writes over TCP, and reads from other machines, must present.
        allowed_hosts: Names under which it is reached, besides loopback's and those that it listens on.

    Raises:
        ConfigError: The token is empty.
    """
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    gate, counts = Gate(api_token=api_token, allowed_hosts=allowed_hosts), RequestCounts()
    app[GATE] = gate
    app.middlewares.extend((_problems(counts), _guard(gate)))
    app.on_response_prepare.append(_add_headers)
    api = _Api(control, gate, counts)
    app.add_routes(
        [
            web.get("/", api.index),
            web.get("/healthz", api.healthz),
            web.get("/readyz", api.readyz),
            web.get("/metrics", api.metrics),
            web.get("/api/v1/status", api.status),
            web.get("/api/v1/explain", api.explain),
            web.get("/api/v1/decisions/{id}", api.decision),
            web.get("/api/v1/plan", api.plan),
            web.post("/api/v1/apply", api.apply),
            web.get("/api/v1/report", api.report),
            web.get("/api/v1/holds", api.holds),
            web.post("/api/v1/holds", api.place_hold),
            web.delete("/api/v1/holds/{id:.+}", api.release_hold),
            web.get("/api/v1/settings", api.settings),
            web.patch("/api/v1/settings", api.change_setting),
            web.get("/api/v1/pause", api.paused),
            web.put("/api/v1/pause", api.pause),
            web.post("/api/v1/pause", api.pause),
            web.delete("/api/v1/pause", api.resume),
        ]
    )
    compatible = IdleChecker(control, gate)
    for path in IDLE_CHECKER:
        app.add_routes([web.get(path, compatible.get), web.post(path, compatible.post)])
    return app


class _Api:
    """The handlers, one a route."""

    def __init__(self, control: Control, gate: Gate, counts: RequestCounts) -> None:
        self._control = control
        self._gate = gate
        self._counts = counts

    async def index(self, request: web.Request) -> web.StreamResponse:
        """Name the endpoints. The dashboard will live here."""
        endpoints = sorted(
            {resource.canonical for resource in request.app.router.resources() if resource.canonical != "/"}
        )
        return await answer({"schema": 1, "reaper": __version__, "endpoints": endpoints})

    async def healthz(self, request: web.Request) -> web.StreamResponse:
        """Tell whether the daemon's loops go round."""
        if not self._control.alive():
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, "not-alive", "the daemon's loops stand still")
        return await answer({"alive": True})

    async def readyz(self, request: web.Request) -> web.StreamResponse:
        """Tell whether everything required was looked at once, completely."""
        ready, missing = self._control.ready()
        if not ready:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "not-ready", missing or "not everything was seen yet"
            )
        return await answer({"ready": True})

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """Give the daemon's metrics and the count of requests."""
        return web.Response(
            body=self._control.metrics() + self._counts.render(), headers={"Content-Type": _METRICS_TYPE}
        )

    async def status(self, request: web.Request) -> web.StreamResponse:
        """Give everything that is watched."""
        return await answer(await self._control.status())

    async def explain(self, request: web.Request) -> web.StreamResponse:
        """Give a decision and all that led to it, of `?resource=RESOURCE`."""
        named = request.query.getall("resource", [])
        resource = text({"resource": named[0]}, "resource", longest=4096) if len(named) == 1 else None
        if not resource:
            raise Problem(HTTPStatus.BAD_REQUEST, "bad-request", "name one resource: ?resource=RESOURCE")
        return await answer(await self._control.explain(resource))

    async def decision(self, request: web.Request) -> web.StreamResponse:
        """Give one decision by its id."""
        document = await self._control.decision(_from_path(request))
        if document is None:
            raise Problem(HTTPStatus.NOT_FOUND, "no-such-decision", "there is no decision with this id")
        return await answer(document)

    async def plan(self, request: web.Request) -> web.StreamResponse:
        """Give what would be done now."""
        return await answer(await self._control.plan())

    async def apply(self, request: web.Request) -> web.StreamResponse:
        """Do what the plan in the body says."""
        document = await read_object(request)
        return await answer(await self._control.apply(document, await self._gate.caller(request)))

    async def report(self, request: web.Request) -> web.StreamResponse:
        """Give what was saved: of the last `?since_s=SECONDS`, put together `?by=kind|policy|scope|owner`."""
        asked = dict(request.query)
        only_fields(asked, ("since_s", "by"))
        if len(asked) < len(request.query):
            raise Problem(HTTPStatus.BAD_REQUEST, "bad-request", "give since_s and by once each")
        since = asked.get("since_s")
        try:
            seconds_back = None if since is None else float(since)
        except ValueError:
            raise bad_field("since_s", "must be a number of seconds") from None
        return await answer(await self._control.report({"since_s": seconds_back, "by": asked.get("by")}))

    async def holds(self, request: web.Request) -> web.StreamResponse:
        """Give the holds in force."""
        return await answer(self._control.holds())

    async def place_hold(self, request: web.Request) -> web.StreamResponse:
        """Place a hold, or renew the one with the `id` given."""
        document = await read_object(request)
        only_fields(document, ("resource", "for_s", "for", "why", "id", "source"))
        if "resource" not in document:
            raise bad_field("resource", "is missing: what is to be held? null holds everything")
        resource = text(document, "resource", longest=4096)
        if resource is not None and not resource.strip():  # an unset variable of a script
            raise bad_field("resource", "is empty; null holds everything")
        asked = {
            "resource": resource,
            "for_s": seconds(document),
            "why": text(document, "why") or "",
            "id": text(document, "id", longest=100),
            "source": _one_of(document, "source", ("api", "cli", "command")),
        }
        placed = await self._control.place_hold(asked, await self._gate.caller(request))
        return await answer(placed, status=HTTPStatus.OK if asked["id"] else HTTPStatus.CREATED)

    async def release_hold(self, request: web.Request) -> web.StreamResponse:
        """Release a hold by its id, or all that name just this resource."""
        named = _from_path(request)
        return await answer(await self._control.release_hold(named, await self._gate.caller(request)))

    async def settings(self, request: web.Request) -> web.StreamResponse:
        """Give every setting and where it came from."""
        return await answer(self._control.settings())

    async def change_setting(self, request: web.Request) -> web.StreamResponse:
        """Set a setting, or unset it with `"value": null`."""
        document = await read_object(request)
        only_fields(document, ("name", "value", "for_s", "for"))
        name = text(document, "name")
        if not name or "value" not in document:
            field = "value" if name else "name"
            raise bad_field(
                field, "is missing; a setting has a name and a value, and is unset by the value null"
            )
        value = document["value"]
        if isinstance(value, bool):
            document["value"] = "true" if value else "false"
        elif isinstance(value, (int, float)):
            document["value"] = str(value)  # what is wrong with a bare number, the setting says itself
        asked = {"name": name, "value": text(document, "value"), "for_s": seconds(document)}
        return await answer(await self._control.change_setting(asked, await self._gate.caller(request)))

    async def paused(self, request: web.Request) -> web.StreamResponse:
        """Tell whether the kill switch is on."""
        return await answer(self._control.paused())

    async def pause(self, request: web.Request) -> web.StreamResponse:
        """Pause: no actions; looking goes on. Without a body: until resumed."""
        document = await read_object(request, optional=True)
        only_fields(document, ("for_s", "for", "why"))
        asked = {"for_s": seconds(document), "why": text(document, "why") or ""}
        return await answer(await self._control.pause(asked, await self._gate.caller(request)))

    async def resume(self, request: web.Request) -> web.StreamResponse:
        """Resume."""
        return await answer(await self._control.resume(await self._gate.caller(request)))


def _from_path(request: web.Request) -> str:
    named = text({"id": request.match_info["id"]}, "id", longest=4096)
    return named or ""


def _one_of(document: Mapping[str, object], name: str, known: Sequence[str]) -> str:
    """Read a field that is one of a few words; the first where it is missing."""
    value = text(document, name) or known[0]
    if value not in known:
        raise bad_field(name, f"must be one of: {', '.join(known)}")
    return value


def _guard(gate: Gate) -> Middleware:
    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        gate.check(request)
        return await handler(request)

    return guard


def _problems(counts: RequestCounts) -> Middleware:
    @web.middleware
    async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
        response: web.StreamResponse
        try:
            response = await handler(request)
        except Problem as problem:
            response = problem.response(request)
        except web.HTTPException as error:
            response = _of_http(error, request).response(request)
        except Exception as error:  # noqa: BLE001 - one request's fault; the daemon goes on
            response = _of_error(error, request).response(request)
        counts.add(request, response.status)
        return response

    return problems


def _of_http(error: web.HTTPException, request: web.Request) -> Problem:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        detail = f"{request.method} is not possible here; possible: {allowed}"
        return Problem(error.status, "method-not-allowed", detail, headers={"Allow": allowed})
    if isinstance(error, web.HTTPNotFound):
        return Problem(error.status, "not-found", "there is no such path; / names those that there are")
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return Problem(error.status, "too-large", f"a body may have {MAX_BODY_BYTES} bytes at most")
    return Problem(error.status, "http", error.reason or "the request can't be answered")


def _of_error(error: Exception, request: web.Request) -> Problem:
    route = route_of(request)
    if isinstance(error, ReaperError):
        expected = problem_of(error, names_resource=(request.method, route) in _NAMED_BY_REQUEST)
        if expected is not None:
            return expected
    event_id = uuid.uuid4().hex
    log.error(
        "failed to answer a request", event_id=event_id, method=request.method, route=route, exc_info=error
    )
    return Problem(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        f"something went wrong inside; the log tells more under event_id {event_id}",
        more={"event_id": event_id},
    )


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        if name == "Server":
            response.headers[name] = value  # aiohttp names itself and its version otherwise
        else:
            response.headers.setdefault(name, value)
