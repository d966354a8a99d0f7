"""The query protocol (STS) and EC2's own kind of it: a form goes in, XML comes out."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

__all__ = ["ec2_answer", "ec2_body", "ec2_envelope", "ec2_parameters", "query_answer", "query_parameters"]

_ENVELOPE = frozenset({"Action", "Version"})


def query_parameters(fields: Mapping[str, str], shape: Any | None) -> dict[str, Any]:
    """Read the query protocol: `List.member.1.Name=x`; what the model does not know stays as it was written.

    Raises:
        ValueError: A number is none.
    """
    return {name: _typed(shape and shape.members.get(name), value) for name, value in _tree(fields).items()}


def ec2_parameters(fields: Mapping[str, str], shape: Any | None) -> dict[str, Any]:
    """Read EC2's protocol: `Filter.1.Value.2=x`, names as the model's `queryName` or `locationName` has them.

    Raises:
        ValueError: A number is none.
    """
    return _ec2_members(_tree(fields), shape)


def query_answer(operation: Any, values: Mapping[str, Any], request_id: str) -> bytes:
    """Write what an operation of the query protocol answers."""
    name, space = operation.name, operation.service_model.metadata["xmlNamespace"]
    inner = "".join(_element(key, value) for key, value in values.items())
    return (
        f'<{name}Response xmlns="{space}"><{name}Result>{inner}</{name}Result>'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{name}Response>"
    ).encode()


def ec2_answer(operation: Any, values: Mapping[str, Any], request_id: str) -> bytes:
    """Write what an operation of EC2 answers. One that answers nothing says that it was done."""
    shape = operation.output_shape
    inner = "<return>true</return>" if shape is None else ec2_body(shape, values)
    return ec2_envelope(operation, inner, request_id)


def ec2_envelope(operation: Any, inner: str, request_id: str) -> bytes:
    """Write an answer of EC2 around what was written before."""
    name, space = operation.name, operation.service_model.metadata["xmlNamespace"]
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{name}Response xmlns="{space}/">'
        f"<requestId>{request_id}</requestId>{inner}</{name}Response>"
    ).encode()


def ec2_body(shape: Any, values: Mapping[str, Any]) -> str:
    """Write the members of a structure as EC2 does: by their `locationName`, lists as `item`s."""
    return "".join(
        _ec2_element(member.serialization.get("name", name), member, values[name])
        for name, member in shape.members.items()
        if name in values
    )


def _ec2_element(name: str, shape: Any, value: Any) -> str:
    match shape.type_name:
        case "structure":
            text = ec2_body(shape, value)
        case "list":
            item = shape.member.serialization.get("name", "item")
            text = "".join(_ec2_element(item, shape.member, part) for part in value)
        case "timestamp":
            text = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        case "boolean":
            text = str(value).lower()
        case _:
            text = escape(str(value))
    return f"<{name}>{text}</{name}>"


def _tree(fields: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, text in fields.items():
        if path in _ENVELOPE:
            continue
        *parents, leaf = path.split(".")
        node = tree
        for part in parents:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise ValueError(f"{path}: {part} is a value and has parts")
        node[leaf] = text
    return tree


def _ec2_members(tree: Mapping[str, Any], shape: Any | None) -> dict[str, Any]:
    members = {} if shape is None else {_ec2_name(name, part): name for name, part in shape.members.items()}
    return {
        members.get(written, written): _ec2_typed(
            shape.members[members[written]] if shape is not None and written in members else None, value
        )
        for written, value in tree.items()
    }


def _ec2_name(name: str, shape: Any) -> str:
    """Give a member's name in a request (botocore's EC2Serializer does the same)."""
    if "queryName" in shape.serialization:
        return str(shape.serialization["queryName"])
    located = str(shape.serialization.get("name", name))
    return located[0].upper() + located[1:]


def _ec2_typed(shape: Any | None, value: Any) -> Any:
    if shape is not None and isinstance(value, dict):
        if shape.type_name == "list":
            return [_ec2_typed(shape.member, value[key]) for key in sorted(value, key=int)]
        if shape.type_name == "structure":
            return _ec2_members(value, shape)
    return _scalar(shape, value)


def _typed(shape: Any | None, value: Any) -> Any:
    if shape is not None and shape.type_name == "list":
        members = value.get("member", {}) if isinstance(value, dict) else {}
        return [_typed(shape.member, members[key]) for key in sorted(members, key=int)]
    if shape is not None and shape.type_name == "structure" and isinstance(value, dict):
        return {name: _typed(shape.members.get(name), part) for name, part in value.items()}
    return _scalar(shape, value)


def _scalar(shape: Any | None, value: Any) -> Any:
    if shape is None or not isinstance(value, str):
        return value
    match shape.type_name:
        case "integer" | "long":
            return int(value)
        case "float" | "double":
            return float(value)
        case "boolean":
            return value == "true"
        case _:
            return value


def _element(name: str, value: object) -> str:
    match value:
        case dict():
            text = "".join(_element(key, part) for key, part in value.items())
        case list() | tuple():
            text = "".join(_element("member", part) for part in value)
        case bool():
            text = str(value).lower()
        case datetime():
            text = value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case _:
            text = escape(str(value))
    return f"<{name}>{text}</{name}>"
