"""The settings of the fleet: which accounts and regions of AWS, and what counts as work on an EC2 instance."""

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from reaper.config.places import split_list
from reaper.config.sections import Section, declared
from reaper.config.values import PositiveDuration, Texts, Threshold

__all__ = ["MANAGED_TAGS", "VETOING", "AwsSettings", "Ec2Settings", "OrganizationSettings"]

MANAGED_TAGS = (
    "karpenter.sh/*",
    "karpenter.k8s.aws/*",
    "eks:*",
    "aws:eks:*",
    "kubernetes.io/cluster/*",
    "k8s.io/cluster-autoscaler/*",
    "aws:elasticmapreduce:*",
    "aws:batch:*",
    "AWSBatchServiceTag",
    "parallelcluster:*",
    "Vendor=Databricks",
    "aws:ec2:fleet-id",
    "aws:ec2spot:fleet-request-id",
    "aws:ecs:*",
    "AmazonECSManaged",
)
"""What those leave on an instance who replace what goes, or whose cluster breaks without it.

Sources: the documentation of Karpenter (tagging), EKS (tags of managed node groups), the Kubernetes cloud provider for
AWS, EMR (system tags), Batch (managed compute environments), ParallelCluster (tags), Databricks (default tags), EC2
Fleet and Spot Fleet (tags of what they launch), ECS (managed instances and capacity providers).
"""

VETOING = ("auto_scaling", "service_managed", "reserved_capacity", "instance_store")
"""Obstacles that a person may wave through: the others are AWS's own."""

_UNITS = {"": 1, "k": 1000, "ki": 1024, "m": 1000**2, "mi": 1024**2, "g": 1000**3, "gi": 1024**3}


def _each(pattern: str, problem: str, *also: str) -> Callable[[Any], Any]:
    """Check each item of a list by its form; what exists is for AWS to say."""

    def check(value: Any) -> Any:
        items = split_list(value) if isinstance(value, str) else value
        for item in items if isinstance(items, (list, tuple)) else ():
            if isinstance(item, str) and item not in also and not re.fullmatch(pattern, item):
                raise ValueError(f"{item!r} {problem}")
        return items

    return check


_regions = _each(r"[a-z]{2,4}(-[a-z]+)+-\d", "is no region: write a name such as eu-central-1, or all", "all")
_roles = _each(
    r"arn:aws[a-z-]*:iam::\d{12}:role/\S+", "is no role: write its ARN, arn:aws:iam::123456789012:role/NAME"
)
_accounts = _each(r"\d{12}", "is no account: write its twelve digits")
_units = _each(
    r"ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}|r-[0-9a-z]{4,32}", "is no unit: write its id, ou-ab12-34cd56ef"
)
_obstacles = _each("|".join(VETOING), f"is no obstacle that can be allowed; there are: {', '.join(VETOING)}")


def _read_bytes(value: Any) -> Any:
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]i?)?b?\s*", str(value).lower())
    if found is None or isinstance(value, bool):
        raise ValueError(f"{str(value)[:40]!r} is no number of bytes: write 5000000, 5MB or 5MiB")
    return float(found[1]) * _UNITS[found[2] or ""]


Bytes = Annotated[
    Threshold,
    BeforeValidator(_read_bytes),
    PlainSerializer(lambda value: f"{value:.0f}", return_type=str),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string"}], "examples": ["5MB", 5000000]}),
]
"""A number of bytes above zero, with a unit or without."""


class OrganizationSettings(Section):
    """Accounts of an AWS organization, instead of naming a role for each in `[aws] roles`."""

    role: str = declared(
        "",
        "Name of the role that is assumed in each active account of the organization; empty: the organization is "
        "not asked",
        shown="unset",
        example="reaper-member",
    )
    units: Annotated[Texts, BeforeValidator(_units)] = declared(
        (),
        "Ids of organizational units, with those below them: only their accounts",
        shown="all",
        example="ou-ab12-34cd56ef",
    )
    excluded: Annotated[Texts, BeforeValidator(_accounts)] = declared(
        (),
        "Accounts that are not looked at; they are shown as such",
        shown="none",
        example="111111111111",
    )
    expect_denied: Annotated[Texts, BeforeValidator(_accounts)] = declared(
        (),
        "Accounts that may refuse the role: shown, but no failure",
        shown="none",
        example="222222222222",
    )


class AwsSettings(Section):
    """AWS. The standard AWS variables and profiles work besides."""

    regions: Annotated[Texts, BeforeValidator(_regions)] = declared(
        (),
        "Where to look. `all`: those that each account has turned on (EC2, `reaper check`, `reaper coverage`; "
        "endpoints and jobs want names)",
        shown="the session's region",
        example="eu-central-1,us-east-1",
    )
    roles: Annotated[Texts, BeforeValidator(_roles)] = declared(
        (),
        "ARNs of roles to assume, one an account, for EC2 and `reaper check`; besides the account that the "
        "credentials belong to",
        shown="none",
        example="arn:aws:iam::123456789012:role/reaper",
    )
    external_id: str = declared("", "External id that the roles ask for", shown="unset", example="fleet-4711")
    session_name: Annotated[str, Field(pattern=r"^([\w+=,.@-]{2,64})?$")] = declared(
        "", "Name of the sessions of assumed roles, as CloudTrail shows it", shown="reaper-HOST"
    )
    poll_interval: PositiveDuration = declared("5m", "The longest between looks at AWS")
    pause_parameter: str = declared(
        "",
        "Name or ARN of a Systems Manager parameter: nothing is done unless it says `run`; also not while it can't be "
        "read or is not there",
        shown="none",
        example="/reaper/pause",
    )
    organization: OrganizationSettings = OrganizationSettings()


class Ec2Settings(Section):
    """EC2 instances: from when on one is at work, and what stands against ending it."""

    cpu_cores: Threshold = declared(
        0.5, "Cores: the greatest CPUUtilization of a period times the vCPUs; 10 % of 192 are 19 busy ones"
    )
    gpu_percent: Threshold = declared(
        5.0, "Percent: the greatest utilization of any GPU in a period, by the CloudWatch agent"
    )
    bytes_per_hour: Bytes = declared(
        5e6, "Bytes an hour over the network, and to and from EBS, each: agents chatter", shown="5MB"
    )
    managed_tags: Texts = declared(
        MANAGED_TAGS,
        "Tags of those who manage instances, as `KEY` or `KEY=VALUE` with globs: what has one is never ended",
        shown="those of Karpenter, EKS, EMR, Batch, ParallelCluster, Databricks, ECS and fleets",
        example="karpenter.sh/*,Vendor=Databricks",
    )
    allow: Annotated[Texts, BeforeValidator(_obstacles)] = declared(
        (),
        f"Obstacles that do not count: {', '.join(f'`{one}`' for one in VETOING)}. With `instance_store`, a stop "
        "erases local disks",
        shown="none",
        example="instance_store",
    )
    hibernate_fallback: bool = declared(
        default=False, meaning="Whether what is to hibernate and can't is stopped instead"
    )
