"""The protocols of AWS' services: JSON 1.0 and 1.1, RPC v2 CBOR, query, and EC2's query.

Values are plain Python: dicts, lists, text, numbers, aware datetimes. What a request says is handed on
as it was written, so that the contract can refuse what the service model does not know.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from reaper.testing.aws_wire import cbor, xml

__all__ = [
    "CBOR",
    "EC2",
    "JSON_1_0",
    "JSON_1_1",
    "QUERY",
    "Answer",
    "Malformed",
    "answer",
    "decode",
    "error",
    "form",
    "written",
]

CBOR = "cbor"
JSON_1_0 = "json-1.0"
JSON_1_1 = "json-1.1"
QUERY = "query"
EC2 = "ec2"

_TYPES = {
    CBOR: "application/cbor",
    JSON_1_0: "application/x-amz-json-1.0",
    JSON_1_1: "application/x-amz-json-1.1",
    QUERY: "text/xml",
    EC2: "text/xml;charset=UTF-8",
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
            return xml.query_parameters(form(body), shape)
        if protocol == EC2:
            return xml.ec2_parameters(form(body), shape)
        read = cbor.decode(body) if protocol == CBOR else json.loads(body or b"{}")
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
    if protocol == CBOR:
        body = cbor.encode(dict(values))
    elif protocol == QUERY:
        body = xml.query_answer(operation, values, request_id)
    elif protocol == EC2:
        body = xml.ec2_answer(operation, values, request_id)
    else:
        body = b"" if operation.output_shape is None else json.dumps(values, default=_plain).encode()
    return written(protocol, body, request_id)


def written(protocol: str, body: bytes, request_id: str) -> Answer:
    """Send a body that is written already."""
    headers = _headers(protocol, request_id)
    return Answer(status=200, body=body, content_type=_TYPES[protocol], headers=headers)


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
    elif protocol == EC2:
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            f"<Response><Errors><Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
            f"</Error></Errors><RequestID>{request_id}</RequestID></Response>"
        ).encode()
    elif protocol == CBOR:
        body = cbor.encode({"__type": f"com.amazonaws#{code}", "message": message})
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
