"""What an instance does, minute by minute, and the datapoints that CloudWatch has of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

__all__ = ["Load", "Usage", "value_at"]

Load = float | Callable[[datetime], float | None]
"""The value of every minute in the period that begins at an instant; None: a gap, there is no datapoint."""


@dataclass(slots=True, kw_only=True)
class Usage:
    """What an instance does: a number, or a function of the instant at which a period begins.

    Bytes are those of a minute: 1000.0 gives a Sum of 5,000 in five minutes.

    Attributes:
        cpu: CPUUtilization, percent of all its vCPUs.
        network_in: NetworkIn, bytes a minute.
        network_out: NetworkOut, bytes a minute.
        ebs_read: EBSReadBytes, bytes a minute; None: the metric does not exist (no Nitro).
        ebs_write: EBSWriteBytes, bytes a minute; None as before.
        volume_read: AWS/EBS' VolumeReadBytes, bytes a minute of each volume; None: nobody used it, no datapoint.
        volume_write: AWS/EBS' VolumeWriteBytes, as before.
        gpus: CloudWatch agent's nvidia_smi_utilization_gpu, percent, one for each GPU; empty: no agent.
        agent_names_host: The agent tells `host` alone, as without `append_dimensions`; else InstanceId, ImageId
            and InstanceType.
        lag: Lag of its datapoints; None: the fleet's.
    """

    cpu: Load = 0.4
    network_in: Load = 900.0
    network_out: Load = 600.0
    ebs_read: Load | None = 0.0
    ebs_write: Load | None = 2048.0
    volume_read: Load | None = None
    volume_write: Load | None = None
    gpus: Sequence[Load] = ()
    agent_names_host: bool = False
    lag: timedelta | None = None


def value_at(load: Load, begins: datetime) -> float | None:
    """Give the value of a minute in the period that begins at an instant."""
    return load(begins) if callable(load) else load
