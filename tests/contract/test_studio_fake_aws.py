"""The Studio fake as botocore's clients see it: every operation, through every protocol they speak.

The fake itself holds what is asked and answered against botocore's service models and fails at its end
otherwise, so each test here is also one of the fit.
"""

import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from aiobotocore.config import AioConfig  # type: ignore[import-untyped, unused-ignore]
from aiobotocore.session import get_session  # type: ignore[import-untyped, unused-ignore]
from botocore.exceptions import ClientError  # type: ignore[import-untyped, unused-ignore]

from reaper.testing import T0, FakeClock, hours, minutes, seconds
from reaper.testing.studio import App, Studio, running_studio

ONCE = AioConfig(retries={"total_max_attempts": 1})
TYPE = "KernelGateway"
LOADER = get_session().get_component("data_loader")


@pytest.fixture(name="clock")
def fixture_clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(name="studio")
async def fixture_studio(clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Studio]:
    async with running_studio(clock, boots_in=minutes(2), deletes_in=minutes(5)) as studio:
        for name, value in studio.environment.items():
            monkeypatch.setenv(name, value)
        yield studio


def session() -> Any:
    """Make a session that shares what was read of the service models: half a second a client."""
    made = get_session()
    made.register_component("data_loader", LOADER)
    return made


class Aws:
    """The three clients, made when they are needed."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._clients: dict[tuple[str, str | None], Any] = {}

    async def __call__(
        self, service: str, operation: str, *, region: str | None = None, **kwargs: Any
    ) -> Any:
        key = (service, region)
        if key not in self._clients:
            context = session().create_client(service, region_name=region, config=ONCE)
            self._clients[key] = await self._stack.enter_async_context(context)
        answer = await getattr(self._clients[key], operation)(**kwargs)
        del answer["ResponseMetadata"]
        return answer


@pytest.fixture(name="aws")
async def fixture_aws(studio: Studio) -> AsyncIterator[Aws]:
    async with AsyncExitStack() as stack:
        yield Aws(stack)


def key(app: App) -> dict[str, str]:
    return {
        "DomainId": app.domain.id,
        "UserProfileName": app.owner.name,
        "AppType": app.type,
        "AppName": app.name,
    }


async def status(aws: Aws, app: App) -> str:
    return str((await aws("sagemaker", "describe_app", **key(app)))["Status"])


async def refused(call: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        await call
    error = caught.value.response["Error"]
    return error["Code"], error["Message"]


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


async def test_tags_are_added_overwritten_listed_and_deleted(studio: Studio, aws: Aws) -> None:
    app = studio.add_app("ann", "work")
    for value in ("0.1.0 7200 2026-03-02T09:00:00+00:00", "0.1.0 7200 2026-03-02T09:05:00+00:00"):
        tags = [{"Key": "reaper:heartbeat", "Value": value}]
        assert (await aws("sagemaker", "add_tags", ResourceArn=app.arn, Tags=tags))["Tags"] == tags
    listed = await aws("sagemaker", "list_tags", ResourceArn=app.metadata_arn)
    assert listed["Tags"] == [{"Key": "reaper:heartbeat", "Value": "0.1.0 7200 2026-03-02T09:05:00+00:00"}]
    await aws("sagemaker", "delete_tags", ResourceArn=app.arn, TagKeys=["reaper:heartbeat", "other"])
    assert (await aws("sagemaker", "list_tags", ResourceArn=app.arn))["Tags"] == []


async def test_tags_that_aws_refuses(studio: Studio, aws: Aws) -> None:
    app = studio.add_app("ann", "work")

    async def add(arn: str, *keys: str) -> tuple[str, str]:
        tags = [{"Key": key, "Value": ""} for key in keys]
        return await refused(aws("sagemaker", "add_tags", ResourceArn=arn, Tags=tags))

    assert (await add(app.arn, "aws:mine"))[0] == "ValidationException"
    await aws(
        "sagemaker",
        "add_tags",
        ResourceArn=app.arn,
        Tags=[{"Key": f"key-{number}", "Value": ""} for number in range(50)],
    )
    assert (await add(app.arn, "one-more"))[0] == "ValidationException"
    assert (await add(app.arn + "-other", "key"))[0] == "ValidationException"
    studio.delete_app(app)
    studio.advance(minutes(5))
    assert (await add(app.arn, "key"))[0] == "ValidationException"


async def test_a_notebook_instance_is_stopped_once(studio: Studio, clock: FakeClock, aws: Aws) -> None:
    instance = studio.add_notebook_instance("Bench", instance_type="ml.p3.2xlarge")
    [told] = (await aws("sagemaker", "list_notebook_instances", StatusEquals="InService"))[
        "NotebookInstances"
    ]
    assert (told["NotebookInstanceName"], told["InstanceType"]) == ("Bench", "ml.p3.2xlarge")
    assert told["NotebookInstanceArn"].endswith(":notebook-instance/bench")
    clock.advance(hours(1))
    await aws("sagemaker", "stop_notebook_instance", NotebookInstanceName="Bench")
    described = await aws("sagemaker", "describe_notebook_instance", NotebookInstanceName="Bench")
    assert (described["NotebookInstanceStatus"], described["LastModifiedTime"]) == ("Stopping", T0 + hours(1))
    clock.advance(minutes(5))
    assert instance.status(studio.now()) == "Stopped"
    code, message = await refused(aws("sagemaker", "stop_notebook_instance", NotebookInstanceName="Bench"))
    assert (code, message.partition(".")[0]) == (
        "ValidationException",
        "Status (Stopped) not in ([InService])",
    )
    other = aws("sagemaker", "describe_notebook_instance", NotebookInstanceName="other")
    assert await refused(other) == ("ValidationException", "RecordNotFound")


async def test_an_endpoint_tells_its_instances_and_goes(studio: Studio, clock: FakeClock, aws: Aws) -> None:
    studio.add_endpoint("old")
    clock.advance(hours(1))
    studio.add_endpoint("models", {"blue": ("ml.g5.xlarge", 2), "serverless": (None, 0)})
    listed = (await aws("sagemaker", "list_endpoints"))["Endpoints"]
    assert [endpoint["EndpointName"] for endpoint in listed] == ["models", "old"]  # the newest first
    described = await aws("sagemaker", "describe_endpoint", EndpointName="models")
    config = await aws(
        "sagemaker", "describe_endpoint_config", EndpointConfigName=described["EndpointConfigName"]
    )
    assert [variant.get("InstanceType") for variant in config["ProductionVariants"]] == [
        "ml.g5.xlarge",
        None,
    ]
    await aws("sagemaker", "delete_endpoint", EndpointName="models")
    assert (await aws("sagemaker", "describe_endpoint", EndpointName="models"))[
        "EndpointStatus"
    ] == "Deleting"
    assert (await refused(aws("sagemaker", "delete_endpoint", EndpointName="models")))[1].startswith(
        "Cannot update in-progress endpoint"
    )
    clock.advance(minutes(5))
    for operation, what in (("describe_endpoint", "endpoint"), ("delete_endpoint", "endpoint")):
        code, message = await refused(aws("sagemaker", operation, EndpointName="models"))
        assert (code, message.startswith(f"Could not find {what}")) == ("ValidationException", True)
    missing = aws("sagemaker", "describe_endpoint_config", EndpointConfigName="missing")
    assert (await refused(missing))[1].startswith("Could not find endpoint configuration")


@pytest.mark.parametrize("kind", ["training", "processing", "transform"])
async def test_a_job_runs_is_stopped_and_ends(kind: str, studio: Studio, clock: FakeClock, aws: Aws) -> None:
    word = f"{kind.capitalize()}Job"
    studio.add_job(f"{kind}-job", "forgotten", instance_type="ml.p3.2xlarge", instance_count=2)
    studio.add_job(f"{kind}-job", "short", completes_in=hours(1))
    clock.advance(hours(2))

    async def listed(state: str) -> list[str]:
        answer = await aws("sagemaker", f"list_{kind}_jobs", StatusEquals=state)
        return [job[f"{word}Name"] for job in answer[f"{word}Summaries"]]

    assert await listed("InProgress") == ["forgotten"]
    assert await listed("Completed") == ["short"]
    described = await aws("sagemaker", f"describe_{kind}_job", **{f"{word}Name": "forgotten"})
    assert described[f"{word}Status"] == "InProgress"
    assert "ml.p3.2xlarge" in str(described)
    stop = f"stop_{kind}_job"
    await aws("sagemaker", stop, **{f"{word}Name": "forgotten"})
    assert await listed("Stopping") == ["forgotten"]
    clock.advance(minutes(5))
    assert await listed("Stopped") == ["forgotten"]
    code, message = await refused(aws("sagemaker", stop, **{f"{word}Name": "forgotten"}))
    assert code == "ValidationException"
    assert message.endswith("is in status Stopped.")
    code, _ = await refused(aws("sagemaker", stop, **{f"{word}Name": "other"}))
    assert code == ("ValidationException" if kind == "training" else "ResourceNotFound")


def query(namespace: str, name: str, dimensions: dict[str, str], stat: str = "Sum") -> dict[str, Any]:
    metric = {
        "Namespace": namespace,
        "MetricName": name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
    }
    return {"Id": "q", "MetricStat": {"Metric": metric, "Period": 300, "Stat": stat}}


async def test_invocations_are_summed_by_period(studio: Studio, clock: FakeClock, aws: Aws) -> None:
    endpoint = studio.add_endpoint("models")
    for minute, count in ((1, 2), (2, 3), (7, 5)):
        studio.add_invocations(endpoint, T0 + minutes(minute), count)
    clock.advance(hours(1))
    whole = {"EndpointName": "models", "VariantName": "AllTraffic"}
    for dimensions, expected in ((whole, [5.0, 5.0]), ({"EndpointName": "models"}, [])):
        answer = await aws(
            "cloudwatch",
            "get_metric_data",
            MetricDataQueries=[query("AWS/SageMaker", "Invocations", dimensions)],
            StartTime=T0,
            EndTime=clock.now(),
        )
        [result] = answer["MetricDataResults"]
        assert result["Values"] == expected
        assert result["Timestamps"] == [T0 + minutes(5), T0][: len(expected)]  # the latest first


async def test_canvas_tells_how_long_nobody_was_there(studio: Studio, clock: FakeClock, aws: Aws) -> None:
    app = studio.add_app("ann", app_type="Canvas")
    studio.add_canvas_activity(app, T0, timedelta(minutes=40))
    dimensions = {"DomainId": app.domain.id, "UserProfileName": "ann"}
    namespace = "/aws/sagemaker/Canvas/AppActivity"
    answer = await aws(
        "cloudwatch",
        "get_metric_data",
        MetricDataQueries=[query(namespace, "TimeSinceLastActive", dimensions, "Minimum")],
        StartTime=T0,
        EndTime=T0 + minutes(5),
    )
    assert answer["MetricDataResults"][0]["Values"] == [2400.0]


async def test_datapoints_come_in_pages(studio: Studio, aws: Aws) -> None:
    endpoint = studio.add_endpoint("models")
    for period in range(5):
        studio.add_invocations(endpoint, T0 + minutes(5 * period), period)
    dimensions = {"EndpointName": "models", "VariantName": "AllTraffic"}
    asked: dict[str, Any] = {
        "MetricDataQueries": [query("AWS/SageMaker", "Invocations", dimensions)],
        "StartTime": T0,
        "EndTime": T0 + hours(1),
        "MaxDatapoints": 2,
        "ScanBy": "TimestampAscending",
    }
    values: list[float] = []
    while True:
        answer = await aws("cloudwatch", "get_metric_data", **asked)
        values += answer["MetricDataResults"][0]["Values"]
        if "NextToken" not in answer:
            break
        asked["NextToken"] = answer["NextToken"]
    assert values == [0, 1, 2, 3, 4]
    wrong = aws("cloudwatch", "get_metric_data", **asked | {"NextToken": "bad"})
    assert (await refused(wrong))[0] == "InvalidNextToken"


async def test_the_caller_is_an_execution_role_of_the_account(studio: Studio, aws: Aws) -> None:
    identity = await aws("sts", "get_caller_identity")
    assert identity["Account"] == "123456789012"
    assert identity["Arn"].startswith("arn:aws:sts::123456789012:assumed-role/")


async def test_an_assumed_role_sees_its_own_account(studio: Studio, aws: Aws) -> None:
    studio.add_domain("d-home")
    studio.add_domain("d-away", account="222222222222")
    role = "arn:aws:iam::222222222222:role/reaper"
    answer = await aws("sts", "assume_role", RoleArn=role, RoleSessionName="reaper-host")
    credentials = answer["Credentials"]
    async with session().create_client(
        "sagemaker",
        config=ONCE,
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
    ) as client:
        domains = (await client.list_domains())["Domains"]
    assert [domain["DomainId"] for domain in domains] == ["d-away"]
    assert studio.requests[-1].account == "222222222222"
    assert [domain["DomainId"] for domain in (await aws("sagemaker", "list_domains"))["Domains"]] == [
        "d-home"
    ]


async def test_each_region_has_its_own(studio: Studio, aws: Aws) -> None:
    studio.add_endpoint("here")
    studio.add_endpoint("there", region="eu-west-1")
    for region, name in (("us-east-1", "here"), ("eu-west-1", "there")):
        [endpoint] = (await aws("sagemaker", "list_endpoints", region=region))["Endpoints"]
        assert endpoint["EndpointName"] == name
        assert f":{region}:" in endpoint["EndpointArn"]


async def test_requests_are_remembered(studio: Studio, clock: FakeClock, aws: Aws) -> None:
    app = studio.add_app("ann", "work")
    clock.advance(minutes(3))
    await aws("sagemaker", "delete_app", **key(app))
    await refused(aws("sagemaker", "delete_app", **key(app)))
    first, second = studio.requests
    assert (first.at, first.service, first.operation, first.outcome) == (
        T0 + minutes(3),
        "sagemaker",
        "DeleteApp",
        "ok",
    )
    assert "aiobotocore" in first.user_agent
    assert second.outcome == "ResourceInUse"
    assert studio.calls("DeleteApp") == [key(app), key(app)]
