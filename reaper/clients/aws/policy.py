"""The least that IAM must allow, made from the register of operations. Pure.

A Studio domain's execution role is shared by its users, so nothing that changes an app may be granted on all
apps. What tells users of one role apart, and where that is written:

- `${sagemaker:DomainId}` and `${sagemaker:UserProfileName}`: the caller's own ("to filter requests from specific user
  profiles", Service Authorization Reference; not within shared spaces). AWS's managed policy AmazonSageMakerFullAccess
  compares `sagemaker:OwnerUserProfileArn`, the owner of an app's space, with a user profile's ARN made of them, for
  DeleteApp.
- `${aws:SourceIdentity}`: the user profile's name, in a domain whose `ExecutionRoleIdentityConfig` is
  `USER_PROFILE_NAME` (SageMaker API Reference, DomainSettings).

A variable that is not known leaves its statement without effect: then an app is not deleted, never somebody
else's is. Each has statements of its own for that reason.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from reaper.clients.aws.operations import OPERATIONS, Operation

__all__ = ["HEARTBEAT_TAG", "LONGEST", "PURPOSES", "Narrowing", "length", "partition_of", "policy"]

LONGEST = 6_144
"""Characters that a managed policy may have, white space not counted (IAM User Guide, quotas)."""

HEARTBEAT_TAG = "reaper:heartbeat"
"""The tag that a reaper leaves on the app it runs in (docs/adr/0007-heartbeat-is-a-tag.md)."""

PURPOSES = tuple(dict.fromkeys(purpose for operation in OPERATIONS for purpose in operation.used_for))
"""What policies can be for."""

_DELETABLE = ("Canvas", "CodeEditor", "JupyterLab", "KernelGateway")
"""Types of apps that reaper deletes. A JupyterServer never is."""

_CALLER: Mapping[str, tuple[str, str]] = {
    "ByProfile": ("${sagemaker:DomainId}", "${sagemaker:UserProfileName}"),
    "BySourceIdentity": ("*", "${aws:SourceIdentity}"),
}
"""What names the domain and the user profile of the caller, by the end of the statements' ids."""

_PROTECT_TAG = "reaper:protect"

_MANAGED_TAG = "reaper:managed"
"""Its owner has put what reaper may act on from outside into reaper's hands with it, whatever its value."""

_ONES_OWN = frozenset({"app", "notebook-instance"})
"""Types of what reaper acts on from inside: it is there because its owner put it there."""

Statement = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """What a policy is limited to; `*` is any.

    Attributes:
        partition: `aws`, `aws-cn`, `aws-us-gov`.
        account: Twelve digits.
        region: One region.
        domain: One Studio domain.
        user: One user profile: for an execution role that no other shares. Empty: whoever calls.
        shared_spaces: Whether apps of shared spaces may be deleted, which belong to no single user.
        notebook_instance: One notebook instance.
    """

    partition: str = "aws"
    account: str = "*"
    region: str = "*"
    domain: str = "*"
    user: str = ""
    shared_spaces: bool = False
    notebook_instance: str = "*"

    def arn(self, resource: str) -> str:
        """Name resources of SageMaker."""
        return f"arn:{self.partition}:sagemaker:{self.region}:{self.account}:{resource}"


def partition_of(region: str) -> str:
    """Tell a region's partition by its name. Pure."""
    known = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
    return next((name for prefix, name in known.items() if region.startswith(prefix)), "aws")


def policy(
    purposes: Iterable[str],
    narrowing: Narrowing,
    allowed: Callable[[str, str], bool] = lambda _family, _action: True,
) -> dict[str, Any]:
    """Write the policy document for some purposes.

    Args:
        purposes: Of `PURPOSES`.
        narrowing: What it is limited to.
        allowed: Tells whether a family's action may ever be done (`REAPER_ACTIONS`).
    """
    wanted = set(purposes)
    operations = [
        operation
        for operation in OPERATIONS
        if operation.action and wanted.intersection(operation.used_for) and _permitted(operation, allowed)
    ]
    statements = [*_reads(operations, narrowing), *_writes(operations, narrowing)]
    return {"Version": "2012-10-17", "Statement": statements}


def length(document: Mapping[str, Any]) -> int:
    """Count a policy's characters as IAM does: without white space."""
    return len("".join(json.dumps(document).split()))


def _permitted(operation: Operation, allowed: Callable[[str, str], bool]) -> bool:
    family, _, action = operation.carries_out.partition(".")
    return not action or allowed(family, action)


def _reads(operations: Iterable[Operation], narrowing: Narrowing) -> list[Statement]:
    """Allow questions, on as little as IAM can limit each to."""
    by_resource: dict[str, list[str]] = {}
    for operation in operations:
        if not operation.writes:
            by_resource.setdefault(operation.resource, []).append(operation.action)
    return [
        {
            "Sid": "Look" if resource == "*" else f"Look{_sid(resource)}",
            "Effect": "Allow",
            "Action": sorted(actions),
            "Resource": "*" if resource == "*" else _named(resource, narrowing),
        }
        for resource, actions in sorted(by_resource.items())
    ]


def _writes(operations: Iterable[Operation], narrowing: Narrowing) -> list[Statement]:
    found, acts = [], []
    for operation in operations:
        if not operation.writes:
            continue
        if operation.carries_out:
            acts.append(operation)
        match operation.name:
            case "DeleteApp":
                found += _deletion(operation.action, narrowing)
            case "AddTags":
                found.append(_heartbeat(operation.action, narrowing))
            case name:
                statement: Statement = {
                    "Sid": name,
                    "Effect": "Allow",
                    "Action": operation.action,
                    "Resource": _named(operation.resource, narrowing),
                }
                if operation.resource not in _ONES_OWN:
                    statement["Condition"] = {"Null": {f"sagemaker:ResourceTag/{_MANAGED_TAG}": "false"}}
                found.append(statement)
    if acts:
        found.append(
            {
                "Sid": "NeverProtected",
                "Effect": "Deny",
                "Action": sorted(operation.action for operation in acts),
                "Resource": "*",
                "Condition": {"Null": {f"sagemaker:ResourceTag/{_PROTECT_TAG}": "false"}},
            }
        )
    return found


def _deletion(action: str, narrowing: Narrowing) -> list[Statement]:
    """Allow to delete apps: those of the caller's own user profile, and of the spaces that this profile owns.

    An app of a user profile has no owner's ARN, one of a space has: AmazonSageMakerFullAccess tells them apart so.
    """
    callers = {"": (narrowing.domain, narrowing.user)} if narrowing.user else dict(_CALLER)
    found = []
    for end, (own_domain, user) in callers.items():
        domain = own_domain if narrowing.domain == "*" else narrowing.domain
        found += [
            {
                "Sid": f"DeleteOwnApps{end}",
                "Effect": "Allow",
                "Action": action,
                "Resource": _apps(narrowing, domain, user),
                "Condition": {"Null": {"sagemaker:OwnerUserProfileArn": "true"}},
            },
            {
                "Sid": f"DeleteAppsOfOwnSpaces{end}",
                "Effect": "Allow",
                "Action": action,
                "Resource": _apps(narrowing, domain, "*"),
                "Condition": {
                    "ArnLike": {"sagemaker:OwnerUserProfileArn": _profiles(narrowing, domain, user)}
                },
            },
        ]
    if narrowing.shared_spaces:
        domain = _CALLER["ByProfile"][0] if narrowing.domain == "*" else narrowing.domain
        found.append(
            {
                "Sid": "DeleteAppsOfSharedSpaces",
                "Effect": "Allow",
                "Action": action,
                "Resource": _apps(narrowing, domain, "*"),
                "Condition": {"StringEquals": {"sagemaker:SpaceSharingType": "Shared"}},
            }
        )
    return found


def _profiles(narrowing: Narrowing, domain: str, user: str) -> str | list[str]:
    names = [user] if "$" in user else _spellings(user)
    return _one_or_more([narrowing.arn(f"user-profile/{domain}/{name}") for name in names])


def _apps(narrowing: Narrowing, domain: str, owner: str) -> list[str]:
    """Name apps by type, in either spelling: IAM was seen to use lower case (`app/d-.../ann/kernelgateway/...`)."""
    kinds = ["".join("?" if char.isupper() else char for char in kind) for kind in _DELETABLE]
    owners = [owner] if "$" in owner else _spellings(owner)
    return [narrowing.arn(f"app/{domain}/{one}/{kind}/*") for one in owners for kind in kinds]


def _heartbeat(action: str, narrowing: Narrowing) -> Statement:
    """Allow to write the heartbeat's tag on apps, and no other tag: others decide what is protected."""
    return {
        "Sid": "Heartbeat",
        "Effect": "Allow",
        "Action": action,
        "Resource": _named("app", narrowing),
        "Condition": {
            "ForAllValues:StringEquals": {"aws:TagKeys": [HEARTBEAT_TAG]},
            "Null": {"aws:TagKeys": "false"},
        },
    }


def _named(resource: str, narrowing: Narrowing) -> str | list[str]:
    """Name the resources of one type. ARNs of notebook instances were seen in lower case, whatever their names."""
    match resource:
        case "app":
            return narrowing.arn(f"app/{narrowing.domain}/*")
        case "notebook-instance":
            names = _spellings(narrowing.notebook_instance)
            return _one_or_more([narrowing.arn(f"notebook-instance/{name}") for name in names])
        case _:
            return narrowing.arn(f"{resource}/*")


def _spellings(name: str) -> list[str]:
    """Give a name as it is, and in lower case where that is another."""
    return list(dict.fromkeys((name, name.lower())))


def _one_or_more(arns: list[str]) -> str | list[str]:
    return arns[0] if len(arns) == 1 else arns


def _sid(resource: str) -> str:
    """Make a part of a statement's id: letters and digits alone (IAM)."""
    return "".join(part.capitalize() for part in resource.split("-"))
