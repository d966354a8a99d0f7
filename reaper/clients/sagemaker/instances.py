"""Notebook instances, by SageMaker's API."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reaper.clients.aws import DESCRIBE_NOTEBOOK_INSTANCE, STOP_NOTEBOOK_INSTANCE, Aws
from reaper.clients.sagemaker.fields import instant, text

__all__ = ["InstanceModel", "describe_instance", "parse_instance", "stop_instance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceModel:
    """A notebook instance.

    Attributes:
        name: Its name.
        status: As SageMaker says: `InService` ...; empty where that can't be read.
        arn: Its ARN; empty likewise.
        instance_type: What it runs on; empty likewise.
        modified_at: LastModifiedTime: when it was started, or changed.
    """

    name: str
    status: str = ""
    arn: str = ""
    instance_type: str = ""
    modified_at: datetime | None = None


def parse_instance(answer: Mapping[str, Any]) -> InstanceModel:
    """Read the answer to DescribeNotebookInstance. Pure."""
    return InstanceModel(
        name=text(answer, "NotebookInstanceName"),
        status=text(answer, "NotebookInstanceStatus"),
        arn=text(answer, "NotebookInstanceArn"),
        instance_type=text(answer, "InstanceType"),
        modified_at=instant(answer, "LastModifiedTime"),
    )


async def describe_instance(aws: Aws, name: str, region: str) -> InstanceModel | None:
    """Look at one by name; None: there is no such instance.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.read`.
    """
    answer = await aws.read(DESCRIBE_NOTEBOOK_INSTANCE, region=region, NotebookInstanceName=name)
    return None if answer is None else parse_instance(answer)


async def stop_instance(aws: Aws, name: str, region: str) -> bool:
    """Ask for the stop of one, which takes minutes.

    Returns:
        Whether there is such an instance.

    Raises:
        ActionDenied, ActionUnavailable, OutcomeUnknown: As `Aws.act`.
    """
    return await aws.act(STOP_NOTEBOOK_INSTANCE, region=region, NotebookInstanceName=name) is not None
