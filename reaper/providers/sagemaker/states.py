"""What SageMaker's words about what it runs mean. Pure."""

from datetime import datetime

from reaper.clients.studio import Said
from reaper.core.model import Activity

__all__ = ["instance_status"]

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
