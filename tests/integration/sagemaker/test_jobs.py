"""The jobs of a region, on the fake."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from reaper.clients.aws import OPERATIONS, Models
from reaper.core.model import Activity, Resource
from reaper.errors import ActionDenied, ActionUnavailable, OutcomeUnknown
from reaper.providers.sagemaker.jobs import JobsSource
from reaper.providers.sagemaker.looking import Region
from reaper.testing import T0, FakeClock, hours, minutes
from reaper.testing.studio import Studio
from tests.integration.sagemaker.watching import Watching, aws_of, signals
from tests.integration.studio.watching import made_models
from tests.support.studio import fixture_clock, fixture_studio

__all__ = ["fixture_clock", "fixture_studio"]

KINDS = ["training-job", "processing-job", "transform-job"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return made_models(tmp_path_factory.mktemp("cache"))


@pytest.fixture
async def watching(clock: FakeClock, studio: Studio, models: Models) -> AsyncIterator[Watching]:
    aws = aws_of(models)
    one = Watching(clock, JobsSource(Region("123456789012", "us-east-1", aws, clock, minutes(5))), aws)
    yield one
    await one.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_one_in_progress_is_at_work_since_it_was_made(
    watching: Watching, studio: Studio, kind: str
) -> None:
    studio.add_job(kind, "bert", created_at=T0 - hours(80)).tags["team"] = "nlp"
    seen = await watching.look()
    (resource,) = seen.resources
    assert (resource.ref.kind, resource.ref.id) == ("sagemaker.job", f"{kind}/bert")
    assert (resource.started_at, resource.hourly_cost) == (T0 - hours(80), None)
    assert (resource.tags, resource.attributes["job_type"]) == ({"team": "nlp"}, kind.removesuffix("-job"))
    status = signals(seen, "bert")["status"]
    assert (status.activity, status.evidence_at) == (Activity.ACTIVE, None)


async def test_what_ends_or_ended_is_not_there(watching: Watching, studio: Studio) -> None:
    for number, kind in enumerate(KINDS):
        studio.add_job(kind, f"done-{number}", created_at=T0 - hours(2), completes_in=hours(1))
        studio.add_job(kind, f"ending-{number}").stop_at = studio.now()
        studio.add_job(kind, "here")
        studio.add_job(kind, "elsewhere", region="eu-west-1")
    found = await watching.look()
    assert [resource.ref.id for resource in found.resources] == [f"{kind}/here" for kind in KINDS]


async def test_more_than_a_page(watching: Watching, studio: Studio) -> None:
    for number in range(130):
        studio.add_job("training-job", f"job-{number}")
    assert len(await watching.resources()) == 130


@pytest.mark.parametrize("operation", ["ListTrainingJobs", "ListProcessingJobs", "ListTransformJobs"])
@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("ThrottlingException", "throttled"),
        ("ExpiredTokenException", "credentials have expired"),
        ("AccessDeniedException", "the role needs sagemaker:List"),
    ],
)
async def test_one_list_that_fails_leaves_nothing_known(
    watching: Watching, studio: Studio, operation: str, code: str, why: str
) -> None:
    studio.add_job("training-job", "bert")
    studio.fail(operation, code)
    failed = await watching.look()
    assert (failed.poll.complete, failed.resources) == (False, ())
    assert why in (failed.poll.error or "")
    assert set(await watching.resources()) == {"bert"}


@pytest.fixture
async def job(watching: Watching, studio: Studio) -> Resource:
    studio.add_job("training-job", "bert", created_at=T0 - hours(80))
    return (await watching.resources())["bert"]


def stops(studio: Studio) -> list[str]:
    return [request.operation for request in studio.requests if request.operation.startswith("Stop")]


class TestStopping:
    @pytest.mark.parametrize("kind", KINDS)
    async def test_it_is_stopped_once(self, watching: Watching, studio: Studio, kind: str) -> None:
        studio.add_job(kind, "bert", created_at=T0 - hours(80))
        job = (await watching.resources())["bert"]
        first = await watching.source.act(job, "stop")
        again = await watching.source.act(job, "stop")
        assert (first.gone, again.gone) == (False, True)
        assert again.detail == "it has ended, or is being stopped, already"
        assert len(stops(studio)) == 1
        assert await watching.resources() == {}
        studio.jobs.clear()
        assert (await watching.source.act(job, "stop")).gone

    async def test_nothing_else_can_be_done(self, watching: Watching, job: Resource) -> None:
        with pytest.raises(ActionDenied, match="only stop"):
            await watching.source.act(job, "delete")

    async def test_one_whose_name_is_in_others_is_found(
        self, watching: Watching, studio: Studio, job: Resource
    ) -> None:
        for number in range(130):
            studio.add_job("training-job", f"bert-{number}", created_at=T0 - hours(90))
        await watching.source.act(job, "stop")
        assert studio.calls("StopTrainingJob") == [{"TrainingJobName": "bert"}]

    async def test_another_one_of_its_name_is_left_alone(
        self, watching: Watching, studio: Studio, job: Resource
    ) -> None:
        studio.jobs[0].created_at += timedelta(hours=1)
        assert (await watching.source.act(job, "stop")).gone
        assert stops(studio) == []

    async def test_one_that_is_protected_meanwhile_is_left_alone(
        self, watching: Watching, studio: Studio, job: Resource
    ) -> None:
        studio.jobs[0].tags["reaper:protect"] = "yes"
        with pytest.raises(ActionUnavailable, match="tags have changed"):
            await watching.source.act(job, "stop")
        assert stops(studio) == []

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            ("ThrottlingException", ActionUnavailable),
            ("AccessDeniedException", ActionDenied),
            ("ValidationException", ActionDenied),
            ("InternalFailure", OutcomeUnknown),
        ],
    )
    async def test_a_stop_that_fails(
        self, watching: Watching, studio: Studio, job: Resource, code: str, error: type[Exception]
    ) -> None:
        studio.fail("StopTrainingJob", code)
        with pytest.raises(error):
            await watching.source.act(job, "stop")
        studio.fail("ListTrainingJobs", "ThrottlingException")
        with pytest.raises(ActionUnavailable, match="could not be looked at"):
            await watching.source.act(job, "stop")


async def test_where_tags_cant_be_read_it_is_not_stopped(watching: Watching, studio: Studio) -> None:
    """A rule by age reads no signals: the look right before the act must say so."""
    studio.add_job("training-job", "bert", created_at=T0 - hours(80)).tags["reaper:protect"] = "yes"
    studio.fail("ListTags", "AccessDeniedException", times=None)
    seen = await watching.look()
    assert signals(seen, "bert")["tags"].activity is Activity.UNKNOWN
    with pytest.raises(ActionDenied, match="needs sagemaker:ListTags"):
        await watching.source.act(seen.resources[0], "stop")
    assert stops(studio) == []


async def test_nothing_is_called_that_is_not_registered_for_it(watching: Watching, studio: Studio) -> None:
    for kind in KINDS:
        studio.add_job(kind, f"a-{kind}")
    for resource in (await watching.resources()).values():
        await watching.source.act(resource, "stop")
    await watching.aws.account("us-east-1")
    called = {request.operation for request in studio.requests}
    assert called == {o.name for o in OPERATIONS if "jobs" in o.used_for}
