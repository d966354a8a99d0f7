"""What goes wrong on demand in the EC2 fake: by operation, account, region, share; and what it will not believe."""

import asyncio
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import (
    ClientError,
    HTTPClientError,
    ParamValidationError,
    ReadTimeoutError,
)
from botocore.parsers import ResponseParserError

from reaper.testing import FakeClock, minutes
from reaper.testing.ec2 import Fleet, running_fleet
from tests.support.ec2 import Aws, fixture_aws, fixture_clock, fixture_fleet, instances, refused

__all__ = ["fixture_aws", "fixture_clock", "fixture_fleet"]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("RequestLimitExceeded", 503),
        ("UnauthorizedOperation", 403),
        ("AuthFailure", 401),
        ("OptInRequired", 401),
        ("InternalError", 500),
        ("Unavailable", 503),
        ("RequestExpired", 400),
    ],
)
async def test_the_next_calls_fail_and_then_all_is_well(
    code: str, status: int, fleet: Fleet, aws: Aws
) -> None:
    fleet.fail("DescribeInstances", code, "because", times=2)
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            await instances(aws)
        assert caught.value.response["Error"] == {"Code": code, "Message": "because"}
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert await instances(aws) == {}
    assert [one.outcome for one in fleet.requests] == [code, code, "ok"]


async def test_a_region_fails_and_the_others_don_t(fleet: Fleet, aws: Aws) -> None:
    fleet.fail("*", "InternalError", region="eu-west-1", times=None)
    fleet.fail("*", "InternalError", account="222222222222", times=None)
    await instances(aws)
    await refused(aws("ec2", "describe_instances", region="eu-west-1"))
    fleet.heal()
    await aws("ec2", "describe_instances", region="eu-west-1")


@pytest.mark.parametrize(
    ("service", "operation", "code"),
    [
        ("ec2", "describe_regions", "RequestLimitExceeded"),
        ("cloudwatch", "list_metrics", "Throttling"),
        ("sts", "get_caller_identity", "Throttling"),
    ],
)
async def test_each_service_throttles_in_its_own_words(
    service: str, operation: str, code: str, fleet: Fleet, aws: Aws
) -> None:
    fleet.throttle(times=1)
    assert (await refused(aws(service, operation)))[0] == code
    await aws(service, operation)


async def test_a_share_of_calls_is_throttled(fleet: Fleet, aws: Aws) -> None:
    fleet.throttle("DescribeRegions", share=0.4)
    for _ in range(30):
        try:
            await aws("ec2", "describe_regions")
        except ClientError:
            continue
    outcomes = [one.outcome for one in fleet.requests]
    assert 5 < outcomes.count("RequestLimitExceeded") < 20
    assert fleet.counts["DescribeRegions"] == 30


async def test_who_may_not_is_told_so(fleet: Fleet, aws: Aws) -> None:
    fleet.deny("ListMetrics")
    fleet.deny("DescribeInstances", region="eu-west-1")
    code, words = await refused(aws("cloudwatch", "list_metrics"))
    assert (code, "cloudwatch:ListMetrics" in words) == ("AccessDenied", True)
    code, words = await refused(aws("ec2", "describe_instances", region="eu-west-1"))
    assert (code, "ec2:DescribeInstances" in words) == ("UnauthorizedOperation", True)
    assert await instances(aws) == {}


async def test_a_region_that_is_off(fleet: Fleet, aws: Aws) -> None:
    fleet.disable_region("eu-west-1")
    assert (await refused(aws("ec2", "describe_instances", region="eu-west-1")))[0] == "AuthFailure"
    assert (await refused(aws("cloudwatch", "list_metrics", region="eu-west-1")))[0] == "InvalidClientTokenId"
    assert await instances(aws) == {}


async def test_something_happens_right_before_a_call(fleet: Fleet, aws: Aws) -> None:
    box = fleet.add("m5.large")
    fleet.before("StopInstances", lambda: box.terminate(fleet.now()))
    code, _ = await refused(aws("ec2", "stop_instances", InstanceIds=[box.id]))
    assert (code, box.state) == ("IncorrectInstanceState", "shutting-down")


async def test_an_act_has_its_effect_although_its_answer_is_bad(fleet: Fleet, aws: Aws) -> None:
    one, other = fleet.add("m5.large"), fleet.add("m5.large")
    fleet.fail("StopInstances", "InternalError", after=True)
    await refused(aws("ec2", "stop_instances", InstanceIds=[one.id]))
    fleet.drop("StopInstances", after=True, when={"InstanceIds": [other.id]})
    with pytest.raises(HTTPClientError):
        await aws("ec2", "stop_instances", InstanceIds=[other.id])
    assert [one.state, other.state] == ["stopping", "stopping"]


async def test_answers_that_can_t_be_read(fleet: Fleet, aws: Aws) -> None:
    fleet.add("m5.large")
    fleet.garble("DescribeInstances", after=True)
    with pytest.raises(ResponseParserError):
        await instances(aws)
    fleet.html("DescribeInstances", status=200)
    with pytest.raises((ResponseParserError, KeyError)):
        await instances(aws)
    fleet.html("DescribeInstances")
    with pytest.raises(ClientError) as caught:
        await instances(aws)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 504
    assert len(await instances(aws)) == 1


async def test_answers_that_are_late_or_never_come(fleet: Fleet, aws: Aws) -> None:
    fleet.slow("DescribeInstances", timedelta(milliseconds=150))
    loop = asyncio.get_running_loop()
    began = loop.time()
    await instances(aws)
    assert loop.time() - began >= 0.15
    fleet.hang("DescribeInstances")
    with pytest.raises(ReadTimeoutError):
        await instances(aws)
    assert [one.outcome for one in fleet.requests] == ["ok", "hang"]


async def test_a_fault_of_an_operation_that_there_is_not(fleet: Fleet) -> None:
    with pytest.raises(ValueError, match="no operation 'ListInstances'"):
        fleet.fail("ListInstances", "InternalError")
    with pytest.raises(ValueError, match="no operation 'Stop'"):
        fleet.deny("Stop")


async def test_what_aws_never_answers_is_a_violation(clock: FakeClock) -> None:
    async with running_fleet(clock) as fleet:
        async with aiohttp.ClientSession() as http:
            unsigned = await http.post(fleet.url, data={"Action": "DescribeInstances"})
            assert unsigned.status == 400
            body = "Action=DescribeInstances&Version=2016-11-15&Instances.1=i-1&MaxResults=many"
            signed = {
                "Authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20260302/us-east-1/ec2/aws4_request, Signature=0",
                "Content-Type": "application/x-www-form-urlencoded",
            }
            refused_ = await http.post(fleet.url, data=body, headers=signed)
            assert refused_.status == 400
            body = body.replace("many", "5")
            assert (await http.post(fleet.url, data=body, headers=signed)).status == 400
        first, second, third = fleet.pardon()
    assert first.endswith("is not signed")
    assert second.startswith("DescribeInstances: invalid literal")
    assert "Unknown parameter" in third


async def test_a_violation_fails_the_test_that_made_it(clock: FakeClock) -> None:
    with pytest.raises(AssertionError, match="is not signed"):
        async with running_fleet(clock) as fleet, aiohttp.ClientSession() as http:
            await http.get(fleet.url)


async def test_the_fake_s_time_can_pass_alone(fleet: Fleet, clock: FakeClock) -> None:
    before = clock.now()
    assert fleet.advance(minutes(5)) == before + minutes(5)
    assert clock.now() == before


async def test_botocore_itself_refuses_what_it_knows_better(aws: Aws) -> None:
    wrong: dict[str, Any] = {"InstanceIds": "i-1"}
    with pytest.raises(ParamValidationError):
        await aws("ec2", "stop_instances", **wrong)
