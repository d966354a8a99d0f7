"""What endpoints cost: what each variant runs on, how many of it, and its price."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from reaper.clients.sagemaker import EndpointModel, describe_types
from reaper.core.model import Resource
from reaper.errors import CollectError
from reaper.providers.sagemaker.looking import Region

__all__ = ["EndpointCosts"]

_LONGEST_S = 2.0
"""How long a look waits for what its endpoints run on: a price must make no look fail."""


class EndpointCosts:
    """The costs of one region's endpoints. A configuration is asked for once: it never changes.

    Args:
        region: Which, with its prices.
    """

    def __init__(self, region: Region) -> None:
        self._region = region
        self._types: dict[str, Mapping[str, str]] = {}
        self.problem: str | None = None
        """Why it is not known what some run on; None: it is."""

    async def learn(self, endpoints: Sequence[EndpointModel]) -> None:
        """Ask what endpoints run on, of those not known yet; what can't be asked has no price."""
        if self._region.prices is None:
            return
        wanted = {endpoint.config for endpoint in endpoints if endpoint.config}
        self._types = {config: types for config, types in self._types.items() if config in wanted}
        self.problem = None
        try:
            async with asyncio.timeout(_LONGEST_S):
                await asyncio.gather(*(self._ask(config) for config in sorted(wanted - self._types.keys())))
        except TimeoutError:
            self.problem = f"what endpoints cost is not known: no answer within {_LONGEST_S:g} s"

    async def _ask(self, config: str) -> None:
        async with self._region.turns:
            if self.problem is not None:
                return  # what fails once is left alone until the next look
            try:
                found = await describe_types(self._region.aws, config, self._region.name)
            except CollectError as error:
                self.problem = f"what endpoints cost is not known: {error}"
                return
        self._types[config] = found or {}

    def priced(self, resource: Resource, endpoint: EndpointModel | None) -> Resource:
        """Give an endpoint with its hourly cost: that of all its variants, or none where one of them has none."""
        prices = self._region.prices
        if prices is None or endpoint is None or not endpoint.variants or endpoint.shadowed:
            return resource
        types = self._types.get(endpoint.config, {})
        hourly, origins, runs_on = 0.0, set[str](), list[str]()
        for variant, count in zip(endpoint.variants, endpoint.counts, strict=True):
            instance_type = types.get(variant)
            price = prices.of(resource.ref.kind, resource.ref.scope, {"instance_type": instance_type})
            if price is None or count is None:
                return resource
            hourly += price.hourly * count
            origins.add(price.origin)
            runs_on.append(f"{count} x {instance_type}")
        said = {"instances": ", ".join(runs_on), "price_source": ", ".join(sorted(origins))}
        attributes = {**resource.attributes, **said}
        return replace(resource, hourly_cost=hourly or None, attributes=attributes)
