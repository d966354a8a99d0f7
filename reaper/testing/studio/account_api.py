"""Tags (SageMaker), who is asking (STS), and datapoints (CloudWatch)."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from reaper.testing.aws_wire.faults import Refusal
from reaper.testing.studio.estate import App, Place
from reaper.testing.studio.inventory import Tagged
from reaper.testing.studio.paging import page
from reaper.testing.studio.studio import Studio

__all__ = ["METRICS", "TAGS", "caller_identity", "role_credentials"]

Parameters = Mapping[str, Any]
Answer = dict[str, Any]
Operation = Callable[[Studio, Place, Parameters], Answer]

MOST_TAGS = 50
"""On one resource, and in one page of ListTags (SageMaker API reference)."""


def add_tags(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """AddTags: adds or overwrites, and answers all tags of the resource."""
    thing = _tagged(studio, place, parameters["ResourceArn"])
    new = {tag["Key"]: tag["Value"] for tag in parameters["Tags"]}
    if reserved := [key for key in new if key.lower().startswith("aws:")]:
        raise Refusal("ValidationException", f"aws: prefixed tag key names are not allowed: {reserved[0]}")
    if len(thing.tags | new) > MOST_TAGS:
        raise Refusal("ValidationException", f"A resource can have {MOST_TAGS} tags at most")
    thing.tags.update(new)
    return {"Tags": _tags(thing)}


def list_tags(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """ListTags."""
    thing = _tagged(studio, place, parameters["ResourceArn"])
    shown, onward = page(parameters, _tags(thing), MOST_TAGS)
    return {"Tags": list(shown), **onward}


def delete_tags(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """DeleteTags: keys that are not there don't matter."""
    thing = _tagged(studio, place, parameters["ResourceArn"])
    for key in parameters["TagKeys"]:
        thing.tags.pop(key, None)
    return {}


def get_metric_data(studio: Studio, place: Place, parameters: Parameters) -> Answer:
    """GetMetricData (CloudWatch)."""
    return studio.metrics.get(place, parameters)


TAGS: dict[str, Operation] = {"AddTags": add_tags, "ListTags": list_tags, "DeleteTags": delete_tags}
METRICS: dict[str, Operation] = {"GetMetricData": get_metric_data}


def caller_identity(studio: Studio, access_key: str) -> Answer:
    """GetCallerIdentity (STS): an execution role's session, as in a Studio app."""
    account, session = studio.account_of(access_key), studio.session_of(access_key)
    return {
        "UserId": f"AROAFAKESTUDIO:{session}",
        "Account": account,
        "Arn": f"arn:aws:sts::{account}:assumed-role/AmazonSageMaker-ExecutionRole/{session}",
    }


def role_credentials(studio: Studio, parameters: Parameters) -> Answer:
    """AssumeRole (STS): credentials of the role's account for an hour."""
    role, session = parameters["RoleArn"], parameters["RoleSessionName"]
    account, name = role.split(":")[4], role.rsplit("/", 1)[-1]
    access_key = studio.open_session(account, session)
    return {
        "Credentials": {
            "AccessKeyId": access_key,
            "SecretAccessKey": "fake-secret",
            "SessionToken": "fake-token",
            "Expiration": studio.now() + timedelta(hours=1),
        },
        "AssumedRoleUser": {
            "AssumedRoleId": f"AROAFAKESTUDIO0000000:{session}",
            "Arn": f"arn:aws:sts::{account}:assumed-role/{name}/{session}",
        },
    }


def _tagged(studio: Studio, place: Place, arn: str) -> Tagged:
    """Find what an ARN names; upper and lower case don't matter in an app's type."""
    for thing in studio.tagged():
        if thing.arn.lower() != arn.lower() or not arn.startswith(place.arn("")):
            continue
        if isinstance(thing, App) and thing.status(studio.now()) in {"Deleted", "Failed"}:
            break  # seen of failed apps (a bug report of Terraform's provider)
        return thing
    raise Refusal("ValidationException", f"Resource {arn} does not exist")


def _tags(thing: Tagged) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in thing.tags.items()]
