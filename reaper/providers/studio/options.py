"""Settings of the Studio provider."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from reaper.clients.aws import AwsOptions
from reaper.clients.host import Thresholds
from reaper.clients.prices import PriceBook

__all__ = ["METADATA_FILE", "Standing", "StandingOf", "StudioOptions"]

METADATA_FILE = Path("/opt/ml/metadata/resource-metadata.json")
"""Where SageMaker says in which app we run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is in force in this reaper, as its heartbeat tells.

    Attributes:
        mode: `dry-run` or `enforce`.
        idle_timeout: The limit, `reaper set` included.
    """

    mode: str
    idle_timeout: timedelta


StandingOf = Callable[[], Standing]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudioOptions:
    """Whose apps, by which door, and what counts as work.

    Attributes:
        metadata_file: Where SageMaker says in which app we run.
        apps: The door: `server`, `api`, or `auto`: the first that answers.
        urls: Jupyter servers by address, as for the Jupyter provider; empty: those of this host.
        token: For `urls`.
        ca_file: Certificate authorities for TLS.
        verify: Whether certificates of `urls` are checked.
        runtime_dirs: Where Jupyter's runtime files are; empty: Jupyter's own places.
        aws_interval: The longest between looks at AWS.
        aws: How to talk to AWS.
        thresholds: From when on a process is at work.
        boot_period: What began so soon after the container's first process belongs to its boot: Studio runs lifecycle
            scripts before anybody can come in, and starts an app's server within a minute.
        editor_data: Further `User` directories of Code Editor's data.
        prices: What apps cost; None: that is not known.
        standing: Tells what is in force, for the heartbeat; None: there is no heartbeat.
    """

    metadata_file: Path = METADATA_FILE
    apps: Literal["auto", "server", "api"] = "auto"
    urls: tuple[str, ...] = ()
    token: SecretStr | None = None
    ca_file: Path | None = None
    verify: bool = True
    runtime_dirs: tuple[Path, ...] = ()
    aws_interval: timedelta = timedelta(minutes=5)
    aws: AwsOptions = field(default_factory=AwsOptions)
    thresholds: Thresholds = field(default_factory=Thresholds)
    boot_period: timedelta = timedelta(minutes=1)
    editor_data: tuple[Path, ...] = ()
    prices: PriceBook | None = None
    standing: StandingOf | None = None
