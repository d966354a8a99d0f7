"""How to talk to AWS, and as whom."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["AwsOptions", "Role"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsOptions:
    """How to talk to AWS.

    Attributes:
        attempts: How often a question is sent in all, with botocore's jittered waits; an action is sent once.
        adaptive: After AWS has said that it is asked too much, ask more slowly (botocore's adaptive mode): for many
            questions, each client for itself.
        connect_timeout_s: To connect.
        read_timeout_s: Without a byte of an answer.
        connections: At most so many at the same time, for each service of each region.
        cache: Where trimmed service models are kept; None: the user's cache directory.
    """

    attempts: int = 3
    adaptive: bool = False
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 10.0
    connections: int = 10
    cache: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A role to assume.

    Attributes:
        arn: `arn:aws:iam::123456789012:role/NAME`.
        external_id: What its trust policy asks for; empty: nothing.
        session_name: Under what name CloudTrail tells what is done by it: `reaper-HOST`.
    """

    arn: str
    external_id: str = ""
    session_name: str = "reaper"

    @property
    def account(self) -> str:
        """Name the account that it is in."""
        return self.arn.split(":")[4]

    @property
    def partition(self) -> str:
        """Name the partition that it is in: `aws`, `aws-cn` ..."""
        return self.arn.split(":")[1]
