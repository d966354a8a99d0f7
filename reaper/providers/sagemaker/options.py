"""Settings of the SageMaker provider."""

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from reaper.clients.aws import AwsOptions
from reaper.clients.host import Thresholds
from reaper.clients.prices import PriceBook

__all__ = ["SagemakerOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SagemakerOptions:
    """What is looked at, and what counts as work.

    Attributes:
        kinds: Kinds that a policy is about: nothing else is asked for, and nobody pays for it.
        metadata_file: Where SageMaker says in what we run.
        regions: Where endpoints and jobs are looked at; empty: the region of the environment, the profile, or the
            place we run in.
        urls: Jupyter servers by address, as for the Jupyter provider.
        token: For `urls`.
        ca_file: Certificate authorities for TLS.
        verify: Whether certificates of `urls` are checked.
        runtime_dirs: Where Jupyter's runtime files are; empty: Jupyter's own places.
        aws_interval: The longest between looks at AWS.
        aws: How to talk to AWS.
        thresholds: From when on a process is at work.
        boot_period: What began so soon after the host's first process belongs to its boot, which ends where the Jupyter
            server begins, if that is earlier: nobody can come in before. A script on start may take five minutes
            (SageMaker Developer Guide), and root's services begin during it.
        prices: What a notebook instance costs; None: that is not known.
    """

    kinds: frozenset[str] = frozenset({"sagemaker.notebook_instance"})
    metadata_file: Path = Path("/opt/ml/metadata/resource-metadata.json")
    regions: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    token: SecretStr | None = None
    ca_file: Path | None = None
    verify: bool = True
    runtime_dirs: tuple[Path, ...] = ()
    aws_interval: timedelta = timedelta(minutes=5)
    aws: AwsOptions = field(default_factory=AwsOptions)
    thresholds: Thresholds = field(default_factory=Thresholds)
    boot_period: timedelta = timedelta(minutes=5)
    prices: PriceBook | None = None
