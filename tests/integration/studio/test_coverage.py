"""Who is covered, asked of the Studio fake: across domains and regions, with what can't be seen beside what can."""

from collections.abc import AsyncIterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from reaper.cli.coverage import document_of, notice_of, page, regions_of, without_regions_off
from reaper.cli.output import Screen
from reaper.cli.schemas import schema
from reaper.cli.schemas.studio import COVERAGE
from reaper.clients.aws import Aws, AwsOptions, Models
from reaper.clients.aws.policy import Narrowing, policy
from reaper.clients.studio.coverage import Coverage
from reaper.clients.studio.heartbeat import Heartbeat, write_heartbeat
from reaper.clients.studio.survey import look_around
from reaper.config.model import AwsSettings, Settings
from reaper.errors import ConfigError
from reaper.providers.studio.options import Standing
from reaper.testing import FakeClock, hours, minutes
from reaper.testing.studio import App, Studio
from tests.integration.studio.watching import Watching, made_models
from tests.support.iam import actions_of
from tests.support.studio import fixture_clock, fixture_studio

__all__ = ["fixture_clock", "fixture_studio"]

LATELY = minutes(10)
DENIED = "AccessDeniedException"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return made_models(tmp_path_factory.mktemp("cache"))


@pytest.fixture
async def aws(models: Models, studio: Studio) -> AsyncIterator[Aws]:
    one = Aws(AwsOptions(attempts=1, connect_timeout_s=2, read_timeout_s=2), models)
    yield one
    await one.close()


async def seen(aws: Aws, studio: Studio, *regions: str) -> dict[str, Any]:
    """Look, and give the document."""
    regions = regions or (studio.home.region,)
    return document_of(await look_around(aws, regions), regions, studio.now())


def by_name(document: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["coverage"] for one in document["owners"]}


def reports(
    app: App, studio: Studio, *, mode: str = "enforce", ago: Any = LATELY, door: str = "server"
) -> App:
    """Let a reaper in an app have reported in."""
    beat = Heartbeat(version="0.3.0", idle_timeout=hours(2), at=studio.now() - ago, mode=mode, door=door)
    app.tags["reaper:heartbeat"] = write_heartbeat(beat)
    return app


def classic(studio: Studio, user: str, **heartbeat: Any) -> App:
    """Let a user of Studio Classic have an app at work for an hour, and a reaper in the JupyterServer."""
    created_at = studio.now() - hours(5)
    server = studio.add_app(user, app_type="JupyterServer", created_at=created_at)
    studio.add_app(user, f"{user}-app", created_at=created_at)
    return reports(server, studio, **heartbeat)


async def test_a_whole_class(aws: Aws, studio: Studio) -> None:
    classic(studio, "covered")
    classic(studio, "dry", mode="dry-run")
    classic(studio, "stale", ago=hours(4))
    classic(studio, "bare").tags.clear()
    classic(studio, "garbled").tags["reaper:heartbeat"] = "hello"
    studio.add_user("idle")
    lab = studio.add_space("lab", "idle")
    reports(
        studio.add_app(lab, app_type="JupyterLab", created_at=studio.now() - hours(5)), studio, door="api"
    )
    studio.add_app(studio.add_space("new", "idle"), app_type="JupyterLab")
    gone = studio.add_app("idle", "gone", created_at=studio.now() - hours(5))
    studio.delete_app(gone)
    document = await seen(aws, studio)
    assert document["errors"] == []
    assert by_name(document) == {
        "bare": "uncovered",
        "covered": "covered",
        "dry": "uncovered",
        "garbled": "uncovered",
        "idle": "idle",
        "lab": "covered",
        "new": "starting",
        "stale": "uncovered",
    }
    assert document["totals"] == {
        "owners": 8,
        "uncovered": 4,
        "unknown": 0,
        "starting": 1,
        "covered": 2,
        "beyond": 0,
        "idle": 1,
    }
    one = next(one for one in document["owners"] if one["name"] == "covered")
    assert (one["version"], one["idle_timeout_s"], one["mode"]) == ("0.3.0", 7200.0, "enforce")
    assert {app["name"] for app in one["apps"]} == {"default", "covered-app"}
    assert next(one for one in document["owners"] if one["name"] == "lab")["profile"] == "idle"


async def test_what_a_reaper_leaves_is_what_is_read(
    aws: Aws, studio: Studio, clock: FakeClock, models: Models
) -> None:
    """From one end to the other, in a space of a domain with IAM Identity Center."""
    domain = studio.add_domain(auth_mode="SSO")
    lab = studio.add_app(studio.add_space("lab", studio.add_user("ann", domain)), app_type="JupyterLab")
    clock.advance(hours(5))
    assert by_name(await seen(aws, studio))["lab"] == "uncovered"
    standing = Standing(mode="enforce", idle_timeout=minutes(90))
    watching = Watching(clock, lab, models, standing=lambda: standing)
    await watching.look()
    await watching.close()
    document = await seen(aws, studio)
    assert by_name(document) == {"ann": "idle", "lab": "covered"}
    assert document["owners"][1]["idle_timeout_s"] == 5400.0


async def test_a_reaper_that_can_not_list_its_apps_covers_nobody(
    aws: Aws, studio: Studio, clock: FakeClock, models: Models
) -> None:
    """It reports in all the same: what it may do to its own app tells nothing of the others."""
    lab = studio.add_app(studio.add_space("lab", "ann"), app_type="JupyterLab")
    clock.advance(hours(5))
    studio.fail("ListApps", DENIED, times=1)
    standing = Standing(mode="enforce", idle_timeout=minutes(90))
    watching = Watching(clock, lab, models, standing=lambda: standing)
    assert not (await watching.look()).poll.complete
    (owner,) = [one for one in (await seen(aws, studio))["owners"] if one["name"] == "lab"]
    assert (owner["coverage"], owner["reason"]) == ("uncovered", "its reaper can't list its apps")
    await watching.look()
    await watching.close()
    assert by_name(await seen(aws, studio))["lab"] == "covered"


async def test_many_pages(aws: Aws, studio: Studio) -> None:
    for number in range(130):
        classic(studio, f"user-{number:03}")
    document = await seen(aws, studio)
    assert document["totals"]["covered"] == 130
    assert len(studio.calls("ListUserProfiles")) == 2
    assert len(studio.calls("ListApps")) == 3
    assert len(studio.calls("ListTags")) == 130, "a JupyterServer's alone"


async def test_domains_and_regions(aws: Aws, studio: Studio) -> None:
    """Two domains with a user of one name, and a region of which nothing is known."""
    for domain_id, region in (("d-one", "eu-west-1"), ("d-two", "us-east-1"), ("d-far", "ap-south-1")):
        user = studio.add_user("ann", studio.add_domain(domain_id, region=region))
        studio.add_app(user, created_at=studio.now() - hours(5))
    document = await seen(aws, studio, "eu-west-1", "us-east-1", "sa-east-1")
    assert [(one["domain"], one["scope"], one["coverage"]) for one in document["owners"]] == [
        ("d-one", "123456789012/eu-west-1", "uncovered"),
        ("d-two", "123456789012/us-east-1", "uncovered"),
    ]
    assert document["errors"] == []


class TestWhatCanNotBeSeen:
    async def test_one_domain_hides_no_other(self, aws: Aws, studio: Studio) -> None:
        for domain_id in ("d-one", "d-two"):
            studio.add_app(studio.add_user(f"of-{domain_id}", studio.add_domain(domain_id)))
        studio.fail("ListApps", DENIED, times=None, when={"DomainIdEquals": "d-one"})
        studio.fail("ListUserProfiles", DENIED, times=None, when={"DomainIdEquals": "d-two"})
        document = await seen(aws, studio)
        assert by_name(document) == {"of-d-one": "unknown", "of-d-two": "uncovered"}
        assert document["owners"][0]["reason"] == "its apps could not be listed"
        assert [one["where"] for one in document["errors"]] == ["us-east-1 d-one", "us-east-1 d-two"]
        assert "the role needs sagemaker:ListApps" in document["errors"][0]["message"]

    async def test_one_region_hides_no_other(self, aws: Aws, studio: Studio) -> None:
        classic(studio, "ann")
        studio.fail("ListDomains", DENIED)
        document = await seen(aws, studio, "eu-west-1", "us-east-1")
        failed = [one["where"] for one in document["errors"]]
        assert len(failed) == 1
        other = await seen(aws, studio, *failed)
        assert other["errors"] == []

    async def test_nothing_at_all(self, aws: Aws, studio: Studio) -> None:
        studio.fail("ListDomains", "ExpiredTokenException", times=None)
        document = await seen(aws, studio, "eu-west-1", "us-east-1")
        assert [one["where"] for one in document["errors"]] == ["eu-west-1", "us-east-1"]
        assert "credentials have expired" in document["errors"][0]["message"]
        text = page(document, Screen(width=None, color=False)).text()
        assert text.startswith("nothing could be seen\nnot seen: eu-west-1: sagemaker ListDomains")

    async def test_nothing_is_there(self, aws: Aws, studio: Studio) -> None:
        document = await seen(aws, studio, "eu-west-1", "us-east-1")
        text = page(document, Screen(width=None, color=False)).text()
        assert text == "there is nobody in a Studio domain of eu-west-1, us-east-1\n"

    async def test_tags_that_may_not_be_read_are_one_error(self, aws: Aws, studio: Studio) -> None:
        for user in ("ann", "bob", "eve"):
            classic(studio, user)
        studio.fail("ListTags", DENIED, times=None)
        document = await seen(aws, studio)
        assert set(by_name(document).values()) == {"unknown"}
        (error,) = document["errors"]
        assert "needs sagemaker:ListTags" in error["message"]
        assert error["message"].endswith("(and so of 2 more apps)")

    async def test_an_app_that_goes_meanwhile_is_no_error(self, aws: Aws, studio: Studio) -> None:
        server = classic(studio, "ann")
        studio.fail("ListTags", "ValidationException", f"Resource {server.arn} does not exist")
        document = await seen(aws, studio)
        assert document["errors"] == []

    @pytest.mark.parametrize("fault", ["garble", "drop"])
    async def test_an_answer_that_is_none(self, aws: Aws, studio: Studio, fault: str) -> None:
        classic(studio, "ann")
        getattr(studio, fault)("ListSpaces")
        document = await seen(aws, studio)
        assert by_name(document) == {"ann": "covered"}
        assert "ListSpaces" in document["errors"][0]["message"]

    async def test_throttled_it_asks_again(self, studio: Studio, models: Models) -> None:
        patient = Aws(AwsOptions(attempts=4), models)
        classic(studio, "ann")
        studio.fail("ListTags", "ThrottlingException", times=2)
        studio.fail("ListApps", "ThrottlingException", times=1)
        document = await seen(patient, studio)
        await patient.close()
        assert (document["errors"], by_name(document)) == ([], {"ann": "covered"})


async def test_all_regions(studio: Studio, models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that an account has not turned on don't know its credentials; nothing is wrong there."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-gov-west-1")  # of a partition that has just two
    aws = Aws(AwsOptions(attempts=1), models)
    assert {"us-east-1", "eu-central-1"} < set(await aws.regions("sagemaker", "aws"))
    regions, everywhere = await regions_of(aws, Settings(aws=AwsSettings(regions=("all",))))
    assert (regions, everywhere) == (["us-gov-east-1", "us-gov-west-1"], True)
    studio.fail("ListDomains", "UnrecognizedClientException")
    survey = await look_around(aws, regions)
    assert (len(survey.errors), len(survey.regions)) == (1, 1)
    assert without_regions_off(survey).errors == ()
    studio.fail("ListDomains", "UnrecognizedClientException", times=None)
    survey = await look_around(aws, regions)
    assert len(survey.errors) == 2
    assert without_regions_off(survey).errors == survey.errors, "no region at all is no region that is off"
    await aws.close()


async def test_the_region_of_the_session(aws: Aws, studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await regions_of(aws, Settings()) == (("us-east-1",), False)
    assert await regions_of(aws, Settings(aws=AwsSettings(regions=("eu-west-1",)))) == (("eu-west-1",), False)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    stray = Aws(AwsOptions(), aws.models)
    with pytest.raises(ConfigError, match="REAPER_AWS__REGIONS"):
        await regions_of(stray, Settings())
    await stray.close()


async def test_it_asks_what_its_policy_allows_and_nothing_else(aws: Aws, studio: Studio) -> None:
    classic(studio, "ann")
    studio.add_app(studio.add_space("lab", "ann"), app_type="JupyterLab")
    await seen(aws, studio)
    called = {f"{one.service}:{one.operation}" for one in studio.requests}
    assert called == actions_of(policy(["coverage"], Narrowing()))
    assert not any(name.partition(":")[2].startswith(("Add", "Delete", "Create")) for name in called)


class TestWhatIsSaid:
    def test_the_schema_knows_every_kind(self) -> None:
        assert list(COVERAGE) == [kind.value for kind in Coverage]

    async def test_documents_keep_their_schema(self, aws: Aws, studio: Studio) -> None:
        classic(studio, "ann")
        studio.add_app(studio.add_space("lab", "ann", shared=True), app_type="CodeEditor")
        studio.fail("ListTags", DENIED)
        jsonschema.validate(await seen(aws, studio), schema("coverage"))

    async def test_a_message_for_who_is_uncovered(self, aws: Aws, studio: Studio) -> None:
        classic(studio, "ann", mode="dry-run")
        classic(studio, "bob")
        notice = notice_of(await seen(aws, studio), studio.now(), "enforce")
        assert notice is not None
        assert notice.topic == "uncovered"
        assert notice.subject == "1 of 2 in Studio have running apps that no reaper covers"
        assert (
            "ann in d-fakestudio01 (123456789012/us-east-1): KernelGateway: its reaper runs in dry-run"
            in notice.text
        )
        assert "bob" not in notice.text

    async def test_no_message_where_all_is_well(self, aws: Aws, studio: Studio) -> None:
        classic(studio, "ann")
        assert notice_of(await seen(aws, studio), studio.now(), "enforce") is None

    async def test_a_message_of_what_could_not_be_seen(self, aws: Aws, studio: Studio) -> None:
        studio.fail("ListDomains", DENIED, times=None)
        notice = notice_of(await seen(aws, studio), studio.now(), "enforce")
        assert notice is not None
        assert notice.subject == "Studio could not be seen wholly"
        assert "not seen: us-east-1: sagemaker ListDomains" in notice.text

    async def test_a_long_message_is_cut(self, aws: Aws, studio: Studio) -> None:
        for number in range(40):
            classic(studio, f"user-{number:03}").tags.clear()
        notice = notice_of(await seen(aws, studio), studio.now(), "enforce")
        assert notice is not None
        assert notice.text.endswith("and 10 more")

    async def test_a_table_with_the_worst_first(self, aws: Aws, studio: Studio) -> None:
        classic(studio, "ann")
        classic(studio, "bob").tags.clear()
        text = page(await seen(aws, studio), Screen(width=None, color=False)).text()
        head, _, titles, first, second = text.splitlines()
        assert head == "2 user profiles and spaces, 1 uncovered, 1 covered"
        assert titles.split() == ["COVERAGE", "WHOSE", "RUNS", "WHY", "REPORTED", "REAPER", "DOMAIN", "SCOPE"]
        assert first.split() == [
            *("uncovered", "bob", "KernelGateway", "no", "reaper", "has", "reported", "in", "-", "-"),
            *("d-fakestudio01", "123456789012/us-east-1"),
        ]
        assert "10m ago   0.3.0, 2h, enforce" in second
        for width in (60, 80, 200):
            drawn = page(await seen(aws, studio), Screen(width=width, color=False)).text()
            assert max(map(len, drawn.splitlines())) <= width
