"""CBOR (RFC 8949) as Smithy's RPC v2 has it: CloudWatch's protocol."""

import functools
import io
import struct
from datetime import UTC, datetime
from importlib import import_module
from typing import Any

__all__ = ["decode", "encode"]


def decode(body: bytes) -> Any:
    """Read a value: quickly what clients write, anything else with botocore's own parser.

    Raises:
        ValueError, botocore's ResponseParserError: It can't be read.
    """
    if not body:
        return {}
    try:
        value, end = _read(body, 0)
    except (_Unusual, IndexError, struct.error):
        parser = import_module("botocore.parsers").create_parser("smithy-rpc-v2-cbor")
        return parser.parse_data_item(io.BufferedReader(io.BytesIO(body)))
    if end != len(body):
        raise ValueError(f"{len(body) - end} bytes follow the value")
    return value


class _Unusual(Exception):
    """A form that clients don't write."""


_SIZES = {24: (">B", 1), 25: (">H", 2), 26: (">I", 4), 27: (">Q", 8)}
_SIMPLE = {0xF4: False, 0xF5: True, 0xF6: None}
_INSTANT = 1


def _read(body: bytes, at: int) -> tuple[Any, int]:
    """Read the value that begins at a place; give it with the place after it."""
    first = body[at]
    if first in _SIMPLE:
        return _SIMPLE[first], at + 1
    if first == 0xFB:  # noqa: PLR2004 -- RFC 8949, section 3.3: a double
        return struct.unpack_from(">d", body, at + 1)[0], at + 9
    number, at = _number(body, at)
    match first >> 5:
        case 0:
            return number, at
        case 1:
            return -1 - number, at
        case 3:
            if at + number > len(body):
                raise IndexError
            return body[at : at + number].decode(), at + number
        case 4:
            values = []
            for _ in range(number):
                value, at = _read(body, at)
                values.append(value)
            return values, at
        case 5:
            parts = {}
            for _ in range(number):
                key, at = _read(body, at)
                parts[key], at = _read(body, at)
            return parts, at
        case 6 if number == _INSTANT:
            seconds, at = _read(body, at)
            return datetime.fromtimestamp(seconds, UTC), at
        case _:
            raise _Unusual


def _number(body: bytes, at: int) -> tuple[int, int]:
    """Read what follows the major type: a value, a length, a tag."""
    number = body[at] & 31
    if number < 24:  # noqa: PLR2004 -- RFC 8949, section 3: it fits into the first byte
        return number, at + 1
    if number not in _SIZES:
        raise _Unusual
    form, size = _SIZES[number]
    return struct.unpack_from(form, body, at + 1)[0], at + 1 + size


def encode(value: object) -> bytes:
    """Write a value; instants as tag 1. A tuple of numbers holds floats alone, one of instants nothing else.

    Raises:
        TypeError: CBOR has no form for it, or we have none.
    """
    match value:
        case bool():
            return b"\xf5" if value else b"\xf4"
        case None:
            return b"\xf6"
        case int():
            return _head(0, value) if value >= 0 else _head(1, -1 - value)
        case float():
            return b"\xfb" + struct.pack(">d", value)
        case str():
            text = value.encode()
            return _head(3, len(text)) + text
        case datetime():
            return _head(6, 1) + encode(value.timestamp())
        case tuple() if value and isinstance(value[0], float | datetime):
            return _series(value)
        case list() | tuple():
            return _head(4, len(value)) + b"".join(map(encode, value))
        case dict():
            parts = (encode(key) + encode(part) for key, part in value.items())
            return _head(5, len(value)) + b"".join(parts)
        case _:
            raise TypeError(f"{type(value).__name__} has no form in CBOR")


@functools.lru_cache(maxsize=256)
def _series(values: tuple[Any, ...]) -> bytes:
    """Write instants, or numbers: many metrics of a fleet have the same."""
    return _head(4, len(values)) + b"".join(map(encode, values))


def _head(major: int, number: int) -> bytes:
    if number < 24:  # noqa: PLR2004 -- RFC 8949, section 3: it fits into the first byte
        return bytes([major << 5 | number])
    for info, form in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
        if number < 1 << 8 * struct.calcsize(form):
            return bytes([major << 5 | info]) + struct.pack(form, number)
    raise TypeError(f"{number} has no form in CBOR")
