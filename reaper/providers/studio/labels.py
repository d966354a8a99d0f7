"""The tags of apps: people's word on what may be ended."""

from collections.abc import Mapping

from reaper.clients.studio import ApiDoor
from reaper.clients.studio.heartbeat import HEARTBEAT_TAG
from reaper.core.model import Resource
from reaper.errors import ActionUnavailable

__all__ = ["check_tags", "without_heartbeat"]


def without_heartbeat(tags: Mapping[str, str]) -> dict[str, str]:
    """Leave out our own tag: written ever anew, it is no news of the app. Pure."""
    return {key: value for key, value in tags.items() if key.lower() != HEARTBEAT_TAG}


async def check_tags(api: ApiDoor, arn: str | None, resource: Resource) -> None:
    """Make sure right before an act that an app's tags are those that were decided on.

    A rule by age reads no signals, so that tags could not be read keeps nothing from it.

    Raises:
        ActionUnavailable: They are others now, and one may protect it.
        CollectError: They can't be read.
    """
    if arn is None:
        raise ActionUnavailable("not sent: DescribeApp does not name its ARN, so its tags can't be read")
    if without_heartbeat(await api.tags(arn)) != dict(resource.tags):
        raise ActionUnavailable("not sent: its tags have changed since it was decided on")
