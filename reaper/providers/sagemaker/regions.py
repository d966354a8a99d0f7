"""Which regions endpoints and jobs are looked at in, and their sources: one a region and kind."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from reaper.clients.aws import Aws
from reaper.clients.prices import PriceBook
from reaper.clock import Clock
from reaper.errors import CollectError, ConfigError
from reaper.plugins import Source
from reaper.providers.sagemaker.endpoints import EndpointsSource
from reaper.providers.sagemaker.jobs import JobsSource
from reaper.providers.sagemaker.looking import Region

__all__ = ["ENDPOINT", "JOB", "Regions"]

ENDPOINT, JOB = "sagemaker.endpoint", "sagemaker.job"

Memos = Mapping[str, Mapping[str, object]]

_MAKERS: Mapping[str, Callable[[Region, Memos], Source]] = {
    ENDPOINT: lambda region, memos: EndpointsSource(region, memos.get(f"sagemaker:{region.scope}/endpoints")),
    JOB: lambda region, _memos: JobsSource(region),
}


class Regions:
    """The sources of one account's regions, of the account that the credentials belong to.

    Args:
        kinds: What a policy is about; of other kinds nothing is asked.
        names: Regions; empty: one that the environment or a profile names.
        aws: How to ask; the provider closes it.
        clock: Tells the instants.
        interval: The longest between looks.
        prices: What things cost; None: that is not known.

    Raises:
        ConfigError: `all` is no region that can be asked.
    """

    def __init__(
        self,
        kinds: frozenset[str],
        names: Sequence[str],
        aws: Aws,
        clock: Clock,
        interval: timedelta,
        prices: PriceBook | None = None,
    ) -> None:
        self._kinds = [kind for kind in _MAKERS if kind in kinds]
        self._names = tuple(dict.fromkeys(names))
        self._aws = aws
        self._clock = clock
        self._interval = interval
        self._prices = prices
        self._sources: list[Source] | None = None
        if self._kinds and "all" in self._names:
            msg = "REAPER_AWS__REGIONS=all can't be used for endpoints and jobs yet: name the regions that you use"
            raise ConfigError(msg)

    async def sources(self, memos: Memos, here: str) -> tuple[list[Source], str | None]:
        """Give the sources, or what is wrong.

        Args:
            memos: What earlier looks left, by source.
            here: The region that we run in, where that is known.
        """
        if self._sources is None and self._kinds:
            try:
                await self._aws.models.loader()  # aside: to ask for the region imports half of botocore
                names = self._names or tuple(filter(None, [self._aws.region() or here]))
                if not names:
                    return (
                        [],
                        "no region to look at endpoints and jobs in: set REAPER_AWS__REGIONS or AWS_REGION",
                    )
                account = await self._aws.account(names[0])
            except CollectError as error:
                return [], str(error)
            regions = [
                Region(account, name, self._aws, self._clock, self._interval, self._prices) for name in names
            ]
            self._sources = [_MAKERS[kind](region, memos) for kind in self._kinds for region in regions]
        return self._sources or [], None
