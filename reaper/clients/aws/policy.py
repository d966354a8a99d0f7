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

__all__ = [
    "CONTROL_TAGS",
    "HEARTBEAT_TAG",
    "LAST_ACTION_TAG",
    "LONGEST",
    "MEMBER_ROLE",
    "PAUSE_PARAMETERS",
    "PURPOSES",
    "Narrowing",
    "length",
    "partition_of",
    "policy",
    "tag_guard",
]

LONGEST = 6_144
"""Characters that a managed policy may have, white space not counted (IAM User Guide, quotas)."""

HEARTBEAT_TAG = "reaper:heartbeat"
"""The tag that a reaper leaves on the app it runs in (docs/adr/0007-heartbeat-is-a-tag.md)."""

LAST_ACTION_TAG = "reaper:last-action"
"""The tag that says what reaper was about to do to an instance, written right before it."""

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

CONTROL_TAGS = ("reaper:deadline", "reaper:last-action", "reaper:managed", "reaper:owner", "reaper:protect")
"""Tags that decide what reaper does, which those who only use instances don't write; `reaper:hold-until` is theirs."""

_ONES_OWN = frozenset({"app", "notebook-instance"})
"""Types of what reaper acts on from inside: it is there because its owner put it there."""

_EC2 = frozenset({"instance", "spot-instances-request"})
"""Types of EC2's, the tags of which IAM knows as `aws:ResourceTag`."""

MEMBER_ROLE = "reaper-member"
"""Name of the role to assume in other accounts, unless another is given."""

PAUSE_PARAMETERS = "/reaper/*"
"""Names of the parameters that reaper may read: the one that pauses a fleet, unless another is given."""

_LOOKS: Mapping[str, str] = {"*": "Look", "role": "AssumeRoles"}
"""Ids of statements that allow questions, by the type of resource, where it is another than the type says."""

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
        roles: Roles in other accounts that may be assumed: ARNs, or names, which mean that role in any account.
        parameter: Name, or ARN, of the parameter that pauses a fleet.
    """

    partition: str = "aws"
    account: str = "*"
    region: str = "*"
    domain: str = "*"
    user: str = ""
    shared_spaces: bool = False
    notebook_instance: str = "*"
    roles: tuple[str, ...] = (MEMBER_ROLE,)
    parameter: str = PAUSE_PARAMETERS

    def arn(self, resource: str, service: str = "sagemaker") -> str:
        """Name resources."""
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


def partition_of(region: str) -> str:
    """Tell a region's partition by its name. Pure."""
    known = {
        "cn-": "aws-cn",
        "us-gov-": "aws-us-gov",
        "us-iso-": "aws-iso",
        "us-isob-": "aws-iso-b",
        "eu-isoe-": "aws-iso-e",
        "us-isof-": "aws-iso-f",
        "eusc-": "aws-eusc",
    }
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


def tag_guard() -> dict[str, Any]:
    """Write the policy for those who use instances and apps: the tags that control reaper are not theirs to change.

    Keys of tags are compared as reaper does, without regard to case. Whoever may not write one can't launch an instance
    with it either (EC2 User Guide: RunInstances asks for ec2:CreateTags).
    """
    statement: Statement = {
        "Sid": "ControlTags",
        "Effect": "Deny",
        "Action": ["ec2:CreateTags", "ec2:DeleteTags", "sagemaker:AddTags", "sagemaker:DeleteTags"],
        "Resource": "*",
        "Condition": {"ForAnyValue:StringEqualsIgnoreCase": {"aws:TagKeys": list(CONTROL_TAGS)}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


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
            "Sid": _LOOKS.get(resource) or f"Look{_sid(resource)}",
            "Effect": "Allow",
            "Action": sorted(set(actions)),
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
            case "CreateTags":
                found.append(_last_action(operation.action, narrowing))
            case name:
                statement: Statement = {
                    "Sid": name,
                    "Effect": "Allow",
                    "Action": operation.action,
                    "Resource": _named(operation.resource, narrowing),
                }
                if operation.resource not in _ONES_OWN:
                    statement["Condition"] = _tagged(operation.resource, _MANAGED_TAG)
                if statement not in found:  # hibernating is a way of stopping
                    found.append(statement)
    return [*found, *_never_protected(acts)]


def _never_protected(acts: Iterable[Operation]) -> list[Statement]:
    """Deny everything that reaper does to what has the tag that protects, whatever else allows it."""
    kinds = {"NeverProtected": False, "NeverProtectedInstances": True}
    found = []
    for sid, of_ec2 in kinds.items():
        those = [operation for operation in acts if (operation.resource in _EC2) is of_ec2]
        if those:
            found.append(
                {
                    "Sid": sid,
                    "Effect": "Deny",
                    "Action": sorted({operation.action for operation in those}),
                    "Resource": "*",
                    "Condition": _tagged(those[0].resource, _PROTECT_TAG),
                }
            )
    return found


def _tagged(resource: str, tag: str) -> dict[str, Any]:
    """Write the condition that a resource has a tag, whatever its value."""
    key = "aws:ResourceTag" if resource in _EC2 else "sagemaker:ResourceTag"
    return {"Null": {f"{key}/{tag}": "false"}}


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
        "Condition": _only_key(HEARTBEAT_TAG),
    }


def _last_action(action: str, narrowing: Narrowing) -> Statement:
    """Allow to say on an instance what is about to be done to it, and no other tag."""
    only, managed = _only_key(LAST_ACTION_TAG), _tagged("instance", _MANAGED_TAG)
    return {
        "Sid": "LastAction",
        "Effect": "Allow",
        "Action": action,
        "Resource": _named("instance", narrowing),
        "Condition": {**only, "Null": {**only["Null"], **managed["Null"]}},
    }


def _only_key(tag: str) -> dict[str, Any]:
    """Write the condition that a request writes one tag, and no other."""
    return {"ForAllValues:StringEquals": {"aws:TagKeys": [tag]}, "Null": {"aws:TagKeys": "false"}}


def _named(resource: str, narrowing: Narrowing) -> str | list[str]:
    """Name the resources of one type. ARNs of notebook instances were seen in lower case, whatever their names."""
    match resource:
        case "app":
            return narrowing.arn(f"app/{narrowing.domain}/*")
        case "notebook-instance":
            names = _spellings(narrowing.notebook_instance)
            return _one_or_more([narrowing.arn(f"notebook-instance/{name}") for name in names])
        case "role":
            return _one_or_more([_role(name, narrowing.partition) for name in narrowing.roles])
        case "parameter":
            return _parameter(narrowing)
        case _ if resource in _EC2:
            return narrowing.arn(f"{resource}/*", "ec2")
        case _:
            return narrowing.arn(f"{resource}/*")


def _role(name: str, partition: str) -> str:
    return name if name.startswith("arn:") else f"arn:{partition}:iam::*:role/{name}"


def _parameter(narrowing: Narrowing) -> str:
    name = narrowing.parameter
    return name if name.startswith("arn:") else narrowing.arn(f"parameter/{name.removeprefix('/')}", "ssm")


def _spellings(name: str) -> list[str]:
    """Give a name as it is, and in lower case where that is another."""
    return list(dict.fromkeys((name, name.lower())))


def _one_or_more(arns: list[str]) -> str | list[str]:
    return arns[0] if len(arns) == 1 else arns


def _sid(resource: str) -> str:
    """Make a part of a statement's id: letters and digits alone (IAM)."""
    return "".join(part.capitalize() for part in resource.split("-"))
