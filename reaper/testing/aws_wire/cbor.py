"""CBOR (RFC 8949) as Smithy's RPC v2 has it: CloudWatch's protocol."""

import io
import struct
from datetime import datetime
from importlib import import_module
from typing import Any

__all__ = ["Encoded", "decode", "encode"]


class Encoded(bytes):
    """A value that was written before: what is asked for again and again need not be written each time."""

    __slots__ = ()


def decode(body: bytes) -> Any:
    """Read a value with botocore's own parser.

    Raises:
        ValueError, botocore's ResponseParserError: It can't be read.
    """
    parser = import_module("botocore.parsers").create_parser("smithy-rpc-v2-cbor")
    return parser.parse_data_item(io.BufferedReader(io.BytesIO(body))) if body else {}


def encode(value: object) -> bytes:
    """Write a value; instants as tag 1.

    Raises:
        TypeError: CBOR has no form for it, or we have none.
    """
    match value:
        case Encoded():
            return value
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
        case list() | tuple():
            return _head(4, len(value)) + b"".join(map(encode, value))
        case dict():
            parts = (encode(key) + encode(part) for key, part in value.items())
            return _head(5, len(value)) + b"".join(parts)
        case _:
            raise TypeError(f"{type(value).__name__} has no form in CBOR")


def _head(major: int, number: int) -> bytes:
    if number < 24:  # noqa: PLR2004 -- RFC 8949, section 3: it fits into the first byte
        return bytes([major << 5 | number])
    for info, form in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
        if number < 1 << 8 * struct.calcsize(form):
            return bytes([major << 5 | info]) + struct.pack(form, number)
    raise TypeError(f"{number} has no form in CBOR")
