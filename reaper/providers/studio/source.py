"""One user profile or space as a source: its apps, by one of two doors, and the container that we run in."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from reaper.clients.aws import Aws
from reaper.clients.jupyter import Deletion, ServerAddress
from reaper.clients.studio import AppModel, Around, Identity, Said, Surroundings
from reaper.clock import Clock
from reaper.core.codec import instant_to_text
from reaper.core.model import Collected, Poll, Resource, ResourceRef
from reaper.errors import (
    ActionDenied,
    ActionUnavailable,
    CollectError,
    OutcomeUnknown,
    SourceDenied,
    SourceMalformed,
)
from reaper.plugins import ActOutcome, Look
from reaper.providers.studio.assemble import Assembly
from reaper.providers.studio.doors import Doors, Listing
from reaper.providers.studio.heartbeat import Heart
from reaper.providers.studio.labels import Labels, check_tags
from reaper.providers.studio.lives import Lives
from reaper.providers.studio.options import StudioOptions
from reaper.providers.studio.states import ENDED, SELF_DELETING, canvas, refusal

__all__ = ["StudioSource", "source_name"]

_APP_PORT = 8888
"""Where every Studio app serves (SageMaker Developer Guide, custom images)."""
_GONE = "it was gone already"
_ALREADY_DELETED = ("already been deleted", "was automatically deleted")
"""How DeleteApp, in a ValidationException, says that there is nothing left to do."""


def source_name(identity: Identity | None, servers: Sequence[ServerAddress]) -> str:
    """Name a source: after the owner, else after the server that lists the apps. Pure."""
    if identity is not None and identity.account:
        return f"studio:{identity.scope}/{identity.domain}/{identity.owner}"
    return f"studio:{servers[0].url}" if servers else "studio:"


class StudioSource:
    """The apps of one user profile or space.

    Args:
        identity: Whose; None where no metadata file says so.
        servers: Jupyter servers of this container.
        options: The settings.
        aws: Shared with other sources; the provider closes it.
        clock: Tells the instants.
        memo: What earlier looks left.
    """

    def __init__(
        self,
        identity: Identity | None,
        servers: Sequence[ServerAddress],
        options: StudioOptions,
        aws: Aws,
        clock: Clock,
        memo: Mapping[str, object] | None = None,
    ) -> None:
        memo = memo or {}
        self.name = source_name(identity, servers)
        self.identity = identity
        self.servers = tuple(servers)
        self._options = options
        self._aws = aws
        self._clock = clock
        self._doors = Doors(identity, servers, options, aws, clock, before=str(memo.get("door", "")))
        self._lives = Lives()
        self._lives.restore(memo.get("lives"))
        container = memo.get("container")
        self._around = Around(
            clock,
            thresholds=options.thresholds,
            boot_period=options.boot_period,
            ports=(_APP_PORT,),
            editor_data=options.editor_data,
            memo=container if isinstance(container, dict) else None,
        )
        self._heart = Heart(identity, aws, options.standing)
        self._labels = Labels(identity, aws, options.aws_interval)
        self._arns: dict[ResourceRef, str] = {}
        self._seen: dict[str, ResourceRef] | None = None

    @property
    def interval(self) -> timedelta | None:
        """The longest between looks: AWS is asked more seldom than a server in the same container."""
        return self._options.aws_interval if self._doors.chosen == "api" else None

    async def collect(self, look: Look) -> Collected:
        """Look once; where the apps can't be listed, nothing is known."""
        try:
            async with asyncio.timeout(look.deadline):
                found = await self._collect(look)
        except TimeoutError:
            found = self._failed(look, f"no complete answer within {look.deadline:g} s")
        except CollectError as error:
            found = self._failed(look, str(error))
        if look.refs is None:  # what is about to be acted on does not wait
            await self._heart.beat(self._doors.chosen, look.at)
        said = self._heart.problem
        return found if said is None else replace(found, notes=(*found.notes, said))

    async def act(self, resource: Resource, action: str) -> ActOutcome:
        """Delete an app, after one more look at it; gone already is success, and so is another one of its name."""
        if action != "delete":
            raise ActionDenied(f"{resource.ref.kind} knows no action {action!r}, only delete")
        app_type = str(resource.attributes.get("app_type", ""))
        instance_type = resource.attributes.get("instance_type")
        refused = refusal(app_type, None if instance_type is None else str(instance_type))
        if refused is not None:
            raise ActionDenied(refused)
        if self._seen is None:
            raise ActionUnavailable(
                "its user's apps have not been looked at since reaper or their server began"
            )
        if self._seen.get(resource.ref.id) != resource.ref:
            return ActOutcome(gone=True, detail=_GONE, ours=False)
        if self._doors.chosen == "server":
            return await self._delete_by_server(resource)
        return await self._delete_by_api(resource, app_type)

    async def close(self) -> None:
        """Close connections."""
        self._around.close()
        await self._doors.close()

    async def _collect(self, look: Look) -> Collected:
        listing = await self._doors.look()
        if listing.door == "server":
            self._lives.forget_all_but({app.name for app in listing.apps})
        apps, notes = self._to_judge(listing)
        around = None
        if self.identity is not None and any(self._is_own(app) for app in apps):
            around = await self._around.look(self.identity.app_type, self.servers, look.at)
        assembly = Assembly(
            identity=self.identity, server_url=listing.server_url, door=listing.door, now=look.at
        )
        lives = [(app, *self._life(app, look.at)) for app in apps]
        if listing.door == "server":
            refs = [assembly.ref(app, incarnation) for app, _, incarnation in lives]
            await self._labels.look(refs, look.refs or (), look.at)
            notes += self._labels.notes
        await asyncio.gather(*(self._add(assembly, *life, around) for life in lives))
        self._seen = {resource.ref.id: resource.ref for resource in assembly.resources}
        self._arns = {ref: arn for ref, arn in self._arns.items() if ref in self._seen.values()}
        poll = Poll(
            id=look.poll_id,
            source=self.name,
            started_at=look.at,
            finished_at=self._clock.now(),
            complete=True,
        )
        return Collected(
            poll=poll,
            resources=tuple(map(self._priced, assembly.resources)),
            observations=tuple(assembly.observations),
            memo={
                "door": self._doors.chosen,
                "lives": self._lives.memo(),
                "container": self._around.memo(),
            },
            notes=notes,
        )

    def _priced(self, app: Resource) -> Resource:
        return app if self._options.prices is None else self._options.prices.priced(app)

    def _to_judge(self, listing: Listing) -> tuple[list[AppModel], tuple[str, ...]]:
        """Give the living apps that are ours to judge, each once, and what to tell of the others.

        Raises:
            SourceMalformed: One of them can't be told from another life.
        """
        found: dict[tuple[str, str], AppModel] = {}
        left = False
        living = [app for app in listing.apps if app.status not in ENDED]
        for app in living:
            if refusal(app.app_type, app.instance_type) is not None:
                continue
            if listing.door == "api" and app.created_at is None:
                raise SourceMalformed(f"ListApps: of {app.app_type} {app.name}: {app.problem}")
            if app.app_type == "KernelGateway" and not self._sees_kernels:
                left = True
            elif app.app_type not in SELF_DELETING or self._is_own(app):
                known = found.get((app.app_type, app.name))
                if known is None or _later(app, known):
                    found[app.app_type, app.name] = app
        notes = []
        if left:
            notes.append(
                "KernelGateway apps are left to the reaper in their JupyterServer app: kernels show there"
            )
        here = self.identity
        if here is not None and here.app_type in SELF_DELETING and not any(map(self._is_own, living)):
            notes.append(
                f"SageMaker does not list the app that we run in ({here.app_type}/{here.app_name} of "
                f"{here.owner}): nothing ends it"
            )
        if self._aws.models.problem is not None:
            notes.append(f"{self._aws.models.problem}; AWS costs 20 MB more memory")
        return list(found.values()), tuple(notes)

    @property
    def _sees_kernels(self) -> bool:
        return self.identity is None or self.identity.app_type == "JupyterServer"

    def _is_own(self, app: AppModel) -> bool:
        """Tell whether it is the app that we run in, and one that only we can judge."""
        here = self.identity
        if here is None or app.app_type not in SELF_DELETING:
            return False
        return (app.app_type, app.name) == (here.app_type, here.app_name)

    def _life(self, app: AppModel, now: datetime) -> tuple[datetime | None, str]:
        """Tell since when this life of an app has been, and its name."""
        if app.created_at is not None:
            return app.created_at, instant_to_text(app.created_at)
        life = self._lives.see(app.name, now)
        return life.began_at, life.incarnation

    async def _add(
        self,
        assembly: Assembly,
        app: AppModel,
        began_at: datetime | None,
        incarnation: str,
        around: Surroundings | None,
    ) -> None:
        assembly.app(
            app,
            incarnation=incarnation,
            began_at=began_at,
            tags=await self._tags(app, assembly.ref(app, incarnation)),
            canvas=await self._canvas(assembly.now) if app.app_type == "Canvas" else None,
            surroundings=around if self._is_own(app) else None,
        )

    async def _tags(self, app: AppModel, ref: ResourceRef) -> Mapping[str, str] | str:
        """Read an app's tags, or say why they can't be read. A server's own endpoint tells none."""
        api = self._doors.api
        if api is None:
            return self._labels.of(ref)
        if app.status != "InService":
            return {}
        try:
            if ref not in self._arns:
                described = await api.app(app.app_type, app.name)
                if described is None or described.arn is None:
                    return "DescribeApp does not name its ARN"
                self._arns[ref] = described.arn
            return await api.tags(self._arns[ref])
        except CollectError as error:
            return str(error)

    async def _canvas(self, now: datetime) -> Said:
        api = self._doors.api
        if api is None:
            return canvas(None, now=now)
        try:
            return canvas(await api.canvas_use(now), now=now)
        except CollectError as error:
            return canvas(None, now=now)._replace(value=str(error))

    async def _delete_by_server(self, resource: Resource) -> ActOutcome:
        name = resource.name
        try:
            if not await self._doors.listed_by_server(name):
                return ActOutcome(gone=True, detail=_GONE, ours=False)
        except CollectError as error:
            raise _not_sent(error) from error
        try:
            done = await self._doors.delete_by_server(name)
        except OutcomeUnknown:
            self._lives.doubt(name, self._clock.now())
            raise
        self._lives.deleted(name, self._clock.now())
        if self._seen is not None:
            self._seen.pop(resource.ref.id, None)
        return _outcome(done)

    async def _delete_by_api(self, resource: Resource, app_type: str) -> ActOutcome:
        api, name = self._doors.api, resource.name
        if api is None:
            raise ActionUnavailable("no door to its apps has answered yet")
        try:
            app = await api.app(app_type, name)
        except CollectError as error:
            raise _not_sent(error) from error
        if app is None or app.status in ENDED:
            return ActOutcome(gone=True, detail=_GONE, ours=False)
        if app.created_at is None or app.problem is not None:
            raise ActionUnavailable(f"DescribeApp of {app_type} {name}: {app.problem}")
        if instant_to_text(app.created_at) != resource.ref.incarnation:
            return ActOutcome(
                gone=True, detail=f"{_GONE}: another app has its name since {app.created_at:%F %T}Z"
            )
        if app.status == "Deleting":
            return ActOutcome(gone=False, detail="it is being deleted already")
        refused = refusal(app.app_type, app.instance_type)
        if refused is not None:
            raise ActionDenied(refused)
        if app.status != "InService":
            raise ActionUnavailable(f"it is {app.status}")
        try:
            await check_tags(api, app.arn or self._arns.get(resource.ref), resource)
        except CollectError as error:
            raise _not_sent(error) from error
        try:
            return _outcome(await api.delete(app_type, name), gone=False)
        except ActionDenied as error:
            if any(said in str(error) for said in _ALREADY_DELETED):
                return ActOutcome(gone=True, detail=_GONE, ours=False)
            raise

    def _failed(self, look: Look, error: str) -> Collected:
        poll = Poll(
            id=look.poll_id,
            source=self.name,
            started_at=look.at,
            finished_at=self._clock.now(),
            complete=False,
            error=error,
        )
        return Collected(poll=poll)


def _later(app: AppModel, known: AppModel) -> bool:
    return known.created_at is not None and app.created_at is not None and app.created_at > known.created_at


def _outcome(done: Deletion, *, gone: bool = True) -> ActOutcome:
    if done is Deletion.GONE:
        return ActOutcome(gone=True, detail=_GONE, ours=False)
    return ActOutcome(gone=gone, detail="its deletion has begun")


def _not_sent(error: CollectError) -> ActionDenied | ActionUnavailable:
    """Turn a look that failed right before an act into an act that was not sent."""
    kind = ActionDenied if isinstance(error, SourceDenied) else ActionUnavailable
    return kind(f"not deleted, since it could not be looked at: {error}")
