"""The jobs of one region as a source: training, processing and transform jobs that are in progress.

Nothing tells whether a job gets anywhere, so it is ACTIVE as long as it runs: only its age can end it.
"""

from collections.abc import Mapping
from datetime import timedelta

from reaper.clients.aws import JOBS
from reaper.clients.sagemaker import JobModel, list_running_jobs, running_job, stop_job
from reaper.clients.studio import Said
from reaper.core.codec import instant_to_text
from reaper.core.model import Activity, Collected, Resource, ResourceRef
from reaper.errors import ActionDenied, CollectError
from reaper.plugins import ActOutcome, Look
from reaper.providers.sagemaker.looking import (
    GONE,
    Region,
    bounded,
    check_tags,
    each_tags,
    not_sent,
    observed,
    seen,
    tags_unknown,
)

__all__ = ["JobsSource"]


class JobsSource:
    """The jobs of one region.

    Args:
        region: Which.
    """

    def __init__(self, region: Region) -> None:
        self.name = f"sagemaker:{region.scope}/jobs"
        self.interval: timedelta | None = region.interval
        self._region = region

    async def collect(self, look: Look) -> Collected:
        """Look once; where the jobs can't all be listed, nothing is known."""
        return await bounded(look, self.name, self._collect)

    async def act(self, resource: Resource, action: str) -> ActOutcome:
        """Stop a job, after one more look at it; ended already is success."""
        if action != "stop":
            raise ActionDenied(f"{resource.ref.kind} knows no action {action!r}, only stop")
        kind, _, name = resource.ref.id.partition("/")
        if kind not in JOBS:
            raise ActionDenied(f"{resource.ref.id} names no type of job that is known")
        try:
            job = await running_job(self._region.aws, kind, name, self._region.name)
        except CollectError as error:
            raise not_sent(error) from error
        if job is None:
            return ActOutcome(gone=True, detail="it has ended, or is being stopped, already", ours=False)
        if _life(job) != resource.ref.incarnation:
            return ActOutcome(gone=True, detail=f"{GONE}: another job has its name", ours=False)
        await check_tags(self._region.aws, JOBS[kind].tags, job.arn, self._region.name, resource)
        there = await stop_job(self._region.aws, kind, name, self._region.name)
        return ActOutcome(gone=not there, detail="its stop has begun" if there else GONE)

    async def close(self) -> None:
        """There is nothing to close: AWS is the provider's."""

    async def _collect(self, look: Look) -> Collected:
        jobs = await list_running_jobs(self._region.aws, self._region.name)
        tags = await each_tags(self._region, [(JOBS[job.kind].tags, job.arn) for job in jobs])
        resources, observations = [], []
        for job, of_it in zip(jobs, tags, strict=True):
            resource = self._resource(job, of_it if isinstance(of_it, dict) else {})
            resources.append(resource)
            said = Said(Activity.ACTIVE, None, f"in progress ({job.status})")
            observations.append(observed(resource.ref, "status", said))
            if isinstance(of_it, str):
                observations.append(tags_unknown(resource.ref, of_it))
        return Collected(
            poll=seen(look, self.name, self._region.clock),
            resources=tuple(resources),
            observations=tuple(observations),
        )

    def _resource(self, job: JobModel, tags: Mapping[str, str]) -> Resource:
        return Resource(
            ref=ResourceRef(
                kind="sagemaker.job",
                scope=self._region.scope,
                id=f"{job.kind}/{job.name}",
                incarnation=_life(job),
            ),
            name=job.name,
            tags=tags,
            started_at=job.created_at,
            attributes={"job_type": job.kind.removesuffix("-job"), "region": self._region.name},
        )


def _life(job: JobModel) -> str:
    return "" if job.created_at is None else instant_to_text(job.created_at)
