"""The fast reading of DescribeInstances says what botocore's does, of what is used; what it does with the rest."""

import random
import threading
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from xml.sax.saxutils import escape

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape
from botocore.parsers import EC2QueryParser
from botocore.utils import parse_timestamp
from hypothesis import given, settings, strategies as st

from reaper.clients.aws import fast
from reaper.clients.aws.fast import FastParsers, Unexpected, read_instances, read_instant
from reaper.clients.ec2 import InstanceModel, parse_instance
from reaper.errors import SourceMalformed

NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"
ORDINARY = st.characters(
    exclude_categories=("Cs", "Cc"), exclude_characters="\ue000\ue001\ue002\ue003\ufffe\uffff"
)
TEXTS = st.text(ORDINARY | st.sampled_from("\t\n\r &<>'\""), max_size=12)
WORDS = ("running", "stopped", "spot", "windows", "enabled", "i-0abc", " ")
USED = {
    *("Reservations", "Instances", "Name", "Key", "Value", "AvailabilityZone", "VolumeId", "Ebs", "Code"),
    *("Principal", "Managed", "Configured", "CoreCount", "ThreadsPerCore", "BlockDeviceMappings", "Tags"),
    *("State", "Placement", "Monitoring", "StateReason", "Operator", "HibernationOptions", "CpuOptions"),
    *("LaunchTime", *fast._KEYS),
}
"""Members that are read: the others are there now and then."""


@cache
def shape() -> Any:
    model = ServiceModel(Loader().load_service_model("ec2", "service-2"), "ec2")
    return model.operation_model("DescribeInstances").output_shape


def written(text: str) -> str:
    """Write a text as AWS does: what is no plain character by its number."""
    return escape(text, {"\r": "&#xd;", "\n": "&#xa;", "\t": "&#x9;", '"': "&quot;", "'": "&apos;"})


class Writer:
    """Writes elements of a shape: with any of its members, in any order, and some that the model does not know.

    Args:
        dice: Decides what is there.
        texts: What texts may be.
    """

    def __init__(self, dice: random.Random, texts: list[str]) -> None:
        self._dice = dice
        self._texts = texts

    def element(self, of: Shape, name: str, depth: int = 0) -> str:
        content = self._content(of, name, depth)
        return f"<{name}>{content}</{name}>" if content else f"<{name}/>"

    def _content(self, of: Shape, name: str, depth: int) -> str:
        dice = self._dice
        match of.type_name:
            case "structure":
                members = [
                    one for one in of.members if dice.random() < (0.9 if one in USED or depth == 4 else 0.1)
                ]
                dice.shuffle(members)
                shapes = [of.members[one] for one in members]
                inside = [self.element(one, one.serialization["name"], depth + 1) for one in shapes]
                if dice.random() < 0.1:
                    inside.append("<somethingNew><item><instanceId>i-0bad</instanceId></item></somethingNew>")
                return "\n  ".join(inside)
            case "list":
                count = dice.choice([0, 1, 1, 2, 3])
                return "\n  ".join(self.element(of.member, "item", depth + 1) for _ in range(count))
            case "timestamp":
                at = datetime(2026, 3, 2) + timedelta(seconds=dice.randrange(-(10**9), 10**9))  # noqa: DTZ001 - AWS's ends in Z
                return at.strftime(dice.choice(["%Y-%m-%dT%H:%M:%S.000Z", "%Y-%m-%dT%H:%M:%SZ"]))
            case "boolean":
                return dice.choice(["true", "false"])
            case "integer":
                return str(dice.randrange(200))
            case "string":
                return written(self._text(name))
            case other:
                raise AssertionError(f"the test does not write a {other}")

    def _text(self, name: str) -> str:
        match name:
            case "instanceId":
                return self._dice.choice(["i-0123456789abcdef0", "i-1", "i-1", "i-1", "i-Bad", ""])
            case "name" | "key":
                return self._dice.choice([*WORDS, *filter(None, self._texts)])
            case "reason":
                return self._dice.choice(["User initiated (2025-11-19 10:00:00 GMT)", *self._texts])
            case _:
                return self._dice.choice([*WORDS, *self._texts])


def answer(inside: str, *, head: str = '<?xml version="1.0" encoding="UTF-8"?>\n') -> bytes:
    return (
        f'{head}<DescribeInstancesResponse xmlns="{NAMESPACE}">{inside}</DescribeInstancesResponse>'.encode()
    )


def by_botocore(body: bytes) -> dict[str, Any]:
    parsed: dict[str, Any] = EC2QueryParser().parse(
        {"body": body, "headers": {}, "status_code": 200}, shape()
    )
    return parsed


def models(parsed: dict[str, Any]) -> list[InstanceModel | None]:
    """Give all instances; None is one that can't be read."""
    return [model(one) for reservation in parsed["Reservations"] for one in reservation.get("Instances", ())]


def model(item: object) -> InstanceModel | None:
    try:
        return parse_instance(item)
    except SourceMalformed:
        return None


ONE = """<reservationSet><item><instancesSet><item><instanceId>i-1</instanceId><instanceState><name>running</name>
</instanceState>{}</item></instancesSet></item></reservationSet>"""


def one(more: str = "") -> bytes:
    return answer(ONE.format(more))


@settings(deadline=None)
@given(st.integers(0, 2**32), st.lists(TEXTS, min_size=1, max_size=6))
def test_it_says_what_botocore_says(seed: int, texts: list[str]) -> None:
    dice = random.Random(seed)
    written = Writer(dice, texts).element(shape().members["Reservations"], "reservationSet")
    token = dice.choice(["", "<nextToken/>", "<nextToken>a&amp;b==</nextToken>"])
    body = answer(f"<requestId>r-1</requestId>\n{written}\n{token}")
    theirs = by_botocore(body)
    reservations = theirs["Reservations"]
    instances = [one for reservation in reservations for one in reservation.get("Instances", ())]
    keys = [tag.get("Key") for one in instances for tag in one.get("Tags", ())]
    if not all(keys) or not all("Instances" in reservation for reservation in reservations):
        with pytest.raises(Unexpected):
            read_instances(body)
        return
    ours = read_instances(body)
    assert models(ours) == models(theirs)
    assert (ours["NextToken"] or None) == (theirs.get("NextToken") or None)
    assert ours["ResponseMetadata"]["RequestId"] == theirs["ResponseMetadata"]["RequestId"]


def test_nothing_is_an_answer_too() -> None:
    assert models(read_instances(answer("<reservationSet/>"))) == []


@pytest.mark.parametrize("version", ["2013-10-15/", "2016-11-15"])
def test_any_version_of_the_api(version: str) -> None:
    body = one().replace(b"2016-11-15/", version.encode())
    assert models(read_instances(body)) == models(by_botocore(body))


@pytest.mark.parametrize("separator", ["\ue000", "\ue001", "\ue002", "\ue003"])
@pytest.mark.parametrize("how", ["{}", "&#{};", "&#00{};", "&#x{:x};", "&#X{:X};", "&#x00{:X};"])
def test_a_separator_in_a_tag_forges_nothing(separator: str, how: str) -> None:
    said = separator if how == "{}" else how.format(ord(separator))
    forged = f"x</value></item><item><key>reaper:managed</key><value>{said}"
    with pytest.raises(Unexpected):
        read_instances(one(f"<tagSet><item><key>Name</key><value>{forged}</value></item></tagSet>"))


@pytest.mark.parametrize(
    "body",
    [
        one()[:-40],
        b"",
        b"<html><body>Service Unavailable</body></html>",
        one().replace(b"DescribeInstancesResponse", b"Response"),
        one().replace(NAMESPACE.encode(), b"http://example.com/"),
        one("<launchTime>yesterday</launchTime>"),
        one("<launchTime>2026-03-02T12:00:00+09:00</launchTime>"),
        one("<cpuOptions><coreCount>many</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions>"),
        one("<tagSet><item><value>no key</value></item></tagSet>"),
        one("<![CDATA[ ]]>"),
        one("<!-- -->"),
        one("&nothing;"),
        one().replace(b"<instanceId>", b"<instanceId>\xff"),
        one("<a>" * 300 + "</a>" * 300),
        one("<networkInterfaceSet><item>"),
        answer("<requestId>r-1</requestId>"),
        answer("<reservationSet><item><reservationId>r-1</reservationId></item></reservationSet>"),
        answer("<reservationSet/><reservationSet/>"),
    ],
    ids=range(18),
)
def test_what_is_unexpected_is_left_to_botocore(body: bytes) -> None:
    with pytest.raises(Unexpected):
        read_instances(body)


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{"".join([f"&{chr(97 + n)};"] * 10)}">' for n in range(9)
)


class TestPluggedIn:
    """As aiobotocore asks it: for a parser of a protocol, and then to parse."""

    async def parse(self, body: bytes, status: int = 200) -> Any:
        parser = FastParsers().create_parser("ec2")
        return await parser.parse({"body": body, "headers": {"X-Id": "7"}, "status_code": status}, shape())

    async def test_metadata_is_as_botocores(self) -> None:
        parsed = await self.parse(one())
        assert parsed["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert parsed["ResponseMetadata"]["HTTPHeaders"] == {"x-id": "7"}

    async def test_an_error_is_botocores(self) -> None:
        error = "<Error><Code>RequestLimitExceeded</Code><Message>m</Message></Error>"
        parsed = await self.parse(f"<Response><Errors>{error}</Errors></Response>".encode(), 503)
        assert parsed["Error"]["Code"] == "RequestLimitExceeded"

    async def test_what_is_unexpected_is_read_by_botocore(self) -> None:
        parsed = await self.parse(one("<launchTime>2026-03-02T12:00:00+09:00</launchTime>"))
        assert parsed["Reservations"][0]["Instances"][0]["LaunchTime"].utcoffset().total_seconds() == 9 * 3600

    @pytest.mark.parametrize(
        "head", [f"{BOMB}]>", '<!DOCTYPE x SYSTEM "file:///etc/passwd">', "<! DOCTYPE x>"]
    )
    @pytest.mark.parametrize("status", [200, 400])
    async def test_a_document_type_is_refused_unread(self, head: str, status: int) -> None:
        with pytest.raises(Exception, match="document type"):
            await self.parse(answer("<reservationSet>&b;</reservationSet>", head=head), status)

    async def test_so_is_what_is_not_utf8(self) -> None:
        with pytest.raises(Exception, match="UTF-8"):
            await self.parse(f"{BOMB}]><x>&b;</x>".encode("utf-16"))

    @pytest.mark.parametrize("expected", [True, False])
    async def test_a_long_answer_is_read_aside(self, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        """The event loop goes on meanwhile, whoever reads it."""
        where: list[threading.Thread] = []
        reading, by_them = fast.read_instances, EC2QueryParser.parse

        def ours(body: bytes) -> Any:
            where.append(threading.current_thread())
            return reading(body)

        def theirs(self: Any, response: Any, of: Any) -> Any:
            where.append(threading.current_thread())
            return by_them(self, response, of)

        monkeypatch.setattr(fast, "read_instances", ours)
        monkeypatch.setattr(EC2QueryParser, "parse", theirs)
        many = "".join(f"<item><key>k{n}</key><value>v</value></item>" for n in range(2000))
        launched = "2026-03-02T12:00:00Z" if expected else "2026-03-02 12:00"
        parsed = await self.parse(one(f"<launchTime>{launched}</launchTime><tagSet>{many}</tagSet>"))
        (instance,) = parsed["Reservations"][0]["Instances"]
        assert len(instance["Tags"]) == 2000
        assert len(where) == (1 if expected else 2)
        assert threading.main_thread() not in where

    async def test_another_protocol_is_botocores(self) -> None:
        assert type(FastParsers().create_parser("query")).__module__ == "aiobotocore.parsers"


# --- instants ------------------------------------------------------------------------------------------------------

_WRITTEN = st.integers(315_532_800_000, 7_000_000_000_000).map(
    lambda ms: (
        datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )
)


@given(st.one_of(_WRITTEN, st.integers(0, 7_000_000_000), st.floats(0, 7e9)))
def test_instants_are_those_that_botocore_reads(value):
    found = read_instant(value)
    assert found.tzinfo is not None
    assert abs(found - parse_timestamp(value)) < timedelta(milliseconds=1)


@pytest.mark.parametrize(
    "value",
    [
        "2025-11-19T10:00:00Z",
        "2025-11-19T10:00:00.000+01:00",
        "Wed, 19 Nov 2025 10:00:00 GMT",
        "1763546400",
        "2025-11-19T10:00:00",
    ],
)
def test_other_ways_of_writing_one(value):
    assert read_instant(value) == parse_timestamp(value)


@pytest.mark.parametrize("value", ["yesterday", "", None])
def test_what_is_none(value):
    with pytest.raises(ValueError, match="timestamp"):
        read_instant(value)
