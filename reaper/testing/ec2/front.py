"""Where requests come in."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from reaper.testing.aws_wire import wire
from reaper.testing.aws_wire.faults import Fault, Request
from reaper.testing.aws_wire.front import Call, Front as AwsFront
from reaper.testing.ec2 import account_api, acts_api, instances_api, metrics_api, pricing_api, spot_api
from reaper.testing.ec2.fleet import Fleet

__all__ = ["OPERATIONS", "Front"]

Operation = Callable[[Fleet, Call], dict[str, Any] | wire.Answer]

OPERATIONS: dict[str, Mapping[str, Operation]] = {
    "ec2": {**instances_api.OPERATIONS, **acts_api.OPERATIONS, **spot_api.OPERATIONS},
    "cloudwatch": metrics_api.OPERATIONS,
    "sts": account_api.STS,
    "organizations": account_api.ORGANIZATIONS,
    "ssm": account_api.SSM,
    "pricing": pricing_api.OPERATIONS,
    "sagemaker": account_api.SAGEMAKER,
}
"""What the fake can do, by botocore's name of the service."""

_SIGNED_FOR = {name: name for name in OPERATIONS if name != "cloudwatch"} | {"monitoring": "cloudwatch"}


class Front(AwsFront):
    """Answers for a fleet.

    Args:
        fleet: What it answers from.
        latency_s: How late every answer is.
    """

    def __init__(self, fleet: Fleet, *, latency_s: float = 0.0) -> None:
        fleet.operations = frozenset(name for service in OPERATIONS.values() for name in service)
        super().__init__(_Answers(fleet), latency_s=latency_s)


class _Answers:
    """A fleet as what answers (`aws_wire.front.Backend`)."""

    services: Mapping[str, str] = _SIGNED_FOR

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.operations = fleet.operations
        self.unmodelled = fleet.unmodelled
        self.checked = fleet.checked

    @property
    def violations(self) -> list[str]:
        return self._fleet.violations  # a list that `pardon` replaces

    def now(self) -> datetime:
        return self._fleet.now()

    def account_of(self, access_key: str) -> str:
        return self._fleet.account_of(access_key)

    def take_fault(self, call: Call) -> Fault | None:
        return self._fleet.take_fault(call)

    def record(self, request: Request) -> None:
        self._fleet.record(request)

    def perform(self, call: Call) -> dict[str, Any] | wire.Answer:
        self._fleet.meet(call, self._fleet.caller(call.access_key).arn)
        return OPERATIONS[call.service][call.operation](self._fleet, call)
