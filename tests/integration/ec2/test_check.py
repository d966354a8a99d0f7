"""`reaper check` as a command, on the fakes of EC2 and SageMaker: what it prints and how it ends."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import Request, urlopen

import botocore
import jsonschema  # type: ignore[import-untyped]
import pytest
from botocore.loaders import Loader
from moto.server import ThreadedMotoServer

from reaper.cli.schemas import schema
from reaper.clients.aws import trimmed
from reaper.testing import hours
from reaper.testing.ec2 import Fleet, running_fleet
from reaper.testing.studio import Studio, running_studio
from tests.stories.daemons import command
from tests.support.studio import aws_session

DAY = timedelta(days=1)


class Ran(NamedTuple):
    status: int
    out: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        jsonschema.validate(found, schema("check"))
        return found


Check = Callable[..., Any]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    home = trimmed.cache_dir({"XDG_CACHE_HOME": str(folder)})
    assert home is not None
    trimmed.build(trimmed.place(home, botocore.__version__), Loader())
    return folder


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    async with running_fleet() as one:
        yield one


@pytest.fixture
async def studio() -> AsyncIterator[Studio]:
    async with running_studio() as one:
        yield one


@pytest.fixture
def check(fleet: Fleet, studio: Studio, cache: Path, tmp_path: Path) -> Check:
    environ = {
        **fleet.environment,
        "AWS_ENDPOINT_URL_SAGEMAKER": studio.environment["AWS_ENDPOINT_URL"],
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(cache),
        "REAPER_PRICES__SOURCE": "shipped",
    }

    async def run(*arguments: str, **settings: str) -> Ran:
        given = {f"REAPER_{name}": value for name, value in settings.items()}
        return Ran(*await command(environ | given, "check", *arguments))

    return run


async def test_the_box_that_ran_for_three_days(check: Check, fleet: Fleet) -> None:
    """The report of the script that this replaces, in spirit; and the exit status is how many need attention."""
    box = fleet.add("g5.xlarge", "trainer", age=hours(72), tags={"Owner": "ann"})
    fleet.add("m5.large", "young", age=hours(1))
    fleet.add("m5.large", "three-hours", age=hours(3), spot="one-time")
    fleet.add("m5.large", "kept", age=hours(99), tags={"reaper:protect": ""})
    fleet.add("m5.large", "off", age=hours(99), state="stopped")
    ran = await check()
    assert ran.status == 2
    (line,) = [line for line in ran.out.splitlines() if box.id in line and "aws ec2" not in line]
    for part in ("!!", "critical", "g5.xlarge", "trainer", "ann", "3d", "$72.4"):
        assert part in line
    assert f"  aws ec2 stop-instances --instance-ids {box.id} --region us-east-1" in ran.out
    assert ran.out.count("terminate-instances") == 1  # what can't be stopped
    assert "off" not in ran.out
    assert "4 running in 123456789012/us-east-1: 1 critical, 1 warning, 2 ok" in ran.out


async def test_the_document(check: Check, fleet: Fleet) -> None:
    fleet.add("g5.xlarge", "trainer", age=hours(72), spot="persistent", tags={"reaper:owner": "ann"})
    fleet.add("m5.large", "held", age=hours(9), tags={"reaper:hold-until": "someday"})
    ran = await check("--output", "json")
    trainer, held = ran.document["resources"]
    assert ran.status == 1
    assert (trainer["owner"], trainer["spot"], trainer["level"]) == ("ann", True, "critical")
    assert trainer["runtime_s"] == pytest.approx(72 * 3600, abs=60)
    assert "stop-instances" in trainer["end_command"]
    assert (held["exempt"], held["level"], held["price_source"][:7]) == ("held", "ok", "shipped")
    assert ran.document["totals"]["attention"] == 1


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        ((), 1),
        (("--exit-status", "zero"), 0),
        (("--exit-status", "nagios"), 2),
        (("--warning-after", "80h", "--critical-after", "90h"), 0),
        (("--critical-after", "80h", "--exit-status", "nagios"), 1),
        (("--match", "db-*"), 0),
        (("--match", "db-*,train*"), 1),
        (("--kind", "studio.app"), 0),
        (("--warning-after", "9h", "--critical-after", "2h"), 102),
        (("--warning-after", "9"), 102),
        (("--kind", "ec2"), 102),
        (("--watch",), 102),
    ],
)
async def test_what_is_asked_for(check: Check, fleet: Fleet, arguments: tuple[str, ...], status: int) -> None:
    fleet.add("g5.xlarge", "trainer", age=hours(72))
    assert (await check(*arguments)).status == status


async def test_none_found(check: Check) -> None:
    ran = await check()
    assert (ran.status, "none found: nothing is running in 123456789012/us-east-1" in ran.out) == (0, True)


async def test_studio_apps_notebook_instances_and_endpoints(check: Check, studio: Studio) -> None:
    studio.add_domain("d-abc")
    ann = studio.add_user("ann")
    created = studio.now() - hours(9)
    studio.add_app(ann, "big", instance_type="ml.g4dn.xlarge", created_at=created)
    studio.add_app(ann, "default", app_type="JupyterServer", instance_type="system", created_at=created)
    endpoint = studio.add_endpoint("llm", created_at=created)
    endpoint.tags["reaper:protect"] = "demo"
    ran = await check("--output", "json")
    found = {one["kind"]: one for one in ran.document["resources"]}
    assert ran.status == 1
    assert set(found) == {"studio.app", "sagemaker.endpoint"}
    assert (found["studio.app"]["owner"], found["studio.app"]["level"]) == ("ann", "critical")
    assert found["studio.app"]["hourly_cost"] > 0
    assert "delete-app --domain-id d-abc --user-profile-name ann" in found["studio.app"]["end_command"]
    assert (found["sagemaker.endpoint"]["exempt"], found["sagemaker.endpoint"]["spot"]) == ("protected", None)


async def test_a_region_that_fails_hides_no_other(check: Check, fleet: Fleet) -> None:
    fleet.add("g5.xlarge", "trainer", age=hours(72))
    fleet.disable_region("eu-west-1")
    ran = await check("--kind", "ec2.instance", AWS__REGIONS="us-east-1,eu-west-1")
    assert (ran.status, "trainer" in ran.out) == (101, True)
    assert "not seen: 123456789012/eu-west-1: " in ran.out


async def test_nothing_can_be_seen(check: Check, fleet: Fleet) -> None:
    fleet.deny("DescribeInstances")
    ran = await check("--kind", "ec2.instance", "--output", "json")
    assert (ran.status, ran.document["resources"]) == (100, [])
    assert "ec2:DescribeInstances" in ran.document["errors"][0]["message"]


async def test_a_configuration_that_cant_be_used(check: Check) -> None:
    assert (await check(IDLE_TIMEOUT="soon")).status == 103


def _reset(moto: str) -> None:
    """Forget what another test of this process left there."""
    with urlopen(Request(f"{moto}/moto-api/reset", method="POST"), timeout=30):  # noqa: S310 - our own address
        pass


class TestOnMoto:
    """Moto knows no Studio apps and no prices; LaunchTime is always now."""

    async def test_counts(self, cache: Path, tmp_path: Path) -> None:
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        environ = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "us-east-1",
            "HOME": str(tmp_path),
            "XDG_CACHE_HOME": str(cache),
        }
        await asyncio.to_thread(_reset, environ["AWS_ENDPOINT_URL"])
        try:
            async with aws_session().create_client(
                "ec2",
                region_name="us-east-1",
                endpoint_url=environ["AWS_ENDPOINT_URL"],
                aws_access_key_id="testing",
                aws_secret_access_key="testing",
            ) as ec2:
                images = (await ec2.describe_images())["Images"]
                image = next(one["ImageId"] for one in images if one.get("Platform") != "windows")
                for tags in ({"Name": "trainer"}, {"Name": "kept", "reaper:protect": ""}, {"Name": "other"}):
                    written = [{"Key": key, "Value": value} for key, value in tags.items()]
                    await ec2.run_instances(
                        ImageId=image,
                        InstanceType="g5.xlarge",
                        MinCount=1,
                        MaxCount=1,
                        TagSpecifications=[{"ResourceType": "instance", "Tags": written}],
                    )
            ran = Ran(*await command(environ, "check", "--warning-after", "1ms", "--output", "json"))
        finally:
            server.stop()
        found = {one["name"]: one for one in ran.document["resources"]}
        assert (ran.status, set(found)) == (2, {"trainer", "kept", "other"})
        assert (found["kept"]["exempt"], found["trainer"]["hourly_cost"]) == ("protected", 1.006)
