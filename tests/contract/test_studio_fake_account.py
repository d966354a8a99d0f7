"""The Studio fake as botocore's clients see it: tags, what else costs money, metrics, and who asks."""

from datetime import timedelta
from typing import Any

import pytest

from reaper.testing import T0, FakeClock, hours, minutes
from reaper.testing.studio import Studio
from tests.support.studio import (
    ONCE,
    Aws,
    aws_session,
    fixture_aws,
    fixture_clock,
    fixture_studio,
    key,
    refused,
)

__all__ = ["fixture_aws", "fixture_clock", "fixture_studio"]


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


async def test_an_endpoint_tells_its_queue_its_components_and_its_changes(studio: Studio, aws: Aws) -> None:
    studio.add_endpoint("queue").asynchronous = True
    host = studio.add_endpoint("host")
    host.components += ["one", "two"]
    host.updated_at = T0 + hours(1)
    elsewhere = studio.add_endpoint("elsewhere", region="eu-west-1")
    elsewhere.components.append("far")
    described = {
        name: await aws("sagemaker", "describe_endpoint", EndpointName=name) for name in ("queue", "host")
    }
    assert ["AsyncInferenceConfig" in one for one in described.values()] == [True, False]
    assert described["host"]["LastModifiedTime"] == T0 + hours(1)
    listed = (await aws("sagemaker", "list_inference_components"))["InferenceComponents"]
    assert {one["InferenceComponentName"]: one["EndpointName"] for one in listed} == {
        "one": "host",
        "two": "host",
    }


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
    async with aws_session().create_client(
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
