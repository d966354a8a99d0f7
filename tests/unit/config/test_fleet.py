"""The settings of AWS and EC2: what they take, and what they say of what they don't."""

from datetime import timedelta

import pytest

from reaper.config.fleet import MANAGED_TAGS, VETOING
from tests.support.configuration import Given


def test_by_default_little_is_work_and_nothing_is_waved_through(given: Given) -> None:
    ec2 = given.load().ec2
    assert (ec2.cpu_cores, ec2.gpu_percent, ec2.bytes_per_hour) == (0.5, 5.0, 5e6)
    assert (ec2.allow, ec2.hibernate_fallback, ec2.managed_tags) == ((), False, MANAGED_TAGS)


def test_an_organization(given: Given) -> None:
    aws = given.load(
        """
        [aws]
        regions = ["all"]
        roles = ["arn:aws:iam::111111111111:role/reaper"]
        external_id = "fleet-4711"
        poll_interval = "10m"
        [aws.organization]
        role = "reaper-member"
        units = ["ou-ab12-34cd56ef"]
        excluded = ["222222222222"]
        expect_denied = "333333333333"
        """
    ).aws
    assert (aws.regions, aws.external_id, aws.poll_interval) == (
        ("all",),
        "fleet-4711",
        timedelta(minutes=10),
    )
    organization = aws.organization
    assert (organization.role, organization.units) == ("reaper-member", ("ou-ab12-34cd56ef",))
    assert (organization.excluded, organization.expect_denied) == (("222222222222",), ("333333333333",))


@pytest.mark.parametrize(
    ("written", "bytes_"),
    [("5000000", 5e6), ("5MB", 5e6), ("5 MiB", 5 * 1024**2), ("0.5gb", 5e8), ("1k", 1e3)],
)
def test_bytes_with_a_unit_or_without(given: Given, written: str, bytes_: float) -> None:
    assert given.load(EC2__BYTES_PER_HOUR=written).ec2.bytes_per_hour == bytes_


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("EC2__BYTES_PER_HOUR", "much", "'much' is no number of bytes: write 5000000, 5MB or 5MiB"),
        ("EC2__BYTES_PER_HOUR", "0", "must be more than 0"),
        ("EC2__CPU_CORES", "-1", "must be more than 0"),
        (
            "EC2__ALLOW",
            "instance_stor",
            f"is no obstacle that can be allowed; there are: {', '.join(VETOING)}",
        ),
        ("EC2__ALLOW", "stop_protection", "is no obstacle that can be allowed"),
        ("AWS__REGIONS", "Frankfurt", "'Frankfurt' is no region: write a name such as eu-central-1, or all"),
        ("AWS__ROLES", "reaper", "'reaper' is no role: write its ARN"),
        ("AWS__SESSION_NAME", "a b", "AWS__SESSION_NAME"),
        ("AWS__ORGANIZATION__EXCLUDED", "1234", "'1234' is no account: write its twelve digits"),
        ("AWS__ORGANIZATION__UNITS", "Research", "'Research' is no unit: write its id, ou-ab12-34cd56ef"),
    ],
)
def test_what_cant_be_used(given: Given, variable: str, value: str, message: str) -> None:
    assert message in str(given.errors(**{variable: value}))
