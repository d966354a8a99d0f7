"""The tags of apps: people's word on what may be ended."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reaper.clients.aws import Aws
from reaper.clients.studio import ApiDoor, Identity
from reaper.clients.studio.heartbeat import HEARTBEAT_TAG, app_arn
from reaper.core.model import Resource, ResourceRef
from reaper.errors import ActionUnavailable, CollectError, SourceUnavailable

__all__ = ["Labels", "check_tags", "without_heartbeat"]

_DEADLINE_S = 3.0
"""For all questions of one look, which waits for them."""

_LOADING_S = 0.25
"""How long a look waits for AWS's client to be loaded, which then goes on aside; one right before an act waits for
`_DEADLINE_S`."""

_LOADING_AGAIN_S = 0.05
_AT_ONCE = 8
"""Questions at the same time: SageMaker throttles."""


@dataclass(frozen=True, slots=True)
class _Known:
    tags: Mapping[str, str]
    read_at: datetime


class Labels:
    """The tags of the apps that a JupyterServer's own endpoint lists, which tells none: asked for at SageMaker's API.

    Studio Classic works without any permission: where tags can't be read, an app has those that were read before, or
    none, and people are told.

    Args:
        identity: Whose apps; where it names no account or no domain, nobody can be asked.
        aws: Whom to ask.
        interval: How long an answer holds, and how long nothing is asked after a failure.
    """

    def __init__(self, identity: Identity | None, aws: Aws, interval: timedelta) -> None:
        self.notes: tuple[str, ...] = ()
        """What the latest look has to tell people."""
        inside = identity is not None and bool(identity.account and identity.domain)
        self._identity = identity if inside else None
        self._aws = aws
        self._interval = interval
        self._known: dict[ResourceRef, _Known] = {}
        self._waits_since: datetime | None = None
        self._failure: tuple[datetime, str] | None = None

    def of(self, ref: ResourceRef) -> Mapping[str, str]:
        """Give the tags of an app, as far as they are known."""
        known = self._known.get(ref)
        return {} if known is None else known.tags

    async def look(
        self, refs: Sequence[ResourceRef], targets: Collection[ResourceRef], now: datetime
    ) -> None:
        """Read the tags that are due; bounded in time.

        Args:
            refs: All apps that are there; what is known of others is forgotten.
            targets: Those that may be acted on next: they are read anew.
            now: The look's instant.
        """
        if self._identity is None:
            return
        self._known = {ref: known for ref, known in self._known.items() if ref in refs}
        pause = self._failure is not None and _within(self._failure[0], now, self._interval)
        due = [
            ref for ref in refs if ref in targets or not (pause or self._is_known(ref, now, self._interval))
        ]
        if due:
            await self._read(self._identity, due, now, urgent=any(ref in targets for ref in due))
        stale = [ref for ref in refs if not self._is_known(ref, now, 2 * self._interval)]
        self.notes = ()
        if self._failure is not None and stale:
            said = "so reaper:protect and reaper:hold-until on them are not seen"
            self.notes = (f"tags of apps can't be read, {said}: {self._failure[1]}",)

    async def _read(
        self, identity: Identity, refs: Sequence[ResourceRef], now: datetime, *, urgent: bool
    ) -> None:
        problem = await self._loading(_DEADLINE_S if urgent else _LOADING_S)
        if problem is not None:
            self._waits_since = self._waits_since or now
            if urgent or not _within(self._waits_since, now, self._interval):
                self._failure = now, problem
            return
        self._waits_since = None
        api, turn = ApiDoor(self._aws, identity), asyncio.Semaphore(_AT_ONCE)
        end = asyncio.get_running_loop().time() + _DEADLINE_S

        async def one(ref: ResourceRef) -> str | None:
            try:
                async with asyncio.timeout_at(end), turn:
                    self._known[ref] = _Known(await api.tags(_arn(identity, ref)), now)
            except TimeoutError:
                return f"sagemaker ListTags in {identity.region}: no answer within {_DEADLINE_S:g} s"
            except CollectError as error:
                return str(error)
            return None

        problems = await asyncio.gather(*(one(ref) for ref in refs))
        self._failure = next(((now, said) for said in problems if said is not None), None)

    async def _loading(self, seconds: float) -> str | None:
        """Wait for AWS's client; say why it is not there yet, None: it is."""
        problem = "AWS's client is not loaded yet"
        try:
            async with asyncio.timeout(seconds):
                while True:
                    try:
                        await self._aws.models.loader()
                    except SourceUnavailable as error:  # it goes on aside
                        problem = str(error)
                    else:
                        return None
                    await asyncio.sleep(_LOADING_AGAIN_S)
        except TimeoutError:
            return problem

    def _is_known(self, ref: ResourceRef, now: datetime, span: timedelta) -> bool:
        known = self._known.get(ref)
        return known is not None and _within(known.read_at, now, span)


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


def _arn(identity: Identity, ref: ResourceRef) -> str:
    """Name an app as SageMaker does. Pure."""
    _, _, app_type, name = ref.id.split("/", 3)
    return app_arn(replace(identity, app_type=app_type, app_name=name))


def _within(since: datetime, now: datetime, span: timedelta) -> bool:
    """Tell whether an instant lies in a span that ends now; a clock that was set back is out of it. Pure."""
    return since <= now < since + span
