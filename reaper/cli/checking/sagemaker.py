"""SageMaker's part of `reaper check`: apps, notebook instances and endpoints of one account and region."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from reaper.cli.checking.rows import Row, exempt
from reaper.clients.aws import (
    LIST_APPS,
    LIST_DOMAINS,
    LIST_ENDPOINT_TAGS,
    LIST_NOTEBOOK_INSTANCE_TAGS,
    LIST_TAGS,
    Aws,
    Operation,
)
from reaper.clients.aws.fleet import LIST_NOTEBOOK_INSTANCES
from reaper.clients.prices import key_of
from reaper.clients.sagemaker import list_endpoints, read_tags
from reaper.clients.sagemaker.instances import parse_instance
from reaper.clients.studio import APP_TYPES, SYSTEM
from reaper.clients.studio.apps import parse_api_app
from reaper.errors import CollectError, SourceMalformed

__all__ = ["app_rows", "endpoint_rows", "notebook_rows"]

_RUNS = frozenset({"InService", "Pending", "Updating", "SystemUpdating", "RollingBack", "Creating"})
"""States that are paid for."""

_AT_ONCE = 8
"""Questions about tags at the same time: SageMaker throttles by account."""


async def app_rows(aws: Aws, scope: str, now: datetime) -> AsyncIterator[list[Row]]:
    """Give the Studio apps that run on an instance of their own.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.pages`; after the apps, where tags can't be read: what
            protects an app is not known then.
    """
    account, _, region = scope.partition("/")
    if not await aws.pages(LIST_DOMAINS, region=region):
        return  # no domain, no apps
    found = []
    for item in await aws.pages(LIST_APPS, region=region) or ():
        if not isinstance(item, Mapping):
            raise SourceMalformed(f"ListApps in {region}: one app can't be read")
        app, domain = parse_api_app(item), str(item.get("DomainId") or "")
        space, user = item.get("SpaceName"), item.get("UserProfileName")
        owner = str(space or user or "")
        if app.status not in _RUNS or app.instance_type in (None, SYSTEM):
            continue
        by = "--space-name" if space else "--user-profile-name"
        end = ("sagemaker", "delete-app", "--domain-id", domain, by, owner)
        row = _row(
            "studio.app",
            f"{domain}/{owner}/{app.app_type}/{app.name}",
            scope,
            now,
            name=app.name,
            owner=owner or None,
            instance_type=app.instance_type,
            started_at=app.created_at,
            attributes={"app_type": app.app_type},
            end=(*end, "--app-type", app.app_type, "--app-name", app.name),
        )
        kind = next((one for one in APP_TYPES if one == app.app_type), app.app_type).lower()
        partition = (
            "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
        )
        arn = (
            app.arn or f"arn:{partition}:sagemaker:{region}:{account}:app/{domain}/{owner}/{kind}/{app.name}"
        )
        found.append((row, arn))
    problem = await _read_tags(aws, region, LIST_TAGS, found, now)
    yield [row for row, _ in found]
    if problem is not None:
        raise problem


async def notebook_rows(aws: Aws, scope: str, now: datetime) -> AsyncIterator[list[Row]]:
    """Give the notebook instances that run. Of their start only LastModifiedTime is told.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `app_rows`.
    """
    region = scope.partition("/")[2]
    found = []
    for item in await aws.pages(LIST_NOTEBOOK_INSTANCES, region=region) or ():
        if not isinstance(item, Mapping):
            raise SourceMalformed(f"ListNotebookInstances in {region}: one can't be read")
        one = parse_instance(item)
        if one.status not in _RUNS:
            continue
        row = _row(
            "sagemaker.notebook_instance",
            one.name,
            scope,
            now,
            name=one.name,
            owner=None,
            instance_type=one.instance_type or None,
            started_at=one.modified_at,
            attributes={},
            end=("sagemaker", "stop-notebook-instance", "--notebook-instance-name", one.name),
        )
        found.append((row, one.arn))
    problem = await _read_tags(aws, region, LIST_NOTEBOOK_INSTANCE_TAGS, found, now)
    yield [row for row, _ in found]
    if problem is not None:
        raise problem


async def endpoint_rows(aws: Aws, scope: str, now: datetime) -> AsyncIterator[list[Row]]:
    """Give the endpoints that run. What they run on is in their configurations, which are not asked for.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `app_rows`.
    """
    region = scope.partition("/")[2]
    found = []
    for one in await list_endpoints(aws, region):
        if one.status not in _RUNS:
            continue
        row = _row(
            "sagemaker.endpoint",
            one.name,
            scope,
            now,
            name=one.name,
            owner=None,
            instance_type=None,
            started_at=one.created_at,
            attributes={},
            end=("sagemaker", "delete-endpoint", "--endpoint-name", one.name),
        )
        found.append((row, one.arn))
    problem = await _read_tags(aws, region, LIST_ENDPOINT_TAGS, found, now)
    yield [row for row, _ in found]
    if problem is not None:
        raise problem


def _row(
    kind: str,
    name_of_it: str,
    scope: str,
    now: datetime,
    *,
    name: str,
    owner: str | None,
    instance_type: str | None,
    started_at: datetime | None,
    attributes: Mapping[str, Any],
    end: tuple[str, ...],
) -> Row:
    return Row(
        kind=kind,
        id=name_of_it,
        scope=scope,
        name=name,
        owner=owner,
        instance_type=instance_type,
        spot=None,
        runtime_s=None if started_at is None else max(0.0, (now - started_at).total_seconds()),
        exempt=None,
        end=end,
        key=key_of(kind, scope, {"instance_type": instance_type, **attributes}),
    )


async def _read_tags(
    aws: Aws, region: str, operation: Operation, found: list[tuple[Row, str]], now: datetime
) -> CollectError | None:
    """Read the tags of each: they say whether it is exempt, and whose it is. Gives what went wrong."""
    from reaper.providers.ec2.shaping import owner_of

    turns = asyncio.Semaphore(_AT_ONCE)

    async def one(row: Row, arn: str) -> CollectError | None:
        try:
            async with turns:
                tags = await read_tags(aws, operation, arn, region)
        except CollectError as error:
            return error
        row.exempt = exempt(tags, now)
        row.owner = owner_of(tags) or row.owner
        return None

    problems = await asyncio.gather(*(one(row, arn) for row, arn in found))
    return next((problem for problem in problems if problem is not None), None)
