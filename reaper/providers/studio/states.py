"""What an app's own word means. Pure."""

from datetime import datetime, timedelta

from reaper.clients.studio import SYSTEM, AppModel, CanvasUse, Said
from reaper.core.model import Activity

__all__ = ["ENDED", "SELF_DELETING", "app_status", "canvas", "refusal"]

ENDED = frozenset({"Deleted", "Failed"})
"""Of these nothing runs any more; ListApps shows them for a day."""

SELF_DELETING = frozenset({"CodeEditor", "JupyterLab"})
"""Apps that only a reaper inside them can judge."""

_ACTIONABLE = frozenset({"Canvas", "KernelGateway", *SELF_DELETING})
_CANVAS_FRESH = timedelta(minutes=15)


def refusal(app_type: str, instance_type: str | None) -> str | None:
    """Say why an app is never touched; None: it may be. Pure."""
    if app_type not in _ACTIONABLE:
        return f"{app_type} apps are never deleted"
    if instance_type == SYSTEM:
        return "what runs on a system instance is SageMaker's own and never deleted"
    return None


def app_status(app: AppModel, began_at: datetime | None, *, now: datetime) -> Said:
    """Say what an app's state means by itself; what lives in it has signals of its own. Pure.

    Args:
        app: As a door tells of it.
        began_at: CreationTime, or since when its JupyterServer has listed this life.
        now: The look's instant.
    """
    if app.problem is not None:
        return Said(Activity.UNKNOWN, None, f"not understood: {app.problem}")
    if app.status == "Pending":
        return Said(Activity.ACTIVE, None, "it is starting (Pending)")
    if app.status == "Deleting":
        return Said(Activity.UNKNOWN, None, "it is being deleted")
    if app.status not in ("InService", None):
        return Said(Activity.UNKNOWN, None, f"unknown state {app.status!r}")
    if began_at is None:
        return Said(Activity.UNKNOWN, None, "when it began is not known")
    value = "in service" if app.status else "listed by its JupyterServer"
    return Said(Activity.IDLE, min(began_at, now), value)


def canvas(use: CanvasUse | None, *, now: datetime) -> Said:
    """Say what CloudWatch knows of the use of a Canvas app. Pure."""
    if use is None:
        return Said(Activity.UNKNOWN, None, "CloudWatch has no datapoint of TimeSinceLastActive")
    if now - use.told_at > _CANVAS_FRESH:
        return Said(Activity.UNKNOWN, None, "CloudWatch's latest datapoint of TimeSinceLastActive is too old")
    return Said(Activity.IDLE, min(use.active_at, now), "last active, by CloudWatch")
