"""The instances of one account in one region as a source."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reaper.clients.aws import Aws
from reaper.clients.ec2 import (
    InstanceModel,
    Protection,
    TypeModel,
    describe_instances,
    describe_types,
    persistent_requests,
    protection,
)
from reaper.clock import Clock
from reaper.core.model import Collected, Observation, Poll, Resource
from reaper.errors import CollectError
from reaper.plugins import ActOutcome, Look
from reaper.providers.ec2.acting import act_on, would_be_denied
from reaper.providers.ec2.asking import Asking
from reaper.providers.ec2.evidence import Said
from reaper.providers.ec2.gpus import host_of
from reaper.providers.ec2.lives import Lives, Subject
from reaper.providers.ec2.obstacles import obstacles, spared
from reaper.providers.ec2.options import Ec2Options
from reaper.providers.ec2.shaping import LISTED, STATE, resource_of, state_said

__all__ = ["InstancesSource", "Shard"]

_FOR_METRICS = 0.8
"""Which part of a look's time CloudWatch may take: what EC2 listed is worth having without it."""

_PROTECTED_FOR = timedelta(hours=1)
"""How long a protection attribute that was read before an act is taken to stand, so that a veto stays a veto."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """One account's instances in one region, and how to ask about them.

    Attributes:
        scope: `ACCOUNT/REGION`.
        region: Its name.
        aws: Shared with other shards of the account; the provider closes it.
        clock: Tells the instants.
    """

    scope: str
    region: str
    aws: Aws
    clock: Clock


@dataclass(slots=True)
class _Seen:
    """What one look saw, while it goes on."""

    resources: list[Resource]
    states: list[Said]
    subjects: list[Subject]
    hosts: Counter[str]
    notes: set[str]


class InstancesSource:
    """The instances of one shard.

    Args:
        shard: Which.
        options: What counts as work, and what things cost.
        memo: What earlier looks left.

    Attributes:
        notes: What is to be told besides what a look finds.
    """

    notes: tuple[str, ...] = ()

    def __init__(
        self,
        shard: Shard,
        options: Ec2Options,
        memo: Mapping[str, object] | None = None,
    ) -> None:
        self.name = f"ec2:{shard.scope}"
        self.interval: timedelta | None = options.interval
        self._shard = shard
        self._options = options
        self._lives = Lives(memo, options.thresholds)
        self._asking = Asking(shard.aws, shard.region, options.thresholds, self._lives)
        self._persistent: dict[str, bool] = {}
        self._protection: dict[str, tuple[datetime, Protection]] = {}

    async def collect(self, look: Look) -> Collected:
        """Look once. Where EC2 can't be read nothing is known; where CloudWatch can't be, signals are UNKNOWN."""
        began = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(look.deadline):
                seen = await self._list(look)
        except TimeoutError:
            return self._failed(look, f"no complete answer within {look.deadline:g} s")
        except CollectError as error:
            return self._failed(look, str(error))
        if look.refs is None:
            self._forget(seen)
        left = look.deadline - (asyncio.get_running_loop().time() - began)
        said = await self._asking.ask(
            seen.subjects,
            look.at,
            all_at_once=look.refs is not None,
            deadline_s=max(0.0, left * _FOR_METRICS),
        )
        return self._collected(look, seen, said)

    async def act(self, resource: Resource, action: str) -> ActOutcome:
        """Stop, hibernate or terminate an instance, after one more look at it."""
        return await act_on(
            self._shard.aws, self._shard.region, resource, action, self._options, self._shard.clock
        )

    async def may(self, resource: Resource, action: str) -> str | None:
        """Say what of an act EC2 would refuse, asked without doing it."""
        return await would_be_denied(self._shard.aws, self._shard.region, resource, action)

    async def close(self) -> None:
        """There is nothing to close: AWS is the provider's."""

    async def _list(self, look: Look) -> _Seen:
        seen = _Seen([], [], [], Counter(), set())
        ids = None if look.refs is None else tuple({ref.id: None for ref in look.refs})
        pages = describe_instances(self._shard.aws, self._shard.region, ids=ids, states=LISTED)
        async for page in pages:
            kinds, persistent = await asyncio.gather(
                self._types(page, seen.notes), self._spot(page, seen.notes)
            )
            protected = await self._protected(page, look)
            for instance in page:
                self._note(seen, instance, kinds.get(instance.instance_type), persistent, protected, look.at)
        return seen

    def _note(
        self,
        seen: _Seen,
        instance: InstanceModel,
        kind: TypeModel | None,
        persistent: Mapping[str, bool],
        protected: Mapping[str, Protection],
        now: datetime,
    ) -> None:
        found = obstacles(
            instance,
            kind,
            persistent=persistent.get(instance.spot_request_id),
            protection=protected.get(instance.id),
            managed_tags=self._options.managed_tags,
            allow=self._options.allow,
            hibernates=self._options.hibernates and not self._options.hibernate_fallback,
        )
        resource = resource_of(self._shard.scope, instance, kind, found)
        if instance.state != "stopped":
            resource = self._options.priced(resource)
        seen.resources.append(resource)
        seen.states.append(state_said(instance, now))
        if kind is None or kind.gpus:
            seen.hosts[host_of(instance.private_dns)] += 1
        timeouts = self._options.timeouts(resource) if instance.state == "running" else None
        if timeouts is not None and instance.launched_at is not None:
            launched_at = min(instance.launched_at, now)
            seen.subjects.append(
                Subject(
                    instance=instance,
                    launched_at=launched_at,
                    kind=kind,
                    timeouts=timeouts,
                    spared=spared(instance, found),
                )
            )

    async def _types(self, page: Iterable[InstanceModel], notes: set[str]) -> Mapping[str, TypeModel]:
        """Describe the types of a page; what can't be described leaves its instances without."""
        names = {instance.instance_type for instance in page if instance.instance_type}
        try:
            return await describe_types(self._shard.aws, self._shard.region, names) if names else {}
        except CollectError as error:
            notes.add(f"instance types can't be described: {error}")
            return {}

    async def _spot(self, page: Iterable[InstanceModel], notes: set[str]) -> Mapping[str, bool]:
        """Find out which spot requests are persistent; that never changes."""
        asked = {one.spot_request_id for one in page if one.spot_request_id} - self._persistent.keys()
        try:
            if asked:
                self._persistent |= await persistent_requests(self._shard.aws, self._shard.region, asked)
        except CollectError as error:
            notes.add(f"spot requests can't be described: {error}")
        return self._persistent

    async def _protected(self, page: Iterable[InstanceModel], look: Look) -> dict[str, Protection]:
        """Read protection attributes, one call each: of what is about to go, and of what stayed because of them."""
        found = {}
        for instance in page:
            known = self._protection.get(instance.id)
            if look.refs is None and (known is None or look.at - known[0] < _PROTECTED_FOR):
                if known is not None:
                    found[instance.id] = known[1]
                continue
            self._protection.pop(instance.id, None)
            try:
                read = await protection(self._shard.aws, self._shard.region, instance.id)
            except CollectError:  # read again right before the act, which is refused then
                continue
            if read.stop or read.terminate:
                self._protection[instance.id] = (look.at, read)
            found[instance.id] = read
        return found

    def _forget(self, seen: _Seen) -> None:
        """Forget what is no more, as a look at everything shows."""
        names = {resource.ref.id for resource in seen.resources}
        self._lives.keep_only(names)
        self._protection = {name: one for name, one in self._protection.items() if name in names}
        self._asking.shared_hosts = frozenset(
            host for host, count in seen.hosts.items() if host and count > 1
        )

    def _collected(self, look: Look, seen: _Seen, said: Mapping[str, Mapping[str, Said]]) -> Collected:
        resources, observations = [], []
        for resource, state in zip(seen.resources, seen.states, strict=True):
            life = self._lives.known(resource.ref.id) if resource.ref.id in said else None
            lag = 0.0 if life is None else life.lag.total_seconds()
            resources.append(replace(resource, evidence_lag_s=lag) if lag else resource)
            found = {STATE: state, **said.get(resource.ref.id, {})}
            observations += [
                Observation(
                    ref=resource.ref,
                    signal=signal,
                    activity=one.activity,
                    evidence_at=one.evidence_at,
                    value=one.value,
                )
                for signal, one in found.items()
            ]
        return Collected(
            poll=Poll(
                id=look.poll_id,
                source=self.name,
                started_at=look.at,
                finished_at=self._shard.clock.now(),
                complete=True,
                targets=None if look.refs is None else tuple(ref.id for ref in look.refs),
            ),
            resources=tuple(resources),
            observations=tuple(observations),
            memo=self._lives.memo(),
            notes=(*self.notes, *sorted(seen.notes)),
        )

    def _failed(self, look: Look, error: str) -> Collected:
        poll = Poll(
            id=look.poll_id,
            source=self.name,
            started_at=look.at,
            finished_at=self._shard.clock.now(),
            complete=False,
            error=error,
            targets=None if look.refs is None else tuple(ref.id for ref in look.refs),
        )
        return Collected(poll=poll)
