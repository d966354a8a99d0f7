"""The SageMaker provider: finds out where we run, and what a policy wants to be looked at."""

import os
from collections.abc import Mapping
from datetime import datetime

from reaper.clients.aside import Aside
from reaper.clients.aws import Aws
from reaper.clients.jupyter import (
    Discovery,
    discover,
    other_homes,
    parse_address,
    runtime_dirs,
    servers_here,
)
from reaper.clients.studio import Identity, own_identity
from reaper.clock import Clock
from reaper.errors import CollectError
from reaper.plugins import Source, Sources
from reaper.providers.sagemaker.instance import InstanceSource, instance_source_name
from reaper.providers.sagemaker.options import SagemakerOptions
from reaper.providers.sagemaker.regions import ENDPOINT, JOB, Regions

__all__ = ["SagemakerProvider"]

_SEARCH_DEADLINE_S = 8.0
_INSTANCE = "sagemaker.notebook_instance"


class SagemakerProvider:
    """SageMaker's notebook instance that we run on, and endpoints and jobs of an account's regions."""

    name = "sagemaker"
    kinds: Mapping[str, tuple[str, ...]] = {_INSTANCE: ("stop",), ENDPOINT: ("delete",), JOB: ("stop",)}

    def __init__(self, options: SagemakerOptions, clock: Clock) -> None:
        """Take the settings.

        Raises:
            ConfigError: An address or a region can't be used.
        """
        self._options = options
        self._clock = clock
        self._aws = Aws(options.aws)
        self._aside = Aside(f"{options.metadata_file} or Jupyter's runtime files")
        self._identity: Identity | None = None
        self._instance: InstanceSource | None = None
        self._regions = Regions(
            options.kinds, options.regions, self._aws, clock, options.aws_interval, options.prices
        )
        self._named = tuple(
            parse_address(url, token=options.token, ca_file=options.ca_file, verify=options.verify)
            for url in options.urls
        )

    async def discover(self, now: datetime, memos: Mapping[str, Mapping[str, object]]) -> Sources:
        """Find out what is to be looked at."""
        problems: list[str] = []
        sources: list[Source] = []
        complete = True
        if _INSTANCE in self._options.kinds:
            instance, problem, certain = await self._own_instance(memos)
            complete = certain
            sources += [] if instance is None else [instance]
            problems += [] if problem is None else [problem]
        here = self._identity.region if self._identity is not None else ""
        regional, problem = await self._regions.sources(memos, here)
        complete = complete and problem is None
        sources += regional
        problems += [] if problem is None else [problem]
        return Sources(
            sources=tuple(sources),
            complete=complete,
            required=tuple(source.name for source in sources),
            problems=tuple(problems),
        )

    async def close(self) -> None:
        """Close all sources, and AWS."""
        if self._instance is not None:
            await self._instance.close()
        await self._aws.close()

    async def _own_instance(
        self, memos: Mapping[str, Mapping[str, object]]
    ) -> tuple[InstanceSource | None, str | None, bool]:
        """Give the instance that we run on, what is wrong, and whether that is certain.

        What was once read of the metadata file holds: a host never becomes another instance.
        """
        identity, found, problem = await self._aside.call(self._search, _SEARCH_DEADLINE_S)
        self._identity = identity = self._identity or identity
        if identity is None or not identity.notebook_instance:
            none = (
                f"{self._options.metadata_file} names no notebook instance: only a reaper on one can judge it"
            )
            return None, problem or none, problem is None
        servers = tuple(servers_here(found, self._named))
        if self._instance is None or self._instance.servers != servers:
            memo = memos.get(instance_source_name(identity))
            self._instance = InstanceSource(identity, servers, self._options, self._aws, self._clock, memo)
        return self._instance, None, True

    def _search(self) -> tuple[Identity | None, Discovery, str | None]:
        problem = None
        try:
            identity = self._identity or own_identity(self._options.metadata_file)
        except CollectError as error:
            identity, problem = None, str(error)
        directories = self._options.runtime_dirs or runtime_dirs(os.environ, homes=other_homes())
        return identity, discover(directories, os.environ, ca_file=self._options.ca_file), problem
