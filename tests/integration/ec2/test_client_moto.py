"""The same on moto's server, which is nobody's of ours: the form of EC2's answers, and what becomes of instances."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from reaper.clients.aws import DESCRIBE_INSTANCES, Aws, AwsOptions, Models
from reaper.clients.aws.fast import read_instances
from reaper.clients.ec2 import (
    InstanceModel,
    describe_instances,
    describe_types,
    forget_types,
    parse_instance,
    protection,
    stop,
    tag,
    terminate,
)
from reaper.errors import ActionDenied

HERE = "eu-central-1"

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return Models(tmp_path_factory.mktemp("cache"))


@pytest.fixture
async def aws(moto: str, models: Models, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Aws]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    forget_types()
    async with aiohttp.ClientSession() as session:
        await session.post(f"{moto}/moto-api/reset")
    talking = Aws(AwsOptions(attempts=1), models)
    yield talking
    await talking.close()


async def run(moto: str, count: int = 1) -> list[str]:
    """Start instances, each in a reservation of its own; with an ampersand in a tag."""
    from aiobotocore.session import AioSession

    ids = []
    async with AioSession().create_client("ec2", region_name=HERE) as client:
        for number in range(count):
            answer = await client.run_instances(
                ImageId="ami-12c6146b",
                InstanceType="g4dn.xlarge",
                MinCount=1,
                MaxCount=1,
                TagSpecifications=[
                    {"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": f"a & <{number}> ü"}]}
                ],
            )
            ids.append(answer["Instances"][0]["InstanceId"])
    return ids


async def listed(aws: Aws) -> dict[str, InstanceModel]:
    return {one.id: one async for page in describe_instances(aws, HERE) for one in page}


async def test_an_instance_as_moto_tells_of_it(moto: str, aws: Aws) -> None:
    (id_,) = await run(moto)
    told = (await listed(aws))[id_]
    assert (told.instance_type, told.state, told.tags) == ("g4dn.xlarge", "running", {"Name": "a & <0> ü"})
    assert told.launched_at is not None
    assert told.availability_zone.startswith(HERE)
    (kind,) = (await describe_types(aws, HERE, {told.instance_type})).values()
    assert (kind.gpus, kind.accelerators) == (1, "1 x T4")


async def test_the_fast_reading_is_botocores(moto: str, aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an answer as it comes over the wire, with nothing left to botocore."""
    from reaper.clients.aws import fast

    await run(moto, 7)
    recorded: list[bytes] = []

    def record(body: bytes) -> dict[str, object]:
        recorded.append(body)
        raise fast.Unexpected("the test wants botocore's")

    monkeypatch.setattr(fast, "read_instances", record)
    theirs = await aws.pages(DESCRIBE_INSTANCES, region=HERE)
    ours = [one for body in recorded for one in read_instances(body)["Reservations"]]
    both = [
        [parse_instance(one) for reservation in them for one in reservation["Instances"]]
        for them in (ours, theirs or ())
    ]
    assert len(both[0]) == 7
    assert both[0] == both[1]


async def test_stop_and_terminate(moto: str, aws: Aws) -> None:
    (id_,) = await run(moto)
    assert await tag(aws, HERE, id_, {"reaper:last-action": "stop"})
    assert await stop(aws, HERE, id_) == "running"
    stopped = (await listed(aws))[id_]
    assert (stopped.state, stopped.tags["reaper:last-action"]) == ("stopped", "stop")
    assert stopped.state_reason == "Client.UserInitiatedShutdown"
    assert stopped.stopped_at is not None
    assert await terminate(aws, HERE, id_) == "stopped"
    assert await listed(aws) == {}
    assert await terminate(aws, HERE, "i-0123456789abcdef0") is None


async def test_protection(moto: str, aws: Aws) -> None:
    from aiobotocore.session import AioSession

    (id_,) = await run(moto)
    async with AioSession().create_client("ec2", region_name=HERE) as client:
        await client.modify_instance_attribute(InstanceId=id_, DisableApiTermination={"Value": True})
    told = await protection(aws, HERE, id_)
    assert (told.stop, told.terminate) == (False, True)
    with pytest.raises(ActionDenied, match="OperationNotPermitted"):
        await terminate(aws, HERE, id_)
