"""The protocols of the three services: JSON 1.0 and 1.1, RPC v2 CBOR, and query (form in, XML out).

Values are plain Python: dicts, lists, text, numbers, aware datetimes. What a request says is handed on
as it was written, so that the contract can refuse what the service model does not know.
"""

import io
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

__all__ = [
    "CBOR",
    "JSON_1_0",
    "JSON_1_1",
    "QUERY",
    "Answer",
    "Malformed",
    "answer",
    "decode",
    "error",
    "form",
]

CBOR = "cbor"
JSON_1_0 = "json-1.0"
JSON_1_1 = "json-1.1"
QUERY = "query"

_TYPES = {
    CBOR: "application/cbor",
    JSON_1_0: "application/x-amz-json-1.0",
    JSON_1_1: "application/x-amz-json-1.1",
    QUERY: "text/xml",
}


class Malformed(Exception):
    """A request's body can't be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back.

    Attributes:
        status: HTTP status.
        body: As it goes over the wire.
        content_type: The protocol's.
        headers: Further headers.
    """

    status: int
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)


def decode(protocol: str, body: bytes, shape: Any | None) -> dict[str, Any]:
    """Read a request's parameters.

    Raises:
        Malformed: It can't be read.
    """
    try:
        if protocol == QUERY:
            return _unflattened(form(body), shape)
        if protocol == CBOR:
            parser = import_module("botocore.parsers").create_parser("smithy-rpc-v2-cbor")
            read = parser.parse_data_item(io.BufferedReader(io.BytesIO(body))) if body else {}
        else:
            read = json.loads(body or b"{}")
    except (ValueError, import_module("botocore.parsers").ResponseParserError) as problem:
        raise Malformed(str(problem)) from problem
    if not isinstance(read, dict):
        raise Malformed("the parameters are no structure")
    return read


def form(body: bytes) -> dict[str, str]:
    """Read a form; what can't be read is empty."""
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


def answer(protocol: str, operation: Any, values: Mapping[str, Any], request_id: str) -> Answer:
    """Write what an operation answers. One that answers nothing has an empty body (JSON)."""
    shape = operation.output_shape
    if protocol == CBOR:
        body = _cbor(dict(values))
    elif protocol == QUERY:
        body = _xml_answer(operation, values, request_id)
    else:
        body = b"" if shape is None else json.dumps(values, default=_plain).encode()
    return Answer(
        status=200, body=body, content_type=_TYPES[protocol], headers=_headers(protocol, request_id)
    )


def error(protocol: str, code: str, message: str, status: int, request_id: str) -> Answer:
    """Write an error as the protocol has it."""
    headers = _headers(protocol, request_id)
    sender = "Sender" if status < 500 else "Receiver"  # noqa: PLR2004 -- HTTP's own border
    if protocol in {CBOR, JSON_1_0}:  # CloudWatch was a query service (its model: awsQueryCompatible)
        headers["x-amzn-query-error"] = f"{code};{sender}"
    if protocol == QUERY:
        body = (
            f"<ErrorResponse><Error><Type>{sender}</Type><Code>{escape(code)}</Code>"
            f"<Message>{escape(message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        ).encode()
    elif protocol == CBOR:
        body = _cbor({"__type": f"com.amazonaws#{code}", "message": message})
    else:
        body = json.dumps({"__type": code, "message": message, "Message": message}).encode()
    return Answer(status=status, body=body, content_type=_TYPES[protocol], headers=headers)


def _headers(protocol: str, request_id: str) -> dict[str, str]:
    headers = {"x-amzn-RequestId": request_id}
    if protocol == CBOR:
        headers["smithy-protocol"] = "rpc-v2-cbor"
    return headers


def _plain(value: object) -> float:
    """Write an instant as AWS JSON does: seconds since 1970, to the millisecond."""
    if not isinstance(value, datetime):
        raise TypeError(f"{type(value).__name__} has no form in AWS JSON")
    return round(value.timestamp(), 3)


def _cbor(value: object) -> bytes:
    """Write a value as CBOR (RFC 8949); instants as tag 1, as Smithy's RPC v2 has them."""
    match value:
        case bool():
            return b"\xf5" if value else b"\xf4"
        case None:
            return b"\xf6"
        case int():
            return _cbor_head(0, value) if value >= 0 else _cbor_head(1, -1 - value)
        case float():
            return b"\xfb" + struct.pack(">d", value)
        case str():
            text = value.encode()
            return _cbor_head(3, len(text)) + text
        case datetime():
            return _cbor_head(6, 1) + _cbor(value.timestamp())
        case list() | tuple():
            return _cbor_head(4, len(value)) + b"".join(map(_cbor, value))
        case dict():
            parts = (_cbor(key) + _cbor(part) for key, part in value.items())
            return _cbor_head(5, len(value)) + b"".join(parts)
        case _:
            raise TypeError(f"{type(value).__name__} has no form in CBOR")


def _cbor_head(major: int, number: int) -> bytes:
    if number < 24:  # noqa: PLR2004 -- RFC 8949, section 3: it fits into the first byte
        return bytes([major << 5 | number])
    for info, form in ((24, ">B"), (25, ">H"), (26, ">I"), (27, ">Q")):
        if number < 1 << 8 * struct.calcsize(form):
            return bytes([major << 5 | info]) + struct.pack(form, number)
    raise TypeError(f"{number} has no form in CBOR")


def _unflattened(fields: Mapping[str, str], shape: Any | None) -> dict[str, Any]:
    """Read the query protocol: `List.member.1.Name=x`; `Action` and `Version` are the envelope's."""
    tree: dict[str, Any] = {}
    for path, text in fields.items():
        if path in {"Action", "Version"}:
            continue
        *parents, leaf = path.split(".")
        node = tree
        for part in parents:
            node = node.setdefault(part, {})
        node[leaf] = text
    return {name: _typed(shape and shape.members.get(name), value) for name, value in tree.items()}


def _typed(shape: Any | None, value: Any) -> Any:
    if shape is None:
        return value
    match shape.type_name:
        case "integer" | "long":
            return int(value)
        case "boolean":
            return value == "true"
        case "list":
            members = value.get("member", {}) if isinstance(value, dict) else {}
            return [_typed(shape.member, members[key]) for key in sorted(members, key=int)]
        case "structure" if isinstance(value, dict):
            return {name: _typed(shape.members.get(name), part) for name, part in value.items()}
        case _:
            return value


def _xml_answer(operation: Any, values: Mapping[str, Any], request_id: str) -> bytes:
    name, space = operation.name, operation.service_model.metadata["xmlNamespace"]
    inner = "".join(_xml(key, value) for key, value in values.items())
    return (
        f'<{name}Response xmlns="{space}"><{name}Result>{inner}</{name}Result>'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{name}Response>"
    ).encode()


def _xml(name: str, value: object) -> str:
    match value:
        case dict():
            text = "".join(_xml(key, part) for key, part in value.items())
        case list() | tuple():
            text = "".join(_xml("member", part) for part in value)
        case bool():
            text = str(value).lower()
        case datetime():
            text = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case _:
            text = escape(str(value))
    return f"<{name}>{text}</{name}>"
