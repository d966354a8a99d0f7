"""The fake as tests see it: what exists, what goes wrong, what was asked."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from reaper.clock import Clock
from reaper.testing.aws_wire.faults import Fault, Faults, How, Request
from reaper.testing.studio.compute import Endpoint
from reaper.testing.studio.estate import App
from reaper.testing.studio.inventory import Inventory
from reaper.testing.studio.metrics import Metrics

__all__ = ["Studio"]

DOOR_OPERATIONS = frozenset({"GET apps", "DELETE app"})
"""What the JupyterServer's own endpoint does, for its faults and in `requests`."""

_SERVER_ERRORS = {"InternalFailure": 500, "InternalServerError": 500, "InternalServiceError": 500}
_STATUS = {**_SERVER_ERRORS, "ServiceUnavailable": 503, "AccessDenied": 403, "ExpiredToken": 403}
"""HTTP status by code; 400 for the rest, as the JSON protocols have it."""


class Studio(Inventory):
    """An AWS account with SageMaker Studio in it; `running_studio` gives one that answers.

    Args:
        clock: As in `Inventory`.
        options: As in `Inventory`.

    Attributes:
        url: Where it answers; empty until it does.
        requests: Everything that was asked, in order.
        violations: What AWS would not have understood, and answers that AWS would not have given.
            `running_studio` fails with them at its end.
        metrics: CloudWatch.
        operations: What it can be asked.
        open_door: Lets a server ask for its apps; `running_studio_server` uses it.
    """

    def __init__(self, clock: Clock | None = None, **options: Any) -> None:
        super().__init__(clock, **options)
        self.url = ""
        self.requests: list[Request] = []
        self.violations: list[str] = []
        self.metrics = Metrics()
        self.operations: frozenset[str] = frozenset()
        self.open_door: Callable[[App], str] | None = None
        self._faults = Faults()

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make botocore and its kin talk to the fake."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "AKIAFAKESTUDIO000000",
            "AWS_SECRET_ACCESS_KEY": "fake-secret",
            "AWS_DEFAULT_REGION": self.home.region,
            "AWS_REGION": self.home.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def fail(
        self,
        operation: str,
        code: str,
        message: str = "",
        *,
        times: int | None = 1,
        after: bool = False,
        when: Mapping[str, Any] | None = None,
        status: int | None = None,
    ) -> None:
        """Let the next calls of an operation answer an error.

        Args:
            operation: `DeleteApp`; `GET apps` and `DELETE app` are the JupyterServer's own endpoint
                (their code is an HTTP status: `fail("DELETE app", "400")`); `*` is any of AWS'.
            code: `ThrottlingException`, `AccessDeniedException`, `ExpiredTokenException`,
                `ValidationException`, `InternalFailure`, ...
            message: For people.
            times: How many calls; None: until `heal`.
            after: Carry the call out first: its effect is there, only the answer is bad.
            when: Only calls with these parameters.
            status: HTTP status; by the code unless given.
        """
        status = status or (int(code) if operation in DOOR_OPERATIONS else _STATUS.get(code, 400))
        self._add(
            operation, How.ERROR, times, after=after, when=when, code=code, message=message, status=status
        )

    def hang(
        self,
        operation: str,
        *,
        times: int | None = 1,
        after: bool = False,
        when: Mapping[str, Any] | None = None,
    ) -> None:
        """Let the next calls never answer. Arguments as in `fail`."""
        self._add(operation, How.HANG, times, after=after, when=when)

    def garble(
        self,
        operation: str,
        *,
        times: int | None = 1,
        after: bool = False,
        when: Mapping[str, Any] | None = None,
    ) -> None:
        """Let the next calls answer 200 with JSON that is cut short. Arguments as in `fail`."""
        self._add(operation, How.GARBLE, times, after=after, when=when)

    def drop(
        self,
        operation: str,
        *,
        times: int | None = 1,
        after: bool = False,
        when: Mapping[str, Any] | None = None,
    ) -> None:
        """Let the next calls lose their connection without an answer. Arguments as in `fail`."""
        self._add(operation, How.DROP, times, after=after, when=when)

    def heal(self) -> None:
        """Let everything go well again."""
        self._faults.clear()

    def take_fault(self, operation: str, parameters: Mapping[str, Any]) -> Fault | None:
        """Use up one call of a fault that meets it."""
        return self._faults.take(operation, parameters)

    def calls(self, operation: str) -> list[dict[str, Any]]:
        """Give the parameters of every call of an operation, in order."""
        return [dict(request.parameters) for request in self.requests if request.operation == operation]

    def pardon(self) -> list[str]:
        """Give the violations so far and forget them: the test has provoked them."""
        pardoned, self.violations = self.violations, []
        return pardoned

    def add_invocations(
        self, endpoint: Endpoint, at: datetime, count: float = 1, variant: str = "AllTraffic"
    ) -> None:
        """Let an endpoint have been invoked (CloudWatch AWS/SageMaker, Invocations)."""
        dimensions = {"EndpointName": endpoint.name, "VariantName": variant}
        self.metrics.add(endpoint.place, "AWS/SageMaker", "Invocations", dimensions, at, count)

    def add_canvas_activity(self, app: App, at: datetime, since: timedelta) -> None:
        """Let a Canvas app report how long ago it was last used, in seconds (TimeSinceLastActive)."""
        dimensions = {"DomainId": app.domain.id, "UserProfileName": app.owner.name}
        namespace = "/aws/sagemaker/Canvas/AppActivity"
        seconds = since.total_seconds()
        self.metrics.add(app.domain.place, namespace, "TimeSinceLastActive", dimensions, at, seconds)

    def _add(
        self,
        operation: str,
        how: How,
        times: int | None,
        *,
        after: bool,
        when: Mapping[str, Any] | None,
        code: str = "",
        message: str = "",
        status: int = 400,
    ) -> None:
        known = self.operations | DOOR_OPERATIONS | {"*"}
        if operation not in known:
            raise ValueError(f"the fake has no operation {operation!r}")
        fault = Fault(
            operation=operation,
            how=how,
            code=code,
            message=message or f"{operation} fails because the test wants it to",
            status=status,
            left=times,
            after=after,
            when=when or {},
        )
        self._faults.add(fault)
