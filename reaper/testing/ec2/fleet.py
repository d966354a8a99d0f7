"""What there is in the fake, and how tests make it."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from reaper.clock import Clock, SystemClock
from reaper.testing.aws_wire.faults import Refusal, Request
from reaper.testing.aws_wire.front import Call
from reaper.testing.ec2.accounts import OFF, REGIONS, ROOT, Account, Caller, Unit
from reaper.testing.ec2.catalog import TYPES
from reaper.testing.ec2.instance import Instance, Place, SpotRequest, Timing, Volume
from reaper.testing.ec2.metrics import Metrics
from reaper.testing.ec2.pages import PageCache
from reaper.testing.ec2.shard import Shard
from reaper.testing.ec2.synthetic import Rows
from reaper.testing.ec2.trouble import Trouble

__all__ = ["ACCOUNT", "REGION", "Fleet"]

ACCOUNT = "123456789012"
REGION = "us-east-1"
ACCESS_KEY = "AKIAFAKEFLEET0000000"


class Fleet(Trouble):
    """AWS accounts with EC2 instances in them; `running_fleet` gives one that answers.

    Args:
        clock: Where instants come from (`FakeClock`); the machine's own without one.
        account: The account that `environment`'s credentials belong to.
        region: Where things are made unless told otherwise.
        timing: How long transitions take.
        lag: How far CloudWatch lags behind.
        checked: Hold requests and answers against botocore's service models, and remember the requests; without, it
            is faster.
        cache_bytes: How much it may keep of pages that were sent.

    Attributes:
        url: Where it answers; empty until it does.
        requests: Everything that was asked, in order.
        counts: How often each operation was asked for.
        violations: What AWS would not have understood, and answers that AWS would not have given.
            `running_fleet` fails with them at its end.
        metrics: CloudWatch; `metrics.asked` counts the metrics of GetMetricData, which is what costs.
        shards: What each account has in each region.
        prices: Dollars an hour by type and region that shall be told instead of the usual; None: none.
        spot_prices: Dollars an hour by type and zone that shall be told instead of a third of the usual; None: none.
        accounts: By id.
        units: Organizational units, by id.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        account: str = ACCOUNT,
        region: str = REGION,
        timing: Timing | None = None,
        lag: timedelta = timedelta(minutes=5),
        checked: bool = True,
        cache_bytes: int = 64 << 20,
    ) -> None:
        super().__init__()
        self.home = Place(account=account, region=region)
        self.timing = timing or Timing()
        self.checked = checked
        self.url = ""
        self.requests: list[Request] = []
        self.counts: Counter[str] = Counter()
        self.violations: list[str] = []
        self.unmodelled = {
            "windows"
        }  # what DescribeInstances has always told; the model has it in upper case
        self.metrics = Metrics(lag)
        self.page_cache = PageCache(cache_bytes)
        self.shards: dict[Place, Shard] = {}
        self.prices: dict[tuple[str, str], float | None] = {}
        self.spot_prices: dict[tuple[str, str], float | None] = {}
        self.accounts: dict[str, Account] = {}
        self.units: dict[str, Unit] = {}
        self._clock = clock or SystemClock()
        self._callers: dict[str, Caller] = {}
        self._ahead = timedelta(0)
        self._made = 0
        self.add_account(account, "home")
        user = Caller(account=account, arn=f"arn:aws:iam::{account}:user/ops", user_id="AIDAFAKEFLEET0000000")
        self._callers[ACCESS_KEY] = user

    @classmethod
    def synthetic(
        cls,
        accounts: int = 1,
        regions: int = 1,
        instances_per_shard: int = 1000,
        seed: int = 0,
        clock: Clock | None = None,
        **options: Any,
    ) -> "Fleet":
        """Make a fleet of very many instances, of which each costs next to nothing until it is touched.

        Its requests and answers are not held against the service models unless `checked` says so.

        Args:
            accounts: How many; all have a role `reaper`, and are in one organization.
            regions: How many in each of them, us-east-1 first.
            instances_per_shard: How many in each region of each account.
            seed: What they are follows from it.
            clock: As in `Fleet`.
            options: As in `Fleet`.
        """
        fleet = cls(clock, **{"checked": False, **options})
        ordered = [fleet.home.region, *(name for name in REGIONS if name != fleet.home.region)]
        numbers = [fleet.home.account, *(f"2{number:011d}" for number in range(1, accounts))]
        for account in numbers:
            fleet.add_account(account, role="reaper")
            for region in ordered[:regions]:
                shard = fleet.shard(region, account)
                shard.rows = Rows(shard.place, instances_per_shard, seed, fleet.now())
        return fleet

    @property
    def environment(self) -> dict[str, str]:
        """Variables that make botocore and its kin talk to the fake."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": "fake-secret",
            "AWS_DEFAULT_REGION": self.home.region,
            "AWS_REGION": self.home.region,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def now(self) -> datetime:
        """Give the fake's instant, to the second, as AWS writes it."""
        return (self._clock.now() + self._ahead).replace(microsecond=0)

    def advance(self, by: timedelta) -> datetime:
        """Let time pass for the fake alone: an own clock, or the machine's, goes on as it does."""
        self._ahead += by
        return self.now()

    def add_account(
        self,
        account: str,
        name: str = "",
        *,
        unit: str = ROOT,
        role: str = "",
        external_id: str = "",
        status: str = "ACTIVE",
    ) -> Account:
        """Add an account whose role can be assumed. Arguments as in `Account`."""
        made = Account(
            id=account,
            name=name or f"account-{account}",
            unit=unit,
            role=role,
            external_id=external_id,
            status=status,
        )
        self.accounts[account] = made
        return made

    def add_unit(self, unit_id: str, name: str = "", parent: str = ROOT) -> Unit:
        """Add an organizational unit."""
        self.units[unit_id] = Unit(id=unit_id, name=name or unit_id, parent=parent)
        return self.units[unit_id]

    def add(
        self,
        type_: str = "g5.xlarge",
        name: str = "",
        *,
        account: str | None = None,
        region: str | None = None,
        zone: str = "a",
        age: timedelta = timedelta(0),
        spot: str = "",
        tags: Mapping[str, str] | None = None,
        **attributes: Any,
    ) -> Instance:
        """Add an instance that runs.

        Args:
            type_: Its instance type.
            name: Tag Name.
            account: Where; at home without one.
            region: Where; at home without one.
            zone: The letter of its availability zone.
            age: How long ago it was launched.
            spot: `one-time` or `persistent`; empty: on demand.
            tags: Further tags.
            attributes: Any of `Instance`'s.
        """
        self._made += 1
        shard = self.shard(region, account)
        number = attributes.pop("id", f"i-0fa4e{self._made:012x}")
        launched_at = attributes.pop("launched_at", self.now() - age)
        volume = Volume(id=f"vol-0fa4e{self._made:012x}")
        instance = Instance(
            id=number,
            place=shard.place,
            type=type_,
            zone=f"{shard.place.region}{zone}",
            launched_at=launched_at,
            since=launched_at,
            lives=[(launched_at, None)],
            tags={**({"Name": name} if name else {}), **(tags or {})},
            private_ip=f"10.{self._made >> 16 & 255}.{self._made >> 8 & 255}.{self._made & 255}",
            reservation=f"r-0fa4e{self._made:012x}",
            volumes=[] if attributes.get("root_device") == "instance-store" else [volume],
        )
        self.unmodelled.add(type_)
        for key, value in attributes.items():
            if not hasattr(instance, key):
                raise ValueError(f"an instance has no {key!r}")
            setattr(instance, key, value)
        if instance.state != "running":
            instance.since = self.now()
        if spot:
            self._ask_for_spot(shard, instance, persistent=spot == "persistent")
        shard.instances[number] = instance
        return instance

    def shard(self, region: str | None = None, account: str | None = None) -> Shard:
        """Give what an account has in a region; at home without arguments."""
        place = Place(account=account or self.home.account, region=region or self.home.region)
        if place.account not in self.accounts:
            self.add_account(place.account)
        if place not in self.shards:
            self.shards[place] = Shard(place, self.timing)
        return self.shards[place]

    def shard_of(self, call: Call) -> Shard:
        """Give what a call is about, as it is now."""
        place = Place(account=call.account, region=call.region)
        shard = self.shards.get(place) or Shard(place, self.timing)
        shard.settle(self.now())
        return shard

    def instance(self, instance_id: str) -> Instance:
        """Find an instance as it is now.

        Raises:
            KeyError: There is none of that id (any more).
        """
        for shard in self.shards.values():
            shard.settle(self.now())
            if (found := shard.take(instance_id)) is not None:
                return found
        raise KeyError(instance_id)

    def regions_of(self, account: str) -> dict[str, str]:
        """Tell each region's OptInStatus."""
        status = dict.fromkeys(REGIONS, "opt-in-not-required")
        mine = {place.region for place in self.shards if place.account == account}
        status |= {name: "opted-in" if name in mine else "not-opted-in" for name in OFF}
        return {
            name: "not-opted-in" if self.is_disabled(name, account) else value
            for name, value in status.items()
        }

    def caller(self, access_key: str) -> Caller:
        """Tell who credentials belong to; those that nobody knows are the home account's."""
        return self._callers.get(access_key) or self._callers[ACCESS_KEY]

    def account_of(self, access_key: str) -> str:
        """Tell whose account credentials are of."""
        return self.caller(access_key).account

    def open_session(self, caller: Caller) -> str:
        """Make credentials for a caller; give their access key."""
        key = f"ASIAFAKE{len(self._callers):012d}"
        self._callers[key] = caller
        return key

    def interrupt(self, instance: Instance) -> None:
        """Let EC2 take a spot instance back, as its request wants it: stopped, hibernated or terminated."""
        request, now = instance.spot, self.now()
        if request is None:
            raise ValueError(f"{instance.id} is no spot instance")
        if request.behaviour == "terminate":
            instance.terminate(now, "service")
            self.shards[instance.place].ended(instance, now)
        else:
            instance.stop(now, "service")

    def shut_down(self, instance: Instance) -> None:
        """Let an instance be shut down from within (`shutdown -h now`): protection does not hinder it."""
        if instance.shutdown_behaviour == "terminate":
            instance.terminate(self.now(), "os")
        else:
            instance.stop(self.now(), "os")

    def price(self, type_: str, region: str) -> float | None:
        """Tell what an hour of a type costs on demand in a region; None: nobody says."""
        if (type_, region) in self.prices:
            return self.prices[type_, region]
        kind = TYPES.get(type_)
        if kind is None or kind.hourly is None:
            return None
        return kind.hourly if region.startswith("us-east") else round(kind.hourly * 1.12, 6)

    def spot_price(self, type_: str, zone: str, at: datetime) -> float | None:
        """Tell what an hour of a type cost in a zone at an instant; None: nobody says."""
        if (type_, zone) in self.spot_prices:
            return self.spot_prices[type_, zone]
        kind = TYPES.get(type_)
        if kind is None or kind.hourly is None:
            return None
        wave = (at.toordinal() * 4 + at.hour // 6) % 5 + "abc".find(zone[-1])
        return round(kind.hourly * (0.30 + 0.01 * wave), 6)

    def stop_if_dry(self, call: Call) -> None:
        """Answer a dry run: the call would have gone through.

        Raises:
            Refusal: It is one.
        """
        if call.parameters.get("DryRun"):
            words = "Request would have succeeded, but DryRun flag is set."
            raise Refusal("DryRunOperation", words, 412)

    def calls(self, operation: str) -> list[dict[str, Any]]:
        """Give the parameters of every call of an operation, in order."""
        return [dict(request.parameters) for request in self.requests if request.operation == operation]

    def pardon(self) -> list[str]:
        """Give the violations so far and forget them: the test has provoked them."""
        pardoned, self.violations = self.violations, []
        return pardoned

    def record(self, request: Request) -> None:
        """Remember what was asked."""
        self.counts[request.operation] += 1
        if self.checked:
            self.requests.append(request)

    def _ask_for_spot(self, shard: Shard, instance: Instance, *, persistent: bool) -> None:
        request = SpotRequest(
            id=f"sir-{self._made:08x}",
            persistent=persistent,
            behaviour="stop" if persistent else "terminate",
            created_at=instance.launched_at,
            instance_id=instance.id,
            type=instance.type,
        )
        shard.spot_requests[request.id] = request
        instance.spot, instance.lifecycle = request, "spot"
