"""What `Aws` sends, and what it makes of every kind of answer. AWS is a small server on loopback."""

import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from reaper import __version__
from reaper.clients.aws import (
    DELETE_APP,
    DESCRIBE_APP,
    GET_METRIC_DATA,
    LIST_APPS,
    LIST_TAGS,
    Aws,
    AwsOptions,
)
from reaper.errors import (
    ActionDenied,
    ActionUnavailable,
    OutcomeUnknown,
    ReaperError,
    SourceDenied,
    SourceMalformed,
    SourceUnavailable,
)
from tests.unit.clients.aws_server import AwsServer, serving

REGION = "eu-central-1"
APP: dict[str, Any] = {
    "DomainId": "d-1",
    "UserProfileName": "ann",
    "AppType": "KernelGateway",
    "AppName": "a-1",
}
NO_SUCH_APP = ("ResourceNotFound", "App does not exist")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trimmed models, made once for all tests of the module."""
    return tmp_path_factory.mktemp("cache")


def _sign_in(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsServer]:
    async with serving() as running:
        _sign_in(monkeypatch, running.url)
        yield running


@pytest.fixture
async def aws(server: AwsServer, cache: Path) -> AsyncIterator[Aws]:
    talking = Aws(AwsOptions(attempts=1, connect_timeout_s=2, read_timeout_s=1, cache=cache))
    yield talking
    await talking.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lasting(cache: Path) -> AsyncIterator[tuple[Aws, AwsServer]]:
    """One of each for many tests: to make a client takes a fifth of a second."""
    async with serving() as running:
        talking = Aws(AwsOptions(attempts=1, connect_timeout_s=2, read_timeout_s=1, cache=cache))
        yield talking, running
        await talking.close()


class Lasting:
    """Tests that share them, each with a server that has been asked nothing."""

    @pytest.fixture
    def server(self, lasting: tuple[Aws, AwsServer], monkeypatch: pytest.MonkeyPatch) -> AwsServer:
        _, running = lasting
        _sign_in(monkeypatch, running.url)
        running.asked.clear()
        running.answers.clear()
        return running

    @pytest.fixture
    def aws(self, lasting: tuple[Aws, AwsServer]) -> Aws:
        return lasting[0]


class TestRequests:
    async def test_a_question_is_signed_for_its_region_and_says_who_asks(
        self, aws: Aws, server: AwsServer
    ) -> None:
        server.answer({"AppName": "a-1", "Status": "InService"})

        answer = await aws.read(DESCRIBE_APP, region=REGION, **APP)

        assert answer is not None
        assert answer["Status"] == "InService"
        (asked,) = server.asked
        assert asked.operation == "DescribeApp"
        assert asked.body == APP
        assert f"/{REGION}/sagemaker/aws4_request" in asked.headers["Authorization"]
        assert asked.headers["User-Agent"].startswith(f"idle-reaper/{__version__} ")

    async def test_all_pages_are_one_list(self, aws: Aws, server: AwsServer) -> None:
        server.answer({"Apps": [{"AppName": "a-1"}], "NextToken": "more"})
        server.answer({"Apps": [{"AppName": "a-2"}]})

        apps = await aws.pages(LIST_APPS, region=REGION, DomainIdEquals="d-1")

        assert apps == [{"AppName": "a-1"}, {"AppName": "a-2"}]
        assert [asked.body.get("NextToken") for asked in server.asked] == [None, "more"]
        assert server.asked[0].body["MaxResults"] == 100

    async def test_each_region_is_asked_in_its_own(self, aws: Aws, server: AwsServer) -> None:
        server.answer({"Apps": []})
        for region in (REGION, "us-east-1", REGION):
            await aws.pages(LIST_APPS, region=region)
        scopes = [asked.headers["Authorization"].split("/")[2] for asked in server.asked]
        assert scopes == [REGION, "us-east-1", REGION]

    async def test_the_account_is_asked_of_sts(self, aws: Aws, server: AwsServer) -> None:
        server.answer(
            "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012</Account>"
            "</GetCallerIdentityResult></GetCallerIdentityResponse>",
            content_type="text/xml",
        )
        assert await aws.account(REGION) == "123456789012"
        assert "GetCallerIdentity" in server.asked[0].operation

    async def test_an_answer_without_an_account_is_no_answer(self, aws: Aws, server: AwsServer) -> None:
        for inside, why in (("", "KeyError"), ("<GetCallerIdentityResult/>", "no account")):
            server.answers.clear()
            server.answer(f"<Response>{inside}</Response>", content_type="text/xml")
            with pytest.raises(SourceMalformed, match=why):
                await aws.account(REGION)

    @pytest.mark.parametrize("name", ["AWS_DEFAULT_REGION", "AWS_REGION"])
    async def test_the_region_is_the_environments(
        self, aws: Aws, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv(name, "ap-south-1")
        assert aws.region() == "ap-south-1"

    async def test_without_a_region_there_is_none(self, aws: Aws) -> None:
        assert aws.region() is None


FAULTS: list[tuple[str, int, type[ReaperError], type[ReaperError]]] = [
    ("ThrottlingException", 400, SourceUnavailable, ActionUnavailable),
    ("TooManyRequestsException", 429, SourceUnavailable, ActionUnavailable),
    ("ResourceInUse", 400, SourceUnavailable, ActionUnavailable),
    ("ConflictException", 409, SourceUnavailable, ActionUnavailable),
    ("ServiceUnavailable", 503, SourceUnavailable, ActionUnavailable),
    ("InternalFailure", 500, SourceUnavailable, OutcomeUnknown),
    ("AccessDeniedException", 400, SourceDenied, ActionDenied),
    ("AccessDeniedException", 403, SourceDenied, ActionDenied),
    ("SomethingNew", 403, SourceDenied, ActionDenied),
    ("ExpiredTokenException", 400, SourceDenied, ActionDenied),
    ("ExpiredToken", 403, SourceDenied, ActionDenied),
    ("UnrecognizedClientException", 400, SourceDenied, ActionDenied),
    ("InvalidSignatureException", 400, SourceDenied, ActionDenied),
    ("ValidationException", 400, SourceMalformed, ActionDenied),
]


@pytest.mark.asyncio(loop_scope="module")
class TestRefusals(Lasting):
    @pytest.mark.parametrize(("code", "status", "question", "action"), FAULTS)
    async def test_each_code_says_whether_it_had_effect(
        self,
        aws: Aws,
        server: AwsServer,
        code: str,
        status: int,
        question: type[ReaperError],
        action: type[ReaperError],
    ) -> None:
        server.refuse(code, "because", status)
        with pytest.raises(question) as asked:
            await aws.read(DESCRIBE_APP, region=REGION, **APP)
        with pytest.raises(action) as acted:
            await aws.act(DELETE_APP, region=REGION, **APP)
        assert type(asked.value) is question
        assert type(acted.value) is action
        assert code in str(asked.value)
        assert "sagemaker DeleteApp in eu-central-1" in str(acted.value)

    async def test_what_is_not_there_is_no_error(self, aws: Aws, server: AwsServer) -> None:
        server.refuse(*NO_SUCH_APP)
        assert await aws.read(DESCRIBE_APP, region=REGION, **APP) is None
        assert await aws.act(DELETE_APP, region=REGION, **APP) is None
        assert await aws.pages(LIST_TAGS, region=REGION, ResourceArn="arn:aws:sagemaker:a:b:app/c") is None

    async def test_a_list_that_can_be_asked_for_always_exists(self, aws: Aws, server: AwsServer) -> None:
        server.refuse(*NO_SUCH_APP)
        with pytest.raises(SourceMalformed, match="ResourceNotFound"):
            await aws.pages(LIST_APPS, region=REGION)

    async def test_a_denial_names_the_missing_permission(self, aws: Aws, server: AwsServer) -> None:
        server.refuse("AccessDeniedException", "User is not authorized", 400)
        with pytest.raises(SourceDenied, match="needs sagemaker:ListApps"):
            await aws.pages(LIST_APPS, region=REGION)

    async def test_a_refused_signature_does_not_repeat_the_request(self, aws: Aws, server: AwsServer) -> None:
        server.refuse("SignatureDoesNotMatch", "canonical: x-amz-security-token:SECRET", 403)
        with pytest.raises(SourceDenied, match="clock") as refused:
            await aws.pages(LIST_APPS, region=REGION)
        assert "SECRET" not in str(refused.value)

    async def test_long_messages_are_cut_and_made_printable(self, aws: Aws, server: AwsServer) -> None:
        server.refuse("ValidationException", "a\n" + "x" * 5000)
        with pytest.raises(SourceMalformed) as refused:
            await aws.read(DESCRIBE_APP, region=REGION, **APP)
        assert str(refused.value).isprintable()
        assert len(str(refused.value)) < 400


class TestRetries:
    async def test_a_throttled_question_is_asked_again(self, server: AwsServer, cache: Path) -> None:
        aws = Aws(AwsOptions(attempts=2, cache=cache))
        server.refuse("ThrottlingException")
        server.answer({"Apps": []})
        assert await aws.pages(LIST_APPS, region=REGION) == []
        assert len(server.asked) == 2
        await aws.close()

    async def test_an_action_is_sent_once(self, server: AwsServer, cache: Path) -> None:
        aws = Aws(AwsOptions(attempts=3, cache=cache))
        server.refuse("ThrottlingException")
        with pytest.raises(ActionUnavailable, match="throttled"):
            await aws.act(DELETE_APP, region=REGION, **APP)
        assert len(server.asked) == 1
        await aws.close()


class TestLostConnections:
    async def test_nobody_there(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
            aws = Aws(AwsOptions(attempts=1, cache=cache))
            with pytest.raises(SourceUnavailable, match=r"com\.amazonaws\.eu-central-1\.sagemaker\.api"):
                await aws.pages(LIST_APPS, region=REGION)
            with pytest.raises(ActionUnavailable, match="not connected"):
                await aws.act(DELETE_APP, region=REGION, **APP)
            await aws.close()

    async def test_silence_after_the_request(self, aws: Aws, server: AwsServer) -> None:
        server.fall_silent()
        with pytest.raises(SourceUnavailable):
            await aws.read(DESCRIBE_APP, region=REGION, **APP)
        with pytest.raises(OutcomeUnknown, match="sent"):
            await aws.act(DELETE_APP, region=REGION, **APP)

    async def test_a_connection_that_ends_after_the_request(self, aws: Aws, server: AwsServer) -> None:
        server.hang_up()
        with pytest.raises(SourceUnavailable):
            await aws.read(DESCRIBE_APP, region=REGION, **APP)
        with pytest.raises(OutcomeUnknown, match="sent"):
            await aws.act(DELETE_APP, region=REGION, **APP)
        assert [asked.operation for asked in server.asked] == ["DescribeApp", "DeleteApp"]


@pytest.mark.asyncio(loop_scope="module")
class TestMalformedAnswers(Lasting):
    @pytest.mark.parametrize(
        "body",
        [
            "",
            "<html>a login page</html>",
            "[]",
            "null",
            '{"Apps": null}',
            '{"Apps": "text"}',
            '{"Apps": {"0": 1}}',
            '{"apps": []}',
            '{"Apps": [{"CreationTime": "never"}]}',
            '{"Apps": [{"CreationTime": {"a": 1}}]}',
            '{"Apps": [7]}',
            '{"Apps": [], "NextToken": "the same"}',
        ],
    )
    async def test_no_list_is_not_an_empty_list(self, aws: Aws, server: AwsServer, body: str) -> None:
        server.answer(body)
        with pytest.raises(SourceMalformed):
            await aws.pages(LIST_APPS, region=REGION)

    async def test_metrics_that_are_none(self, aws: Aws, server: AwsServer) -> None:
        server.answer("not cbor", content_type="application/cbor")
        with pytest.raises(SourceMalformed):
            await aws.pages(GET_METRIC_DATA, region=REGION, MetricDataQueries=[], StartTime=0, EndTime=1)

    async def test_an_answer_to_an_action_that_cant_be_read(self, aws: Aws, server: AwsServer) -> None:
        server.answer('{"cut off', 200)
        assert await aws.act(DELETE_APP, region=REGION, **APP) is not None  # 200 is 200: it has no content

    async def test_a_name_that_cant_be_is_never_sent(self, aws: Aws, server: AwsServer) -> None:
        with pytest.raises(ActionDenied, match="not sent"):
            await aws.act(DELETE_APP, region=REGION, DomainId="d-1", AppType="KernelGateway")
        with pytest.raises(SourceMalformed):
            await aws.read(DESCRIBE_APP, region=REGION, DomainId=7)
        assert server.asked == []


def test_who_never_calls_aws_never_imports_it() -> None:
    code = (
        "import sys, reaper.clients.aws as aws; aws.Aws(); "
        "sys.exit(any(name in sys.modules for name in ('botocore', 'aiobotocore')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
