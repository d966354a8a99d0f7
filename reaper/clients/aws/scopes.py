"""Which accounts and regions there are to look at, and as whom.

The account that the credentials belong to, those of the roles that are named, and those of the organization. Each is
asked by itself, so that what is wrong with one hides none of the others; and what is once known of one is kept while
it can't be asked again, so that its resources don't come and go with it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from reaper.clients.aws.fleet import DESCRIBE_REGIONS
from reaper.clients.aws.loading import Models
from reaper.clients.aws.operations import GET_CALLER_IDENTITY
from reaper.clients.aws.options import AwsOptions, Role
from reaper.clients.aws.organization import OrganizationOptions, accounts_of
from reaper.clients.aws.policy import partition_of
from reaper.clients.aws.session import Aws
from reaper.errors import CollectError, SourceDenied, SourceMalformed

__all__ = ["OrganizationOptions", "Scope", "ScopeOptions", "Scopes", "ScopesFound"]

_KEPT_FOR_S = 3600.0
"""How long an answer is good for: regions are turned on, and accounts made, less often."""

_AGAIN_AFTER_S = 60.0
"""How soon a question that failed is asked again."""

_AT_ONCE = 32
"""Questions under way over all accounts and regions: each may have a page of megabytes in its hands."""

_OF_ONE_ACCOUNT = 8
"""Those of one account: where it is throttled, others still have their turns while its questions wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeOptions:
    """What is to be looked at.

    Attributes:
        regions: By name, or `all`: those that an account has turned on; empty: the one of the environment or profile.
        roles: ARNs of roles to assume, one an account.
        external_id: What they ask for.
        session_name: Under what name CloudTrail tells what is done by them: `reaper-HOST`.
        organization: Further accounts.
        turns: Bounds how many questions are under way over all scopes.
    """

    regions: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    external_id: str = ""
    session_name: str = "reaper"
    organization: OrganizationOptions = field(default_factory=OrganizationOptions)
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One region of one account.

    Attributes:
        account: Twelve digits.
        region: `eu-central-1`.
        aws: How to ask; shared by the account's regions.
        expected_denied: That it refuses is no failure.
    """

    account: str
    region: str
    aws: Aws
    expected_denied: bool = False

    @property
    def name(self) -> str:
        """Name it as resources do: `ACCOUNT/REGION`."""
        return f"{self.account}/{self.region}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopesFound:
    """What there is.

    Attributes:
        scopes: By account and region.
        problems: What could not be found out, by account where it is one's.
        notes: What is not looked at, as is expected: accounts that are excluded, or refuse as they may.
        complete: All that there is was found out.
    """

    scopes: tuple[Scope, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    complete: bool = True


class Scopes:
    """Finds the scopes again and again; close it in the end, which closes every scope's `aws`.

    Args:
        options: What is wanted.
        aws: How to talk.
        models: Shared by all.
    """

    def __init__(
        self, options: ScopeOptions, aws: AwsOptions | None = None, models: Models | None = None
    ) -> None:
        self._options = options
        self._aws_options = aws or AwsOptions(adaptive=True)
        self.models = models or Models(self._aws_options.cache)
        self.own = Aws(self._aws_options, self.models, turns=_Turns(options.turns))
        """The account that the credentials belong to: it assumes the roles, and knows the organization."""
        self._identity: _Kept[tuple[str, str]] = _Kept()
        self._listed: _Kept[dict[str, str]] = _Kept()
        self._accounts: dict[str, _Account] = {}

    async def find(self) -> ScopesFound:
        """Find the scopes. What was found is given again; AWS is asked once in a while only."""
        identity = await self._identity.get(self._who)
        if identity is None:
            return ScopesFound(problems=(self._identity.problem,), complete=False)
        account, region = identity
        problems: list[str] = []
        notes: list[str] = []
        roles = {Role(arn=arn).account: arn for arn in self._options.roles}
        if self._options.organization.role:
            listed = await self._listed.get(lambda: accounts_of(self.own, region, self._options.organization))
            if self._listed.problem:
                problems.append(f"the organization's accounts can't be listed: {self._listed.problem}")
            name = self._options.organization.role
            partition = partition_of(region)
            others = [one for one in listed or () if one != account]
            roles = {one: f"arn:{partition}:iam::{one}:role/{name}" for one in others} | roles
        excluded = set(self._options.organization.excluded)
        notes += [
            f"{one} is not looked at: it is excluded" for one in sorted(({account} | roles.keys()) & excluded)
        ]
        wanted = {one: arn for one, arn in roles.items() if one not in excluded}
        accounts = [self._account(one, arn) for one, arn in wanted.items()]
        if account not in excluded | wanted.keys():
            accounts.insert(0, self._accounts.setdefault(account, _Account(account, self.own, proven=True)))
        found = await asyncio.gather(*(self._of(one, region) for one in accounts))
        await self._leave({one.id for one in accounts})
        return ScopesFound(
            scopes=tuple(scope for one in found for scope in one.scopes),
            problems=(*problems, *(problem for one in found for problem in one.problems)),
            notes=(*notes, *(note for one in found for note in one.notes)),
            complete=not problems and all(one.complete for one in found),
        )

    async def close(self) -> None:
        """Close every connection."""
        for one in self._accounts.values():
            await one.aws.close()
        await self.own.close()

    async def _who(self) -> tuple[str, str]:
        """Give our account, and a region to ask in what belongs to none."""
        await self.models.loader()  # aside: to ask for the region imports half of botocore
        named = [name for name in self._options.regions if name != "all"]
        region = next(iter(named), None) or self.own.region() or "us-east-1"
        return await self.own.account(region), region

    def _account(self, account: str, arn: str) -> "_Account":
        known = self._accounts.get(account)
        if known is None or known.aws.role is None or known.aws.role.arn != arn:
            role = Role(
                arn=arn, external_id=self._options.external_id, session_name=self._options.session_name
            )
            aws = Aws(
                self._aws_options, self.models, role=role, base=self.own, turns=_Turns(self._options.turns)
            )
            known = self._accounts[account] = _Account(account, aws)
        return known

    async def _leave(self, wanted: set[str]) -> None:
        """Close those that are there no more."""
        for account in self._accounts.keys() - wanted:
            left = self._accounts.pop(account)
            if left.aws is not self.own:
                await left.aws.close()

    async def _of(self, account: "_Account", home: str) -> ScopesFound:
        """Find the scopes of one account."""
        expected = account.id in self._options.organization.expect_denied
        await account.proof.get(lambda: account.prove(home))
        problem = account.proof.problem
        if account.proof.denied and expected:
            return ScopesFound(notes=(f"{account.id} is not looked at: it refuses, as it may ({problem})",))
        regions = self._named(home)
        if regions is None and account.proof.value is not None:
            regions = await account.regions.get(lambda: account.list_regions(home))
            problem = problem or account.regions.problem
        elif regions is None:
            regions = account.regions.value
        scopes = [
            Scope(account=account.id, region=region, aws=account.aws, expected_denied=expected)
            for region in sorted({*(regions or ()), *self._explicit()})
        ]
        problems = (f"{account.id}: {problem}",) if problem else ()
        return ScopesFound(scopes=tuple(scopes), problems=problems, complete=not problem)

    def _explicit(self) -> list[str]:
        return [name for name in self._options.regions if name != "all"]

    def _named(self, home: str) -> tuple[str, ...] | None:
        """Give the regions that are named; None: each account is asked for its own."""
        if "all" in self._options.regions:
            return None
        return tuple(dict.fromkeys(self._options.regions)) or (home,)


class _Turns(contextlib.AbstractAsyncContextManager[None]):
    """A turn among all questions, for who has one among those of the account."""

    def __init__(self, shared: asyncio.Semaphore) -> None:
        self._own = asyncio.Semaphore(_OF_ONE_ACCOUNT)
        self._shared = shared

    async def __aenter__(self) -> None:
        await self._own.acquire()
        try:
            await self._shared.acquire()
        except BaseException:
            self._own.release()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._shared.release()
        self._own.release()


Value = TypeVar("Value")


class _Kept(Generic[Value]):
    """An answer that is asked for again once in a while, and kept where that fails."""

    def __init__(self) -> None:
        self.value: Value | None = None
        self.problem = ""
        self.denied = False
        self._until = 0.0

    async def get(self, ask: Callable[[], Awaitable[Value]]) -> Value | None:
        """Give the answer, as old as it may be; None: there never was one."""
        now = asyncio.get_running_loop().time()
        if now < self._until:
            return self.value
        try:
            self.value = await ask()
        except CollectError as error:
            self.problem, self.denied = str(error), isinstance(error, SourceDenied)
            self._until = now + _AGAIN_AFTER_S
        else:
            self.problem, self.denied = "", False
            self._until = now + _KEPT_FOR_S
        return self.value


class _Account:
    """What is known of one account."""

    def __init__(self, account: str, aws: Aws, *, proven: bool = False) -> None:
        self.id = account
        self.aws = aws
        self.regions: _Kept[tuple[str, ...]] = _Kept()
        self.proof: _Kept[bool] = _Kept()
        self._proven = proven

    async def prove(self, region: str) -> bool:
        """Find out whether its role can be assumed, and is of this account.

        Raises:
            SourceUnavailable, SourceDenied, SourceMalformed: It can't, or is of another.
        """
        if self._proven:
            return True
        answer = await self.aws.read(GET_CALLER_IDENTITY, region=region) or {}
        if answer.get("Account") != self.id:
            raise SourceMalformed(f"its role is of account {answer.get('Account')}")
        return True

    async def list_regions(self, region: str) -> tuple[str, ...]:
        """List the regions that it has turned on.

        Raises:
            SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.read`.
        """
        answer = await self.aws.read(DESCRIBE_REGIONS, region=region) or {}
        return tuple(_usable(answer.get("Regions")))


def _usable(regions: object) -> list[str]:
    """Give the names of regions that can be used: `opt-in-not-required`, or `opted-in`. Pure."""
    if not isinstance(regions, list) or not regions:
        raise SourceMalformed("ec2 DescribeRegions: the answer has no Regions")
    found = []
    for region in regions:
        item: Mapping[str, Any] = region if isinstance(region, Mapping) else {}
        name = item.get("RegionName")
        if not isinstance(name, str) or not name:
            raise SourceMalformed("ec2 DescribeRegions: a region has no name")
        if item.get("OptInStatus", "opted-in") != "not-opted-in":
            found.append(name)
    return sorted(found)
