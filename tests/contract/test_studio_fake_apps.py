"""The Studio fake as botocore's clients see it: domains, users, spaces, and the lives of apps.

The fake itself holds what is asked and answered against botocore's service models and fails at its end
otherwise, so each test here is also one of the fit.
"""

import itertools
from typing import Any

import pytest

from reaper.testing import T0, FakeClock, hours, minutes, seconds
from reaper.testing.studio import App, Studio
from tests.support.studio import Aws, fixture_aws, fixture_clock, fixture_studio, key, refused

__all__ = ["fixture_aws", "fixture_clock", "fixture_studio"]

TYPE = "KernelGateway"


async def status(aws: Aws, app: App) -> str:
    return str((await aws("sagemaker", "describe_app", **key(app)))["Status"])


async def test_domains_users_and_spaces_are_told(studio: Studio, aws: Aws) -> None:
    domain = studio.add_domain("d-team", name="team", auth_mode="SSO")
    ann = studio.add_user("ann", domain)
    studio.add_space("shared-work", ann, shared=True, app_type=None)
    studio.add_space("lab", ann)
    [told] = (await aws("sagemaker", "list_domains"))["Domains"]
    assert (told["DomainId"], told["DomainName"], told["CreationTime"]) == ("d-team", "team", T0)
    described = await aws("sagemaker", "describe_domain", DomainId="d-team")
    assert (described["AuthMode"], described["DomainArn"]) == ("SSO", domain.arn)
    [user] = (await aws("sagemaker", "list_user_profiles", DomainIdEquals="d-team"))["UserProfiles"]
    assert user["UserProfileName"] == "ann"
    described = await aws("sagemaker", "describe_user_profile", DomainId="d-team", UserProfileName="ann")
    assert described["UserProfileArn"] == ann.arn
    spaces = (await aws("sagemaker", "list_spaces", DomainIdEquals="d-team"))["Spaces"]
    assert [
        (space["SpaceName"], space["SpaceSharingSettingsSummary"]["SharingType"]) for space in spaces
    ] == [("shared-work", "Shared"), ("lab", "Private")]
    space = await aws("sagemaker", "describe_space", DomainId="d-team", SpaceName="lab")
    assert space["OwnershipSettings"]["OwnerUserProfileName"] == "ann"
    assert space["SpaceSettings"]["AppType"] == "JupyterLab"


async def test_an_app_lives_from_pending_to_deleted(studio: Studio, clock: FakeClock, aws: Aws) -> None:
    ann = studio.add_user("ann")
    answer = await aws(
        "sagemaker",
        "create_app",
        DomainId=ann.domain.id,
        UserProfileName="ann",
        AppType=TYPE,
        AppName="work",
        ResourceSpec={"InstanceType": "ml.g4dn.xlarge"},
        Tags=[{"Key": "team", "Value": "blue"}],
    )
    [app] = studio.apps
    assert answer["AppArn"] == app.arn
    assert app.arn.endswith("/ann/kernelgateway/work")
    assert await status(aws, app) == "Pending"
    assert await refused(aws("sagemaker", "delete_app", **key(app))) == (
        "ResourceInUse",
        f"App {app.arn} is in Pending state",
    )
    clock.advance(minutes(2))
    described = await aws("sagemaker", "describe_app", **key(app))
    assert described["Status"] == "InService"
    assert described["ResourceSpec"]["InstanceType"] == "ml.g4dn.xlarge"
    assert described["CreationTime"] == T0
    assert await aws("sagemaker", "delete_app", **key(app)) == {}
    assert await status(aws, app) == "Deleting"
    assert (await refused(aws("sagemaker", "delete_app", **key(app))))[0] == "ResourceInUse"
    clock.advance(minutes(5))
    assert await status(aws, app) == "Deleted"
    code, message = await refused(aws("sagemaker", "delete_app", **key(app)))
    assert code == "ValidationException"
    assert "has already been deleted" in message


async def test_last_user_activity_is_bumped_though_nobody_is_there(
    studio: Studio, clock: FakeClock, aws: Aws
) -> None:
    app = studio.add_app("ann")
    clock.advance(hours(9))
    described = await aws("sagemaker", "describe_app", **key(app))
    assert clock.now() - described["LastUserActivityTimestamp"] < minutes(5)


async def test_a_name_is_used_again_and_is_another_life(studio: Studio, clock: FakeClock, aws: Aws) -> None:
    app = studio.add_app("ann", "work")
    again = {"sagemaker": "create_app", **key(app)}
    again.pop("sagemaker")
    assert (await refused(aws("sagemaker", "create_app", **again)))[0] == "ResourceInUse"
    await aws("sagemaker", "delete_app", **key(app))
    assert (await refused(aws("sagemaker", "create_app", **again)))[0] == "ResourceInUse"
    clock.advance(minutes(5))
    await aws("sagemaker", "create_app", **again)
    [told] = (await aws("sagemaker", "list_apps"))["Apps"]
    assert (told["AppName"], told["Status"], told["CreationTime"]) == ("work", "Pending", T0 + minutes(5))


async def test_a_deleted_app_is_listed_for_a_day(studio: Studio, clock: FakeClock, aws: Aws) -> None:
    app = studio.add_app("ann")
    studio.delete_app(app)
    clock.advance(minutes(5) + hours(24) - seconds(1))
    [told] = (await aws("sagemaker", "list_apps"))["Apps"]
    assert told["Status"] == "Deleted"
    clock.advance(seconds(1))
    assert (await aws("sagemaker", "list_apps"))["Apps"] == []
    assert (await refused(aws("sagemaker", "describe_app", **key(app))))[0] == "ResourceNotFound"


async def test_a_slow_deletion_can_take_for_ever(studio: Studio, clock: FakeClock, aws: Aws) -> None:
    slow = studio.add_app("ann", "slow", deletes_in=minutes(20))
    stuck = studio.add_app("ann", "stuck", deletes_in=None)
    for app in (slow, stuck):
        await aws("sagemaker", "delete_app", **key(app))
    clock.advance(minutes(19))
    assert [await status(aws, app) for app in (slow, stuck)] == ["Deleting", "Deleting"]
    clock.advance(minutes(1))
    assert [await status(aws, app) for app in (slow, stuck)] == ["Deleted", "Deleting"]
    clock.advance(hours(1000))
    assert await status(aws, stuck) == "Deleting"


async def test_a_failed_app_says_why_and_frees_its_name(studio: Studio, aws: Aws) -> None:
    app = studio.add_app("ann", "work", failure="the lifecycle script failed")
    described = await aws("sagemaker", "describe_app", **key(app))
    assert (described["Status"], described["FailureReason"]) == ("Failed", "the lifecycle script failed")
    code, message = await refused(aws("sagemaker", "delete_app", **key(app)))
    assert code == "ValidationException"
    assert "previously failed" in message
    await aws("sagemaker", "create_app", **key(app))
    assert studio.apps[0] is not app


async def test_a_state_that_botocore_does_not_know_yet_goes_through(studio: Studio, aws: Aws) -> None:
    app = studio.add_app("ann")
    studio.say_status(app, "Hibernating")
    assert await status(aws, app) == "Hibernating"
    studio.say_status(app, None)
    assert await status(aws, app) == "InService"


async def test_apps_are_listed_by_user_or_by_space_and_never_by_both(studio: Studio, aws: Aws) -> None:
    studio.add_app("ann", "hers")
    studio.add_app(studio.add_space("ann-lab", "ann"), app_type="JupyterLab")
    studio.add_app("bob", "his")

    async def names(**filters: str) -> list[str]:
        return [app["AppName"] for app in (await aws("sagemaker", "list_apps", **filters))["Apps"]]

    assert await names() == ["hers", "default", "his"]
    assert await names(UserProfileNameEquals="ann") == ["hers"]
    assert await names(SpaceNameEquals="ann-lab") == ["default"]
    assert await names(DomainIdEquals="d-other") == []
    assert await names(SortOrder="Descending", UserProfileNameEquals="bob") == ["his"]
    both = aws("sagemaker", "list_apps", UserProfileNameEquals="ann", SpaceNameEquals="ann-lab")
    assert (await refused(both))[0] == "ValidationException"


@pytest.mark.parametrize("owner", [{}, {"UserProfileName": "ann", "SpaceName": "lab"}])
async def test_an_app_has_exactly_one_owner(owner: dict[str, str], studio: Studio, aws: Aws) -> None:
    app = studio.add_app("ann", "work")
    asked = {**key(app), **owner} if owner else {k: v for k, v in key(app).items() if k != "UserProfileName"}
    for operation in ("describe_app", "delete_app", "create_app"):
        assert (await refused(aws("sagemaker", operation, **asked)))[0] == "ValidationException"


async def test_two_owners_may_have_apps_of_one_name(studio: Studio, aws: Aws) -> None:
    hers = studio.add_app("ann", "work")
    his = studio.add_app("bob", "work")
    in_space = studio.add_app(studio.add_space("ann", "ann", app_type=None), "work")
    await aws("sagemaker", "delete_app", **key(hers))
    assert [app.status(studio.now()) for app in (hers, his, in_space)] == [
        "Deleting",
        "InService",
        "InService",
    ]


@pytest.mark.parametrize(("asked", "lengths"), [({"MaxResults": 100}, [100, 100, 30]), ({}, [10] * 23)])
async def test_pages_come_to_an_end_and_hold_each_app_once(
    asked: dict[str, Any], lengths: list[int], studio: Studio, aws: Aws
) -> None:
    for number in range(230):
        studio.add_app("ann", f"app-{number}")
    pages: list[list[str]] = []
    onward: dict[str, str] = {}
    while True:
        answer = await aws("sagemaker", "list_apps", **asked, **onward)
        pages.append([app["AppName"] for app in answer["Apps"]])
        if "NextToken" not in answer:
            break
        onward = {"NextToken": answer["NextToken"]}
    assert [len(page) for page in pages] == lengths
    assert list(itertools.chain.from_iterable(pages)) == [f"app-{number}" for number in range(230)]


async def test_a_token_belongs_to_its_filters(studio: Studio, aws: Aws) -> None:
    for number in range(3):
        studio.add_app("ann", f"app-{number}")
    token = (await aws("sagemaker", "list_apps", MaxResults=1))["NextToken"]
    for wrong in ({"NextToken": token, "UserProfileNameEquals": "ann"}, {"NextToken": "bad"}):
        assert (await refused(aws("sagemaker", "list_apps", **wrong)))[0] == "ValidationException"
