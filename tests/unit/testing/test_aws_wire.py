"""The Studio fake's protocols against botocore's own serializers and parsers, and what fits a model."""

import io
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from hypothesis import given, strategies as st

from reaper.testing import T0
from reaper.testing.aws_wire import cbor, wire
from reaper.testing.aws_wire.contract import contract

PROTOCOLS = {
    wire.CBOR: "smithy-rpc-v2-cbor",
    wire.JSON_1_0: "json",
    wire.JSON_1_1: "json",
    wire.QUERY: "query",
}


def modelled(service: str, operation: str) -> Any:
    model = contract(service).operation(operation)
    assert model is not None
    return model


def heard(protocol: str, answer: wire.Answer, shape: Any) -> dict[str, Any]:
    """Read an answer as botocore's clients do."""
    headers = {name.lower(): value for name, value in answer.headers.items()}
    response = {"body": answer.body, "headers": headers, "status_code": answer.status}
    parsed: dict[str, Any] = create_parser(PROTOCOLS[protocol]).parse(response, shape)
    del parsed["ResponseMetadata"]
    return parsed


def asked(protocol: str, service: str, operation: str, parameters: dict[str, Any]) -> Any:
    """Write a request as botocore's clients do, and read it as the fake does."""
    model = modelled(service, operation)
    request = create_serializer(PROTOCOLS[protocol], False).serialize_to_request(parameters, model)
    body = request["body"]
    if protocol == wire.QUERY:
        body = "&".join(f"{name}={value}" for name, value in body.items())
    return wire.decode(protocol, body if isinstance(body, bytes) else body.encode(), model.input_shape)


METRIC = {
    "Namespace": "AWS/SageMaker",
    "MetricName": "Invocations",
    "Dimensions": [{"Name": "EndpointName", "Value": "é"}],
}
QUERY = {
    "MetricDataQueries": [
        {
            "Id": "a" * 200,
            "MetricStat": {"Metric": METRIC, "Period": 86_400, "Stat": "Sum"},
            "ReturnData": False,
        }
    ],
    "StartTime": T0,
    "EndTime": T0,
    "MaxDatapoints": 100_000,
}


def test_a_request_in_cbor_is_read_as_it_was_written() -> None:
    read = asked(wire.CBOR, "cloudwatch", "GetMetricData", QUERY)
    assert read == QUERY
    assert contract("cloudwatch").misfits(modelled("cloudwatch", "GetMetricData").input_shape, read) == []


def test_a_request_in_query_is_read_by_its_shape() -> None:
    parameters = {
        "RoleArn": "arn:aws:iam::222222222222:role/reaper",
        "RoleSessionName": "reaper-host",
        "DurationSeconds": 900,
        "TransitiveTagKeys": ["one", "two"],
        "Tags": [{"Key": "a", "Value": "b"}],
    }
    assert asked(wire.QUERY, "sts", "AssumeRole", parameters) == parameters


@given(
    values=st.lists(st.floats(allow_nan=False), max_size=30),
    label=st.text(max_size=300),
    at=st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2099, 1, 1)),  # noqa: DTZ001 -- made aware below
)
def test_an_answer_in_cbor_or_json_is_what_botocore_reads(
    values: list[float], label: str, at: datetime
) -> None:
    at = at.replace(tzinfo=UTC, microsecond=at.microsecond // 1000 * 1000)
    result = {"Id": "q", "Label": label, "Timestamps": [at] * len(values), "Values": values}
    answer = {"MetricDataResults": [result], "Messages": []}
    model = modelled("cloudwatch", "GetMetricData")
    for protocol in (wire.CBOR, wire.JSON_1_0):
        assert heard(protocol, wire.answer(protocol, model, answer, "id"), model.output_shape) == answer


@pytest.mark.parametrize("number", [0, 23, 24, 255, 256, 65_535, 65_536, 2**32, -1, -24, -25, -(2**40)])
def test_numbers_of_every_length_go_through_cbor(number: int) -> None:
    parsed = create_parser("smithy-rpc-v2-cbor")
    body = wire.answer(wire.CBOR, modelled("sts", "GetCallerIdentity"), {"n": number}, "id").body
    stream = parsed.get_peekable_stream_from_bytes(body)
    assert parsed.parse_data_item(stream) == {"n": number}


def test_an_answer_in_xml_is_what_botocore_reads() -> None:
    model = modelled("sts", "AssumeRole")
    answer = {
        "Credentials": {
            "AccessKeyId": "ASIA0000000000000000",
            "SecretAccessKey": "a<b&c",
            "SessionToken": "token",
            "Expiration": T0,
        },
        "PackedPolicySize": 6,
    }
    assert heard(wire.QUERY, wire.answer(wire.QUERY, model, answer, "id"), model.output_shape) == answer


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_error_is_what_botocore_reads(protocol: str) -> None:
    answer = wire.error(protocol, "AccessDenied", "not <you>", 403, "id")
    told = heard(protocol, answer, None)["Error"]
    assert (told["Code"], told["Message"]) == ("AccessDenied", "not <you>")


@pytest.mark.parametrize(
    ("protocol", "body"),
    [(wire.JSON_1_1, b'{"a"'), (wire.JSON_1_1, b"[]"), (wire.CBOR, b"\xbf"), (wire.CBOR, b"\x01")],
)
def test_what_cannot_be_read_is_malformed(protocol: str, body: bytes) -> None:
    with pytest.raises(wire.Malformed):
        wire.decode(protocol, body, None)


# --- what fits a service model ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"DomainId": "d-one", "AppType": "JupyterLab", "AppName": "a"}, ""),
        ({"DomainId": "one", "AppType": "JupyterLab", "AppName": "a"}, "does not match"),
        ({"DomainId": "d-one", "AppType": "Notebook", "AppName": "a"}, "is none of"),
        ({"DomainId": "d-one", "AppType": "JupyterLab", "AppName": "a" * 64}, "does not match"),
    ],
)
def test_constraints_that_botocore_leaves_to_the_service(value: dict[str, str], says: str) -> None:
    sagemaker = contract("sagemaker")
    shape = modelled("sagemaker", "DeleteApp").input_shape
    assert sagemaker.misfits(shape, value) == []
    breaches = sagemaker.breaches(shape, value)
    assert bool(breaches) == bool(says)
    assert not says or says in breaches[0]


def test_tags_may_hold_what_java_calls_letters_and_no_comma() -> None:
    sagemaker = contract("sagemaker")
    shape = modelled("sagemaker", "AddTags").input_shape
    arn = "arn:aws:sagemaker:us-east-1:123456789012:app/d-one/ann/kernelgateway/a"

    def breaches(value: str) -> list[str]:
        tags = [{"Key": "reaper:heartbeat", "Value": value}]
        return sagemaker.breaches(shape, {"ResourceArn": arn, "Tags": tags})

    assert breaches("0.1.0 7200 2026-03-02T09:00:00+00:00 Zoë") == []
    assert len(breaches("0.1.0,7200")) == 1
    assert len(breaches("x" * 257)) == 1


def test_an_operation_knows_its_errors() -> None:
    sagemaker = contract("sagemaker")
    assert {"ResourceInUse", "ThrottlingException"} <= sagemaker.errors("DeleteApp")
    assert "ResourceInUse" not in sagemaker.errors("ListApps")
    assert sagemaker.operation("ReapApp") is None


def test_the_testing_package_stays_cheap_and_its_studio_leaves_jupyter_to_the_server() -> None:
    check = (
        "import sys, reaper.testing; "
        "heavy = {'aiohttp', 'botocore', 'aiobotocore', 'jupyter_server'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules); "
        "import reaper.testing.studio; "
        "late = {'botocore', 'aiobotocore', 'jupyter_server', 'tornado'}; "
        "assert not late & set(sys.modules), late & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


@given(
    st.recursive(
        st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=300),
        lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(), inner, max_size=5),
        max_leaves=40,
    )
)
def test_cbor_is_read_as_botocore_s_parser_reads_it(value: Any) -> None:
    body = cbor.encode(value)
    parser: Any = create_parser("smithy-rpc-v2-cbor")
    assert cbor.decode(body) == parser.parse_data_item(io.BufferedReader(io.BytesIO(body))) == value


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"", {}),
        (b"\xf9\x3c\x00", 1.0),  # half a float: what our own reader leaves to botocore's
        (b"\x9f\x01\x02\xff", [1, 2]),  # an array without its length
    ],
)
def test_cbor_that_clients_don_t_write_is_read_too(body: bytes, value: object) -> None:
    assert cbor.decode(body) == value


@pytest.mark.parametrize("body", [b"\xa1", b"\x63ab", b"\x01\x02", b"\xff"])
def test_cbor_that_is_broken_is_refused(body: bytes) -> None:
    with pytest.raises(wire.Malformed):
        wire.decode(wire.CBOR, body, None)


EC2_QUESTION: dict[str, Any] = {
    "InstanceIds": ["i-1", "i-2"],
    "Filters": [{"Name": "tag:Owner", "Values": ["ann", "b&b"]}, {"Name": "tag-key", "Values": ["x"]}],
    "MaxResults": 5,
    "DryRun": True,
}


def test_ec2_s_protocol_is_read_as_clients_write_it() -> None:
    model = modelled("ec2", "DescribeInstances")
    fields = create_serializer("ec2", False).serialize_to_request(EC2_QUESTION, model)["body"]
    assert wire.decode(wire.EC2, urlencode(fields).encode(), model.input_shape) == EC2_QUESTION
    tags = modelled("ec2", "CreateTags")
    asked = {"Resources": ["i-1"], "Tags": [{"Key": "a", "Value": "b"}]}
    fields = create_serializer("ec2", False).serialize_to_request(asked, tags)["body"]
    assert wire.decode(wire.EC2, urlencode(fields).encode(), tags.input_shape) == asked


def test_ec2_s_answers_and_errors_are_understood() -> None:
    model = modelled("ec2", "DescribeSpotPriceHistory")
    values = {
        "SpotPriceHistory": [{"InstanceType": "g5.xlarge", "SpotPrice": "0.3", "Timestamp": T0}],
        "NextToken": "<a&b>",
    }
    parser: Any = create_parser("ec2")
    for answer, expected in (
        (wire.answer(wire.EC2, model, values, "id-1"), values),
        (
            wire.error(wire.EC2, "AuthFailure", "<no>", 401, "id-1"),
            {"Error": {"Code": "AuthFailure", "Message": "<no>"}},
        ),
    ):
        response = {"body": answer.body, "headers": dict(answer.headers), "status_code": answer.status}
        parsed = parser.parse(response, model.output_shape)
        assert parsed.pop("ResponseMetadata")["RequestId"] == "id-1"
        assert parsed == expected
