"""Calls as a role that is assumed, and what EC2's errors mean. AWS is a small server on loopback."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from reaper.clients.aws import (
    DESCRIBE_INSTANCES,
    DESCRIBE_REGIONS,
    STOP_INSTANCES,
    Aws,
    AwsOptions,
    Models,
    Role,
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
from tests.unit.clients.aws_server import Asked, AwsServer, serving

REGION = "eu-central-1"
ROLE = Role(arn="arn:aws:iam::111122223333:role/reaper", external_id="fleet-1", session_name="reaper-box")
REGIONS = """<DescribeRegionsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><regionInfo><item>
<regionName>eu-central-1</regionName></item></regionInfo></DescribeRegionsResponse>"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(tmp_path_factory.mktemp("cache"))


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsServer]:
    async with serving() as running:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAHUB")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        monkeypatch.setenv("AWS_REGION", REGION)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(Path("/nowhere")))
        yield running


OPTIONS = AwsOptions(attempts=1, connect_timeout_s=2, read_timeout_s=2)


@pytest.fixture
async def own(server: AwsServer, models: Models) -> AsyncIterator[Aws]:
    aws = Aws(OPTIONS, models)
    yield aws
    await aws.close()


@pytest.fixture
async def member(own: Aws, models: Models) -> AsyncIterator[Aws]:
    aws = Aws(OPTIONS, models, role=ROLE, base=own)
    yield aws
    await aws.close()


def let_in(server: AwsServer, lasts: timedelta = timedelta(hours=1)) -> None:
    ends = f"{datetime.now(UTC) + lasts:%Y-%m-%dT%H:%M:%SZ}"
    given = (
        "<AccessKeyId>ASIAMEMBER</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
        f"<SessionToken>token</SessionToken><Expiration>{ends}</Expiration>"
    )
    xml(server, f"<R><AssumeRoleResult><Credentials>{given}</Credentials></AssumeRoleResult></R>")


def xml(server: AwsServer, body: str, status: int = 200) -> None:
    server.answer(body, status, content_type="text/xml")


def refuse(server: AwsServer, code: str, status: int = 403, message: str = "no") -> None:
    """Refuse as EC2 does."""
    error = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    xml(server, f"<Response><Errors>{error}</Errors><RequestID>r</RequestID></Response>", status)


def query(asked: Asked) -> dict[str, str]:
    return {key: values[0] for key, values in parse_qs(asked.operation).items()}


class TestRole:
    async def test_it_is_assumed_once_and_then_used(self, member: Aws, server: AwsServer) -> None:
        let_in(server)
        xml(server, REGIONS)
        for _ in range(2):
            assert await member.read(DESCRIBE_REGIONS, region=REGION) is not None
        assume, first, second = server.asked
        assert query(assume)["Action"] == "AssumeRole"
        assert query(assume)["RoleArn"] == ROLE.arn
        assert (query(assume)["ExternalId"], query(assume)["RoleSessionName"]) == ("fleet-1", "reaper-box")
        assert "AKIAHUB" in assume.headers["Authorization"]
        for asked in (first, second):
            assert "ASIAMEMBER" in asked.headers["Authorization"]
            assert asked.headers["X-Amz-Security-Token"] == "token"

    async def test_without_an_external_id_none_is_sent(
        self, own: Aws, models: Models, server: AwsServer
    ) -> None:
        let_in(server)
        xml(server, REGIONS)
        aws = Aws(OPTIONS, models, role=Role(arn=ROLE.arn), base=own)
        await aws.read(DESCRIBE_REGIONS, region=REGION)
        await aws.close()
        assert "ExternalId" not in query(server.asked[0])

    async def test_credentials_that_end_soon_are_renewed(self, member: Aws, server: AwsServer) -> None:
        for lasts in (timedelta(minutes=2), timedelta(hours=1)):
            let_in(server, lasts)
            xml(server, REGIONS)
        for _ in range(3):
            await member.read(DESCRIBE_REGIONS, region=REGION)
        actions = [query(asked)["Action"] for asked in server.asked]
        assert actions == [*["AssumeRole", "DescribeRegions"] * 2, "DescribeRegions"]

    async def test_one_that_is_denied_says_so_and_is_not_tried_at_once_again(
        self, member: Aws, server: AwsServer
    ) -> None:
        """A dozen regions want it at the same time."""
        xml(server, "<R><Error><Code>AccessDenied</Code><Message>not you</Message></Error></R>", 403)
        for _ in range(3):
            with pytest.raises(SourceDenied, match=r"role/reaper can't be assumed.*needs sts:AssumeRole"):
                await member.read(DESCRIBE_REGIONS, region=REGION)
        with pytest.raises(ActionDenied, match="can't be assumed"):
            await member.act(STOP_INSTANCES, region=REGION, InstanceIds=["i-1"])
        assert len(server.asked) == 1

    async def test_one_that_cant_be_asked_for_has_no_effect(self, member: Aws, server: AwsServer) -> None:
        xml(server, "<R><Error><Code>Throttling</Code><Message>slow</Message></Error></R>", 400)
        with pytest.raises(ActionUnavailable, match="throttled"):
            await member.act(STOP_INSTANCES, region=REGION, InstanceIds=["i-1"])

    @pytest.mark.parametrize("inside", ["", "<Credentials><AccessKeyId>a</AccessKeyId></Credentials>"])
    async def test_an_answer_without_credentials_is_malformed(
        self, member: Aws, server: AwsServer, inside: str
    ) -> None:
        xml(server, f"<R><AssumeRoleResult>{inside}</AssumeRoleResult></R>")
        with pytest.raises(SourceMalformed, match="no whole credentials"):
            await member.read(DESCRIBE_REGIONS, region=REGION)

    async def test_who_has_a_turn_may_wait_for_the_role(self, models: Models, server: AwsServer) -> None:
        """With one turn for all: to assume the role must not wait for it."""
        turns = asyncio.Semaphore(1)
        own = Aws(OPTIONS, models, turns=turns)
        member = Aws(OPTIONS, models, role=ROLE, base=own, turns=turns)
        let_in(server)
        xml(server, REGIONS)
        async with asyncio.timeout(20):
            await member.read(DESCRIBE_REGIONS, region=REGION)
        await member.close()
        await own.close()

    async def test_what_is_known_of_it(self) -> None:
        china = Role(arn="arn:aws-cn:iam::111122223333:role/x")
        assert (china.account, china.partition) == ("111122223333", "aws-cn")


class TestErrors:
    @pytest.mark.parametrize(
        ("code", "status", "why"),
        [
            ("RequestExpired", 400, "this host's clock is wrong"),
            ("RequestTimeTooSkewed", 403, "this host's clock is wrong"),
            ("OptInRequired", 403, "not turned this region or service on"),
            ("AuthFailure", 401, "not turned this region on"),
            ("UnauthorizedOperation", 403, "the role needs ec2:DescribeRegions"),
        ],
    )
    async def test_who_refuses(self, own: Aws, server: AwsServer, code: str, status: int, why: str) -> None:
        refuse(server, code, status)
        with pytest.raises(SourceDenied, match=why):
            await own.read(DESCRIBE_REGIONS, region=REGION)

    async def test_what_is_for_machines_is_left_out(self, own: Aws, server: AwsServer) -> None:
        message = f"You are not authorized. Encoded authorization failure message: {'x' * 900}"
        refuse(server, "UnauthorizedOperation", 403, message)
        with pytest.raises(SourceDenied) as caught:
            await own.read(DESCRIBE_REGIONS, region=REGION)
        assert str(caught.value).endswith("You are not authorized.; the role needs ec2:DescribeRegions")

    @pytest.mark.parametrize(
        ("code", "status", "error"),
        [
            ("RequestLimitExceeded", 503, SourceUnavailable),
            ("InternalError", 500, SourceUnavailable),
            ("InvalidParameterValue", 400, SourceMalformed),
        ],
    )
    async def test_who_does_not_answer(
        self, own: Aws, server: AwsServer, code: str, status: int, error: type[ReaperError]
    ) -> None:
        refuse(server, code, status)
        with pytest.raises(error, match=code):
            await own.read(DESCRIBE_REGIONS, region=REGION)

    @pytest.mark.parametrize(
        "body",
        [
            "<html><body>A proxy</body></html>",
            REGIONS[:-30],
            "",
            '<!DOCTYPE x [<!ENTITY a "b">]><DescribeRegionsResponse/>',
        ],
        ids=["html", "cut", "empty", "entities"],
    )
    async def test_what_can_not_be_read(self, own: Aws, server: AwsServer, body: str) -> None:
        xml(server, body)
        if "html" in body:
            assert "Regions" not in (await own.read(DESCRIBE_REGIONS, region=REGION) or {})
            return
        with pytest.raises(SourceMalformed, match="can't be read"):
            await own.read(DESCRIBE_REGIONS, region=REGION)

    async def test_a_page_that_is_none_is_no_empty_list(self, own: Aws, server: AwsServer) -> None:
        xml(server, "<html><body>A proxy</body></html>")
        with pytest.raises(SourceMalformed, match="no Reservations"):
            await own.pages(DESCRIBE_INSTANCES, region=REGION)

    async def test_a_region_that_is_not_turned_on_does_not_cost_the_others_their_login(
        self, member: Aws, server: AwsServer
    ) -> None:
        """EC2 says AuthFailure there, as it does of a key that it does not know."""
        let_in(server)
        xml(server, REGIONS)
        await member.read(DESCRIBE_REGIONS, region=REGION)
        server.answers.clear()
        refuse(server, "AuthFailure", 401)
        for region in ("me-south-1", REGION):
            with pytest.raises(SourceDenied):
                await member.read(DESCRIBE_REGIONS, region=region)
            assert len([one for one in server.asked if "AssumeRole" in one.operation]) == 1
        server.answers.clear()
        let_in(server)
        xml(server, REGIONS)
        await member.read(DESCRIBE_REGIONS, region=REGION)  # where it was good, it has become bad
        assert len([one for one in server.asked if "AssumeRole" in one.operation]) == 2


class TestActs:
    @pytest.mark.parametrize(
        ("code", "status", "error"),
        [
            ("IncorrectInstanceState", 400, ActionUnavailable),
            ("OperationNotPermitted", 400, ActionDenied),
            ("UnsupportedHibernationConfiguration", 400, ActionDenied),
            ("UnauthorizedOperation", 403, ActionDenied),
            ("RequestLimitExceeded", 503, ActionUnavailable),
            ("InternalError", 500, OutcomeUnknown),
        ],
    )
    async def test_errors(
        self, own: Aws, server: AwsServer, code: str, status: int, error: type[ReaperError]
    ) -> None:
        refuse(server, code, status)
        with pytest.raises(error, match=code):
            await own.act(STOP_INSTANCES, region=REGION, InstanceIds=["i-1"])
        assert len(server.asked) == 1

    async def test_one_that_is_not_there_is_none(self, own: Aws, server: AwsServer) -> None:
        refuse(server, "InvalidInstanceID.NotFound", 400)
        assert await own.act(STOP_INSTANCES, region=REGION, InstanceIds=["i-1"]) is None


class TestRehearsal:
    async def rehearse(self, own: Aws) -> str | None:
        return await own.rehearse(STOP_INSTANCES, region=REGION, InstanceIds=["i-1"])

    async def test_it_would_be_carried_out(self, own: Aws, server: AwsServer) -> None:
        refuse(server, "DryRunOperation", 412, "Request would have succeeded, but DryRun flag is set.")
        assert await self.rehearse(own) is None
        assert query(server.asked[0])["DryRun"] == "true"

    @pytest.mark.parametrize(
        ("code", "why"),
        [
            ("UnauthorizedOperation", "needs ec2:StopInstances"),
            ("OperationNotPermitted", "OperationNotPermitted"),
            ("InvalidInstanceID.NotFound", "NotFound"),
        ],
    )
    async def test_it_would_not(self, own: Aws, server: AwsServer, code: str, why: str) -> None:
        refuse(server, code, 400)
        assert why in (await self.rehearse(own) or "")

    @pytest.mark.parametrize(
        ("code", "status", "error"),
        [
            ("RequestLimitExceeded", 503, SourceUnavailable),
            ("InternalError", 500, SourceUnavailable),
            ("AuthFailure", 401, SourceDenied),
            ("RequestExpired", 400, SourceDenied),
        ],
    )
    async def test_nobody_can_tell(
        self, own: Aws, server: AwsServer, code: str, status: int, error: type[ReaperError]
    ) -> None:
        refuse(server, code, status)
        with pytest.raises(error, match=code):
            await self.rehearse(own)

    async def test_one_that_was_carried_out_is_an_error(self, own: Aws, server: AwsServer) -> None:
        xml(server, "<StopInstancesResponse><instancesSet/></StopInstancesResponse>")
        with pytest.raises(SourceMalformed, match="DryRun was not heeded"):
            await self.rehearse(own)
