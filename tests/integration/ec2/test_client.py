"""What is asked of EC2 and CloudWatch, and done, on the fake."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from reaper.clients.aws import (
    CANCEL_SPOT_REQUESTS,
    CREATE_TAGS,
    DESCRIBE_REGIONS,
    HIBERNATE_INSTANCES,
    STOP_INSTANCES,
    TERMINATE_INSTANCES,
    Aws,
    AwsOptions,
    Models,
    Role,
)
from reaper.clients.aws.fleet import FLEET
from reaper.clients.aws.policy import LAST_ACTION_TAG, Narrowing, policy
from reaper.clients.aws.scopes import OrganizationOptions, ScopeOptions, Scopes
from reaper.clients.ec2 import (
    InstanceModel,
    Metric,
    Protection,
    cancel_spot_request,
    describe_instances,
    describe_types,
    forget_types,
    gpu_metrics,
    may,
    persistent_requests,
    protection,
    read_metrics,
    stop,
    tag,
    terminate,
)
from reaper.errors import (
    ActionDenied,
    OutcomeUnknown,
    SourceDenied,
    SourceMalformed,
    SourceUnavailable,
)
from reaper.testing import T0, hours, minutes
from reaper.testing.ec2 import Fleet, Usage
from tests.support.ec2 import fixture_clock, fixture_fleet
from tests.support.iam import actions_of, allows

__all__ = ["fixture_clock", "fixture_fleet"]

HERE = "us-east-1"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(tmp_path_factory.mktemp("cache"))


@pytest.fixture
async def aws(fleet: Fleet, models: Models) -> AsyncIterator[Aws]:
    talking = Aws(AwsOptions(attempts=1, connect_timeout_s=2, read_timeout_s=2), models)
    yield talking
    await talking.close()


@pytest.fixture(autouse=True)
def _no_types() -> Iterator[None]:
    forget_types()
    yield
    forget_types()


async def listed(aws: Aws, **options: Any) -> dict[str, InstanceModel]:
    return {one.id: one async for page in describe_instances(aws, HERE, **options) for one in page}


class TestLooking:
    async def test_all_that_are_not_terminated(self, fleet: Fleet, aws: Aws) -> None:
        box = fleet.add("g5.xlarge", "a & <b> ü", age=hours(72), tags={"Owner": "ann"}, spot="persistent")
        gone = fleet.add("m5.large")
        await terminate(aws, HERE, gone.id)
        fleet.advance(minutes(5))
        found = await listed(aws)
        assert set(found) == {box.id}
        told = found[box.id]
        assert (told.instance_type, told.state, told.launched_at) == ("g5.xlarge", "running", T0 - hours(72))
        assert told.tags == {"Name": "a & <b> ü", "Owner": "ann"}
        assert (told.lifecycle, told.vcpus, told.platform) == ("spot", 4, "Linux/UNIX")
        assert set(await listed(aws, states=None)) == {box.id, gone.id}

    async def test_by_id(self, fleet: Fleet, aws: Aws) -> None:
        one, two, three = (fleet.add("m5.large") for _ in range(3))
        none = one.id[:-1] + "f"
        assert set(await listed(aws, ids=(one.id,))) == {one.id}
        assert fleet.calls("DescribeInstances")[-1]["InstanceIds"] == [one.id]
        assert set(await listed(aws, ids=(one.id, three.id, none))) == {one.id, three.id}
        assert await listed(aws, ids=(none,)) == {}
        assert await listed(aws, ids=()) == {}
        assert two.id in await listed(aws)

    async def test_in_pages_that_are_as_long_as_can_be(self, fleet: Fleet, aws: Aws) -> None:
        for _ in range(1001):
            fleet.add("m5.large")
        pages = [len(page) async for page in describe_instances(aws, HERE)]
        assert (sum(pages), len(pages)) == (1001, 2)
        assert aws.calls["DescribeInstances"] == 2

    @pytest.mark.parametrize("fault", ["garble", "html", "drop", "fail", "throttle"])
    async def test_what_fails_is_no_empty_list(self, fleet: Fleet, aws: Aws, fault: str) -> None:
        fleet.add("m5.large")
        arguments = ("DescribeInstances", "InternalError") if fault == "fail" else ("DescribeInstances",)
        getattr(fleet, fault)(*arguments)
        with pytest.raises((SourceMalformed, SourceUnavailable)):
            await listed(aws)

    async def test_types_are_asked_for_once(self, fleet: Fleet, aws: Aws) -> None:
        found = await describe_types(aws, HERE, ["g5.12xlarge", "m5.large", "m5.large", ""])
        assert (found["g5.12xlarge"].gpus, found["m5.large"].gpus) == (4, 0)
        assert await describe_types(aws, HERE, ["m5.large"]) == {"m5.large": found["m5.large"]}
        assert len(fleet.calls("DescribeInstanceTypes")) == 1

    async def test_a_type_that_a_region_does_not_have_spoils_no_other(self, fleet: Fleet, aws: Aws) -> None:
        fleet.fail("DescribeInstanceTypes", "InvalidInstanceType", "no p5.48xlarge here", times=1)
        fleet.fail(
            "DescribeInstanceTypes", "InvalidInstanceType", when={"InstanceTypes": ["p5.48xlarge"]}, times=1
        )
        assert set(await describe_types(aws, HERE, ["g5.xlarge", "p5.48xlarge"])) == {"g5.xlarge"}

    async def test_protection(self, fleet: Fleet, aws: Aws) -> None:
        box = fleet.add("m5.large", disable_api_termination=True)
        assert await protection(aws, HERE, box.id) == Protection(stop=False, terminate=True)
        with pytest.raises(SourceUnavailable, match="there is no"):
            await protection(aws, HERE, box.id[:-1] + "f")

    async def test_which_spot_requests_are_persistent(self, fleet: Fleet, aws: Aws) -> None:
        boxes = [fleet.add("g5.xlarge", spot=kind) for kind in ("one-time", "persistent")]
        found = await listed(aws)
        once, ever = (found[box.id].spot_request_id for box in boxes)
        asked = [once, ever, "sir-99999999"]
        assert await persistent_requests(aws, HERE, asked) == {once: False, ever: True}
        assert await persistent_requests(aws, HERE, []) == {}


class TestMetrics:
    async def test_series_by_key(self, fleet: Fleet, aws: Aws) -> None:
        box = fleet.add("g5.xlarge", age=hours(5))
        box.usage = Usage(cpu=55.0, gpus=[97.0])
        cpu = Metric("AWS/EC2", "CPUUtilization", (("InstanceId", box.id),), "Maximum")
        (gpu,) = await gpu_metrics(aws, HERE)
        wanted = {"cpu": cpu, "gpu": gpu}
        found = await read_metrics(
            aws, HERE, wanted, start=T0 - hours(1), end=T0 - minutes(30), period=minutes(5)
        )
        times = [T0 - minutes(60 - 5 * n) for n in range(6)]
        assert found == {"cpu": dict.fromkeys(times, 55.0), "gpu": dict.fromkeys(times, 97.0)}
        assert (aws.metrics, fleet.metrics.asked) == (2, 2)

    async def test_five_hundred_a_call(self, fleet: Fleet, aws: Aws) -> None:
        boxes = [fleet.add("m5.large", age=hours(2)) for _ in range(501)]
        for box in boxes:
            box.usage = Usage(cpu=1.0)
        wanted = {
            box.id: Metric("AWS/EC2", "CPUUtilization", (("InstanceId", box.id),), "Maximum") for box in boxes
        }
        found = await read_metrics(
            aws, HERE, wanted, start=T0 - minutes(40), end=T0 - minutes(30), period=minutes(5)
        )
        assert {len(series) for series in found.values()} == {2}
        assert [len(call["MetricDataQueries"]) for call in fleet.calls("GetMetricData")] == [500, 1]


class TestActing:
    async def test_stop_says_what_it_was(self, fleet: Fleet, aws: Aws) -> None:
        box = fleet.add("m5.large")
        assert await stop(aws, HERE, box.id) == "running"
        assert await stop(aws, HERE, box.id) == "stopping"
        assert await stop(aws, HERE, box.id[:-1] + "f") is None

    async def test_what_is_not_set_up_for_it_does_not_hibernate(self, fleet: Fleet, aws: Aws) -> None:
        plain, ready = fleet.add("m5.large"), fleet.add("m5.large", hibernation=True)
        with pytest.raises(ActionDenied, match="Hibernation"):
            await stop(aws, HERE, plain.id, hibernate=True)
        assert await stop(aws, HERE, ready.id, hibernate=True) == "running"
        assert fleet.calls("StopInstances")[-1]["Hibernate"] is True

    async def test_terminate(self, fleet: Fleet, aws: Aws) -> None:
        box, kept = fleet.add("m5.large"), fleet.add("m5.large", disable_api_termination=True)
        assert await terminate(aws, HERE, box.id) == "running"
        with pytest.raises(ActionDenied, match="OperationNotPermitted"):
            await terminate(aws, HERE, kept.id)
        assert await terminate(aws, HERE, box.id[:-1] + "f") is None

    async def test_one_time_spot_is_not_stopped(self, fleet: Fleet, aws: Aws) -> None:
        with pytest.raises(ActionDenied, match="UnsupportedOperation"):
            await stop(aws, HERE, fleet.add("g5.xlarge", spot="one-time").id)

    async def test_a_spot_request_is_cancelled(self, fleet: Fleet, aws: Aws) -> None:
        box = fleet.add("g5.xlarge", spot="persistent")
        request = (await listed(aws))[box.id].spot_request_id
        assert await cancel_spot_request(aws, HERE, request)
        assert not await cancel_spot_request(aws, HERE, "sir-99999999")

    async def test_a_tag_is_cut_to_what_it_may_hold(self, fleet: Fleet, aws: Aws) -> None:
        box = fleet.add("m5.large")
        assert await tag(aws, HERE, box.id, {"reaper:last-action": "x" * 300})
        assert (await listed(aws))[box.id].tags["reaper:last-action"] == "x" * 256
        assert not await tag(aws, HERE, box.id[:-1] + "f", {"a": "b"})

    @pytest.mark.parametrize("fault", ["drop", "garble"])
    async def test_an_answer_that_is_lost_leaves_open_what_happened(
        self, fleet: Fleet, aws: Aws, fault: str
    ) -> None:
        box = fleet.add("m5.large")
        getattr(fleet, fault)("StopInstances", after=True)
        with pytest.raises(OutcomeUnknown):
            await stop(aws, HERE, box.id)
        assert fleet.instance(box.id).state == "stopping"
        assert len(fleet.calls("StopInstances")) == 1

    async def test_what_may_not_be_done_is_known_before(self, fleet: Fleet, aws: Aws) -> None:
        box = fleet.add("g5.xlarge", spot="persistent", hibernation=True)
        request = (await listed(aws))[box.id].spot_request_id
        for operation, name in (
            (STOP_INSTANCES, box.id),
            (HIBERNATE_INSTANCES, box.id),
            (TERMINATE_INSTANCES, box.id),
            (CREATE_TAGS, box.id),
            (CANCEL_SPOT_REQUESTS, request),
        ):
            assert await may(aws, HERE, operation, name, {"reaper:last-action": "x"}) is None
        fleet.deny("StopInstances", resource=box.id)
        assert "the role needs ec2:StopInstances" in (await may(aws, HERE, STOP_INSTANCES, box.id) or "")
        assert fleet.instance(box.id).state == "running"


class TestAccounts:
    async def test_each_by_its_role(self, fleet: Fleet, models: Models) -> None:
        for number, account in enumerate(("222222222222", "333333333333")):
            fleet.add_account(account, role="reaper", external_id="fleet-1")
            fleet.add("m5.large", account=account, region="eu-west-1", name=f"box-{number}")
        roles = tuple(f"arn:aws:iam::{one}:role/reaper" for one in ("222222222222", "333333333333"))
        options = ScopeOptions(regions=("eu-west-1",), roles=roles, external_id="fleet-1")
        every = Scopes(options, AwsOptions(attempts=1), models)
        found = await every.find()
        assert (found.problems, len(found.scopes)) == ((), 3)
        names = {}
        for scope in found.scopes:
            pages = [page async for page in describe_instances(scope.aws, scope.region)]
            names[scope.name] = [one.tags["Name"] for page in pages for one in page]
        assert names == {
            "123456789012/eu-west-1": [],
            "222222222222/eu-west-1": ["box-0"],
            "333333333333/eu-west-1": ["box-1"],
        }
        assert fleet.counts["AssumeRole"] == 2
        await every.close()

    async def test_without_the_external_id_it_is_denied(self, fleet: Fleet, models: Models) -> None:
        fleet.add_account("222222222222", role="reaper", external_id="fleet-1")
        role = Role(arn="arn:aws:iam::222222222222:role/reaper")
        aws = Aws(AwsOptions(attempts=1), models, role=role)
        with pytest.raises(SourceDenied, match="can't be assumed"):
            await listed(aws)
        await aws.close()

    async def test_all_regions_of_an_account(self, fleet: Fleet, models: Models) -> None:
        every = Scopes(ScopeOptions(regions=("all",)), AwsOptions(attempts=1), models)
        found = await every.find()
        assert len(found.scopes) >= 17
        assert "me-south-1" not in {scope.region for scope in found.scopes}
        await every.close()

    async def test_an_organizations(self, fleet: Fleet, models: Models) -> None:
        fleet.add_unit("ou-fake-team0001", "team")
        fleet.add_unit("ou-fake-part0001", "part", parent="ou-fake-team0001")
        for account, unit in (("222222222222", "ou-fake-team0001"), ("333333333333", "ou-fake-part0001")):
            fleet.add_account(account, role="reaper", unit=unit)
        fleet.add_account("444444444444", role="reaper")
        fleet.add_account("555555555555", role="another", unit="ou-fake-team0001")
        fleet.add_account("666666666666", role="reaper", unit="ou-fake-team0001", status="SUSPENDED")
        organization = OrganizationOptions(
            role="reaper", units=("ou-fake-team0001",), expect_denied=("555555555555",)
        )
        options = ScopeOptions(regions=("eu-west-1",), organization=organization)
        every = Scopes(options, AwsOptions(attempts=1), models)
        found = await every.find()
        assert (found.problems, found.complete) == ((), True)
        accounts = {scope.account for scope in found.scopes}
        assert accounts == {"123456789012", "222222222222", "333333333333"}
        (note,) = found.notes
        assert note.startswith("555555555555 is not looked at: it refuses, as it may (")
        await every.close()

    async def test_a_region_that_is_not_turned_on_fails_alone(self, fleet: Fleet, models: Models) -> None:
        fleet.add_account("222222222222", role="reaper")
        fleet.add("m5.large", account="222222222222", region="eu-west-1")
        fleet.disable_region("me-south-1")
        role = "arn:aws:iam::222222222222:role/reaper"
        every = Scopes(
            ScopeOptions(regions=("eu-west-1", "me-south-1"), roles=(role,)), AwsOptions(attempts=1), models
        )
        found = await every.find()
        for _ in range(2):
            told: dict[str, int | str] = {}
            for scope in found.scopes:
                try:
                    pages = [page async for page in describe_instances(scope.aws, scope.region)]
                    told[scope.name] = sum(map(len, pages))
                except SourceDenied as error:
                    told[scope.name] = "region" if "not turned this region on" in str(error) else str(error)
            assert told == {
                "123456789012/eu-west-1": 0,
                "123456789012/me-south-1": "region",
                "222222222222/eu-west-1": 1,
                "222222222222/me-south-1": "region",
            }
        assert fleet.counts["AssumeRole"] == 1  # its credentials were good elsewhere: they are kept
        await every.close()

    async def test_a_storm_of_throttling_is_waited_out(self, fleet: Fleet, models: Models) -> None:
        fleet.add("m5.large")
        fleet.throttle("DescribeInstances", times=2)
        aws = Aws(AwsOptions(attempts=4, adaptive=True), models)
        assert len(await listed(aws)) == 1
        assert fleet.counts["DescribeInstances"] == 3
        await aws.close()


async def test_iam_grants_each_call_and_no_other(fleet: Fleet, aws: Aws) -> None:
    """All that a member's role is used for; what it costs is asked by whoever asks for prices."""
    box = fleet.add("g5.xlarge", spot="persistent", age=hours(5))
    box.usage = Usage(cpu=1.0, gpus=[0.0])
    (told,) = (await listed(aws)).values()
    await describe_types(aws, HERE, [told.instance_type])
    await persistent_requests(aws, HERE, [told.spot_request_id])
    await protection(aws, HERE, box.id)
    (gpu,) = await gpu_metrics(aws, HERE)
    await read_metrics(aws, HERE, {"gpu": gpu}, start=T0 - hours(1), end=T0, period=minutes(5))
    await aws.read(DESCRIBE_REGIONS, region=HERE)
    await tag(aws, HERE, box.id, {LAST_ACTION_TAG: "stop"})
    await stop(aws, HERE, box.id)
    await cancel_spot_request(aws, HERE, told.spot_request_id)
    await terminate(aws, HERE, box.id)
    called = {f"{one.service}:{one.operation}" for one in fleet.requests}
    document = policy(["fleet-member"], Narrowing())
    assert called | {"ec2:DescribeSpotPriceHistory"} == actions_of(document)
    context: dict[str, str | list[str]] = {
        "aws:ResourceTag/reaper:managed": "",
        "aws:TagKeys": [LAST_ACTION_TAG],
    }
    for kind, id_ in (("instance", box.id), ("spot-instances-request", told.spot_request_id)):
        arn = f"arn:aws:ec2:{HERE}:123456789012:{kind}/{id_}"
        acts = [one for one in FLEET if one.resource == kind]
        assert acts
        for one in acts:
            assert allows(document, one.action, arn, context)
            assert not allows(document, one.action, arn, {})
