"""What SageMaker's words about what it runs mean."""

from datetime import UTC, datetime, timedelta

import pytest

from reaper.core.model import Activity
from reaper.providers.sagemaker.states import instance_status

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
BOOTED = NOW - timedelta(hours=3)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("status", "activity", "value"),
    [
        ("InService", Activity.IDLE, "in service"),
        ("Pending", Activity.ACTIVE, "it is starting"),
        ("Stopping", Activity.UNKNOWN, "being stopped"),
        ("Stopped", Activity.UNKNOWN, "reaper runs on it"),
        ("Failed", Activity.UNKNOWN, "reaper runs on it"),
        ("Deleting", Activity.UNKNOWN, "being deleted"),
        ("Updating", Activity.UNKNOWN, "being updated"),
        ("PendingMaintenance", Activity.UNKNOWN, "about to maintain"),
        ("InMaintenance", Activity.UNKNOWN, "maintains it"),
        ("Hibernated", Activity.UNKNOWN, "unknown state 'Hibernated'"),
        ("", Activity.UNKNOWN, "can't be read"),
    ],
)
def test_only_an_instance_in_service_is_ever_idle(status: str, activity: Activity, value: str) -> None:
    said = instance_status(status, booted_at=BOOTED, modified_at=None, now=NOW)
    assert said.activity is activity
    assert value in said.value
    assert said.evidence_at == (BOOTED if status == "InService" else None)


@pytest.mark.parametrize(
    ("modified_at", "since"),
    [
        (None, BOOTED),
        (BOOTED - MINUTE, BOOTED),
        (BOOTED + MINUTE, BOOTED + MINUTE),
        (NOW + MINUTE, NOW),
    ],
)
def test_it_is_idle_since_the_later_of_boot_and_change(modified_at: datetime | None, since: datetime) -> None:
    said = instance_status("InService", booted_at=BOOTED, modified_at=modified_at, now=NOW)
    assert said.evidence_at == since
