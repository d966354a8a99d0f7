"""Two doors to the same apps: the JupyterServer's own endpoint, and SageMaker's API."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from reaper.clients.aws import (
    DELETE_APP,
    DESCRIBE_APP,
    GET_METRIC_DATA,
    LIST_APPS,
    LIST_TAGS,
    Aws,
)
from reaper.clients.jupyter import Deletion, JupyterClient
from reaper.clients.studio.apps import AppModel, parse_api_app, parse_api_apps, parse_door_apps
from reaper.clients.studio.identity import Identity
from reaper.errors import SourceMalformed

__all__ = ["ApiDoor", "CanvasUse", "ServerDoor"]

_APPS = ("sagemaker", "api", "apps")
_CANVAS_NAMESPACE = "/aws/sagemaker/Canvas/AppActivity"
_CANVAS_PERIOD = timedelta(minutes=1)
_CANVAS_WINDOW = timedelta(minutes=30)
_LONGEST_S = 10 * 365 * 86400.0


class ServerDoor:
    """`sagemaker/api/apps` of a Studio Classic JupyterServer: the KernelGateway apps of its user or space.

    It needs no AWS credentials. A DELETE needs the server's `_xsrf` cookie echoed, which `JupyterClient` does.

    Args:
        client: An open client of that server; the caller closes it.
    """

    def __init__(self, client: JupyterClient) -> None:
        self._client = client

    async def apps(self) -> tuple[AppModel, ...] | None:
        """List the apps in service.

        Returns:
            The apps; None where the server has no such endpoint (404): it is no Studio Classic.

        Raises:
            SourceUnavailable, SourceDenied, SourceMalformed: As `JupyterClient`.
        """
        payload = await self._client.get_json(*_APPS)
        return None if payload is None else parse_door_apps(payload, f"GET {'/'.join(_APPS)}")

    async def delete(self, name: str) -> Deletion:
        """Delete an app.

        Raises:
            ActionUnavailable, ActionDenied, OutcomeUnknown: As `JupyterClient.delete`.
        """
        return await self._client.delete(*_APPS, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class CanvasUse:
    """What CloudWatch knows of the use of a Canvas app.

    Attributes:
        active_at: When somebody was last active.
        told_at: End of the period that tells so.
    """

    active_at: datetime
    told_at: datetime


class ApiDoor:
    """SageMaker's API, about the apps of one user profile or space.

    Args:
        aws: Whom to ask.
        identity: Whose apps.
    """

    def __init__(self, aws: Aws, identity: Identity) -> None:
        self._aws = aws
        self._identity = identity
        self._region = identity.region

    async def apps(self) -> tuple[AppModel, ...]:
        """List the apps of the owner: those of every state, deleted ones too, for a day.

        Raises:
            SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.pages`.
        """
        of = self._identity
        owner = {"SpaceNameEquals": of.space} if of.space else {"UserProfileNameEquals": of.user or ""}
        found = await self._aws.pages(LIST_APPS, region=self._region, DomainIdEquals=of.domain, **owner)
        return parse_api_apps(found or (), "ListApps")

    async def app(self, app_type: str, name: str) -> AppModel | None:
        """Look at one app; None if there is no such app.

        Raises:
            SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.read`.
        """
        answer = await self._aws.read(DESCRIBE_APP, region=self._region, **self._named(app_type, name))
        return None if answer is None else parse_api_app(answer)

    async def delete(self, app_type: str, name: str) -> Deletion:
        """Ask for the deletion of an app, which takes up to 20 minutes.

        Raises:
            ActionDenied, ActionUnavailable, OutcomeUnknown: As `Aws.act`.
        """
        answer = await self._aws.act(DELETE_APP, region=self._region, **self._named(app_type, name))
        return Deletion.GONE if answer is None else Deletion.DELETED

    async def tags(self, arn: str) -> dict[str, str]:
        """Read the tags of an app by its ARN.

        Raises:
            SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.pages`.
        """
        found = await self._aws.pages(LIST_TAGS, region=self._region, ResourceArn=arn)
        tags = {}
        for tag in found or ():
            if not isinstance(tag, dict) or not isinstance(tag.get("Key"), str):
                raise SourceMalformed(f"ListTags of {arn}: one tag has no key")
            tags[tag["Key"]] = str(tag.get("Value") or "")
        return tags

    async def canvas_use(self, now: datetime) -> CanvasUse | None:
        """Ask CloudWatch when the owner was last active in Canvas.

        Canvas reports the seconds since then (`TimeSinceLastActive`, SageMaker Developer Guide, "Logging out of
        Canvas"). Of the newest period the least counts.

        Returns:
            What it knows; None where it knows nothing of the last half hour.

        Raises:
            SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.pages`.
        """
        of = self._identity
        dimensions = [
            {"Name": "DomainId", "Value": of.domain},
            {"Name": "UserProfileName", "Value": of.user or ""},
        ]
        metric = {
            "Namespace": _CANVAS_NAMESPACE,
            "MetricName": "TimeSinceLastActive",
            "Dimensions": dimensions,
        }
        period = int(_CANVAS_PERIOD.total_seconds())
        found = await self._aws.pages(
            GET_METRIC_DATA,
            region=self._region,
            MetricDataQueries=[
                {"Id": "idle", "MetricStat": {"Metric": metric, "Period": period, "Stat": "Minimum"}},
            ],
            StartTime=now - _CANVAS_WINDOW,
            EndTime=now + _CANVAS_PERIOD,
        )
        points = [point for result in found or () for point in _points(result)]
        if not points:
            return None
        begins, seconds = max(points)
        told_at = begins + _CANVAS_PERIOD
        return CanvasUse(active_at=told_at - timedelta(seconds=seconds), told_at=told_at)

    def _named(self, app_type: str, name: str) -> dict[str, str]:
        of = self._identity
        return {"DomainId": of.domain, "AppType": app_type, "AppName": name, **of.owner_parameters}


def _points(result: Mapping[str, Any]) -> list[tuple[datetime, float]]:
    """Read one result of GetMetricData: begin of each period, and seconds.

    Raises:
        SourceMalformed: It is none.
    """
    try:
        pairs = list(zip(result.get("Timestamps") or (), result.get("Values") or (), strict=True))
        return [(at.astimezone(UTC), _seconds(value)) for at, value in pairs]
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise SourceMalformed(f"GetMetricData: can't be read: {error}") from error


def _seconds(value: object) -> float:
    seconds = float(str(value))
    if not math.isfinite(seconds):
        raise ValueError(f"{seconds} is no number of seconds")
    return min(max(seconds, 0.0), _LONGEST_S)
