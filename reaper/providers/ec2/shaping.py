"""From what EC2 tells of an instance to a resource, and what its state says. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from reaper.clients.ec2 import InstanceModel, TypeModel
from reaper.core.codec import instant_to_text
from reaper.core.model import Activity, Obstacle, Resource, ResourceRef, Stopped
from reaper.providers.ec2.evidence import Said

__all__ = ["KIND", "LAST_ACTION", "LISTED", "STATE", "incarnation", "owner_of", "resource_of", "state_said"]

KIND = "ec2.instance"
STATE = "state"
"""The signal of what EC2 calls an instance's state."""

LAST_ACTION = "reaper:last-action"

LISTED = ("running", "pending", "stopping", "stopped", "shutting-down")
"""States of what is there: what is terminated is gone."""

_OWNER_TAGS = ("reaper:owner", "owner")


def incarnation(instance: InstanceModel) -> str:
    """Name this life of it: since it was last started."""
    return "" if instance.launched_at is None else instant_to_text(instance.launched_at)


def owner_of(tags: Mapping[str, str]) -> str | None:
    """Give who an instance belongs to, by its tags; keys are matched ignoring case."""
    lowered = {key.lower(): value for key, value in tags.items()}
    return next((lowered[key] for key in _OWNER_TAGS if lowered.get(key)), None)


def resource_of(
    scope: str,
    instance: InstanceModel,
    kind: TypeModel | None,
    obstacles: tuple[Obstacle, ...] = (),
) -> Resource:
    """Make a resource of an instance; what it costs and how far its evidence lags is added later.

    Args:
        scope: `ACCOUNT/REGION`.
        instance: As it was seen.
        kind: Its type; None: it can't be described.
        obstacles: What stands against acting on it.
    """
    vcpus = instance.vcpus or (None if kind is None else kind.vcpus)
    attributes: dict[str, Any] = {
        "instance_type": instance.instance_type,
        "state": instance.state,
        "lifecycle": instance.lifecycle,
        "availability_zone": instance.availability_zone,
        "platform": instance.platform,
        "vpc": instance.vpc_id,
        "image": instance.image_id,
    }
    if kind is not None:
        attributes["gpus"] = kind.gpus
    if vcpus is not None:
        attributes["vcpus"] = vcpus
    return Resource(
        ref=ResourceRef(kind=KIND, scope=scope, id=instance.id, incarnation=incarnation(instance)),
        name=instance.tags.get("Name") or instance.id,
        owner=owner_of(instance.tags),
        tags=instance.tags,
        started_at=instance.launched_at,
        attributes=attributes,
        obstacles=obstacles,
        stopped=_stopped(instance),
    )


def _stopped(instance: InstanceModel) -> Stopped | None:
    if instance.state != "stopped":
        return None
    return Stopped(at=instance.stopped_at, why=instance.state_transition_reason or instance.state_reason)


def state_said(instance: InstanceModel, now: datetime) -> Said:
    """Say what an instance's state means by itself; its activity has signals of its own."""
    match instance.state:
        case "running" | "stopped" if instance.launched_at is not None:
            return Said(Activity.IDLE, min(instance.launched_at, now), instance.state)
        case "running" | "stopped":
            return Said(Activity.UNKNOWN, None, "EC2 does not tell when it was launched")
        case "pending":
            return Said(Activity.ACTIVE, None, "it is starting (pending)")
        case "stopping" | "shutting-down":
            return Said(Activity.UNKNOWN, None, f"it is about to end ({instance.state})")
        case state:
            return Said(Activity.UNKNOWN, None, f"unknown state {state!r}")
