"""STS: who asks, and other accounts' roles."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from reaper.clock import SystemClock
from reaper.testing.aws_wire.faults import Refusal
from reaper.testing.aws_wire.front import Call
from reaper.testing.ec2.accounts import Caller
from reaper.testing.ec2.fleet import Fleet

__all__ = ["OPERATIONS"]

Answer = dict[str, Any]


def caller_identity(fleet: Fleet, call: Call) -> Answer:
    """GetCallerIdentity."""
    caller = fleet.caller(call.access_key)
    return {"UserId": caller.user_id, "Account": caller.account, "Arn": caller.arn}


def assume_role(fleet: Fleet, call: Call) -> Answer:
    """AssumeRole: of an account that the fleet has, by its role and external id.

    Credentials last by the later of the fake's clock and the machine's, because whoever holds them asks the latter.
    """
    parameters = call.parameters
    arn, session = parameters["RoleArn"], parameters["RoleSessionName"]
    number, name = arn.split(":")[4], arn.rsplit("/", 1)[-1]
    account = fleet.accounts.get(number)
    if (
        account is None
        or account.status != "ACTIVE"
        or account.role not in {"", name}
        or (account.external_id and parameters.get("ExternalId") != account.external_id)
    ):
        who = fleet.caller(call.access_key).arn
        raise Refusal(
            "AccessDenied",
            f"User: {who} is not authorized to perform: sts:AssumeRole on resource: {arn}",
            403,
        )
    assumed = f"arn:aws:sts::{number}:assumed-role/{name}/{session}"
    user_id = f"AROAFAKEFLEET00000000:{session}"
    access_key = fleet.open_session(Caller(account=number, arn=assumed, user_id=user_id))
    lasting = timedelta(seconds=parameters.get("DurationSeconds", 3600))
    return {
        "Credentials": {
            "AccessKeyId": access_key,
            "SecretAccessKey": "fake-secret",
            "SessionToken": "fake-token",
            "Expiration": max(fleet.now(), SystemClock().now()) + lasting,
        },
        "AssumedRoleUser": {"AssumedRoleId": user_id, "Arn": assumed},
    }


OPERATIONS: dict[str, Callable[[Fleet, Call], Answer]] = {
    "GetCallerIdentity": caller_identity,
    "AssumeRole": assume_role,
}
