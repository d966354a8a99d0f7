"""What stands against acting on an instance, as far as it can be known. Pure.

Most of it is somebody who would undo the act (Auto Scaling, Karpenter ...), or money that is paid all the same
(reservations), or work that would be lost (local disks). A person may wave those through; what AWS forbids, nobody.
"""

from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

from reaper.clients.ec2.models import InstanceModel, Protection, TypeModel
from reaper.core.model import Obstacle

__all__ = ["STOPS", "TRANSITIONS", "managed_by", "obstacles", "spared"]

STOPS = ("stop", "hibernate")
"""Actions after which an instance can be started again."""

TRANSITIONS = frozenset({"pending", "stopping", "shutting-down"})

_NO_STOP = "its root volume is a local disk (instance store): it can't be stopped, only terminated"

_PROTECT = "reaper:protect"

_GROUP_TAG = "aws:autoscaling:groupName"


def obstacles(
    instance: InstanceModel,
    kind: TypeModel | None,
    *,
    persistent: bool | None,
    protection: Protection | None = None,
    managed_tags: Iterable[str] = (),
    allow: frozenset[str] = frozenset(),
    hibernates: bool = False,
) -> tuple[Obstacle, ...]:
    """Find what stands against acting on it.

    Args:
        instance: As it was last seen.
        kind: Its type; None: it can't be described.
        persistent: Whether its spot request is a persistent one; None: it is no spot instance, or that is not known.
        protection: What its attributes forbid, where they were read.
        managed_tags: Globs on tags of those who manage instances.
        allow: Obstacles that do not veto.
        hibernates: Whether hibernation is asked of anybody, and nothing else will do.
    """
    found = [
        *_owners(instance, managed_tags),
        *_reserved(instance),
        *_lost(instance, kind),
        *_state(instance),
        *([] if persistent is not False else _one_time(instance)),
        *(_hibernation(instance, kind) if hibernates else []),
        *_protected(protection),
    ]
    return tuple([one for one in found if one.reason not in allow or one.detail == _NO_STOP])


def spared(instance: InstanceModel, found: Iterable[Obstacle]) -> str:
    """Say why nothing is ever done to it, whatever it does: a tag, or what stands against every action. Pure."""
    tag = next((key for key in instance.tags if key.lower() == _PROTECT), None)
    if tag is not None:
        return f"it has the tag {tag}"
    return next((one.detail or one.reason for one in found if not one.actions), "")


def managed_by(tags: Mapping[str, str], globs: Iterable[str]) -> str | None:
    """Give the tag by which somebody manages an instance; None: there is none. Keys are matched ignoring case."""
    for glob in globs:
        wanted, has_value, value_glob = glob.partition("=")
        lowered = wanted.lower()
        for key, value in tags.items():
            if fnmatchcase(key.lower(), lowered) and (not has_value or fnmatchcase(value, value_glob)):
                return f"{key}={value}" if value else key
    return None


def _owners(instance: InstanceModel, managed_tags: Iterable[str]) -> Iterator[Obstacle]:
    group = instance.tags.get(_GROUP_TAG)
    if group is not None:
        detail = f"Auto Scaling group {group} would replace it: change the group's capacity instead"
        yield Obstacle(reason="auto_scaling", detail=detail)
    if instance.operator:
        yield Obstacle(reason="service_managed", detail=f"{instance.operator} manages it")
    tag = managed_by(instance.tags, managed_tags)
    if tag is not None:
        yield Obstacle(reason="service_managed", detail=f"it has the tag {tag}")


def _reserved(instance: InstanceModel) -> Iterator[Obstacle]:
    if instance.capacity_block or instance.lifecycle == "capacity-block":
        yield Obstacle(
            reason="reserved_capacity", detail="it runs in a capacity block: to end it saves nothing"
        )
    elif instance.capacity_reservation_id:
        detail = f"it runs in {instance.capacity_reservation_id}: to end it saves nothing"
        yield Obstacle(reason="reserved_capacity", detail=detail)


def _lost(instance: InstanceModel, kind: TypeModel | None) -> Iterator[Obstacle]:
    """What a stop erases. To terminate is to erase anyway, and whoever asks for it knows."""
    if instance.root_device_type == "instance-store":
        yield Obstacle(reason="instance_store", detail=_NO_STOP, actions=STOPS)
        return
    if instance.state == "stopped":
        return
    if kind is None:
        detail = "its type can't be described: it may have local disks, which a stop erases"
        yield Obstacle(reason="instance_store", detail=detail, actions=STOPS)
    elif kind.instance_store_gb > 0:
        detail = f"a stop erases {kind.instance_store_gb} GB of local disks (instance store)"
        yield Obstacle(reason="instance_store", detail=detail, actions=STOPS)


def _state(instance: InstanceModel) -> Iterator[Obstacle]:
    if instance.state in TRANSITIONS:
        yield Obstacle(reason="in_transition", detail=f"it is {instance.state}")


def _one_time(instance: InstanceModel) -> Iterator[Obstacle]:
    if instance.lifecycle == "spot":
        yield Obstacle(
            reason="one_time_spot",
            detail="a one-time spot instance can't be stopped, only terminated",
            actions=STOPS,
        )


def _hibernation(instance: InstanceModel, kind: TypeModel | None) -> Iterator[Obstacle]:
    if not instance.hibernation:
        detail = "it was not set up for hibernation when it was launched"
    elif kind is not None and not kind.hibernation_supported:
        detail = f"{kind.name} can't hibernate"
    else:
        return
    yield Obstacle(
        reason="hibernation_unsupported",
        detail=f"{detail}; REAPER_EC2__HIBERNATE_FALLBACK=true stops it instead",
        actions=("hibernate",),
    )


def _protected(protection: Protection | None) -> Iterator[Obstacle]:
    if protection is not None and protection.stop:
        yield Obstacle(
            reason="stop_protection", detail="stop protection is on (DisableApiStop)", actions=STOPS
        )
    if protection is not None and protection.terminate:
        yield Obstacle(
            reason="termination_protection",
            detail="termination protection is on (DisableApiTermination)",
            actions=("terminate",),
        )
