"""What SageMaker's words about what it runs mean. Pure."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from reaper.clients.sagemaker import EndpointModel
from reaper.clients.studio import Said
from reaper.core.model import Activity

__all__ = ["began_at", "endpoint_status", "instance_status", "unknown_use", "used"]

NEW_FOR = timedelta(minutes=15)
"""How long CloudWatch may take to show an invocation: it lags by five to ten minutes."""

_ENDPOINT_CHANGES = frozenset({"Creating", "RollingBack", "SystemUpdating", "Updating"})
_ENDPOINT_ENDS = {
    "OutOfService": "it takes no requests (OutOfService)",
    "UpdateRollbackFailed": "its update failed and could not be taken back (UpdateRollbackFailed)",
}

_INSTANCE_CHANGES = {
    "Deleting": "it is being deleted",
    "InMaintenance": "SageMaker maintains it (InMaintenance)",
    "PendingMaintenance": "SageMaker is about to maintain it (PendingMaintenance)",
    "Stopped": "SageMaker says that it is stopped, but reaper runs on it",
    "Failed": "SageMaker says that it failed, but reaper runs on it",
    "Stopping": "it is being stopped",
    "Updating": "it is being updated",
}


def instance_status(status: str, *, booted_at: datetime, modified_at: datetime | None, now: datetime) -> Said:
    """Say what a notebook instance's state means by itself; what lives in it has signals of its own. Pure.

    In service it is idle since its start, which is when its host booted, or when SageMaker last changed it if that is
    later.

    Args:
        status: NotebookInstanceStatus.
        booted_at: When the host that we run on booted.
        modified_at: LastModifiedTime.
        now: The look's instant.
    """
    if status == "InService":
        began_at = booted_at if modified_at is None else max(booted_at, modified_at)
        return Said(Activity.IDLE, min(began_at, now), "in service")
    if status == "Pending":
        return Said(Activity.ACTIVE, None, "it is starting (Pending)")
    value = _INSTANCE_CHANGES.get(
        status, f"unknown state {status!r}" if status else "its state can't be read"
    )
    return Said(Activity.UNKNOWN, None, value)


def began_at(endpoint: EndpointModel) -> datetime | None:
    """Give when an endpoint became what it is: made, or changed since by somebody. Pure."""
    known = [at for at in (endpoint.created_at, endpoint.modified_at) if at is not None]
    return max(known, default=None)


def endpoint_status(endpoint: EndpointModel, *, now: datetime) -> Said:
    """Say what an endpoint's state means by itself. Pure."""
    began = began_at(endpoint)
    if endpoint.status == "InService" and began is not None:
        return Said(Activity.IDLE, min(began, now), "in service")
    if endpoint.status in _ENDPOINT_CHANGES:
        return Said(Activity.ACTIVE, None, f"it is changing ({endpoint.status})")
    state = endpoint.status
    value = _ENDPOINT_ENDS.get(state, f"unknown state {state!r}" if state else "its state can't be read")
    return Said(Activity.UNKNOWN, None, value)


def unknown_use(endpoint: EndpointModel, hosts: frozenset[str], *, now: datetime) -> str | None:
    """Say why the use of an endpoint in service can't be known; None: it can. Pure.

    Args:
        endpoint: As DescribeEndpoint tells of it.
        hosts: Names of endpoints that host inference components.
        now: The look's instant.
    """
    if not endpoint.variants:
        return "DescribeEndpoint names no variant of it"
    if endpoint.asynchronous:
        return "it is asynchronous: what waits in its queue is not looked at"
    if endpoint.name in hosts:
        return "it hosts inference components, whose invocations are not looked at"
    began = began_at(endpoint)
    if began is None or now - began < NEW_FOR:
        return "it is too new: CloudWatch may not show its first invocations yet"
    return None


def used(known: Sequence[datetime], quiet_since: datetime, *, now: datetime) -> Said:
    """Say when an endpoint was last invoked. Pure.

    Args:
        known: Ends of the latest periods with an invocation, of its variants.
        quiet_since: Since when there is surely no other.
        now: The look's instant.
    """
    at = min(max([*known, quiet_since]), now)
    return Said(Activity.IDLE, at, "invoked last, by CloudWatch" if known else "no invocation, by CloudWatch")
