"""What goes wrong on demand in the Studio fake, and what it refuses because AWS would."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from botocore.exceptions import (
    ClientError,
    HTTPClientError,
    ReadTimeoutError,
)

from reaper.testing.studio import Studio, running_studio
from tests.support.studio import ONCE, aws_session, fixture_clock, fixture_studio, key

__all__ = ["fixture_clock", "fixture_studio"]

SIGNED = (
    "AWS4-HMAC-SHA256 Credential=AKIAFAKE/20260302/us-east-1/{}/aws4_request, SignedHeaders=host, Signature=0"
)


@pytest.fixture(name="client")
async def fixture_client(studio: Studio) -> AsyncIterator[Any]:
    async with aws_session().create_client("sagemaker", config=ONCE) as client:
        yield client


@pytest.fixture(name="http")
async def fixture_http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("ThrottlingException", 400),
        ("AccessDeniedException", 400),
        ("ExpiredTokenException", 400),
        ("ValidationException", 400),
        ("InternalFailure", 500),
        ("ServiceUnavailable", 503),
    ],
)
async def test_the_next_calls_fail_and_then_all_is_well(
    code: str, status: int, studio: Studio, client: Any
) -> None:
    studio.fail("ListApps", code, "because", times=2)
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            await client.list_apps()
        assert caught.value.response["Error"] == {"Code": code, "Message": "because"}
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert (await client.list_apps())["Apps"] == []
    assert [request.outcome for request in studio.requests] == [code, code, "ok"]


async def test_a_fault_is_for_its_operation_and_its_parameters(studio: Studio, client: Any) -> None:
    one, other = studio.add_app("ann", "one"), studio.add_app("ann", "other")
    studio.fail("DeleteApp", "AccessDeniedException", times=None, when={"AppName": "one"})
    await client.list_apps()
    await client.delete_app(**key(other))
    for _ in range(2):
        with pytest.raises(ClientError, match="AccessDenied"):
            await client.delete_app(**key(one))
    studio.heal()
    await client.delete_app(**key(one))
    assert [app.status(studio.now()) for app in (one, other)] == ["Deleting", "Deleting"]


async def test_an_answer_is_lost_though_the_call_was_carried_out(studio: Studio, client: Any) -> None:
    unharmed, gone = studio.add_app("ann", "unharmed"), studio.add_app("ann", "gone")
    studio.drop("DeleteApp")
    studio.drop("DeleteApp", after=True)
    for app in (unharmed, gone):
        with pytest.raises(HTTPClientError):
            await client.delete_app(**key(app))
    assert [app.status(studio.now()) for app in (unharmed, gone)] == ["InService", "Deleting"]
    assert [request.outcome for request in studio.requests] == ["drop", "drop"]


async def test_a_call_hangs_until_its_caller_gives_up(studio: Studio, client: Any) -> None:
    app = studio.add_app("ann")
    studio.hang("DeleteApp", after=True)
    with pytest.raises(ReadTimeoutError):
        await client.delete_app(**key(app))
    assert app.status(studio.now()) == "Deleting"
    assert (await client.list_apps())["Apps"]  # the next call is answered


async def test_the_fake_stops_while_a_call_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask_in_vain() -> None:
        async with aws_session().create_client("sagemaker", config=ONCE) as client:
            with pytest.raises(HTTPClientError):
                await client.list_apps()

    async with asyncio.timeout(30), asyncio.TaskGroup() as group, running_studio() as studio:
        for name, value in studio.environment.items():
            monkeypatch.setenv(name, value)
        studio.hang("*")
        group.create_task(ask_in_vain())
        while not studio.requests:
            await asyncio.sleep(0.01)


async def test_json_that_is_cut_short_is_an_empty_answer_to_botocore(studio: Studio, client: Any) -> None:
    """A client that takes a missing list for an empty one would believe that everything is gone."""
    studio.add_app("ann")
    studio.garble("ListApps")
    answer = await client.list_apps()
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert "Apps" not in answer


def test_a_fault_of_an_operation_that_is_not_there_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="DeleteApps"):
        Studio().fail("DeleteApps", "ThrottlingException")


# --- what AWS would not have understood ------------------------------------------------------------------------


async def ask(
    http: aiohttp.ClientSession,
    studio: Studio,
    target: str,
    body: str,
    *,
    service: str = "sagemaker",
    version: str = "1.1",
) -> tuple[int, str]:
    headers = {
        "Authorization": SIGNED.format(service),
        "X-Amz-Target": target,
        "Content-Type": f"application/x-amz-json-{version}",
    }
    async with http.post(studio.url, data=body, headers=headers) as response:
        return response.status, (await response.json(content_type=None))["__type"]


@pytest.mark.parametrize(
    ("target", "body", "code"),
    [
        ("SageMaker.ReapApp", "{}", "UnknownOperationException"),
        ("SageMaker.DeleteDomain", "{}", "UnknownOperationException"),  # AWS has it, the fake has not
        ("EC2.ListApps", "{}", "UnknownOperationException"),
        ("SageMaker.ListApps", '{"StatusEquals": "InService"}', "ValidationException"),
        ("SageMaker.ListApps", '{"MaxResults": "10"}', "ValidationException"),
        ("SageMaker.ListApps", '{"MaxResults": 101}', "ValidationException"),
        ("SageMaker.ListApps", '{"DomainIdEquals": "the domain"}', "ValidationException"),
        ("SageMaker.DescribeDomain", "{}", "ValidationException"),
        ("SageMaker.ListApps", '{"SortOrder": "Up"}', "ValidationException"),
        ("SageMaker.ListApps", '{"Sort', "SerializationException"),
        ("SageMaker.ListApps", "[]", "SerializationException"),
    ],
)
async def test_what_aws_would_not_understand_fails_the_test(
    target: str, body: str, code: str, studio: Studio, http: aiohttp.ClientSession
) -> None:
    assert await ask(http, studio, target, body) == (400, code)
    assert len(studio.pardon()) == 1
    assert studio.violations == []


@pytest.mark.parametrize(
    ("service", "version"), [("ec2", "1.1"), ("sagemaker", "1.0"), ("monitoring", "1.1")]
)
async def test_the_wrong_service_or_version_fails_the_test(
    service: str, version: str, studio: Studio, http: aiohttp.ClientSession
) -> None:
    _, code = await ask(http, studio, "SageMaker.ListApps", "{}", service=service, version=version)
    assert code == "UnknownOperationException"
    assert studio.pardon()


async def test_a_request_without_a_signature_fails_the_test(
    studio: Studio, http: aiohttp.ClientSession
) -> None:
    async with http.get(studio.url) as response:
        assert "MissingAuthenticationToken" in await response.text()
    assert studio.pardon() == ["GET / is not signed"]


async def test_a_violation_is_an_error_at_the_end(http: aiohttp.ClientSession) -> None:
    with pytest.raises(AssertionError, match="ReapApp"):
        async with running_studio() as studio:
            await ask(http, studio, "SageMaker.ReapApp", "{}")


async def test_an_answer_that_aws_would_not_give_fails_the_test(studio: Studio, client: Any) -> None:
    studio.add_app("ann", instance_type="ml.bogus")
    with pytest.raises(ClientError, match=r"ml\.bogus"):
        await client.list_apps()
    [violation] = studio.pardon()
    assert "ResourceSpec.InstanceType" in violation


async def test_a_filter_that_the_fake_has_not_fails_the_test(studio: Studio, client: Any) -> None:
    with pytest.raises(ClientError, match="LastModifiedTimeAfter"):
        await client.list_endpoints(LastModifiedTimeAfter=0)
    assert studio.pardon()


async def test_an_error_that_aws_would_not_answer_fails_the_test(studio: Studio, client: Any) -> None:
    studio.fail("ListApps", "ResourceInUse")
    with pytest.raises(ClientError, match="ResourceInUse"):
        await client.list_apps()
    assert studio.pardon() == ["ListApps never answers ResourceInUse"]
