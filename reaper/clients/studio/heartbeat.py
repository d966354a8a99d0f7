"""What a reaper says of itself on the app it runs in, in one tag. Pure.

The value of a SageMaker tag has at most 256 letters, digits, spaces and `_ . : / = + - @` (SageMaker API Reference,
Tag).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from reaper.clients.aws.policy import HEARTBEAT_TAG
from reaper.clients.studio.identity import Identity

__all__ = ["EVERY", "HEARTBEAT_TAG", "Heartbeat", "app_arn", "read_heartbeat", "tag_of", "write_heartbeat"]

EVERY = timedelta(hours=1)
"""How often it is written. A tag costs nothing, but everybody in the account shares AddTags' rate limit: a thousand
apps make 17 calls a minute. Who looks at coverage does so once a day, and three hours are soon enough there."""

_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_.:/=+@-]")
_LONGEST_VERSION = 60
_PARTS = 5
_LONGEST = timedelta(days=3650)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A reaper at work.

    Attributes:
        version: Of reaper.
        idle_timeout: The limit in force there; None is unknown.
        at: When it said so, by its own clock.
        mode: `dry-run` or `enforce`; empty is unknown.
        door: How it reaches its user's apps: `server` or `api`; empty is unknown.
    """

    version: str
    idle_timeout: timedelta | None
    at: datetime
    mode: str = ""
    door: str = ""


def write_heartbeat(beat: Heartbeat) -> str:
    """Write it as a tag's value: `VERSION TIMEOUT_S INSTANT MODE DOOR`."""
    timeout = "-" if beat.idle_timeout is None else str(round(beat.idle_timeout.total_seconds()))
    at = beat.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    version = _NOT_ALLOWED.sub("-", beat.version)[:_LONGEST_VERSION] or "-"
    return f"{version} {timeout} {at} {beat.mode or '-'} {beat.door or '-'}"


def read_heartbeat(value: str) -> Heartbeat:
    """Read a tag's value. Words that a later version adds are passed over.

    Raises:
        ValueError: It is none; says what is wrong.
    """
    words = value.split()
    if len(words) < 3:  # noqa: PLR2004 - what the very first version would have written
        raise ValueError(f"{value[:80]!r} is no heartbeat")
    version, timeout, at, mode, door = (*words, "-", "-")[:_PARTS]
    return Heartbeat(
        version=version,
        idle_timeout=_timeout(timeout),
        at=_instant(at),
        mode="" if mode == "-" else mode,
        door="" if door == "-" else door,
    )


def app_arn(identity: Identity) -> str:
    """Name the app that we run in as its ARN; the type in lower case, as DescribeApp writes it."""
    tail = f"{identity.domain}/{identity.owner}/{identity.app_type.lower()}/{identity.app_name}"
    return f"arn:{identity.partition}:sagemaker:{identity.region}:{identity.account}:app/{tail}"


def tag_of(tags: Mapping[str, str]) -> str | None:
    """Find the heartbeat's value among the tags of an app; their keys are matched ignoring case."""
    return next((value for key, value in sorted(tags.items()) if key.lower() == HEARTBEAT_TAG), None)


def _timeout(text: str) -> timedelta | None:
    if text == "-":
        return None
    if not re.fullmatch(r"\d{1,10}", text) or int(text) > _LONGEST.total_seconds():
        raise ValueError(f"{text[:40]!r} is no number of seconds")
    return timedelta(seconds=int(text))


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no instant") from None
    if at.tzinfo is None:
        raise ValueError(f"{text[:40]!r} names no zone")
    return at.astimezone(UTC)
