"""Who asks and other accounts' roles (STS), the organization, parameters (SSM), and the lists of SageMaker."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from reaper.clock import SystemClock
from reaper.testing.aws_wire.faults import Refusal
from reaper.testing.aws_wire.front import Call
from reaper.testing.ec2.accounts import ROOT, Account, Caller
from reaper.testing.ec2.fleet import Fleet

__all__ = ["ORGANIZATIONS", "SAGEMAKER", "SSM", "STS"]

Answer = dict[str, Any]
T = TypeVar("T")


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


def list_accounts(fleet: Fleet, call: Call) -> Answer:
    """ListAccounts: all of the organization, for its management account alone."""
    return _accounts(fleet, call, list(fleet.accounts.values()))


def list_accounts_for_parent(fleet: Fleet, call: Call) -> Answer:
    """ListAccountsForParent: those that are directly in a unit."""
    parent = _parent(fleet, call)
    return _accounts(fleet, call, [one for one in fleet.accounts.values() if one.unit == parent])


def list_units(fleet: Fleet, call: Call) -> Answer:
    """ListOrganizationalUnitsForParent: those that are directly in another."""
    parent = _parent(fleet, call)
    found = [one for one in fleet.units.values() if one.parent == parent]
    shown, onward = _page(call, found)
    return {
        "OrganizationalUnits": [
            {"Id": one.id, "Name": one.name, "Arn": _organization_arn(fleet, f"ou/o-fakefleet0/{one.id}")}
            for one in shown
        ],
        **onward,
    }


def list_children(fleet: Fleet, call: Call) -> Answer:
    """ListChildren: units or accounts that are directly in a unit."""
    parent, type_ = _parent(fleet, call), call.parameters["ChildType"]
    units = [one.id for one in fleet.units.values() if one.parent == parent]
    accounts = [one.id for one in fleet.accounts.values() if one.unit == parent]
    shown, onward = _page(call, units if type_ == "ORGANIZATIONAL_UNIT" else accounts)
    return {"Children": [{"Id": one, "Type": type_} for one in shown], **onward}


def get_parameter(fleet: Fleet, call: Call) -> Answer:
    """GetParameter (SSM): `fleet.shard().parameters["/reaper/pause"] = "..."`."""
    name = call.parameters["Name"]
    value = fleet.shard_of(call).parameters.get(name)
    if value is None:
        raise Refusal("ParameterNotFound", "")
    return {
        "Parameter": {
            "Name": name,
            "Type": "String",
            "Value": value,
            "Version": 1,
            "LastModifiedDate": fleet.now(),
            "ARN": f"arn:aws:ssm:{call.region}:{call.account}:parameter/{name.lstrip('/')}",
            "DataType": "text",
        }
    }


_SAGEMAKER = {
    "ListApps": "Apps",
    "ListDomains": "Domains",
    "ListEndpoints": "Endpoints",
    "ListInferenceComponents": "InferenceComponents",
    "ListNotebookInstances": "NotebookInstances",
    "ListProcessingJobs": "ProcessingJobSummaries",
    "ListSpaces": "Spaces",
    "ListTrainingJobs": "TrainingJobSummaries",
    "ListTransformJobs": "TransformJobSummaries",
    "ListUserProfiles": "UserProfiles",
}
"""What has nothing in it: `reaper.testing.studio` is the fake of SageMaker."""

STS: dict[str, Callable[[Fleet, Call], Answer]] = {
    "GetCallerIdentity": caller_identity,
    "AssumeRole": assume_role,
}
ORGANIZATIONS: dict[str, Callable[[Fleet, Call], Answer]] = {
    "ListAccounts": list_accounts,
    "ListAccountsForParent": list_accounts_for_parent,
    "ListChildren": list_children,
    "ListOrganizationalUnitsForParent": list_units,
}
SSM: dict[str, Callable[[Fleet, Call], Answer]] = {"GetParameter": get_parameter}


def _nothing(key: str) -> Callable[[Fleet, Call], Answer]:
    return lambda _fleet, _call: {key: []}


SAGEMAKER: dict[str, Callable[[Fleet, Call], Answer]] = {
    name: _nothing(key) for name, key in _SAGEMAKER.items()
}


def _accounts(fleet: Fleet, call: Call, found: list[Account]) -> Answer:
    _refuse_members(fleet, call)
    shown, onward = _page(call, found)
    return {
        "Accounts": [
            {
                "Id": one.id,
                "Name": one.name,
                "Arn": _organization_arn(fleet, f"account/o-fakefleet0/{one.id}"),
                "Email": f"{one.name}@example.org",
                "Status": one.status,
                "State": one.status,
                "JoinedMethod": "CREATED",
            }
            for one in shown
        ],
        **onward,
    }


def _parent(fleet: Fleet, call: Call) -> str:
    _refuse_members(fleet, call)
    parent = str(call.parameters["ParentId"])
    if parent != ROOT and parent not in fleet.units:
        raise Refusal(
            "ParentNotFoundException",
            "You specified parent that doesn't exist in your organization.",
        )
    return parent


def _refuse_members(fleet: Fleet, call: Call) -> None:
    if call.account != fleet.home.account:
        raise Refusal("AccessDeniedException", "You don't have permissions to access this resource.")


def _organization_arn(fleet: Fleet, what: str) -> str:
    return f"arn:aws:organizations::{fleet.home.account}:{what}"


def _page(call: Call, found: Sequence[T]) -> tuple[Sequence[T], Answer]:
    """Cut out a page: of 20 at most, as AWS Organizations has it."""
    start = call.parameters.get("NextToken", "0")
    if not start.isdecimal():
        raise Refusal("InvalidInputException", "You provided an invalid pagination token.")
    end = int(start) + min(20, call.parameters.get("MaxResults", 20))
    return found[int(start) : end], ({"NextToken": str(end)} if end < len(found) else {})
