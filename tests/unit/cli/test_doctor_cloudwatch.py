"""`reaper doctor` says what asking CloudWatch costs a month."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from reaper.cli.diagnosis import Patient
from reaper.cli.diagnosis.cloudwatch import cloudwatch
from reaper.config import load_settings
from reaper.core.codec import to_json

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MONTH_OF_LOOKS = 30 * 24 * 12
"""At one every five minutes."""


def box(idle_for: timedelta | None, *, gpus: int = 0, state: str = "running") -> dict[str, Any]:
    since = None if idle_for is None else to_json(NOW - idle_for)
    return {"kind": "ec2.instance", "idle_since": since, "attributes": {"state": state, "gpus": gpus}}


def said(*resources: dict[str, Any], **environ: str) -> list[tuple[str, str]]:
    given = {"REAPER_PRESET": "fleet", "REAPER_IDLE_TIMEOUT": "2h", **environ}
    patient = Patient(environ={**os.environ, **given}, now=NOW)
    patient.__dict__["settings"] = load_settings(patient.environ)
    patient.__dict__["status"] = {"resources": list(resources)}
    return [(one.level, one.text) for one in cloudwatch(patient)]


@pytest.mark.parametrize(
    ("resource", "metrics"),
    [
        (box(None), 30 * 12),
        (box(timedelta(minutes=30), gpus=4), 30 * 12),
        (box(timedelta(hours=3)), 5 * MONTH_OF_LOOKS),
        (box(timedelta(hours=3), gpus=8), 13 * MONTH_OF_LOOKS),
    ],
    ids=["at work", "quiet, not due", "due", "due, with GPUs"],
)
def test_an_instance(resource, metrics):
    ((level, text),) = said(resource)
    assert level == "ok"
    assert text == f"about {metrics:,} metrics a month for 1 running instances, ${metrics / 100_000:,.2f}"


def test_many_that_are_due_and_kept_are_worth_a_look():
    ((level, text),) = said(*[box(timedelta(hours=3), gpus=1)] * 100)
    assert level == "warn"
    assert "$51.84" in text


def test_what_does_not_run_costs_nothing():
    assert said(box(timedelta(hours=3), state="stopped")) == []


def test_where_no_policy_reads_activity_nothing_is_asked():
    assert said(box(timedelta(hours=3)), REAPER_PRESET="jupyter") == []
