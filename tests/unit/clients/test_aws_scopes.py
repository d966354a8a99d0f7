"""Which accounts and regions are found, and what is said of those that are not."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest

from reaper.clients.aws import Aws, Models, Operation
from reaper.clients.aws.scopes import OrganizationOptions, ScopeOptions, Scopes, ScopesFound
from reaper.errors import CollectError, SourceDenied, SourceUnavailable

OWN, ANN, BOB = "111111111111", "222222222222", "333333333333"
REGIONS = [
    {"RegionName": "eu-central-1", "OptInStatus": "opt-in-not-required"},
    {"RegionName": "me-south-1", "OptInStatus": "not-opted-in"},
    {"RegionName": "eu-south-1", "OptInStatus": "opted-in"},
]


def role(account: str, name: str = "reaper") -> str:
    return f"arn:aws:iam::{account}:role/{name}"


class World:
    """What AWS answers: by account, an error or the regions it has turned on; and the organization's tree."""

    def __init__(self) -> None:
        self.regions: dict[str, Any] = {OWN: REGIONS, ANN: REGIONS, BOB: REGIONS[:1]}
        self.refuses: dict[str, CollectError] = {}
        self.units: dict[str, tuple[list[str], list[str]]] = {}
        self.listed: list[dict[str, str]] | CollectError = []
        self.asked: list[tuple[str, str]] = []
        self.closed: list[str] = []
        self.is_really: dict[str, str] = {}

    def answer(self, account: str, operation: Operation, parameters: Mapping[str, Any]) -> Any:
        self.asked.append((account, operation.name))
        if account in self.refuses:
            raise self.refuses[account]
        match operation.name:
            case "GetCallerIdentity":
                return {"Account": self.is_really.get(account, account)}
            case "DescribeRegions":
                return {"Regions": self.regions[account]}
            case "ListAccounts":
                if isinstance(self.listed, CollectError):
                    raise self.listed
                return self.listed
            case "ListAccountsForParent":
                return [{"Id": one, "State": "ACTIVE"} for one in self.units[parameters["ParentId"]][0]]
            case "ListChildren":
                return [{"Id": one, "Type": "x"} for one in self.units[parameters["ParentId"]][1]]
        raise AssertionError(operation.name)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()

    def account_of(aws: Aws) -> str:
        return aws.role.account if aws.role is not None else OWN

    async def read(self: Aws, operation: Operation, *, region: str, **parameters: Any) -> Any:
        return world.answer(account_of(self), operation, parameters)

    async def close(self: Aws) -> None:
        world.closed.append(account_of(self))

    monkeypatch.setattr(Aws, "read", read)
    monkeypatch.setattr(Aws, "pages", read)
    monkeypatch.setattr(Aws, "close", close)
    monkeypatch.setattr(Aws, "region", lambda self: "eu-central-1")
    return world


class NoModels:
    """Stands for `Models`: nothing is really called."""

    async def loader(self) -> None: ...


def scopes(**options: Any) -> Scopes:
    return Scopes(ScopeOptions(**options), models=cast("Models", NoModels()))


def names(found: ScopesFound) -> list[str]:
    return [scope.name for scope in found.scopes]


async def test_without_settings_it_is_the_credentials_account_in_its_region(world: World) -> None:
    found = await scopes().find()
    assert (names(found), found.problems, found.complete) == ([f"{OWN}/eu-central-1"], (), True)


async def test_all_regions_are_those_that_an_account_has_turned_on(world: World) -> None:
    found = await scopes(regions=("all",), roles=(role(ANN), role(BOB))).find()
    assert names(found) == [
        f"{OWN}/eu-central-1",
        f"{OWN}/eu-south-1",
        f"{ANN}/eu-central-1",
        f"{ANN}/eu-south-1",
        f"{BOB}/eu-central-1",
    ]
    assert [scope.aws.role and scope.aws.role.arn for scope in found.scopes[:3]] == [None, None, role(ANN)]


async def test_regions_by_name_are_not_asked_for(world: World) -> None:
    found = await scopes(regions=("eu-west-1", "us-east-1"), roles=(role(ANN),)).find()
    assert names(found) == [f"{one}/{region}" for one in (OWN, ANN) for region in ("eu-west-1", "us-east-1")]
    assert {operation for _, operation in world.asked} == {"GetCallerIdentity"}


async def test_one_account_that_refuses_hides_none_of_the_others(world: World) -> None:
    """Its regions are looked at all the same where they are known: what is there becomes unknown, not gone."""
    world.refuses[ANN] = SourceDenied("not you")
    found = await scopes(regions=("eu-west-1",), roles=(role(ANN), role(BOB))).find()
    assert names(found) == [f"{one}/eu-west-1" for one in (OWN, ANN, BOB)]
    assert (found.problems, found.complete) == ((f"{ANN}: not you",), False)

    found = await scopes(regions=("all",), roles=(role(ANN), role(BOB))).find()
    assert {scope.account for scope in found.scopes} == {OWN, BOB}
    assert (found.problems, found.complete) == ((f"{ANN}: not you",), False)


async def test_one_that_is_expected_to_refuse_is_no_failure(world: World) -> None:
    organization = OrganizationOptions(expect_denied=(ANN,))
    world.refuses[ANN] = SourceDenied("not you")
    found = await scopes(regions=("eu-west-1",), roles=(role(ANN),), organization=organization).find()
    assert (names(found), found.problems, found.complete) == ([f"{OWN}/eu-west-1"], (), True)
    assert "refuses, as it may (not you)" in found.notes[0]

    world.refuses[ANN] = SourceUnavailable("no way there")  # that was not expected
    found = await scopes(regions=("eu-west-1",), roles=(role(ANN),), organization=organization).find()
    assert found.problems == (f"{ANN}: no way there",)
    assert [scope.expected_denied for scope in found.scopes] == [False, True]


async def test_who_does_not_know_us_finds_nothing(world: World) -> None:
    world.refuses[OWN] = SourceDenied("sign in")
    found = await scopes(roles=(role(ANN),)).find()
    assert (found.scopes, found.problems, found.complete) == ((), ("sign in",), False)


async def test_a_role_of_another_account_than_it_says_is_not_believed(world: World) -> None:
    world.is_really[ANN] = BOB
    found = await scopes(regions=("all",), roles=(role(ANN),)).find()
    assert found.problems == (f"{ANN}: its role is of account {BOB}",)
    assert {scope.account for scope in found.scopes} == {OWN}


async def test_nothing_is_asked_twice_and_everything_is_the_same_object(world: World) -> None:
    """`find` is called before every round of looks."""
    every = scopes(regions=("all",), roles=(role(ANN),))
    first = await every.find()
    asked = len(world.asked)
    second = await every.find()
    assert len(world.asked) == asked
    assert first == second
    assert all(one.aws is two.aws for one, two in zip(first.scopes, second.scopes, strict=True))


async def test_what_is_known_is_kept_while_it_cant_be_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization = OrganizationOptions(role="reaper")
    world.listed = [{"Id": ANN, "State": "ACTIVE"}]
    every = scopes(regions=("all",), organization=organization)
    first = await every.find()
    loop = asyncio.get_running_loop()
    later = loop.time() + 4000
    monkeypatch.setattr(loop, "time", lambda: later)
    world.listed = SourceUnavailable("no way there")
    world.refuses[ANN] = SourceDenied("not you any more")
    second = await every.find()
    assert names(second) == names(first)
    assert second.problems == (
        "the organization's accounts can't be listed: no way there",
        f"{ANN}: not you any more",
    )
    assert not second.complete


class TestOrganization:
    async def test_its_active_accounts(self, world: World) -> None:
        world.listed = [
            {"Id": OWN, "State": "ACTIVE"},
            {"Id": ANN, "Status": "ACTIVE"},
            {"Id": BOB, "Status": "SUSPENDED"},
        ]
        found = await scopes(organization=OrganizationOptions(role="reaper-member")).find()
        assert {scope.account for scope in found.scopes} == {OWN, ANN}
        arns = [scope.aws.role.arn for scope in found.scopes if scope.aws.role is not None]
        assert arns == [role(ANN, "reaper-member")]

    async def test_those_of_units_and_of_the_units_below(self, world: World) -> None:
        world.units = {"ou-1": ([ANN], ["ou-2"]), "ou-2": ([BOB], ["ou-1"]), "ou-3": (["4" * 12], [])}
        found = await scopes(organization=OrganizationOptions(role="x", units=("ou-1",))).find()
        assert {scope.account for scope in found.scopes} == {OWN, ANN, BOB}

    async def test_what_is_excluded_is_said(self, world: World) -> None:
        world.listed = [{"Id": ANN}, {"Id": BOB}]
        excluding = OrganizationOptions(role="x", excluded=(ANN, OWN))
        found = await scopes(organization=excluding).find()
        assert {scope.account for scope in found.scopes} == {BOB}
        assert found.notes == tuple(f"{one} is not looked at: it is excluded" for one in (OWN, ANN))
        assert found.complete

    async def test_a_role_that_is_named_is_taken_before_the_organizations(self, world: World) -> None:
        world.listed = [{"Id": ANN}]
        named = role(ANN, "special")
        found = await scopes(roles=(named,), organization=OrganizationOptions(role="x")).find()
        assert [scope.aws.role.arn for scope in found.scopes if scope.aws.role is not None] == [named]

    @pytest.mark.parametrize("item", [None, {}, {"Id": ""}, {"Id": 7}])
    async def test_malformed(self, world: World, item: Any) -> None:
        world.listed = [item]
        found = await scopes(organization=OrganizationOptions(role="x")).find()
        assert "an item has no Id" in found.problems[0]
        assert names(found) == [f"{OWN}/eu-central-1"]

    async def test_an_account_that_left_is_closed(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.listed = [{"Id": ANN}, {"Id": BOB}]
        every = scopes(organization=OrganizationOptions(role="x"))
        await every.find()
        loop = asyncio.get_running_loop()
        later = loop.time() + 4000
        monkeypatch.setattr(loop, "time", lambda: later)
        world.listed = [{"Id": BOB}]
        found = await every.find()
        assert {scope.account for scope in found.scopes} == {OWN, BOB}
        assert world.closed == [ANN]


@pytest.mark.parametrize("regions", [None, [], [{}], [{"RegionName": ""}], ["eu-central-1"]])
async def test_regions_that_can_not_be_read(world: World, regions: Any) -> None:
    world.regions[OWN] = regions
    found = await scopes(regions=("all",)).find()
    assert (found.scopes, found.complete) == ((), False)
    assert "DescribeRegions" in found.problems[0]


async def test_closing_closes_all(world: World) -> None:
    every = scopes(regions=("eu-west-1",), roles=(role(ANN),))
    await every.find()
    await every.close()
    assert sorted(world.closed) == [OWN, OWN, ANN]


async def test_one_account_that_is_slow_leaves_turns_to_the_others(world: World) -> None:
    """Its questions wait, throttled: at most eight of them have turns, of those that are shared."""
    every = scopes(regions=("eu-west-1",), roles=(role(ANN),), turns=asyncio.Semaphore(10))
    found = await every.find()
    own, ann = (scope.aws for scope in found.scopes)
    waiting = [asyncio.ensure_future(ann._turns.__aenter__()) for _ in range(20)]
    await asyncio.sleep(0)
    assert sum(one.done() for one in waiting) == 8
    async with asyncio.timeout(5):
        await own._turns.__aenter__()
        await own._turns.__aenter__()  # the tenth
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await own._turns.__aenter__()
    await ann._turns.__aexit__(None, None, None)
    async with asyncio.timeout(5):
        await own._turns.__aenter__()
    for one in waiting:
        one.cancel()
