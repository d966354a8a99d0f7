"""A Studio source on the fake, looked at as the daemon does."""

from datetime import datetime, timedelta
from pathlib import Path

import botocore
from botocore.loaders import Loader

from reaper.clients.aws import Aws, AwsOptions, Models, trimmed
from reaper.clients.host import Thresholds
from reaper.clients.jupyter import ServerAddress
from reaper.clients.prices import PriceBook
from reaper.clients.studio import Identity
from reaper.core.model import Activity, Collected, Observation, Resource
from reaper.plugins import Look
from reaper.providers.studio import StudioOptions
from reaper.providers.studio.options import StandingOf
from reaper.providers.studio.source import StudioSource
from reaper.testing import FakeClock
from reaper.testing.studio import App

__all__ = ["Watching", "identity_of", "made_models", "said", "signals"]

MINUTE = timedelta(minutes=1)


def identity_of(app: App) -> Identity:
    """Say what the metadata file says inside an app."""
    in_space = type(app.owner).__name__ == "Space"
    return Identity(
        account=app.domain.place.account,
        region=app.domain.place.region,
        domain=app.domain.id,
        user=None if in_space else app.owner.name,
        space=app.owner.name if in_space else None,
        app_type=app.type,
        app_name=app.name,
    )


def made_models(cache: Path) -> Models:
    """Make the trimmed service models beforehand: on a busy machine that takes longer than a look has."""
    trimmed.build(trimmed.place(cache, botocore.__version__), Loader())
    return Models(cache)


class Watching:
    """A source for the owner of the app that it runs in, looked at every minute.

    Args:
        clock: The fake's.
        inside: The app that reaper runs in.
        models: Service models, shared by a module's tests.
        servers: Jupyter servers in that app.
        editor_data: As in `StudioOptions`.
        standing: As in `StudioOptions`.
    """

    def __init__(
        self,
        clock: FakeClock,
        inside: App,
        models: Models,
        servers: tuple[ServerAddress, ...] = (),
        editor_data: tuple[Path, ...] = (),
        standing: StandingOf | None = None,
    ) -> None:
        self.clock = clock
        self.aws = Aws(AwsOptions(attempts=1, connect_timeout_s=2, read_timeout_s=1), models)
        options = StudioOptions(
            apps="api",
            editor_data=editor_data,
            thresholds=Thresholds(min_interval=0.2),
            aws_interval=5 * MINUTE,
            prices=PriceBook(clock),
            standing=standing,
        )
        self.source = StudioSource(identity_of(inside), servers, options, self.aws, clock)
        self.polls = 0

    async def look(self, after: timedelta = MINUTE) -> Collected:
        """Look once, some time later."""
        self.clock.advance(after)
        self.polls += 1
        return await self.source.collect(Look(poll_id=self.polls, at=self.clock.now(), deadline=60.0))

    async def resources(self, after: timedelta = MINUTE) -> dict[str, Resource]:
        """Look once, completely, and give what is there by name."""
        seen = await self.look(after)
        assert seen.poll.complete, seen.poll.error
        return {resource.name: resource for resource in seen.resources}

    async def close(self) -> None:
        """Close everything."""
        await self.source.close()
        await self.aws.close()


def signals(seen: Collected, name: str) -> dict[str, Observation]:
    """Give what each signal said of an app."""
    (ref,) = [resource.ref for resource in seen.resources if resource.name == name]
    return {o.signal: o for o in seen.observations if o.ref == ref}


def said(seen: Collected, name: str, signal: str = "status") -> tuple[Activity, datetime | None]:
    """Give what one signal said of an app."""
    found = signals(seen, name)[signal]
    return found.activity, found.evidence_at
