"""How values are read: durations with units, lists with commas, addresses that may hold secrets.

Each type says what was wrong with a value in a `ValueError` that does not name the setting, because its
caller knows that, and never holds a secret.
"""

import json
import math
import re
from datetime import time, timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr, WithJsonSchema

from reaper.config.places import parse_listen, split_list, split_listen
from reaper.core.durations import format_duration, parse_duration
from reaper.core.ruleset import QuietHours

__all__ = [
    "MASK",
    "ActionList",
    "Argv",
    "Duration",
    "Globs",
    "HeaderSecret",
    "JupyterUrls",
    "ListenList",
    "LowerText",
    "NotifyAddresses",
    "OptionalDuration",
    "PathList",
    "PositiveDuration",
    "QuietHoursList",
    "Rate",
    "TagGlobs",
    "Texts",
    "Threshold",
    "TomlTables",
    "UserPath",
    "duration_text",
    "rate_text",
    "safe_address",
    "safe_url",
    "scheme_of",
]

MASK = "**********"
"""What is shown of a secret; the same as pydantic's `SecretStr`."""

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]i?)?b(?:/s)?", re.IGNORECASE)
_BYTES = {"": 1, "k": 1000, "ki": 1024, "m": 1000**2, "mi": 1024**2, "g": 1000**3, "gi": 1024**3}
_HOURS = re.compile(r"(\d{1,2}:\d\d)\s*-\s*(\d{1,2}:\d\d)(?:\s+(\S+))?")
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_HEADER_HINT = "must be printable ASCII without spaces, or no HTTP header can carry it"
_OFF = {"off", "none", "never"}


# Durations


def duration_text(duration: timedelta) -> str:
    """Write a duration so that it reads back equal, to the microsecond."""
    text = format_duration(duration)
    return text if parse_duration(text) == duration else f"{duration.total_seconds():f}s"


def _read_duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return parse_duration(str(value))
    raise ValueError('must be a duration as text, such as "45s", "120m", "1h30m" or "3d"')


def _read_optional_duration(value: object) -> timedelta | None:
    if value is None or (isinstance(value, str) and value.strip().lower() in _OFF):
        return None
    return _read_duration(value)


def _positive(value: timedelta | None) -> timedelta | None:
    if value is not None and value <= timedelta(0):
        raise ValueError("must be more than 0s")
    return value


_DURATION_PATTERN = r"^\s*(\d+(\.\d+)?\s*(ms|s|m|h|d|w)\s*)+$|^P"
_DURATION_SCHEMA = {
    "type": "string",
    "pattern": _DURATION_PATTERN,
    "examples": ["45s", "120m", "1h30m", "3d"],
}
_OFF_SCHEMA = {"type": "string", "pattern": rf"{_DURATION_PATTERN}|^off$", "examples": ["12h", "off"]}
_write = PlainSerializer(duration_text, return_type=str)
_write_optional = PlainSerializer(lambda v: "off" if v is None else duration_text(v), return_type=str)

Duration = Annotated[timedelta, BeforeValidator(_read_duration), _write, WithJsonSchema(_DURATION_SCHEMA)]
"""A length of time: text with a unit. Zero is one."""

PositiveDuration = Annotated[
    timedelta,
    BeforeValidator(_read_duration),
    AfterValidator(_positive),
    _write,
    WithJsonSchema(_DURATION_SCHEMA),
]
"""A length of time longer than zero."""

OptionalDuration = Annotated[
    timedelta | None,
    BeforeValidator(_read_optional_duration),
    AfterValidator(_positive),
    _write_optional,
    WithJsonSchema(_OFF_SCHEMA),
]
"""A length of time longer than zero, or `off`."""


# Rates


def rate_text(rate: float) -> str:
    """Write bytes a second so that they read back equal."""
    for unit, size in (("MiB/s", 1024**2), ("KiB/s", 1024)):
        if rate >= size and rate % size == 0:
            return f"{rate / size:.0f}{unit}"
    return f"{rate:.0f}B/s" if rate % 1 == 0 else f"{rate:f}B/s"


def _read_rate(value: object) -> float:
    text = str(value).strip()
    found = _RATE.fullmatch(text) if isinstance(value, (str, int, float)) else None
    if found is None:
        raise ValueError(f"{text!r} is no rate: write it with a unit, such as 64KiB/s")
    rate = float(found[1]) * _BYTES[(found[2] or "").lower()]
    if not 0 < rate < math.inf:
        raise ValueError("must be more than 0B/s")
    return rate


Rate = Annotated[
    float,
    BeforeValidator(_read_rate),
    PlainSerializer(rate_text, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["64KiB/s", "1MB/s"]}),
]
"""Bytes a second: text with a unit."""


# Lists


def _items(value: object) -> list[Any]:
    if isinstance(value, str):
        return list(split_list(value))
    if isinstance(value, (list, tuple)):
        return list(value)
    raise ValueError("must be a list of texts: with commas, or as JSON")


def _texts(value: object) -> tuple[str, ...]:
    items = _items(value)
    if not all(isinstance(item, str) for item in items):
        raise ValueError("must be a list of texts")
    return tuple(dict.fromkeys(items))


def _listen_items(value: object) -> tuple[str, ...]:
    items = split_listen(value) if isinstance(value, str) else list(_texts(value))
    if "none" in items and len(items) > 1:
        raise ValueError("'none' stands alone: it turns the API off")
    return tuple(dict.fromkeys(str(parse_listen(item)) for item in items if item != "none"))


_LIST_SCHEMA: dict[str, Any] = {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}

Texts = Annotated[tuple[str, ...], BeforeValidator(_texts), WithJsonSchema(_LIST_SCHEMA)]
"""A list of texts: commas, or JSON."""

ListenList = Annotated[tuple[str, ...], BeforeValidator(_listen_items), WithJsonSchema(_LIST_SCHEMA)]
"""Addresses of the API, as `parse_listen` writes them; `none` is an empty list."""


def _read_actions(value: object) -> tuple[str, ...] | None:
    items = None if value is None else _texts(value)
    if items is None or items == ("all",):
        return None
    if "none" in items and len(items) > 1:
        raise ValueError("'none' stands alone: it allows nothing")
    return () if items == ("none",) else items


ActionList = Annotated[
    tuple[str, ...] | None,
    BeforeValidator(_read_actions),
    PlainSerializer(lambda v: ["all"] if v is None else list(v), return_type=list[str]),
    WithJsonSchema(_LIST_SCHEMA),
]
"""What may be done; None (`all`) is no ceiling, an empty list (`none`) allows nothing."""


def _argv(value: object) -> tuple[str, ...]:
    items = _items(value)
    if not items or not all(isinstance(item, str) for item in items):
        raise ValueError('must be a command and its arguments, such as ["shutdown", "-h", "now"]')
    return tuple(items)


Argv = Annotated[tuple[str, ...], BeforeValidator(_argv), WithJsonSchema(_LIST_SCHEMA)]
"""A command and its arguments."""


def _absolute(value: object) -> object:
    return Path(value).expanduser() if isinstance(value, str) else value


def _must_be_absolute(value: Path | None) -> Path | None:
    if value is not None and not value.is_absolute():
        raise ValueError(f"{str(value)!r} is not an absolute path")
    return value


UserPath = Annotated[Path, BeforeValidator(_absolute), AfterValidator(_must_be_absolute)]
"""An absolute path; `~` is the home directory."""


def _paths(value: object) -> tuple[Path, ...]:
    return tuple(Path(item).expanduser() for item in _texts(value))


def _all_absolute(value: tuple[Path, ...]) -> tuple[Path, ...]:
    for path in value:
        _must_be_absolute(path)
    return value


PathList = Annotated[
    tuple[Path, ...],
    BeforeValidator(_paths),
    AfterValidator(_all_absolute),
    WithJsonSchema(_LIST_SCHEMA),
]
"""A list of absolute paths."""


def _globs(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, (list, tuple)) else [value]
    if not items:
        raise ValueError("is empty: it would match nothing; leave it out to match everything")
    if not all(isinstance(item, (str, int, float)) for item in items):
        raise ValueError("must be a text or a list of texts (globs)")
    return tuple(str(item) for item in items)


Globs = Annotated[tuple[str, ...], BeforeValidator(_globs), WithJsonSchema(_LIST_SCHEMA)]
"""One glob or a list of globs; a comma is part of a glob."""


def _tag(value: object) -> bool | tuple[str, ...]:
    return value if isinstance(value, bool) else _globs(value)


TagGlobs = Annotated[
    bool | tuple[str, ...],
    BeforeValidator(_tag),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, *_LIST_SCHEMA["anyOf"]]}),
]
"""What a tag's value must be: globs, or true for present and false for absent."""


def _tables(value: object) -> object:
    """Read a list of tables; in a variable it is JSON."""
    if not isinstance(value, str):
        return value
    try:
        found = json.loads(value)
    except ValueError as error:
        raise ValueError(f"must be a JSON list of objects here: {error}") from None
    if not isinstance(found, list):
        raise ValueError("must be a JSON list of objects here")
    return found


TomlTables = BeforeValidator(_tables)
"""Lets a list of tables be written as JSON in a variable."""


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


LowerText = BeforeValidator(_lower)
"""Lets an enumerated text be written in any case."""


# Quiet hours


def _read_hours(value: object) -> QuietHours:
    if isinstance(value, QuietHours):
        return value
    if isinstance(value, str):
        found = _HOURS.fullmatch(value.strip())
        if found is None:
            raise ValueError(f"{value!r} are no hours: write 22:00-07:00 Europe/Berlin")
        start, end, zone = found[1], found[2], found[3] or "UTC"
    elif isinstance(value, dict) and {"start", "end"} <= set(value) <= {"start", "end", "zone"}:
        start, end, zone = value["start"], value["end"], value.get("zone", "UTC")
    else:
        raise ValueError(
            'must be hours such as "22:00-07:00 Europe/Berlin", or tables of start, end and zone'
        )
    hours = QuietHours(start=_read_time(start), end=_read_time(end), zone=str(zone))
    if hours.start == hours.end:
        raise ValueError(
            f"{start}-{end} is the whole day: nothing would ever be reaped; 'reaper pause' does that"
        )
    try:
        ZoneInfo(hours.zone)
    except (KeyError, OSError, ValueError):  # not found (a KeyError), a directory such as Europe, ../..
        raise ValueError(f"{zone!r} is no time zone: write a name such as Europe/Berlin or UTC") from None
    return hours


def _read_time(value: object) -> time:
    if isinstance(value, time) and value.tzinfo is None:
        return value
    try:
        return time.fromisoformat(str(value).strip().zfill(5))
    except ValueError:
        raise ValueError(f"{str(value)!r} is no time of day: write 07:00") from None


def _all_hours(value: object) -> tuple[QuietHours, ...]:
    if isinstance(value, dict):
        return (_read_hours(value),)
    return tuple(_read_hours(item) for item in _items(value))


QuietHoursList = Annotated[
    tuple[QuietHours, ...],
    BeforeValidator(_all_hours),
    PlainSerializer(lambda v: [f"{h.start:%H:%M}-{h.end:%H:%M} {h.zone}" for h in v], return_type=list[str]),
    WithJsonSchema({**_LIST_SCHEMA, "examples": [["22:00-07:00 Europe/Berlin"]]}),
]
"""Daily windows, each in a time zone."""


# What may be secret


def scheme_of(address: str) -> str:
    """Give an address's scheme, lower case; empty if it has none."""
    found = _SCHEME.match(address)
    return found[1].lower() if found else ""


def safe_address(address: str) -> str:
    """Write a notifier's address without anything that may be secret."""
    scheme = scheme_of(address)
    if scheme in {"log", "command"}:
        return address
    if scheme in {"http", "https"}:
        try:
            host = urlsplit(address).hostname or ""
        except ValueError:
            host = ""
        return f"{scheme}://{host}/{MASK}"
    return f"{scheme}:{MASK}" if scheme else MASK


def safe_url(url: str) -> str:
    """Write a server's URL without token, user name or password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    netloc = parts.netloc.rpartition("@")[2]
    masked = f"?{MASK}" if parts.query or parts.fragment or parts.username is not None else ""
    return f"{parts.scheme}://{netloc}{parts.path}{masked}"


def _read_header_secret(value: SecretStr | None) -> SecretStr | None:
    if value is not None and not _VISIBLE_ASCII.fullmatch(value.get_secret_value()):
        raise ValueError(_HEADER_HINT)
    return value


HeaderSecret = Annotated[SecretStr | None, AfterValidator(_read_header_secret)]
"""A token that goes into an HTTP header."""


def _secret_items(value: object) -> list[str]:
    plain = [item.get_secret_value() if isinstance(item, SecretStr) else item for item in _items(value)]
    if not all(isinstance(item, str) for item in plain):
        raise ValueError("must be a list of texts")
    return list(dict.fromkeys(plain))


def _read_jupyter_urls(value: object) -> tuple[SecretStr, ...]:
    return tuple(SecretStr(_checked_url(item)) for item in _secret_items(value))


def _checked_url(url: str) -> str:
    hint = "write http://HOST:PORT/BASE/, https://... or http+unix://%2Fpath%2Fto.sock/BASE/"
    try:
        parts = urlsplit(url)
        if parts.scheme != "http+unix":
            _ = parts.port
    except ValueError:
        raise ValueError(f"holds something that is no URL: {hint}") from None
    if parts.scheme not in {"http", "https", "http+unix"} or not parts.netloc:
        raise ValueError(f"holds something that is no URL of a Jupyter server: {hint}")
    if parts.username is not None:
        raise ValueError("must not hold a user name or password: give the token as jupyter.token")
    if not url.isprintable() or " " in url:
        raise ValueError("holds a URL with spaces or unprintable characters")
    return url


JupyterUrls = Annotated[
    tuple[SecretStr, ...],
    BeforeValidator(_read_jupyter_urls),
    WithJsonSchema(_LIST_SCHEMA),
]
"""URLs of Jupyter servers; secret, because people paste them with `?token=`."""


def _read_addresses(value: object) -> tuple[SecretStr, ...]:
    items = _secret_items(value)
    for item in items:
        if not scheme_of(item):
            raise ValueError(
                "holds something without a scheme: write log:, command:/path/to/program or https://host/path"
            )
        if scheme_of(item) == "command" and not item.partition(":")[2].startswith("/"):
            raise ValueError("holds a command that is no absolute path: write command:/path/to/program")
    return tuple(SecretStr(item) for item in items)


NotifyAddresses = Annotated[
    tuple[SecretStr, ...],
    BeforeValidator(_read_addresses),
    WithJsonSchema(_LIST_SCHEMA),
]
"""Addresses of notifiers; secret, because a webhook's path is one."""

Threshold = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A number above zero."""
