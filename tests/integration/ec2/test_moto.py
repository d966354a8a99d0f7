"""The same source on moto's server, which is somebody else's reading of EC2: list, stop, terminate."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.request import Request, urlopen

import pytest
from moto.server import ThreadedMotoServer

from reaper.clients.aws import Aws, AwsOptions, Models
from reaper.clients.ec2 import forget_types
from reaper.clock import SystemClock
from reaper.core.model import Activity, Collected, Resource, ResourceRef
from reaper.errors import ActionUnavailable
from reaper.plugins import Look
from reaper.providers.ec2.source import InstancesSource, Shard
from tests.integration.ec2.watching import options, signals
from tests.integration.studio.watching import made_models
from tests.support.studio import aws_session


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return made_models(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def moto(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    forget_types()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    for name, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    with urlopen(Request(f"{url}/moto-api/reset", method="POST"), timeout=30):  # noqa: S310 - our own address
        pass  # what another test of this process left
    yield url
    server.stop()


@pytest.fixture
async def ec2(moto: str) -> AsyncIterator[Any]:
    async with aws_session().create_client("ec2") as client:
        yield client


@pytest.fixture
async def source(moto: str, models: Models) -> AsyncIterator[InstancesSource]:
    aws = Aws(AwsOptions(attempts=1, read_timeout_s=30), models)
    shard = Shard(scope="123456789012/us-east-1", region="us-east-1", aws=aws, clock=SystemClock())
    yield InstancesSource(shard, options())
    await aws.close()


async def launched(ec2: Any, name: str, **more: Any) -> str:
    images = (await ec2.describe_images())["Images"]
    image = next(one["ImageId"] for one in images if one.get("Platform") != "windows")
    tags = [{"Key": "Name", "Value": name}]
    answer = await ec2.run_instances(
        ImageId=image,
        InstanceType="m5.large",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        **more,
    )
    return str(answer["Instances"][0]["InstanceId"])


async def look(source: InstancesSource, *refs: ResourceRef) -> Collected:
    at = SystemClock().now()
    seen = await source.collect(Look(poll_id=1, at=at, deadline=60.0, refs=refs or None))
    assert seen.poll.complete, seen.poll.error
    return seen


async def fresh(source: InstancesSource, name: str) -> Resource:
    (found,) = [one for one in (await look(source)).resources if one.name == name]
    (resource,) = (await look(source, found.ref)).resources
    return resource


async def state(ec2: Any, instance: str) -> str:
    answer = await ec2.describe_instances(InstanceIds=[instance])
    return str(answer["Reservations"][0]["Instances"][0]["State"]["Name"])


async def test_it_is_listed_and_without_datapoints_it_is_not_idle(ec2: Any, source: InstancesSource) -> None:
    box = await launched(ec2, "box")
    resource = await fresh(source, "box")
    assert (resource.ref.id, resource.attributes["instance_type"], resource.attributes["vcpus"]) == (
        box,
        "m5.large",
        2,
    )
    found = signals(await look(source, resource.ref))
    assert found["cpu"].activity is Activity.UNKNOWN


async def test_stopped_and_then_terminated(ec2: Any, source: InstancesSource) -> None:
    box, other = await launched(ec2, "box"), await launched(ec2, "other")
    running = await fresh(source, "box")
    assert not (await source.act(running, "stop")).gone
    assert [await state(ec2, one) for one in (box, other)] == ["stopped", "running"]
    stopped = await fresh(source, "box")
    assert (stopped.ref, stopped.stopped is not None) == (running.ref, True)
    assert "reaper:last-action" in stopped.tags
    with pytest.raises(ActionUnavailable, match="it is stopped, not running"):
        await source.act(running, "stop")
    await source.act(stopped, "terminate")
    assert [await state(ec2, one) for one in (box, other)] == ["terminated", "running"]
    assert [one.name for one in (await look(source)).resources] == ["other"]


async def test_tags_that_changed(ec2: Any, source: InstancesSource) -> None:
    box = await launched(ec2, "box")
    resource = await fresh(source, "box")
    await ec2.create_tags(Resources=[box], Tags=[{"Key": "reaper:protect", "Value": "yes"}])
    with pytest.raises(ActionUnavailable, match="its tags have changed"):
        await source.act(resource, "stop")
    assert await state(ec2, box) == "running"
