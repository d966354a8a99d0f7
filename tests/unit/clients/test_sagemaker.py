"""SageMaker's answers, read without trusting them."""

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from reaper.clients.aws import DESCRIBE_APP, DESCRIBE_NOTEBOOK_INSTANCE, Operation
from reaper.clients.aws.faults import is_absent
from reaper.clients.host.boot import booted_at
from reaper.clients.sagemaker import InstanceModel, instant, parse_instance, text

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize("value", [None, 7, "", ["a"], "a\nb", "x" * 5000])
def test_what_is_no_text_is_empty(value: object) -> None:
    assert text({"Name": value}, "Name") == ""


@pytest.mark.parametrize("value", [None, "2026-03-02", 7, AT.replace(tzinfo=None)])
def test_what_is_no_instant_is_none(value: object) -> None:
    assert instant({"At": value}, "At") is None


def test_an_instant_is_in_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    found = instant({"At": AT.astimezone(tokyo)}, "At")
    assert found == AT
    assert found is not None
    assert found.tzinfo is UTC


def test_an_instance() -> None:
    answer: dict[str, Any] = {
        "NotebookInstanceName": "box",
        "NotebookInstanceStatus": "InService",
        "NotebookInstanceArn": "arn:aws:sagemaker:eu-west-1:123456789012:notebook-instance/box",
        "InstanceType": "ml.t3.medium",
        "LastModifiedTime": AT,
    }
    assert parse_instance(answer) == InstanceModel(
        name="box",
        status="InService",
        arn=answer["NotebookInstanceArn"],
        instance_type="ml.t3.medium",
        modified_at=AT,
    )
    assert parse_instance({}) == InstanceModel(name="")


@pytest.mark.parametrize(
    ("operation", "code", "message", "absent"),
    [
        (DESCRIBE_NOTEBOOK_INSTANCE, "ValidationException", "RecordNotFound", True),
        (DESCRIBE_NOTEBOOK_INSTANCE, "ValidationException", "Status (Stopped) not in ([InService])", False),
        (DESCRIBE_NOTEBOOK_INSTANCE, "ThrottlingException", "RecordNotFound", False),
        (DESCRIBE_APP, "ValidationException", "RecordNotFound", False),
        (DESCRIBE_APP, "ResourceNotFound", "", True),
    ],
)
def test_what_is_not_there_is_told_by_code_or_message(
    operation: Operation, code: str, message: str, *, absent: bool
) -> None:
    error = ClientError({"Error": {"Code": code, "Message": message}}, operation.name)
    assert is_absent(error, operation) is absent


def test_no_answer_is_no_absence() -> None:
    assert not is_absent(OSError("RecordNotFound"), DESCRIBE_NOTEBOOK_INSTANCE)


def test_when_this_machine_booted(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu 1 2 3\nbtime 1772442000\nprocesses 5\n")
    assert booted_at(tmp_path) == AT
    (tmp_path / "stat").write_text("cpu 1 2 3\n")
    assert booted_at(tmp_path) is None
    assert booted_at(tmp_path / "nowhere") is None
    real = booted_at()
    assert real is None or real < datetime.now(UTC)
