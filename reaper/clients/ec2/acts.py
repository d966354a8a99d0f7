"""What can be done to an instance: one a call, since a call about several may be carried out in part."""

from collections.abc import Mapping
from typing import Any

from reaper.clients.aws import (
    CANCEL_SPOT_REQUESTS,
    CREATE_TAGS,
    HIBERNATE_INSTANCES,
    STOP_INSTANCES,
    TERMINATE_INSTANCES,
    Aws,
    Operation,
)
from reaper.errors import OutcomeUnknown

__all__ = ["cancel_spot_request", "may", "stop", "tag", "terminate"]

_LONGEST_VALUE = 256
"""Characters of a tag's value (EC2 User Guide, tag restrictions)."""


async def stop(aws: Aws, region: str, instance: str, *, hibernate: bool = False) -> str | None:
    """Stop an instance, or send it to hibernation.

    Returns:
        The state that it was in; None: there is no such instance. Any but `running` means that it was not this call
        that stopped it.

    Raises:
        ActionDenied, ActionUnavailable: It had no effect. What is not set up to hibernate is denied.
        OutcomeUnknown: It may have had effect.
    """
    operation = HIBERNATE_INSTANCES if hibernate else STOP_INSTANCES
    parameters = {"Hibernate": True} if hibernate else {}
    answer = await aws.act(operation, region=region, InstanceIds=[instance], **parameters)
    return None if answer is None else _before(answer, "StoppingInstances", instance, operation, region)


async def terminate(aws: Aws, region: str, instance: str) -> str | None:
    """Terminate an instance. A persistent spot request must be cancelled before: it would start it anew.

    Returns:
        The state that it was in; None: there is no such instance.

    Raises:
        ActionDenied, ActionUnavailable: It had no effect. One with termination protection is denied.
        OutcomeUnknown: It may have had effect.
    """
    answer = await aws.act(TERMINATE_INSTANCES, region=region, InstanceIds=[instance])
    if answer is None:
        return None
    return _before(answer, "TerminatingInstances", instance, TERMINATE_INSTANCES, region)


async def cancel_spot_request(aws: Aws, region: str, request: str) -> bool:
    """Cancel a spot request; its instance runs on.

    Returns:
        Whether there was one.

    Raises:
        ActionDenied, ActionUnavailable, OutcomeUnknown: As for `stop`.
    """
    answer = await aws.act(CANCEL_SPOT_REQUESTS, region=region, SpotInstanceRequestIds=[request])
    return answer is not None


async def tag(aws: Aws, region: str, instance: str, tags: Mapping[str, str]) -> bool:
    """Write tags on an instance. Values that are too long are cut.

    Returns:
        Whether there is such an instance.

    Raises:
        ActionDenied, ActionUnavailable, OutcomeUnknown: As for `stop`.
    """
    given = [{"Key": key, "Value": value[:_LONGEST_VALUE]} for key, value in tags.items()]
    return await aws.act(CREATE_TAGS, region=region, Resources=[instance], Tags=given) is not None


async def may(
    aws: Aws, region: str, operation: Operation, name: str, tags: Mapping[str, str] | None = None
) -> str | None:
    """Ask EC2 whether an action would be carried out, without doing it (`DryRun`).

    Args:
        aws: How to ask.
        region: Where.
        operation: The action: one of this module's.
        name: Of the instance, or of the spot request where that is cancelled.
        tags: Those that would be written.

    Returns:
        What would be denied, and why; None: it would be carried out.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: That can't be known.
    """
    parameters: dict[str, Any]
    if operation is CREATE_TAGS:
        written = [{"Key": key, "Value": value[:_LONGEST_VALUE]} for key, value in (tags or {}).items()]
        parameters = {"Resources": [name], "Tags": written}
    elif operation is CANCEL_SPOT_REQUESTS:
        parameters = {"SpotInstanceRequestIds": [name]}
    else:
        parameters = {"InstanceIds": [name]}
        if operation is HIBERNATE_INSTANCES:
            parameters["Hibernate"] = True
    return await aws.rehearse(operation, region=region, **parameters)


def _before(answer: Mapping[str, Any], key: str, instance: str, operation: Operation, region: str) -> str:
    """Read the state that an instance was in when the call came."""
    for change in answer.get(key) or ():
        if isinstance(change, Mapping) and change.get("InstanceId") == instance:
            state = (change.get("PreviousState") or {}).get("Name")
            if isinstance(state, str) and state:
                return state
    raise OutcomeUnknown(f"ec2 {operation.name} in {region}: the answer does not speak of {instance}")
