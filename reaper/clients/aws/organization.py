"""The accounts of an AWS organization."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reaper.clients.aws.fleet import LIST_ACCOUNTS, LIST_ACCOUNTS_OF_PARENT, LIST_CHILDREN
from reaper.clients.aws.policy import partition_of
from reaper.clients.aws.session import Aws
from reaper.errors import SourceMalformed

__all__ = ["OrganizationOptions", "accounts_of"]

_ENDPOINTS = {"aws-cn": "cn-northwest-1", "aws-us-gov": "us-gov-west-1"}
"""Where an organization is asked, by partition (AWS General Reference); elsewhere in us-east-1."""

_DEEPEST = 6
"""Levels of units: an organization has five below its root (AWS Organizations, quotas)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrganizationOptions:
    """Which accounts of an organization are looked at.

    Attributes:
        role: Name of the role to assume in each; empty: the organization is not asked.
        units: Ids of organizational units, with those below them; empty: all.
        excluded: Accounts that are not looked at.
        expect_denied: Accounts that may refuse the role.
    """

    role: str = ""
    units: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    expect_denied: tuple[str, ...] = ()


async def accounts_of(aws: Aws, region: str, options: OrganizationOptions) -> dict[str, str]:
    """List the active accounts, by id, with their names.

    Args:
        aws: Of the management account, or of one that administers the organization for it: no other may ask.
        region: Of the same partition.
        options: Which units.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.pages`.
    """
    endpoint = _ENDPOINTS.get(partition_of(region), "us-east-1")
    if not options.units:
        return _active(await aws.pages(LIST_ACCOUNTS, region=endpoint) or [])
    found: dict[str, str] = {}
    level = list(dict.fromkeys(options.units))
    seen = set(level)
    for _ in range(_DEEPEST):
        answers = await asyncio.gather(*(_unit(aws, endpoint, unit) for unit in level))
        below = [child for _, children in answers for child in children]
        for accounts, _ in answers:
            found |= accounts
        level = [child for child in dict.fromkeys(below) if child not in seen]
        seen.update(level)
        if not level:
            break
    return found


async def _unit(aws: Aws, region: str, unit: str) -> tuple[dict[str, str], list[str]]:
    """Give the accounts that are directly in a unit, and the units."""
    accounts = await aws.pages(LIST_ACCOUNTS_OF_PARENT, region=region, ParentId=unit)
    children = await aws.pages(LIST_CHILDREN, region=region, ParentId=unit, ChildType="ORGANIZATIONAL_UNIT")
    return _active(accounts or []), [_text(child, "Id") for child in children or ()]


def _active(accounts: list[Any]) -> dict[str, str]:
    """Leave out those that are suspended or being closed: their roles can't be assumed. Pure."""
    found = {}
    for item in accounts:
        account = _text(item, "Id")
        state = item.get("State") or item.get("Status") or "ACTIVE"
        if state == "ACTIVE":
            found[account] = str(item.get("Name") or "")
    return found


def _text(item: object, key: str) -> str:
    value = item.get(key) if isinstance(item, Mapping) else None
    if not isinstance(value, str) or not value:
        raise SourceMalformed(f"organizations: an item has no {key}")
    return value
