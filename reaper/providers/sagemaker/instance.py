"""The notebook instance that we run on as a source: its state, and what its host shows.

Its life is a boot of its host: SageMaker starts an instance on another host each time, and who runs on a host knows
for sure which boot it is. LastModifiedTime would not do: SageMaker does not say what moves it, and it is not known
before the first answer. CreationTime stays the same over all starts. So a decision about an earlier start can't
hit a later one even if SageMaker's answers are late; an operating system that is rebooted begins a new life too, which
errs on the safe side.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from reaper.clients.aws import LIST_NOTEBOOK_INSTANCE_TAGS, Aws
from reaper.clients.host.boot import booted_at
from reaper.clients.jupyter import ServerAddress
from reaper.clients.sagemaker import InstanceModel, describe_instance, read_tags, stop_instance
from reaper.clients.studio import SAMPLING, Around, Identity, own_key
from reaper.clock import Clock
from reaper.core.codec import instant_from_text, instant_to_text
from reaper.core.model import Collected, Resource, ResourceRef
from reaper.errors import ActionDenied, ActionUnavailable, CollectError, OutcomeUnknown
from reaper.plugins import ActOutcome, Look
from reaper.providers.sagemaker.looking import (
    GONE,
    bounded,
    check_tags,
    failed,
    not_sent,
    observed,
    seen,
    tags_unknown,
)
from reaper.providers.sagemaker.options import SagemakerOptions
from reaper.providers.sagemaker.states import instance_status

__all__ = ["InstanceSource", "instance_source_name"]

_ON_ITS_WAY = frozenset({"Deleting", "Stopping"})
_ENDED = frozenset({"Failed", "Stopped"})


def instance_source_name(identity: Identity) -> str:
    """Name the source after the instance. Pure."""
    return f"sagemaker:{identity.scope}/notebook-instance/{identity.notebook_instance}"


class InstanceSource:
    """The notebook instance that we run on.

    Args:
        identity: Which one.
        servers: Its Jupyter servers.
        options: The settings.
        aws: Shared with other sources; the provider closes it.
        clock: Tells the instants and the boot.
        memo: What earlier looks left.
        booted: Reads when this host booted.
    """

    def __init__(
        self,
        identity: Identity,
        servers: Sequence[ServerAddress],
        options: SagemakerOptions,
        aws: Aws,
        clock: Clock,
        memo: Mapping[str, object] | None = None,
        booted: Callable[[], datetime | None] = booted_at,
    ) -> None:
        memo = memo or {}
        self.name = instance_source_name(identity)
        self.identity = identity
        self.servers = tuple(servers)
        self.interval: timedelta | None = options.aws_interval
        self._aws = aws
        self._prices = options.prices
        self._clock = clock
        self._booted = booted
        self._start = _Start.restored(memo)
        host = memo.get("host")
        self._around = Around(
            clock,
            thresholds=options.thresholds,
            boot_period=options.boot_period,
            memo=host if isinstance(host, dict) else None,
        )

    async def collect(self, look: Look) -> Collected:
        """Look once; where SageMaker does not answer, nothing is known."""
        return await bounded(look, self.name, self._collect)

    async def act(self, resource: Resource, action: str) -> ActOutcome:
        """Stop it, after one more look at it; stopped already is success."""
        if action != "stop":
            raise ActionDenied(f"{resource.ref.kind} knows no action {action!r}, only stop")
        boot = self._clock.boot_id()
        if not boot or resource.ref != self._ref(boot):
            return ActOutcome(
                gone=True, detail=f"{GONE}: this is another start of {resource.name}", ours=False
            )
        try:
            instance = await self._describe()
        except CollectError as error:
            raise not_sent(error) from error
        if instance is None or instance.status in _ENDED:
            return ActOutcome(gone=True, detail=GONE, ours=False)
        if instance.status in _ON_ITS_WAY:
            return ActOutcome(gone=False, detail="it is being stopped or deleted already")
        if instance.status != "InService":
            raise ActionUnavailable(f"it is {instance.status or 'in a state that can not be read'}")
        region = self.identity.region
        await check_tags(self._aws, LIST_NOTEBOOK_INSTANCE_TAGS, instance.arn, region, resource)
        try:
            there = await stop_instance(self._aws, resource.name, region)
        except (ActionDenied, OutcomeUnknown):
            if await self._is_on_its_way():  # somebody was quicker, or only the answer was lost
                return ActOutcome(gone=False, detail="it is being stopped")
            raise
        return ActOutcome(gone=not there, detail="its stop has begun" if there else GONE)

    async def close(self) -> None:
        """Let go of the GPU driver."""
        self._around.close()

    async def _collect(self, look: Look) -> Collected:
        boot = self._clock.boot_id()
        if not boot:
            return failed(
                look, self.name, "this system does not name its boot: one start can't be told from another"
            )
        instance = await self._describe()
        if instance is None:
            poll = seen(look, self.name, self._clock)
            return Collected(poll=poll, notes=(f"SageMaker knows no notebook instance {self._name}",))
        start = self._start
        if start is None or start.boot != boot:
            start = self._start = _Start(boot, min(self._booted() or look.at, look.at))
        ref = self._ref(boot)
        said = instance_status(
            instance.status, booted_at=start.at, modified_at=instance.modified_at, now=look.at
        )
        around, tags = await asyncio.gather(
            self._around.look("", self.servers, look.at), self._tags(instance)
        )
        observations = [observed(ref, "status", said), *around.observations(ref, look.at)]
        if isinstance(tags, str):
            observations.append(tags_unknown(ref, tags))
        resource = Resource(
            ref=ref,
            name=self._name,
            children_from="jupyter:",
            tags=tags if isinstance(tags, dict) else {},
            started_at=start.at,
            required_signals=("process",),
            sample_interval_s=SAMPLING.total_seconds(),
            attributes={"instance_type": instance.instance_type, "own": True},
        )
        return Collected(
            poll=seen(look, self.name, self._clock),
            resources=(resource if self._prices is None else self._prices.priced(resource),),
            observations=tuple(observations),
            memo={**start.memo(), "host": self._around.memo()},
            notes=self._notes(),
        )

    @property
    def _name(self) -> str:
        return self.identity.notebook_instance

    def _ref(self, boot: str) -> ResourceRef:
        key = own_key(self.identity)
        return ResourceRef(kind=key.kind, scope=key.scope, id=key.id, incarnation=f"boot/{boot}")

    async def _describe(self) -> InstanceModel | None:
        return await describe_instance(self._aws, self._name, self.identity.region)

    async def _is_on_its_way(self) -> bool:
        try:
            instance = await self._describe()
        except CollectError:
            return False
        return instance is not None and instance.status in _ON_ITS_WAY | _ENDED

    async def _tags(self, instance: InstanceModel) -> dict[str, str] | str:
        """Read its tags, or say why they can't be read."""
        if not instance.arn:
            return "DescribeNotebookInstance does not name its ARN"
        try:
            return await read_tags(self._aws, LIST_NOTEBOOK_INSTANCE_TAGS, instance.arn, self.identity.region)
        except CollectError as error:
            return str(error)

    def _notes(self) -> tuple[str, ...]:
        problem = self._aws.models.problem
        return () if problem is None else (f"{problem}; AWS costs 20 MB more memory",)


class _Start:
    """Which start of the instance this is, and since when: read once, since a clock that is set moves it."""

    def __init__(self, boot: str, at: datetime) -> None:
        self.boot = boot
        self.at = at

    @classmethod
    def restored(cls, memo: Mapping[str, object]) -> "_Start | None":
        """Take back what `memo` gave; anything unreadable is read anew at the next look."""
        try:
            return cls(str(memo["boot"]), instant_from_text(str(memo["booted_at"])))
        except (KeyError, ValueError):
            return None

    def memo(self) -> dict[str, object]:
        """Give what a restart needs, as JSON."""
        return {"boot": self.boot, "booted_at": instant_to_text(self.at)}
