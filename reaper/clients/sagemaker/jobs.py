"""Training, processing and transform jobs, by SageMaker's API."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reaper.clients.aws import JOBS, Aws
from reaper.clients.sagemaker.fields import instant, text
from reaper.errors import SourceMalformed

__all__ = ["JobModel", "list_running_jobs", "parse_job", "running_job", "stop_job"]

_RUNNING = "InProgress"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobModel:
    """A job.

    Attributes:
        kind: `training-job`, `processing-job`, `transform-job`.
        name: Its name.
        status: As SageMaker says: `InProgress` ...; empty where that can't be read.
        arn: Its ARN; empty likewise.
        created_at: CreationTime; None likewise.
    """

    kind: str
    name: str
    status: str = ""
    arn: str = ""
    created_at: datetime | None = None


def parse_job(kind: str, answer: Mapping[str, Any]) -> JobModel:
    """Read an item of a list of jobs. Pure."""
    word = JOBS[kind].word
    return JobModel(
        kind=kind,
        name=text(answer, f"{word}Name"),
        status=text(answer, f"{word}Status"),
        arn=text(answer, f"{word}Arn"),
        created_at=instant(answer, "CreationTime"),
    )


async def list_running_jobs(aws: Aws, region: str) -> list[JobModel]:
    """List the jobs of a region that are in progress, of every type.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.pages`; one without a name or CreationTime is
            malformed: then nothing can be said to be gone.
    """
    found = []
    for jobs in await asyncio.gather(*(_list_jobs(aws, kind, region) for kind in JOBS)):
        found += jobs
    return found


async def running_job(aws: Aws, kind: str, name: str, region: str) -> JobModel | None:
    """Look at one by name; None: no such job is in progress.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `list_running_jobs`.
    """
    found = await _list_jobs(aws, kind, region, NameContains=name)
    return next((job for job in found if job.name == name), None)


async def stop_job(aws: Aws, kind: str, name: str, region: str) -> bool:
    """Ask for the stop of one, which may take minutes.

    Returns:
        Whether there is such a job.

    Raises:
        ActionDenied, ActionUnavailable, OutcomeUnknown: As `Aws.act`.
    """
    calls = JOBS[kind]
    return await aws.act(calls.stop, region=region, **{f"{calls.word}Name": name}) is not None


async def _list_jobs(aws: Aws, kind: str, region: str, **filters: str) -> list[JobModel]:
    calls = JOBS[kind]
    found = []
    for item in await aws.pages(calls.list, region=region, StatusEquals=_RUNNING, **filters) or ():
        job = parse_job(kind, item) if isinstance(item, Mapping) else JobModel(kind=kind, name="")
        if not job.name or job.created_at is None:
            raise SourceMalformed(f"{calls.list.name} in {region}: one job has no name or no CreationTime")
        found.append(job)
    return found
