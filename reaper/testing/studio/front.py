"""Where a studio's requests come in: AWS' three services, and the JupyterServers' own endpoints."""

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from aiohttp import web

from reaper.testing.aws_wire.faults import Fault, Request
from reaper.testing.aws_wire.front import Call, Front as AwsFront
from reaper.testing.studio import account_api, apps_api, compute_api
from reaper.testing.studio.door import Door
from reaper.testing.studio.estate import App, Place
from reaper.testing.studio.studio import Studio

__all__ = ["OPERATIONS", "Front"]

Operation = Callable[[Studio, Place, Mapping[str, Any]], dict[str, Any]]

OPERATIONS: dict[str, dict[str, Operation]] = {
    "sagemaker": {**apps_api.OPERATIONS, **compute_api.OPERATIONS, **account_api.TAGS},
    "cloudwatch": account_api.METRICS,
    "sts": {},
}
"""What the fake can do, by botocore's name of the service; STS is asked by whom, not where."""

_STS = frozenset({"GetCallerIdentity", "AssumeRole"})


class Front(AwsFront):
    """Answers for a studio.

    Args:
        studio: What it answers from.
    """

    def __init__(self, studio: Studio) -> None:
        studio.operations = frozenset(name for service in OPERATIONS.values() for name in service) | _STS
        super().__init__(_Answers(studio))
        self._studio = studio
        self._doors: dict[str, Door] = {}

    def open_door(self, own: App) -> str:
        """Let a server ask for its apps; give the address where it does."""
        secret = uuid.uuid4().hex
        self._doors[secret] = Door(self._studio, own)
        return f"{self._studio.url}/_door/{secret}"

    async def answer_door(self, request: web.Request) -> web.StreamResponse:
        """Answer one request of a server."""
        door = self._doors[request.match_info["secret"]]
        fault, response = door.answer(request.method, request.match_info["path"])
        return await self.send(request, fault, response)


class _Answers:
    """A studio as what answers (`aws_wire.front.Backend`)."""

    services: Mapping[str, str] = {"sagemaker": "sagemaker", "monitoring": "cloudwatch", "sts": "sts"}
    checked = True

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.operations = studio.operations
        self.unmodelled = studio.unmodelled

    @property
    def violations(self) -> list[str]:
        return self._studio.violations  # a list that `pardon` replaces

    def now(self) -> datetime:
        return self._studio.now()

    def account_of(self, access_key: str) -> str:
        return self._studio.account_of(access_key)

    def take_fault(self, call: Call) -> Fault | None:
        return self._studio.take_fault(call.operation, call.parameters)

    def record(self, request: Request) -> None:
        self._studio.requests.append(request)

    def perform(self, call: Call) -> dict[str, Any]:
        if call.operation == "GetCallerIdentity":
            return account_api.caller_identity(self._studio, call.access_key)
        if call.operation == "AssumeRole":
            return account_api.role_credentials(self._studio, call.parameters)
        place = self._studio.place(call.region, call.account)
        return OPERATIONS[call.service][call.operation](self._studio, place, call.parameters)
