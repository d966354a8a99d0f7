"""Everything that runs in Studio, in whole regions: domains, user profiles, spaces, apps, and heartbeats on apps.

What can't be seen hides nothing else: each question that fails is an error beside what the others answered.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from reaper.clients.aws import (
    LIST_APPS,
    LIST_DOMAINS,
    LIST_SPACES,
    LIST_TAGS,
    LIST_USER_PROFILES,
    Aws,
    Operation,
)
from reaper.clients.studio.apps import AppModel, parse_api_app
from reaper.clients.studio.heartbeat import app_arn, tag_of
from reaper.clients.studio.identity import Identity
from reaper.errors import CollectError, SourceMalformed

__all__ = ["CARRIERS", "GONE", "Owner", "SeenApp", "SeenDomain", "Survey", "Unseen", "look_around"]

T = TypeVar("T")

CARRIERS = frozenset({"CodeEditor", "JupyterLab", "JupyterServer"})
"""Types of apps that a reaper runs in: those that lifecycle scripts are for."""

GONE = frozenset({"Deleted", "Deleting", "Failed"})
"""States of apps that need no reaper any more."""

_NO_SUCH_THING = "does not exist"
"""How SageMaker says in a ValidationException that nothing has that ARN."""

_AT_ONCE = 8
"""Questions about tags at the same time in one domain: SageMaker throttles, and botocore then waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A user profile or a space.

    Attributes:
        kind: `user` or `space`.
        name: Its name.
        profile: The user profile that a space belongs to; None is unknown, or none.
        shared: Whether a space is shared; None is unknown, or no space.
    """

    kind: str
    name: str
    profile: str | None = None
    shared: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenApp:
    """An app that is not gone.

    Attributes:
        app: As ListApps tells of it.
        owner: Kind and name of whose it is.
        heartbeat: The value of the heartbeat's tag; None: it has none, or was not asked for.
        problem: Why its tags could not be read.
    """

    app: AppModel
    owner: tuple[str, str]
    heartbeat: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenDomain:
    """A domain, as far as it could be seen.

    Attributes:
        scope: `ACCOUNT/REGION`.
        id: `d-...`.
        name: For people.
        owners: User profiles and spaces, those without apps too.
        apps: What runs.
        listed: Whether the apps could be listed: if not, that none is known says nothing.
    """

    scope: str
    id: str
    name: str
    owners: tuple[Owner, ...]
    apps: tuple[SeenApp, ...]
    listed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """Something that could not be seen.

    Attributes:
        where: A region, or a region and a domain.
        message: Why, and what to do.
    """

    where: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What was seen.

    Attributes:
        domains: All domains, in order of region and id.
        errors: What could not be seen.
        regions: The regions that told their domains.
    """

    domains: tuple[SeenDomain, ...] = ()
    errors: tuple[Unseen, ...] = ()
    regions: tuple[str, ...] = ()


async def look_around(aws: Aws, regions: Sequence[str]) -> Survey:
    """Look at every domain of some regions, all regions at the same time."""
    looks = [_Region(aws, region) for region in dict.fromkeys(regions)]
    found = await asyncio.gather(*(look.domains() for look in looks))
    return Survey(
        domains=tuple(domain for domains in found for domain in domains or ()),
        errors=tuple(error for look in looks for error in look.errors),
        regions=tuple(look.region for look, domains in zip(looks, found, strict=True) if domains is not None),
    )


@dataclass(slots=True)
class _Region:
    """One region, looked at."""

    aws: Aws
    region: str
    errors: list[Unseen] = field(default_factory=list)

    async def domains(self) -> list[SeenDomain] | None:
        """Give its domains; None: they could not be listed."""
        found = await self._listed(LIST_DOMAINS, self.region, _domain)
        if found is None:
            return None
        return [await self._domain(identity, name) for identity, name in sorted(found, key=_order)]

    async def _domain(self, domain: Identity, name: str) -> SeenDomain:
        where = f"{self.region} {domain.domain}"
        users, spaces, apps = await asyncio.gather(
            self._listed(LIST_USER_PROFILES, where, _user, DomainIdEquals=domain.domain),
            self._listed(LIST_SPACES, where, _space, DomainIdEquals=domain.domain),
            self._listed(LIST_APPS, where, _app, DomainIdEquals=domain.domain),
        )
        running = [one for one in apps or () if one.app.status not in GONE]
        return SeenDomain(
            scope=domain.scope,
            id=domain.domain,
            name=name,
            owners=_with_owners([*(users or ()), *(spaces or ())], running),
            apps=tuple(await self._with_tags(domain, where, running)),
            listed=apps is not None,
        )

    async def _listed(
        self, operation: Operation, where: str, read: Callable[[Mapping[str, Any]], T], **parameters: str
    ) -> list[T] | None:
        """List something; what can't be listed or read is an error."""
        try:
            items = await self.aws.pages(operation, region=self.region, **parameters)
        except CollectError as error:
            self.errors.append(Unseen(where=where, message=str(error)))
            return None
        found, bad = [], 0
        for item in items or ():
            try:
                found.append(read(item))
            except (AttributeError, KeyError, TypeError, ValueError, SourceMalformed):
                bad += 1
        if bad:
            said = f"{operation.name}: {bad} of {len(items or ())} can't be read and are left out"
            self.errors.append(Unseen(where=where, message=said))
        return found

    async def _with_tags(self, domain: Identity, where: str, apps: Iterable[SeenApp]) -> list[SeenApp]:
        turn = asyncio.Semaphore(_AT_ONCE)

        async def one(seen: SeenApp) -> SeenApp | None:
            if seen.app.app_type not in CARRIERS:
                return seen
            async with turn:
                return await self._with_heartbeat(domain, seen)

        found = [seen for seen in await asyncio.gather(*(one(seen) for seen in apps)) if seen is not None]
        failed = [seen.problem for seen in found if seen.problem is not None]
        if failed:
            more = f" (and so of {len(failed) - 1} more apps)" if len(failed) > 1 else ""
            self.errors.append(Unseen(where=where, message=f"{failed[0]}{more}"))
        return found

    async def _with_heartbeat(self, domain: Identity, seen: SeenApp) -> SeenApp | None:
        """Read an app's heartbeat; None: it is gone meanwhile."""
        kind, name = seen.owner
        arn = app_arn(
            Identity(
                account=domain.account,
                region=domain.region,
                partition=domain.partition,
                domain=domain.domain,
                user=name if kind == "user" else None,
                space=name if kind == "space" else None,
                app_type=seen.app.app_type,
                app_name=seen.app.name,
            )
        )
        try:
            items = await self.aws.pages(LIST_TAGS, region=self.region, ResourceArn=arn)
            tags = {str(item["Key"]): str(item.get("Value") or "") for item in items or ()}
        except CollectError as error:
            if _NO_SUCH_THING in str(error):
                return None
            return SeenApp(app=seen.app, owner=seen.owner, problem=str(error))
        except (AttributeError, KeyError, TypeError):
            return SeenApp(app=seen.app, owner=seen.owner, problem=f"ListTags of {arn}: can't be read")
        return SeenApp(app=seen.app, owner=seen.owner, heartbeat=tag_of(tags))


def _order(found: tuple[Identity, str]) -> str:
    return found[0].domain


def _domain(item: Mapping[str, Any]) -> tuple[Identity, str]:
    """Read a domain: account and partition are in its ARN."""
    _, partition, _, region, account, _ = str(item["DomainArn"]).split(":", 5)
    identity = Identity(account=account, region=region, partition=partition, domain=_text(item, "DomainId"))
    return identity, str(item.get("DomainName") or "")


def _user(item: Mapping[str, Any]) -> Owner:
    return Owner(kind="user", name=_text(item, "UserProfileName"))


def _space(item: Mapping[str, Any]) -> Owner:
    sharing = item.get("SpaceSharingSettingsSummary") or {}
    owned = item.get("OwnershipSettingsSummary") or {}
    kind = sharing.get("SharingType")
    return Owner(
        kind="space",
        name=_text(item, "SpaceName"),
        profile=owned.get("OwnerUserProfileName"),
        shared=None if kind is None else kind == "Shared",
    )


def _app(item: Mapping[str, Any]) -> SeenApp:
    kind, key = ("space", "SpaceName") if item.get("SpaceName") else ("user", "UserProfileName")
    _text(item, "AppName")
    return SeenApp(app=parse_api_app(item), owner=(kind, _text(item, key)))


def _text(item: Mapping[str, Any], key: str) -> str:
    value = item[key]
    if not isinstance(value, str) or not value:
        raise ValueError(f"no {key}")
    return value


def _with_owners(listed: Sequence[Owner], apps: Iterable[SeenApp]) -> tuple[Owner, ...]:
    """Give all owners: those that could not be listed show by their apps. Pure."""
    known = {(owner.kind, owner.name): owner for owner in listed}
    for seen in apps:
        kind, name = seen.owner
        known.setdefault(seen.owner, Owner(kind=kind, name=name))
    return tuple(
        owner for _, owner in sorted(known.items(), key=lambda one: (one[0][0] != "user", one[0][1]))
    )
