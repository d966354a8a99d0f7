"""An app of Studio Classic and the kernel in it: two providers name the app alike, whatever becomes of the file."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, cast

import pytest

from reaper.clients.jupyter import (
    JupyterClient,
    KernelModel,
    ServerAddress,
    ServerStatus,
    SessionModel,
)
from reaper.core.batch import fold_look
from reaper.core.decide import Decision, decide
from reaper.core.model import Collected, ResourceKey
from reaper.core.verdict import Reason, Verdict
from reaper.core.world import World
from reaper.errors import ActionUnavailable
from reaper.plugins import Look, Source
from reaper.providers.jupyter.options import JupyterOptions
from reaper.providers.jupyter.processes import HostShare
from reaper.providers.jupyter.source import JupyterSource
from reaper.providers.studio import StudioOptions, StudioProvider
from reaper.testing import T0, FakeClock, hours, minutes, policy, rules
from tests.unit.clients.studio_server import ClassicServer, serving_classic

RULES = rules(
    policy("kernels", timeout=hours(2)),
    policy("apps", kind="studio.app", action="delete", timeout=hours(2)),
)
CLASSIC = {
    "AppType": "JupyterServer",
    "DomainId": "d-1",
    "UserProfileName": "ada",
    "ResourceArn": "arn:aws:sagemaker:eu-west-1:123456789012:app/d-1/ada/jupyterserver/default",
    "ResourceName": "default",
}
NAMED_BY_OWNER = ResourceKey("studio.app", "123456789012/eu-west-1", "d-1/ada/KernelGateway/ds-1")

GONE: Callable[[Path], Any] = Path.unlink
SPOILED = pytest.mark.parametrize(
    "spoil", [GONE, lambda file: file.write_text("half {")], ids=["gone", "half written"]
)


class Kernels:
    """What the server says of its kernels: one, in an app. Stands for `JupyterClient`."""

    server_offset: float | None = None

    def __init__(self) -> None:
        self.state = "busy"

    async def status(self) -> ServerStatus:
        return ServerStatus(started=T0 - hours(5), last_activity=T0 - hours(5))

    async def kernels(self) -> list[KernelModel]:
        quiet_since = T0 - hours(5)
        return [KernelModel(id="k", name="python3", execution_state=self.state, last_activity=quiet_since)]

    async def sessions(self) -> list[SessionModel]:
        return [SessionModel(id="s", kernel_id="k", app_name="ds-1")]

    async def terminals(self) -> None:
        return None

    async def keepalive(self) -> None:
        return None

    async def notebook_saved_at(self, path: str) -> None:
        return None

    async def get_json(self, *path: str) -> Any:
        return [{"app_name": "ds-1", "environment_arn": "arn", "instance_type": "ml.t3.medium"}]

    async def __aenter__(self) -> Self:
        return self

    async def aclose(self) -> None:
        pass


class Place:
    """A container of Studio Classic, with both providers' view of it."""

    def __init__(self, folder: Path, server: ClassicServer) -> None:
        self.file = folder / "resource-metadata.json"
        self.server = server
        self.clock = FakeClock()
        options = StudioOptions(metadata_file=self.file, urls=(server.url,), runtime_dirs=(folder,))
        self.studio = StudioProvider(options, self.clock)
        self.kernels = Kernels()
        self.jupyter = JupyterSource(
            ServerAddress(url=server.url),
            JupyterOptions(metadata_file=self.file),
            HostShare(self.clock),
            self.clock,
        )
        self.jupyter._client = cast(JupyterClient, self.kernels)
        self.jupyter._saves._client = self.jupyter._client
        self.world = World(max_gap=hours(4))
        self.polls = 0

    def is_classic(self) -> None:
        self.file.write_text(json.dumps(CLASSIC))

    async def apps(self) -> Source:
        (source,) = (await self.studio.discover(self.clock.now(), {})).sources
        return source

    async def look(self, source: Source, after: timedelta = timedelta(0)) -> Collected:
        self.clock.advance(after)
        self.polls += 1
        seen = await source.collect(Look(poll_id=self.polls, at=self.clock.now(), deadline=5.0))
        fold_look(self.world, seen)
        return seen

    async def parent(self) -> ResourceKey | None:
        seen = await self.look(self.jupyter, minutes(1))
        (kernel,) = seen.resources
        return kernel.parent_key

    def decision(self) -> Decision:
        found = decide(self.world, RULES, self.clock.now())
        (app,) = [one for one in found if one.ref.kind == "studio.app"]
        return app


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with serving_classic("ds-1") as server:
        one = Place(tmp_path, server)
        yield one
        await one.jupyter.close()
        await one.studio.close()


@SPOILED
async def test_a_kernel_stays_in_its_app_whatever_becomes_of_the_file(
    place: Place, spoil: Callable[[Path], Any]
) -> None:
    place.is_classic()
    assert await place.parent() == NAMED_BY_OWNER
    spoil(place.file)
    assert await place.parent() == NAMED_BY_OWNER


@SPOILED
async def test_what_one_provider_has_read_the_other_knows(place: Place, spoil: Callable[[Path], Any]) -> None:
    place.is_classic()
    await place.apps()
    spoil(place.file)
    assert await place.parent() == NAMED_BY_OWNER


async def test_what_nobody_has_read_names_no_owner(place: Place) -> None:
    place.file.write_text("half {")
    (app,) = (await place.look(await place.apps())).resources
    assert (
        await place.parent()
        == app.ref.key
        == ResourceKey("studio.app", place.server.url, "KernelGateway/ds-1")
    )


@SPOILED
async def test_an_app_with_a_busy_kernel_is_kept_when_the_file_goes(
    place: Place, spoil: Callable[[Path], Any]
) -> None:
    place.is_classic()
    apps = await place.apps()
    await place.look(apps)
    await place.look(place.jupyter)
    spoil(place.file)
    await place.look(place.jupyter, hours(3))
    await place.look(apps)
    busy = place.decision()
    assert (busy.verdict, busy.reason, busy.to_act) == (Verdict.WAIT, Reason.ACTIVE, False)
    place.kernels.state = "idle"
    for _ in range(2):
        await place.look(place.jupyter, hours(3))
        await place.look(apps)
    assert place.decision().to_act, "it was the kernel that kept it, and nothing else"


async def test_an_app_that_has_another_name_now_is_not_deleted_by_the_old_one(place: Place) -> None:
    """The Studio provider found no file; then it came, and the Jupyter provider was the first to read it."""
    apps = await place.apps()
    (app,) = (await place.look(apps)).resources
    assert app.ref.scope == place.server.url
    place.is_classic()
    assert await place.parent() == NAMED_BY_OWNER
    with pytest.raises(ActionUnavailable, match="says whose apps these are"):
        await apps.act(app, "delete")
    seen = await place.look(apps)
    assert (seen.poll.complete, seen.resources, place.server.deleted) == (False, (), [])
    (app,) = (await place.look(await place.apps())).resources
    assert app.ref.key == NAMED_BY_OWNER
    await apps.close()
