"""The fake's end of the JupyterServer's own endpoint: the same apps as SageMaker's API shows."""

from http import HTTPStatus
from typing import Any

from aiohttp import web

from reaper.testing.aws_wire.faults import Fault, How, Request
from reaper.testing.studio.estate import App, Space, UserProfile
from reaper.testing.studio.studio import Studio

__all__ = ["Door"]


class Door:
    """What one server may ask: about the KernelGateway apps of its own user or space.

    Args:
        studio: What it answers from.
        own: The app that the server is.
    """

    def __init__(self, studio: Studio, own: App) -> None:
        self._studio = studio
        self.own = own

    def answer(self, method: str, path: str) -> tuple[Fault | None, web.Response]:
        """Answer one request, with the fault that it meets."""
        if path == "state":
            return None, web.json_response(self._state())
        name = path.removeprefix("apps").removeprefix("/")
        operation = "DELETE app" if method == "DELETE" else "GET apps"
        parameters: dict[str, Any] = {"app_name": name} if name else {}
        fault = self._studio.take_fault(operation, parameters)
        if fault is None or fault.after:
            response = self._delete(name) if method == "DELETE" else self._list()
        else:
            response = web.Response(status=200)
        outcome = "ok" if response.status < HTTPStatus.BAD_REQUEST else str(response.status)
        if fault is not None:
            response, outcome = _spoilt(fault, response)
        self._studio.requests.append(
            Request(
                at=self._studio.now(),
                service="jupyter",
                operation=operation,
                parameters=parameters,
                outcome=outcome,
            )
        )
        return fault, response

    def _apps(self) -> list[App]:
        owner: UserProfile | Space = self.own.owner
        return [app for app in self._studio.apps if app.owner is owner and app.type == "KernelGateway"]

    def _state(self) -> dict[str, Any]:
        now = self._studio.now()
        lives = [
            {
                "name": app.name,
                "created_at": app.created_at.isoformat().replace("+00:00", "Z"),
                "status": app.status(now),
                "image": app.image_arn,
                "instance_type": app.instance_type,
            }
            for app in self._apps()
        ]
        return {"own": self.own.status(now), "lives": lives}

    def _list(self) -> web.Response:
        """List what runs; what boots or is on its way out is not in it."""
        now = self._studio.now()
        running = [app for app in self._apps() if app.status(now) == "InService" and not app.hidden]
        return web.json_response(
            [
                {
                    "app_name": app.name,
                    "environment_arn": app.image_arn,
                    "environment_name": app.image_name,
                    "image_name": app.image_name,
                    "instance_type": app.instance_type,
                    "lifecycle_config_arn": app.lifecycle_config_arn or "None",  # a string: seen so
                }
                for app in running
            ]
        )

    def _delete(self, name: str) -> web.Response:
        now = self._studio.now()
        for app in self._apps():
            if app.name != name:
                continue
            if app.status(now) != "InService":
                return web.json_response({"message": f"{name} is {app.status(now)}"}, status=400)
            self._studio.delete_app(app)
            return web.Response(status=204)
        return web.json_response({"message": f"no app {name}"}, status=404)


def _spoilt(fault: Fault, response: web.Response) -> tuple[web.Response, str]:
    match fault.how:
        case How.ERROR if fault.status == HTTPStatus.NOT_FOUND:
            return web.Response(status=404), "404"  # no such door: the server makes its own page of it
        case How.ERROR:
            return web.json_response({"message": fault.message}, status=fault.status), str(fault.status)
        case How.GARBLE:
            return web.Response(body=b'[{"app_na', content_type="application/json"), fault.how
        case _:
            return response, fault.how
