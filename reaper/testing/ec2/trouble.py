"""What goes wrong on demand, by operation, account and region; and who may not do what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from reaper.testing.aws_wire.faults import Fault, Faults, How, Refusal
from reaper.testing.aws_wire.front import Call

__all__ = ["Trouble"]

_THROTTLED = {
    "ec2": ("RequestLimitExceeded", 503),
    "cloudwatch": ("Throttling", 400),
    "sts": ("Throttling", 400),
}
_DENIED = {
    "ec2": ("UnauthorizedOperation", 403),
    "cloudwatch": ("AccessDenied", 403),
    "sts": ("AccessDenied", 403),
}
_DISABLED = {"ec2": ("AuthFailure", 401), "cloudwatch": ("InvalidClientTokenId", 403)}
"""How services answer in a region that the account has not turned on (seen of AWS)."""

_STATUS = {
    "AuthFailure": 401,
    "AccessDenied": 403,
    "DryRunOperation": 412,
    "ExpiredToken": 403,
    "InternalError": 500,
    "InternalFailure": 500,
    "InternalServiceError": 500,
    "OptInRequired": 401,
    "RequestLimitExceeded": 503,
    "ServiceUnavailable": 503,
    "Unavailable": 503,
    "UnauthorizedOperation": 403,
}
"""HTTP status by code; 400 for the rest."""

_THROTTLE = "(as the service throttles)"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Denial:
    operation: str
    account: str
    region: str
    resource: str

    def meets(self, call: Call) -> bool:
        """Tell whether a call is denied by it."""
        return (
            self.operation in {"*", call.operation}
            and self.account in {"", call.account}
            and self.region in {"", call.region}
            and (not self.resource or self.resource in _resources(call))
        )


class Trouble:
    """Faults, denials and surprises of a fleet.

    In every method: `operation` is AWS' name of one, `*` any; `account` and `region` empty are any; `times` None
    is until `heal`; `share` is how many of the calls that meet it go wrong, of 1; `when` are parameters that a
    call must have; `after` lets the call be carried out first, so that only its answer is bad.
    """

    def __init__(self) -> None:
        self.operations: frozenset[str] = frozenset()
        self._faults = Faults()
        self._denials: list[_Denial] = []
        self._surprises: list[tuple[str, Callable[[], object]]] = []
        self._disabled: set[tuple[str, str]] = set()

    def fail(
        self, operation: str, code: str, message: str = "", *, status: int | None = None, **limits: Any
    ) -> None:
        """Let the next calls answer an error: `fail("DescribeInstances", "InternalError", times=2)`."""
        status = status or _STATUS.get(code, 400)
        self._add(operation, How.ERROR, code=code, message=message, status=status, **limits)

    def throttle(self, operation: str = "*", *, times: int | None = None, **limits: Any) -> None:
        """Throttle as each service does: RequestLimitExceeded, Throttling, ThrottlingException."""
        self._add(operation, How.ERROR, code=_THROTTLE, times=times, **limits)

    def hang(self, operation: str, **limits: Any) -> None:
        """Let the next calls never answer."""
        self._add(operation, How.HANG, **limits)

    def slow(self, operation: str, by: timedelta, **limits: Any) -> None:
        """Let the next calls answer late."""
        self._add(operation, How.SLOW, delay_s=by.total_seconds(), **limits)

    def garble(self, operation: str, **limits: Any) -> None:
        """Let the next calls answer 200 and a body that is cut short in the middle, with `after` the true one."""
        self._add(operation, How.GARBLE, **limits)

    def html(self, operation: str, *, status: int = 504, **limits: Any) -> None:
        """Let the next calls answer a page in HTML."""
        self._add(operation, How.HTML, status=status, **limits)

    def drop(self, operation: str, **limits: Any) -> None:
        """Let the next calls lose their connection without an answer."""
        self._add(operation, How.DROP, **limits)

    def deny(self, operation: str, *, account: str = "", region: str = "", resource: str = "") -> None:
        """Let nobody do this, DryRun included, until `heal`; with a resource: an id, or the ARN of a role."""
        self._known(operation)
        self._denials.append(_Denial(operation=operation, account=account, region=region, resource=resource))

    def disable_region(self, region: str, account: str = "") -> None:
        """Turn a region off, in an account or in all."""
        self._disabled.add((region, account))

    def before(self, operation: str, do: Callable[[], object]) -> None:
        """Do something right before the next call of an operation is carried out."""
        self._known(operation)
        self._surprises.append((operation, do))

    def heal(self) -> None:
        """Let everything go well again."""
        self._faults.clear()
        self._denials.clear()
        self._surprises.clear()
        self._disabled.clear()

    def is_disabled(self, region: str, account: str) -> bool:
        """Tell whether a region is off."""
        return not self._disabled.isdisjoint({(region, account), (region, "")})

    def take_fault(self, call: Call) -> Fault | None:
        """Use up one call of a fault that meets it."""
        fault = self._faults.take(call.operation, call.parameters, call.account, call.region)
        if fault is not None and fault.code == _THROTTLE:
            code, status = _THROTTLED.get(call.service, ("ThrottlingException", 400))
            words = "Request limit exceeded." if code == "RequestLimitExceeded" else "Rate exceeded"
            return replace(fault, code=code, status=status, message=words)
        return fault

    def meet(self, call: Call, arn: str) -> None:
        """Let a call meet what stands in its way.

        Args:
            call: What is asked.
            arn: Who asks.

        Raises:
            Refusal: The region is off, or the caller may not.
        """
        if call.service in _DISABLED and self.is_disabled(call.region, call.account):
            code, status = _DISABLED[call.service]
            words = (
                "AWS was not able to validate the provided access credentials"
                if code == "AuthFailure"
                else "The security token included in the request is invalid"
            )
            raise Refusal(code, words, status)
        if any(denial.meets(call) for denial in self._denials):
            raise _denied(call, arn)
        for surprise in [one for one in self._surprises if one[0] in {"*", call.operation}][:1]:
            self._surprises.remove(surprise)
            surprise[1]()

    def _add(
        self,
        operation: str,
        how: How,
        *,
        times: int | None = 1,
        when: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        self._known(operation)
        message = fields.pop("message", "") or f"{operation} fails because the test wants it to"
        fault = Fault(operation=operation, how=how, left=times, when=when or {}, message=message, **fields)
        self._faults.add(fault)

    def _known(self, operation: str) -> None:
        if operation not in self.operations | {"*"}:
            raise ValueError(f"the fake has no operation {operation!r}")


def _denied(call: Call, arn: str) -> Refusal:
    code, status = _DENIED.get(call.service, ("AccessDeniedException", 400))
    prefix = {"cloudwatch": "cloudwatch"}.get(call.service, call.service)
    what = f"{prefix}:{call.operation}"
    resources = _resources(call)
    if call.service == "ec2":
        on = f"arn:aws:ec2:{call.region}:{call.account}:instance/{resources[0]}" if resources else "*"
        return Refusal(
            code,
            f"You are not authorized to perform this operation. User: {arn} is not authorized to perform: {what} "
            f"on resource: {on} because no identity-based policy allows the {what} action",
            status,
        )
    on = f" on resource: {resources[0]}" if resources else ""
    words = f"User: {arn} is not authorized to perform: {what}{on}"
    if call.service != "sts":
        words += f" because no identity-based policy allows the {what} action"
    return Refusal(code, words, status)


def _resources(call: Call) -> list[str]:
    """Name what a call is about."""
    parameters = call.parameters
    for name in ("InstanceIds", "Resources", "SpotInstanceRequestIds"):
        if parameters.get(name):
            return list(parameters[name])
    return [str(parameters[name]) for name in ("InstanceId", "RoleArn", "Name") if name in parameters]
