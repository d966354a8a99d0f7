"""The heartbeat: a reaper inside an app says so, in a tag on that app, for `reaper coverage` to read.

It is never a reason for a look to fail, and nothing is decided by it.
"""

import asyncio
from datetime import datetime, timedelta

from reaper import __version__
from reaper.clients.aws import ADD_TAGS, Aws
from reaper.clients.studio import Identity
from reaper.clients.studio.heartbeat import EVERY, HEARTBEAT_TAG, Heartbeat, app_arn, write_heartbeat
from reaper.errors import ActionDenied, ActionError, SourceUnavailable
from reaper.providers.studio.options import StandingOf

__all__ = ["Heart"]

_DEADLINE_S = 3.0
"""For one attempt: a look waits for it."""

_LOADING_S = 0.25
"""How long a look waits for AWS's client to be loaded, which then goes on aside: where the JupyterServer's own endpoint
lists the apps, nothing else needs it, and on a machine that boots it takes seconds."""

_FIRST_PAUSE = timedelta(minutes=1)
"""After an attempt that failed; doubled with each further one, until it is `EVERY`."""

_SILENT_FAILURES = 1
"""So many failures in a row are not told: an answer may be lost."""


class Heart:
    """Leaves the heartbeat of the reaper in one app: soon after its start, when what it says changes, and every hour.

    Args:
        identity: The app; None where nobody knows: then there is nothing to leave it on.
        aws: Whom to tell.
        standing: Tells what is in force here; None: no heartbeat.
    """

    def __init__(self, identity: Identity | None, aws: Aws, standing: StandingOf | None) -> None:
        self.problem: str | None = None
        """Why the latest attempts failed, for people; None: they did not."""
        inside = identity is not None and bool(identity.account and identity.domain)
        self._identity = identity if inside and standing is not None else None
        self._standing = standing
        self._aws = aws
        self._due_at: datetime | None = None
        self._said: tuple[object, ...] = ()
        self._failures = 0

    async def beat(self, door: str, now: datetime) -> None:
        """Leave it, if it is due; bounded in time.

        Args:
            door: By which the apps are reached now.
            now: The look's instant.
        """
        if self._identity is None or self._standing is None:
            return
        standing = self._standing()
        saying = (standing, door)
        fresh = self._due_at is not None and now < self._due_at <= now + EVERY  # a clock may be set back
        if (fresh and (saying == self._said or self._failures)) or not await self._loaded():
            return
        value = write_heartbeat(
            Heartbeat(
                version=__version__,
                idle_timeout=standing.idle_timeout,
                at=now,
                mode=standing.mode,
                door=door,
            )
        )
        problem, denied = await self._write(self._identity, value)
        if problem is None:
            self._failures, self.problem = 0, None
            self._due_at, self._said = now + EVERY, saying
            return
        pause = min(EVERY, _FIRST_PAUSE * 2 ** min(self._failures, 10))
        self._failures += 1
        self._due_at = now + pause
        if denied or self._failures > _SILENT_FAILURES:
            self.problem = f"'reaper coverage' can't see this reaper: {problem}"

    async def _loaded(self) -> bool:
        try:
            async with asyncio.timeout(_LOADING_S):
                await self._aws.models.loader()
        except (TimeoutError, SourceUnavailable):
            return False
        return True

    async def _write(self, identity: Identity, value: str) -> tuple[str | None, bool]:
        """Write the tag; give what went wrong, and whether it was refused."""
        arn = app_arn(identity)
        tags = [{"Key": HEARTBEAT_TAG, "Value": value}]
        try:
            async with asyncio.timeout(_DEADLINE_S):
                await self._aws.act(ADD_TAGS, region=identity.region, ResourceArn=arn, Tags=tags)
        except TimeoutError:
            return f"sagemaker AddTags in {identity.region}: no answer within {_DEADLINE_S:g} s", False
        except ActionError as error:
            return str(error), isinstance(error, ActionDenied)
        return None, False
