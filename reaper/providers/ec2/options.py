"""Settings of the EC2 provider."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from reaper.clients.aws import Aws, AwsOptions
from reaper.clients.aws.scopes import ScopeOptions
from reaper.clients.prices import PriceBook
from reaper.core.model import Resource

__all__ = ["Ec2Options", "Thresholds", "Timeouts", "never"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """When an instance's activity matters.

    Attributes:
        ask_after: Nothing is asked of CloudWatch for so long after what is known to be activity.
        look_back: How much of its past matters when it is seen first.
        asks: Whether that may be now; else nothing is asked but right before an act.
    """

    ask_after: timedelta
    look_back: timedelta
    asks: bool = True


def never(_resource: Resource) -> Timeouts | None:
    """Ask nothing: no policy reads activity."""
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """From when on an instance is at work.

    Attributes:
        cpu_cores: Cores, at the greatest of a period.
        gpu_percent: Of any GPU, at the greatest of a period.
        bytes_per_hour: Over the network, and to EBS, each.
    """

    cpu_cores: float = 0.5
    gpu_percent: float = 5.0
    bytes_per_hour: float = 5e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Ec2Options:
    """What is looked at, and what counts as work.

    Attributes:
        thresholds: From when on something is work.
        managed_tags: Globs on tags of those who manage instances: `KEY` or `KEY=VALUE`.
        allow: Obstacles that do not veto.
        hibernates: Whether a policy may hibernate: else what can't is not said of each instance.
        hibernate_fallback: Stop what can't hibernate, instead of leaving it alone.
        interval: The longest between looks.
        timeouts: When an instance's activity matters; None: no policy reads it.
        scopes: Which accounts and regions.
        aws: How to talk to AWS.
        prices: What things cost; None: nobody knows.
    """

    thresholds: Thresholds = Thresholds()
    managed_tags: tuple[str, ...] = ()
    allow: frozenset[str] = frozenset()
    hibernates: bool = True
    hibernate_fallback: bool = False
    interval: timedelta = timedelta(minutes=5)
    timeouts: Callable[[Resource], Timeouts | None] = never
    scopes: ScopeOptions = field(default_factory=ScopeOptions)
    aws: AwsOptions = field(default_factory=lambda: AwsOptions(adaptive=True))
    prices: PriceBook | None = None

    def priced(self, resource: Resource) -> Resource:
        """Give a resource with what it costs an hour, and where that is known from, as far as it is."""
        return resource if self.prices is None else self.prices.priced(resource)

    def register(self, account: str, aws: Aws) -> None:
        """Have spot prices asked for where instances run."""
        if self.prices is not None:
            self.prices.register(account, aws)
