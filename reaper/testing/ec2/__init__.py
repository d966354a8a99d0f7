"""A fake of EC2 and of what goes with it, for tests of our own and of plugins, and for the benchmark.

It speaks the APIs of EC2, CloudWatch, STS, Pricing, SSM (GetParameter) and Organizations over HTTP on loopback,
for many accounts (by the access key, or the role that was assumed) and regions (by what the request was signed
for). What is asked and what is answered is held against botocore's own service models: what AWS would not
understand fails the test. It refuses what AWS refuses: a one-time spot instance can't be stopped, a protected one
can't be terminated.

    async with running_fleet(clock) as fleet:               # clock: FakeClock, or the machine's own
        for name, value in fleet.environment.items():       # AWS_ENDPOINT_URL, keys, region
            monkeypatch.setenv(name, value)
        box = fleet.add("g5.xlarge", "trainer", age=hours(72), tags={"Owner": "ann"}, spot="persistent")
        fleet.add("m5.large", "db", region="eu-west-1", account="222222222222", disable_api_termination=True)
        box.usage = Usage(cpu=55.0, gpus=[97.0])            # each minute; or functions of the period's begin
        box.usage.cpu = lambda begins: None if begins > T0 else 3.0     # None: a gap
        fleet.fail("DescribeInstances", "InternalError", region="eu-west-1", times=2)
        fleet.throttle("GetMetricData", share=0.5)          # also slow, hang, drop, garble, html
        fleet.deny("StopInstances", resource=box.id)        # DryRun is denied too
        fleet.before("StopInstances", lambda: box.tags.update({"reaper:protect": ""}))
        fleet.shard().parameters["/reaper/pause"] = "night"  # SSM
        fleet.prices["g5.xlarge", "us-east-1"] = None       # nobody says
        fleet.add_account("222222222222", role="reaper", external_id="secret")      # in the organization
        ...                                                 # a client
        assert fleet.calls("StopInstances") == [{"InstanceIds": [box.id], "DryRun": False}]
        assert fleet.instance(box.id).state == "stopping"   # "stopped" once the clock is half a minute on
        assert fleet.metrics.asked < 10                     # metrics that GetMetricData was asked for

`Fleet.synthetic(accounts, regions, instances_per_shard, seed)` with `serve` holds very many instances; `python -m
reaper.testing.ec2 --help` runs such a fleet as a process of its own.
"""

from reaper.testing.aws_wire.faults import Request
from reaper.testing.ec2.accounts import Account, Unit
from reaper.testing.ec2.catalog import TYPES, InstanceType
from reaper.testing.ec2.fleet import Fleet
from reaper.testing.ec2.instance import Instance, Place, SpotRequest, Timing, Volume
from reaper.testing.ec2.running import running_fleet, serve
from reaper.testing.ec2.usage import Usage

__all__ = [
    "TYPES",
    "Account",
    "Fleet",
    "Instance",
    "InstanceType",
    "Place",
    "Request",
    "SpotRequest",
    "Timing",
    "Unit",
    "Usage",
    "Volume",
    "running_fleet",
    "serve",
]
