"""Stop, hibernate or terminate an instance: one at a time, and only what was decided on."""

from collections.abc import Mapping

from reaper.clients.aws import CREATE_TAGS, HIBERNATE_INSTANCES, STOP_INSTANCES, TERMINATE_INSTANCES, Aws
from reaper.clients.ec2 import (
    InstanceModel,
    cancel_spot_request,
    describe_instances,
    may,
    persistent_requests,
    protection,
    stop,
    tag,
    terminate,
)
from reaper.clock import Clock
from reaper.core.codec import instant_to_text
from reaper.core.model import Resource
from reaper.errors import ActionDenied, ActionUnavailable, CollectError, OutcomeUnknown, SourceDenied
from reaper.plugins import UNDER_WAY, ActOutcome
from reaper.providers.ec2.options import Ec2Options
from reaper.providers.ec2.shaping import LAST_ACTION, incarnation

__all__ = ["act_on", "changed", "would_be_denied"]

_FROM = {
    "stop": ("running",),
    "hibernate": ("running",),
    "terminate": ("running", "stopped"),
    "tag": ("running", "stopped"),
}
"""The states that each action goes from."""

_CALLS = {"stop": STOP_INSTANCES, "hibernate": HIBERNATE_INSTANCES, "terminate": TERMINATE_INSTANCES}

_ENDED = ("shutting-down", "terminated")


async def act_on(
    aws: Aws, region: str, resource: Resource, action: str, options: Ec2Options, clock: Clock
) -> ActOutcome:
    """Act on an instance, if it is still what was decided on.

    Args:
        aws: How to ask.
        region: Where it is.
        resource: What was decided on.
        action: `stop`, `hibernate`, `terminate`, or `tag`, which leaves `reaper:last-action` and nothing else.
        options: Whether what can't hibernate is stopped.
        clock: Dates the tag that is left before.

    Raises:
        ActionDenied, ActionUnavailable: It had no effect.
        OutcomeUnknown: It may have had effect.
    """
    if action not in _FROM:
        raise ActionDenied(f"{resource.ref.kind} knows no action {action!r}, only {', '.join(_FROM)}")
    name = resource.ref.id
    try:
        instance = await _read(aws, region, name)
        if instance is None or instance.state in _ENDED:
            return ActOutcome(gone=True, detail="it was gone already", ours=False)
        problem = changed(instance, resource, action)
        if problem is not None:
            raise ActionUnavailable(f"not sent: {problem}")
        if action == "tag":
            await _leave_tag(aws, region, name, _said(action, clock))
            return ActOutcome(gone=False, detail=f"{LAST_ACTION} says so")
        protected = await protection(aws, region, name)
        spot = instance.spot_request_id if action == "terminate" and instance.lifecycle == "spot" else ""
        persistent = (await persistent_requests(aws, region, {spot})).get(spot) if spot else None
    except CollectError as error:
        kind = ActionDenied if isinstance(error, SourceDenied) else ActionUnavailable
        raise kind(f"not sent, since it could not be looked at: {error}") from error
    if action == "terminate" and protected.terminate:
        raise ActionDenied("not sent: termination protection is on (DisableApiTermination)")
    if action != "terminate" and protected.stop:
        raise ActionDenied("not sent: stop protection is on (DisableApiStop)")
    await _leave_tag(aws, region, name, _said(action, clock))
    if action != "terminate":
        return await _stop(aws, region, instance, action, options)
    if persistent is not False and spot:  # it would start the instance anew
        await cancel_spot_request(aws, region, spot)
    return _began(await terminate(aws, region, name), "it ends now", _FROM["terminate"])


async def would_be_denied(aws: Aws, region: str, resource: Resource, action: str) -> str | None:
    """Ask EC2 what of an act it would refuse, without doing anything; None: nothing.

    Raises:
        CollectError: That can't be known.
    """
    name = resource.ref.id
    denied = await may(aws, region, CREATE_TAGS, name, {LAST_ACTION: action})
    if denied is not None or action == "tag":
        return denied
    return await may(aws, region, _CALLS[action], name)


async def _leave_tag(aws: Aws, region: str, name: str, text: str) -> None:
    """Say on an instance what will be done to it. Where that is not sure to be written, nothing else is sent."""
    try:
        await tag(aws, region, name, {LAST_ACTION: text})
    except OutcomeUnknown as error:
        raise ActionUnavailable(
            f"not sent, since the tag {LAST_ACTION} could not be written: {error}"
        ) from error


def _said(action: str, clock: Clock) -> str:
    """Write the tag's value: action, instant, policy, decision."""
    entry = UNDER_WAY.get()
    why = () if entry is None else (entry.policy, entry.decision_id)
    return " ".join((action, instant_to_text(clock.now()), *why))


def changed(instance: InstanceModel, resource: Resource, action: str) -> str | None:
    """Say how an instance is not what was decided on any more; None: it is. Pure."""
    if incarnation(instance) != resource.ref.incarnation:
        return "it was started anew since it was decided on"
    decided = resource.attributes.get("state")
    if instance.state != decided:
        return f"it is {instance.state}, not {decided} as when it was decided on"
    if instance.state not in _FROM[action]:
        return f"it is {instance.state}"
    if resource.stopped is not None and instance.stopped_at != resource.stopped.at:
        return "it was stopped at another time than was decided on"
    if _others(instance.tags) != _others(resource.tags):
        return "its tags have changed since it was decided on"
    return None


def _others(tags: Mapping[str, str]) -> dict[str, str]:
    """Give the tags that are not ours to write."""
    return {key: value for key, value in tags.items() if key.lower() != LAST_ACTION}


async def _read(aws: Aws, region: str, name: str) -> InstanceModel | None:
    async for page in describe_instances(aws, region, ids=(name,), states=None):
        for instance in page:
            if instance.id == name:
                return instance
    return None


async def _stop(
    aws: Aws, region: str, instance: InstanceModel, action: str, options: Ec2Options
) -> ActOutcome:
    """Stop it, hibernating where that is asked for and possible; what can't is stopped only if that is configured."""
    if action == "hibernate" and (instance.hibernation or not options.hibernate_fallback):
        try:
            before = await stop(aws, region, instance.id, hibernate=True)
        except ActionDenied as error:
            if not options.hibernate_fallback or "Hibernat" not in str(error):
                raise
        else:
            return _began(before, "it goes to hibernation now", _FROM["stop"])
    before = await stop(aws, region, instance.id, hibernate=False)
    instead = ", since it can't hibernate" if action == "hibernate" else ""
    return _began(before, f"its stop has begun{instead}", _FROM["stop"])


def _began(before: str | None, detail: str, usual: tuple[str, ...]) -> ActOutcome:
    """Read the answer: in another state than was decided on, it was not us who ended it."""
    if before is None:
        return ActOutcome(gone=True, detail="it was gone already", ours=False)
    if before not in usual:
        raise ActionUnavailable(f"it was {before} already: somebody else was faster")
    return ActOutcome(gone=False, detail=detail)
