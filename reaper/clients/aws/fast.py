"""DescribeInstances, read many times as fast as botocore does it.

botocore reads every field of an instance, one Python call each: 2,500 instances a second, and the event loop stands
still for as long as a page takes. Most of an account's time would go there. So libxml2 reads the answer and libxslt
takes out of it the fields that are used, as a table of text: in a thread, and without the interpreter. What is made of
the table are the mappings that botocore makes, with fewer keys; what is missing is an empty text. Everything else
(other operations, errors, whatever looks different from what is expected) is left to botocore's own parser, in
a thread too where it is long. Signing, retries and paging are botocore's anyway: this is plugged in where it makes
its parsers.

EC2's answers have no document type, ever: one that has is refused unread, by whatever parser.
"""

import asyncio
import contextlib
import re
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from aiobotocore.parsers import AioEC2QueryParser, AioResponseParserFactory, AioRpcV2CBORParser
from botocore.parsers import EC2QueryParser, ResponseParserError, RpcV2CBORParser
from botocore.utils import parse_timestamp

__all__ = ["FastParsers", "Unexpected", "read_instances", "read_instant"]

_SHAPE = "DescribeInstancesResult"

_AT_ONCE = 32_768
"""Bytes of an answer that are read at once: to hand them to a thread takes as long."""

_OK = 200

_DOCTYPE = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z")

_NAMESPACE = re.compile(r"\{(http://ec2\.amazonaws\.com/doc/[0-9-]+/?)\}DescribeInstancesResponse")

_FIELD, _ROW, _PART, _PAIR = "\ue000", "\ue001", "\ue002", "\ue003"
"""What separates fields, instances, items of a list, and a key from its value: characters of nobody's (Unicode's
private use area). An answer that contains one is left to botocore, so none can be taken for a separator."""

_SEPARATORS = re.compile(rb"\xee\x80[\x80-\x83]|&#(?:0*5734[4-7]|x0*e00[0-3]);", re.IGNORECASE)

_TEXTS: Mapping[str, str] = {
    "InstanceId": "instanceId",
    "InstanceType": "instanceType",
    "ImageId": "imageId",
    "PrivateDnsName": "privateDnsName",
    "StateTransitionReason": "reason",
    "Platform": "platform",
    "PlatformDetails": "platformDetails",
    "SubnetId": "subnetId",
    "VpcId": "vpcId",
    "Architecture": "architecture",
    "RootDeviceType": "rootDeviceType",
    "InstanceLifecycle": "instanceLifecycle",
    "SpotInstanceRequestId": "spotInstanceRequestId",
    "CapacityBlockId": "capacityBlockId",
    "CapacityReservationId": "capacityReservationId",
}
"""Elements that are texts, by their names in botocore's model."""

_INSIDE = (
    "instanceState/name",
    "placement/availabilityZone",
    "monitoring/state",
    "stateReason/code",
    "operator/principal",
    "operator/managed",
    "hibernationOptions/configured",
    "cpuOptions/coreCount",
    "cpuOptions/threadsPerCore",
    "launchTime",
)
"""Those that are in others, or are no texts: in the order in which `_instance` takes them."""

_KEYS = tuple(_TEXTS)

_FIELDS = len(_KEYS) + len(_INSIDE) + 2

_made = threading.local()
"""Stylesheets, by namespace: each thread has its own, else lxml copies them at each use."""


class Unexpected(Exception):
    """The answer is not as it always is: botocore may read it."""


class FastParsers(AioResponseParserFactory):  # type: ignore[misc]
    """Makes botocore's parsers; that for EC2's protocol reads instances fast, that for CloudWatch's in a thread.

    Instants are read without dateutil, which would take more than half of the time of an answer with many.
    """

    def __init__(self) -> None:
        super().__init__()
        self.set_parser_defaults(timestamp_parser=read_instant)

    def create_parser(self, protocol_name: str) -> Any:
        """Make a parser for a protocol."""
        if protocol_name == "ec2":
            return _Ec2Parser(**self._defaults)
        if protocol_name == "smithy-rpc-v2-cbor":
            return _CborParser(**self._defaults)
        return super().create_parser(protocol_name)


class _Ec2Parser(AioEC2QueryParser):  # type: ignore[misc]
    async def parse(self, response: dict[str, Any], shape: Any) -> Any:
        """Read an answer.

        Raises:
            ResponseParserError: It is none of EC2's.
        """
        body = response["body"]
        if (b"!" in body and _DOCTYPE.search(body)) or b"\0" in body[:8] or body[:1] in (b"\xfe", b"\xff"):
            raise ResponseParserError("an answer with a document type, or not in UTF-8, is none of EC2's")
        long = len(body) > _AT_ONCE
        if response["status_code"] == _OK and shape is not None and shape.name == _SHAPE:
            try:
                parsed = await asyncio.to_thread(read_instances, body) if long else read_instances(body)
            except Unexpected:
                pass
            else:
                metadata = parsed["ResponseMetadata"]
                metadata["HTTPStatusCode"] = _OK
                metadata["HTTPHeaders"] = {key.lower(): value for key, value in response["headers"].items()}
                return parsed
        if not long:
            return await super().parse(response, shape)
        slow = EC2QueryParser(timestamp_parser=self._timestamp_parser, blob_parser=self._blob_parser)
        return await asyncio.to_thread(slow.parse, response, shape)


class _CborParser(AioRpcV2CBORParser):  # type: ignore[misc]
    async def parse(self, response: dict[str, Any], shape: Any) -> Any:
        """Read an answer."""
        if len(response["body"]) <= _AT_ONCE:
            return await super().parse(response, shape)
        slow = RpcV2CBORParser(timestamp_parser=self._timestamp_parser, blob_parser=self._blob_parser)
        return await asyncio.to_thread(slow.parse, response, shape)


def read_instant(value: object) -> datetime:
    """Read an instant as AWS writes most: RFC 3339 in UTC, or seconds since 1970; the others as botocore does. Pure."""
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        return datetime.fromisoformat(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError, OSError, ValueError):
            return datetime.fromtimestamp(value, UTC)
    instant: datetime = parse_timestamp(value)
    return instant


def read_instances(body: bytes) -> dict[str, Any]:
    """Read an answer of DescribeInstances, the fields that an `InstanceModel` is made of. Pure.

    Raises:
        Unexpected: It is not well-formed, or has another form.
    """
    etree = _libxml()
    # A search for one byte is ten times as fast as any other.
    if (b"!" in body and b"<!" in body) or ((b"\xee" in body or b"&#" in body) and _SEPARATORS.search(body)):
        raise Unexpected("it has what EC2 does not write")
    parser = etree.XMLParser(
        encoding="utf-8",  # as botocore does, whatever the answer says
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_blank_text=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(_without(body, b"networkInterfaceSet"), parser)
        found = _NAMESPACE.fullmatch(root.tag)
        if found is None:
            raise Unexpected(f"it is {root.tag[:80]}")
        table = str(_stylesheet(found[1])(root))
        del root  # five times as large as the answer
        *rows, end = table.split(_ROW)
        token, request, count, lists, lacking = end.split(_FIELD)
        instances = [_instance(row.split(_FIELD)) for row in rows]
    except (etree.LxmlError, ValueError, TypeError) as error:
        raise Unexpected(str(error)) from error
    if int(count) != len(instances):
        raise Unexpected(f"{count} instances were {len(instances)}")
    if (lists, lacking) != ("1", "0"):
        raise Unexpected(
            "it has no list of instances, or a reservation has none: that is not the same as an empty one"
        )
    return {
        "Reservations": [{"Instances": instances}],
        "NextToken": token,
        "ResponseMetadata": {"RequestId": request},
    }


def _without(body: bytes, name: bytes) -> bytes:
    """Cut elements of a name out: a third of an answer, nothing of which is used.

    Without comments and CDATA, what looks like a tag is one.

    Raises:
        ValueError: One does not end.
    """
    begin, end = b"<%b>" % name, b"</%b>" % name
    parts, done = [], 0
    while (at := body.find(begin, done)) >= 0:
        parts.append(body[done:at])
        done = body.index(end, at) + len(end)
    return b"".join([*parts, body[done:]]) if parts else body


def _libxml() -> Any:
    """Import libxml2 where it is needed: who never lists instances does not pay for it."""
    from lxml import etree  # type: ignore[import-untyped]

    return etree


def _stylesheet(namespace: str) -> Any:
    """Give what takes the fields of each instance out of an answer, as rows of a table."""
    etree = _libxml()
    made: dict[str, Any] = _made.__dict__
    if namespace not in made:
        control = etree.XSLTAccessControl.DENY_ALL
        made[namespace] = etree.XSLT(etree.fromstring(_stylesheet_text(namespace)), access_control=control)
    return made[namespace]


def _stylesheet_text(namespace: str) -> str:
    paths = ["/".join(f"e:{part}" for part in path.split("/")) for path in (*_TEXTS.values(), *_INSIDE)]
    fields = "".join(f'<x:value-of select="{path}"/>{_said(_FIELD)}' for path in paths)
    return f"""<x:stylesheet version="1.0" xmlns:x="http://www.w3.org/1999/XSL/Transform" xmlns:e="{
        namespace
    }">
<x:output method="text" encoding="UTF-8"/>
<x:template match="/e:DescribeInstancesResponse">
  <x:for-each select="e:reservationSet/*/e:instancesSet/*">{fields}
    <x:for-each select="e:tagSet/*"><x:value-of select="e:key"/>{_said(_PAIR)}<x:value-of select="e:value"/>{
        _said(_PART)
    }</x:for-each>{_said(_FIELD)}
    <x:for-each select="e:blockDeviceMapping/*"><x:value-of select="e:ebs/e:volumeId"/>{
        _said(_PART)
    }</x:for-each>{_said(_ROW)}</x:for-each>
  <x:value-of select="e:nextToken"/>{_said(_FIELD)}
  <x:value-of select="e:requestId"/>{_said(_FIELD)}
  <x:value-of select="count(e:reservationSet/*/e:instancesSet/*)"/>{_said(_FIELD)}
  <x:value-of select="count(e:reservationSet)"/>{_said(_FIELD)}
  <x:value-of select="count(e:reservationSet/*) - count(e:reservationSet/*/e:instancesSet)"/>
</x:template>
</x:stylesheet>"""


def _said(separator: str) -> str:
    return f"<x:text>{separator}</x:text>"


def _instance(row: Sequence[str]) -> dict[str, Any]:
    """Make botocore's mapping of a row."""
    if len(row) != _FIELDS:
        raise Unexpected(f"{len(row)} fields of an instance")
    found: dict[str, Any] = dict(zip(_KEYS, row, strict=False))
    state, zone, monitoring, reason, principal, managed, hibernates, cores, threads, launched = row[
        len(_KEYS) : -2
    ]
    tags, volumes = row[-2:]
    found["State"] = {"Name": state}
    found["Placement"] = {"AvailabilityZone": zone}
    found["Monitoring"] = {"State": monitoring}
    found["StateReason"] = {"Code": reason}
    found["Operator"] = {"Managed": managed == "true", "Principal": principal}
    found["HibernationOptions"] = {"Configured": hibernates == "true"}
    found["CpuOptions"] = {"CoreCount": int(cores or 0), "ThreadsPerCore": int(threads or 0)}
    found["LaunchTime"] = _instant(launched) if launched else None
    found["Tags"] = [_tag(pair) for pair in tags.split(_PART)[:-1]]
    found["BlockDeviceMappings"] = [{"Ebs": {"VolumeId": id_}} for id_ in volumes.split(_PART)[:-1]]
    return found


def _tag(pair: str) -> dict[str, str]:
    key, value = pair.split(_PAIR)
    if not key:
        raise Unexpected("a tag without a key")
    return {"Key": key, "Value": value}


def _instant(text: str) -> datetime:
    if not _INSTANT.fullmatch(text):
        raise Unexpected("an instant in another form")
    return datetime.fromisoformat(text)
