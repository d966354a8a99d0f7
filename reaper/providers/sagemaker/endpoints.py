"""The endpoints of one region as a source, with their invocations by CloudWatch.

At its first look, and after a gap, an endpoint's whole past is asked about, once; after that the last three hours. What
that told is kept: the answers of a window that moves would move too, and prove no more than its length.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from reaper.clients.aws import LIST_ENDPOINT_TAGS
from reaper.clients.sagemaker import (
    EndpointModel,
    Variant,
    delete_endpoint,
    describe_endpoint,
    last_invocations,
    list_endpoints,
    list_hosts_of_components,
    recent,
    whole_past,
)
from reaper.clients.studio import Said
from reaper.core.codec import instant_from_text, instant_to_text
from reaper.core.model import Activity, Collected, Observation, Resource, ResourceRef
from reaper.errors import ActionDenied, ActionUnavailable, CollectError
from reaper.plugins import ActOutcome, Look
from reaper.providers.sagemaker.costs import EndpointCosts
from reaper.providers.sagemaker.looking import (
    GONE,
    Region,
    bounded,
    check_tags,
    each_tags,
    not_sent,
    observed,
    seen,
    tags_unknown,
)
from reaper.providers.sagemaker.states import NEW_FOR, began_at, endpoint_status, unknown_use, used

__all__ = ["EndpointsSource"]

_NOT_LISTED = frozenset({"Deleting", "Failed"})
"""Nothing of these runs, or it is about to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Use:
    """What is known of an endpoint's invocations since it became what it is.

    Attributes:
        began_at: When that was: what is known of another is of no use.
        latest_at: End of the latest period with an invocation; None: there was none.
        quiet_since: Since when there is surely no other one.
        asked_at: When that was asked.
    """

    began_at: datetime
    latest_at: datetime | None
    quiet_since: datetime
    asked_at: datetime


class EndpointsSource:
    """The endpoints of one region.

    Args:
        region: Which.
        memo: What earlier looks left.
    """

    def __init__(self, region: Region, memo: Mapping[str, object] | None = None) -> None:
        self.name = f"sagemaker:{region.scope}/endpoints"
        self.interval: timedelta | None = region.interval
        self._region = region
        self._described: dict[str, EndpointModel] = {}
        self._uses = _restored((memo or {}).get("uses"))
        self._costs = EndpointCosts(region)

    async def collect(self, look: Look) -> Collected:
        """Look once; where the endpoints can't be listed, nothing is known."""
        return await bounded(look, self.name, self._collect)

    async def act(self, resource: Resource, action: str) -> ActOutcome:
        """Delete an endpoint, after one more look at it; gone already is success, and so is another one of its name."""
        if action != "delete":
            raise ActionDenied(f"{resource.ref.kind} knows no action {action!r}, only delete")
        try:
            endpoint = await describe_endpoint(self._region.aws, resource.name, self._region.name)
        except CollectError as error:
            raise not_sent(error) from error
        if endpoint is None:
            return ActOutcome(gone=True, detail=GONE, ours=False)
        if endpoint.created_at is None:
            raise ActionUnavailable("DescribeEndpoint tells no CreationTime: it could be another one")
        if instant_to_text(endpoint.created_at) != resource.ref.incarnation:
            return ActOutcome(gone=True, detail=f"{GONE}: another endpoint has its name", ours=False)
        if endpoint.status == "Deleting":
            return ActOutcome(gone=False, detail="it is being deleted already")
        if endpoint.status != "InService":
            raise ActionUnavailable(f"it is {endpoint.status or 'in a state that can not be read'}")
        await check_tags(self._region.aws, LIST_ENDPOINT_TAGS, endpoint.arn, self._region.name, resource)
        there = await delete_endpoint(self._region.aws, resource.name, self._region.name)
        return ActOutcome(gone=not there, detail="its deletion has begun" if there else GONE)

    async def close(self) -> None:
        """There is nothing to close: AWS is the provider's."""

    async def _collect(self, look: Look) -> Collected:
        listed = await list_endpoints(self._region.aws, self._region.name)
        listed = [endpoint for endpoint in listed if endpoint.status not in _NOT_LISTED]
        self._uses = {endpoint.name: use for endpoint in listed if (use := self._uses.get(endpoint.name))}
        names = {endpoint.name for endpoint in listed}
        self._described = {name: known for name, known in self._described.items() if name in names}
        tags, uses = await asyncio.gather(
            each_tags(self._region, [(LIST_ENDPOINT_TAGS, endpoint.arn) for endpoint in listed]),
            self._invocations([e for e in listed if e.status == "InService"], look.at),
        )
        if look.refs is None:  # what is about to be acted on does not wait
            await self._costs.learn(list(self._described.values()))
        resources, observations = [], []
        for endpoint, of_it in zip(listed, tags, strict=True):
            described = self._described.get(endpoint.name)
            resource = self._costs.priced(self._resource(endpoint, of_it), described)
            resources.append(resource)
            observations += self._observations(
                resource.ref, endpoint, of_it, uses.get(endpoint.name), look.at
            )
        return Collected(
            poll=seen(look, self.name, self._region.clock),
            resources=tuple(resources),
            observations=tuple(observations),
            memo={"uses": {name: _kept(use) for name, use in self._uses.items()}},
            notes=() if self._costs.problem is None else (self._costs.problem,),
        )

    def _resource(self, endpoint: EndpointModel, tags: dict[str, str] | str) -> Resource:
        created = endpoint.created_at
        return Resource(
            ref=ResourceRef(
                kind="sagemaker.endpoint",
                scope=self._region.scope,
                id=endpoint.name,
                incarnation="" if created is None else instant_to_text(created),
            ),
            name=endpoint.name,
            tags=tags if isinstance(tags, dict) else {},
            started_at=created,
            attributes={"region": self._region.name},
        )

    def _observations(
        self,
        ref: ResourceRef,
        endpoint: EndpointModel,
        tags: dict[str, str] | str,
        use: Said | None,
        now: datetime,
    ) -> list[Observation]:
        found = [observed(ref, "status", endpoint_status(endpoint, now=now))]
        if use is not None:
            found.append(observed(ref, "invocations", use))
        if isinstance(tags, str):
            found.append(tags_unknown(ref, tags))
        return found

    async def _invocations(self, endpoints: Sequence[EndpointModel], now: datetime) -> dict[str, Said]:
        """Say of each endpoint in service when it was last invoked, or why that is not known."""
        if not endpoints:
            return {}
        try:
            hosts = await list_hosts_of_components(self._region.aws, self._region.name)
        except CollectError as error:
            return {endpoint.name: Said(Activity.UNKNOWN, None, str(error)) for endpoint in endpoints}
        found: dict[str, Said] = {}
        askable = []
        for endpoint, described in zip(
            endpoints, await asyncio.gather(*map(self._describe, endpoints)), strict=True
        ):
            why = described if isinstance(described, str) else unknown_use(described, hosts, now=now)
            if why is not None:
                found[endpoint.name] = Said(Activity.UNKNOWN, None, why)
            elif not isinstance(described, str):
                askable.append(described)
        return found | await self._ask(askable, now)

    async def _describe(self, endpoint: EndpointModel) -> EndpointModel | str:
        """Describe an endpoint once for each change of it, or say why it can't be."""
        known = self._described.get(endpoint.name)
        if known is not None and (known.created_at, known.modified_at) == (
            endpoint.created_at,
            endpoint.modified_at,
        ):
            return known
        async with self._region.turns:
            try:
                described = await describe_endpoint(self._region.aws, endpoint.name, self._region.name)
            except CollectError as error:
                return str(error)
        if described is None or described.created_at != endpoint.created_at:
            return "it went while it was looked at"
        self._described[endpoint.name] = described
        return described

    async def _ask(self, endpoints: Sequence[EndpointModel], now: datetime) -> dict[str, Said]:
        """Ask CloudWatch about all at once: the last hours of each, the whole past of those not known yet."""
        unknown = [endpoint for endpoint in endpoints if self._usable(endpoint, now) is None]
        found: dict[str, Said] = {}
        latest: dict[str, list[datetime]] = {}
        for window, asked in ((whole_past(now), unknown), (recent(now), endpoints)):
            variants = [Variant(endpoint.name, name) for endpoint in asked for name in endpoint.variants]
            try:
                answers = await last_invocations(self._region.aws, self._region.name, variants, window)
            except CollectError as error:
                return {endpoint.name: Said(Activity.UNKNOWN, None, str(error)) for endpoint in endpoints}
            for variant, answer in answers.items():
                if isinstance(answer, str):
                    found[variant.endpoint] = Said(Activity.UNKNOWN, None, answer)
                elif answer is not None:
                    latest.setdefault(variant.endpoint, []).append(answer)
        for endpoint in endpoints:
            if endpoint.name not in found:
                found[endpoint.name] = self._note(endpoint, latest.get(endpoint.name, []), now)
        return found

    def _usable(self, endpoint: EndpointModel, now: datetime) -> _Use | None:
        """Give what is known of an endpoint, if the last hours join it without a gap."""
        use = self._uses.get(endpoint.name)
        if use is None or use.began_at != began_at(endpoint) or use.asked_at - NEW_FOR < recent(now).start:
            return None
        return use

    def _note(self, endpoint: EndpointModel, latest: Sequence[datetime], now: datetime) -> Said:
        """Keep what CloudWatch told of an endpoint, and say it."""
        before, began = self._usable(endpoint, now), began_at(endpoint)
        if began is None:
            raise RuntimeError(f"{endpoint.name}: asked about without knowing when it began")
        known = [*latest, *([before.latest_at] if before is not None and before.latest_at else [])]
        quiet_since = before.quiet_since if before is not None else max(began, whole_past(now).start)
        self._uses[endpoint.name] = _Use(
            began_at=began, latest_at=max(known, default=None), quiet_since=quiet_since, asked_at=now
        )
        return used(known, quiet_since, now=now)


def _kept(use: _Use) -> dict[str, object]:
    return {
        "began_at": instant_to_text(use.began_at),
        "latest_at": None if use.latest_at is None else instant_to_text(use.latest_at),
        "quiet_since": instant_to_text(use.quiet_since),
        "asked_at": instant_to_text(use.asked_at),
    }


def _restored(memo: object) -> dict[str, _Use]:
    """Take back what looks left; anything unreadable is asked about anew."""
    found = {}
    for name, kept in memo.items() if isinstance(memo, Mapping) else ():
        try:
            latest = kept["latest_at"]
            found[str(name)] = _Use(
                began_at=instant_from_text(kept["began_at"]),
                latest_at=None if latest is None else instant_from_text(latest),
                quiet_since=instant_from_text(kept["quiet_since"]),
                asked_at=instant_from_text(kept["asked_at"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            continue
    return found
