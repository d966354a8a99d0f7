"""The EC2 provider: finds out which accounts and regions there are, each of which is a source."""

from collections.abc import Mapping
from datetime import datetime

from reaper.clients.aws.scopes import Scope, Scopes
from reaper.clock import Clock
from reaper.errors import CollectError
from reaper.plugins import Sources
from reaper.providers.ec2.options import Ec2Options
from reaper.providers.ec2.shaping import KIND
from reaper.providers.ec2.source import InstancesSource, Shard

__all__ = ["Ec2Provider"]


class Ec2Provider:
    """EC2 instances of all accounts and regions.

    Args:
        options: Which, and what counts as work.
        clock: Tells the instants.
    """

    name = "ec2"
    kinds: Mapping[str, tuple[str, ...]] = {KIND: ("stop", "hibernate", "terminate", "tag")}

    def __init__(self, options: Ec2Options, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._scopes = Scopes(options.scopes, options.aws)
        self._sources: dict[str, tuple[Scope, InstancesSource]] = {}

    async def discover(self, now: datetime, memos: Mapping[str, Mapping[str, object]]) -> Sources:
        """Find the accounts and regions; what is wrong with one is a problem, and the others are looked at."""
        try:
            found = await self._scopes.find()
        except CollectError as error:
            known = tuple(source for _, source in self._sources.values())
            return Sources(sources=known, complete=False, problems=(str(error),))
        before, self._sources = self._sources, {}
        for scope in found.scopes:
            kept = before.get(scope.name)
            if kept is None or kept[0].aws is not scope.aws:
                self._options.register(scope.account, scope.aws)
                kept = scope, self._source(scope, memos)
            kept[1].notes = () if self._sources else found.notes  # one of them tells it
            self._sources[scope.name] = kept
        return Sources(
            sources=tuple(source for _, source in self._sources.values()),
            complete=found.complete,
            required=tuple(
                source.name for scope, source in self._sources.values() if not scope.expected_denied
            ),
            problems=found.problems,
        )

    async def close(self) -> None:
        """Close AWS, which all sources share."""
        await self._scopes.close()

    def _source(self, scope: Scope, memos: Mapping[str, Mapping[str, object]]) -> InstancesSource:
        shard = Shard(scope=scope.name, region=scope.region, aws=scope.aws, clock=self._clock)
        return InstancesSource(shard, self._options, memos.get(f"ec2:{scope.name}"))
