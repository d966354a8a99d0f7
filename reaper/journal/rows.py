"""How core's values are written into columns and read back. Pure."""

import dataclasses
import json
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from reaper.core.codec import from_json, to_json
from reaper.core.decide import Decision
from reaper.core.facts import Fact, fact_from_json
from reaper.core.model import Activity, Poll, Resource, ResourceRef

__all__ = [
    "ACTIVITIES",
    "activity_number",
    "ago",
    "body",
    "decision_body",
    "decision_from_body",
    "fact_from_row",
    "instant",
    "micros",
    "poll_from_row",
    "resource_body",
    "resource_from_body",
    "text_in",
    "text_out",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

ACTIVITIES = (Activity.UNKNOWN, Activity.IDLE, Activity.ACTIVE)
"""By the number that stands for each in a row."""
_NUMBERS = {activity: number for number, activity in enumerate(ACTIVITIES)}

_FAMILIAR = (
    b'"active_at":null,"covers_from":null,"evidence_at":null,"activity":"unknown","activity":"active",'
    b'"vetoes":[{"guard":"newly_applied","reason":"newly_applied","until":"2026-","detail":""}],'
    b'"verdict":"unknown","verdict":"reap","verdict":"keep","reason":"active","reason":"evidence_unknown",'
    b'{"id":"","at":"2026-11-22T00:00:00.000000Z","basis":1,"ref":{"kind":"jupyter.terminal","scope":'
    b'"http://127.0.0.1:8888/","id":"","incarnation":""},{"kind":"jupyter.kernel","scope":"http://127.0.0.1:'
    b'8888/","id":"","incarnation":""},"verdict":"wait","reason":"idle_not_long_enough","policy":"",'
    b'"action":"shutdown","since":"2026-","due_at":"2026-","wake_at":"2026-","enforced":true,"notify":false,'
    b'"blind_since":null,"findings":[{"policy":"","verdict":"wait","reason":"idle_not_long_enough","since":'
    b'"2026-","due_at":"2026-","evidence":["last_activity"],"detail":""}],"vetoes":[],"evidence":[{"signal":'
    b'"execution_state","activity":"idle","value":"idle","evidence_at":null,"observed_at":"2026-","active_at":'
    b'"2026-","covers_from":"2026-","current":true},{"signal":"last_activity","activity":"idle","value":"",'
    b'"evidence_at":"2026-","observed_at":"2026-","active_at":"2026-","covers_from":null,"current":true},'
    b'{"signal":"process","activity":"idle","value":"0.00 core","evidence_at":null,"observed_at":"2026-"'
    b'}],"config_digest":""}'
)
"""What decisions have in common, so that deflating one alone gains what deflating many would (six times).

Part of the format: it is never changed; another one would be a migration.
"""


def micros(at: datetime) -> int:
    """Give an instant as microseconds since 1970."""
    return _whole(at - _EPOCH)


def instant(value: int) -> datetime:
    """Give the instant that `micros` wrote, in UTC."""
    return _EPOCH + timedelta(microseconds=value)


def ago(at: datetime | None, first_at: datetime) -> int | None:
    """Give how long before a run's first look an instant lies, in microseconds; negative is after it."""
    return None if at is None else _whole(first_at - at)


def _whole(span: timedelta) -> int:
    """Give a span in microseconds, exactly: half as dear as dividing it by one."""
    return (span.days * 86400 + span.seconds) * 1_000_000 + span.microseconds


def text_in(text: str) -> str | bytes:
    """Make a text fit to be bound: lone surrogates (a server's JSON may have them) go in as bytes."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
    return text


def text_out(value: str | bytes) -> str:
    """Give the text that `text_in` wrote."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogatepass")


@cache
def _fields(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind) if field.init)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: getattr(value, name) for name in _fields(type(value))}
    return to_json(value)


_encode = json.JSONEncoder(default=_plain, separators=(",", ":"), check_circular=False).encode


def body(value: Any) -> str:
    """Write a value as JSON in ASCII: what `to_json` gives, at a quarter of the time."""
    return _encode(value)


def activity_number(activity: Activity) -> int:
    """Give the number that stands for an activity."""
    return _NUMBERS[activity]


def resource_body(resource: Resource) -> str:
    """Write a resource without its ref, which its life's row has."""
    return body({name: getattr(resource, name) for name in _fields(Resource) if name != "ref"})


def resource_from_body(text: str, ref: ResourceRef) -> Resource:
    """Read a resource back."""
    return dataclasses.replace(from_json(Resource, {**json.loads(text), "ref": None}), ref=ref)


def decision_body(decision: Decision) -> bytes:
    """Write a decision, deflated."""
    deflate = zlib.compressobj(zdict=_FAMILIAR)
    return deflate.compress(body(decision).encode()) + deflate.flush()


def decision_from_body(deflated: bytes) -> Decision:
    """Read a decision back.

    Raises:
        ValueError, KeyError, TypeError: It is damaged.
    """
    inflate = zlib.decompressobj(zdict=_FAMILIAR)
    try:
        text = inflate.decompress(deflated) + inflate.flush()
    except zlib.error as error:
        raise ValueError(str(error)) from error
    return from_json(Decision, json.loads(text))


def fact_from_row(kind: str, text: str, config: str | None) -> Fact:
    """Read a fact back.

    Args:
        kind: The fact's type.
        text: Its body.
        config: Body of the configuration it names, which is kept apart.
    """
    values = json.loads(text)
    if config is not None:
        values["body"] = json.loads(config)
    return fact_from_json(kind, values)


def poll_from_row(row: Mapping[str, Any], source: str) -> Poll:
    """Read a look back from its row of `polls`."""
    return Poll(
        id=row["id"],
        source=source,
        started_at=instant(row["started_at"]),
        finished_at=instant(row["started_at"] + row["took"]),
        complete=bool(row["complete"]),
        error=None if row["error"] is None else text_out(row["error"]),
        targets=None if row["targets"] is None else tuple(json.loads(row["targets"])),
        failed_kinds=() if row["failed_kinds"] is None else tuple(json.loads(row["failed_kinds"])),
    )
