"""Accounts, their credentials and roles, and the organization that they are in."""

from dataclasses import dataclass

__all__ = ["OFF", "REGIONS", "ROOT", "Account", "Caller", "Unit"]

REGIONS = (
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
)
"""The seventeen that every account has."""

OFF = ("af-south-1", "ap-east-1", "eu-south-1", "il-central-1", "me-south-1")
"""Some that an account must turn on first."""

ROOT = "r-fake"
"""The organization's root."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """An organizational unit.

    Attributes:
        id: `ou-...`.
        name: Its name.
        parent: What it is in: another unit, or `ROOT`.
    """

    id: str
    name: str
    parent: str = ROOT


@dataclass(slots=True, kw_only=True)
class Account:
    """An AWS account.

    Attributes:
        id: Its twelve digits.
        name: Its name in the organization.
        unit: Where it is in the organization: a unit's id, or `ROOT`.
        status: `ACTIVE`, `SUSPENDED`, `PENDING_CLOSURE`.
        role: Name of the role that others may assume; empty: any role of any name.
        external_id: That must come with it; empty: none is needed.
    """

    id: str
    name: str
    unit: str = ROOT
    status: str = "ACTIVE"
    role: str = ""
    external_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who some credentials belong to.

    Attributes:
        account: Of which account.
        arn: Who it is.
        user_id: Its unique id.
    """

    account: str
    arn: str
    user_id: str
