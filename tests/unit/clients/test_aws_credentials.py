"""Which credentials `Aws` uses, and what it does when they are no good. AWS is a small server on loopback."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from reaper.clients.aws import DELETE_APP, GET_CALLER_IDENTITY, LIST_APPS, Aws, AwsOptions, Models
from reaper.errors import ActionDenied, SourceDenied, SourceUnavailable
from tests.unit.clients.aws_server import AwsServer, serving

REGION = "eu-central-1"
APP: dict[str, Any] = {
    "DomainId": "d-1",
    "UserProfileName": "ann",
    "AppType": "KernelGateway",
    "AppName": "a-1",
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AwsServer]:
    async with serving() as running:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.url)
        yield running


async def test_without_any_it_says_what_to_do_and_finds_those_that_come(
    server: AwsServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    server.answer({"Apps": []})
    aws = Aws(AwsOptions(cache=cache))
    with pytest.raises(SourceDenied, match="aws sso login"):
        await aws.pages(LIST_APPS, region=REGION)
    with pytest.raises(ActionDenied, match="no valid AWS credentials"):
        await aws.act(DELETE_APP, region=REGION, **APP)
    assert server.asked == []

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIALATER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    assert await aws.pages(LIST_APPS, region=REGION) == []
    await aws.close()


async def test_expired_ones_are_looked_for_again(
    server: AwsServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.refuse("ExpiredTokenException", "The security token included in the request is expired")
    server.answer({"Apps": []})
    aws = Aws(AwsOptions(cache=cache))
    with pytest.raises(SourceDenied, match="have expired"):
        await aws.pages(LIST_APPS, region=REGION)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIARENEWED")
    assert await aws.pages(LIST_APPS, region=REGION) == []
    assert "AKIARENEWED" in server.asked[-1].headers["Authorization"]
    await aws.close()


async def test_a_call_under_way_keeps_its_client_when_another_gives_the_credentials_up(
    server: AwsServer, cache: Path
) -> None:
    aws = Aws(AwsOptions(attempts=1, cache=cache))
    server.answer({"Apps": []})
    async with aws._client(LIST_APPS, REGION) as client:
        server.answers.clear()
        server.refuse("ExpiredTokenException")
        with pytest.raises(SourceDenied):
            await aws.pages(LIST_APPS, region=REGION)
        server.answers.clear()
        server.answer({"Apps": []})
        assert (await client.list_apps())["Apps"] == []
    await aws.close()


async def test_a_profile_that_is_not_there(
    server: AwsServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    aws = Aws(AwsOptions(cache=cache))
    with pytest.raises(SourceDenied, match="nobody"):
        await aws.pages(LIST_APPS, region=REGION)
    assert aws.region() is None
    await aws.close()


async def test_a_profile_with_keys_region_and_endpoint(
    server: AwsServer, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    config = tmp_path / "config"
    config.write_text(
        f"[profile work]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = no\n"
        f"region = eu-west-3\nendpoint_url = {server.url}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "work")
    server.answer({"Apps": []})
    aws = Aws(AwsOptions(cache=cache))
    assert aws.region() == "eu-west-3"
    assert await aws.pages(LIST_APPS, region="eu-west-3") == []
    assert "AKIAPROFILE" in server.asked[0].headers["Authorization"]
    await aws.close()


async def test_the_endpoint_of_one_service_alone(
    server: AwsServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", server.url)
    server.answer({"Apps": []})
    aws = Aws(AwsOptions(attempts=1, cache=cache))
    assert await aws.pages(LIST_APPS, region=REGION) == []
    with pytest.raises(SourceUnavailable):
        await aws.read(GET_CALLER_IDENTITY, region=REGION)
    await aws.close()


async def test_several_share_one_set_of_models(server: AwsServer, cache: Path) -> None:
    server.answer({"Apps": []})
    models = Models(cache)
    first, second = Aws(models=models), Aws(models=models)
    assert await first.pages(LIST_APPS, region=REGION) == []
    assert await second.pages(LIST_APPS, region=REGION) == []
    assert await first.models.loader() is await second.models.loader()
    await first.close()
    await second.close()
