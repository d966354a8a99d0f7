"""The policy that `reaper iam` prints holds every call that the code makes, and nothing else: by what the fake saw."""

from datetime import datetime

import pytest

from reaper.clients.aws import OPERATIONS, Models
from reaper.clients.aws.policy import Narrowing, policy
from reaper.clients.prices import PriceBook
from reaper.clients.studio import Identity
from reaper.providers.sagemaker import SagemakerOptions
from reaper.providers.sagemaker.endpoints import EndpointsSource
from reaper.providers.sagemaker.instance import InstanceSource
from reaper.providers.sagemaker.jobs import JobsSource
from reaper.providers.sagemaker.looking import Region
from reaper.providers.studio.options import Standing
from reaper.testing import T0, FakeClock, hours, minutes
from reaper.testing.studio import Studio
from tests.integration.sagemaker.watching import Watching as WatchingSource, aws_of
from tests.integration.studio.watching import Watching, made_models
from tests.support.iam import actions_of, allows
from tests.support.studio import fixture_clock, fixture_studio

__all__ = ["fixture_clock", "fixture_studio"]

FREE = {f"{one.service}:{one.name}" for one in OPERATIONS if not one.action}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return made_models(tmp_path_factory.mktemp("cache"))


def called(studio: Studio) -> set[str]:
    """Give what was asked of AWS, as IAM calls it."""
    return {f"{one.service}:{one.operation}" for one in studio.requests} - FREE


async def test_studio(clock: FakeClock, studio: Studio, models: Models) -> None:
    """All that a reaper in a JupyterServer app ever does, by the API."""
    server = studio.add_app("ann", app_type="JupyterServer")
    studio.add_app("ann", "data-science")
    studio.add_app("ann", app_type="Canvas")
    watching = Watching(
        clock, server, models, standing=lambda: Standing(mode="enforce", idle_timeout=hours(2))
    )
    apps = await watching.resources()
    await watching.source.act(apps["data-science"], "delete")
    await watching.close()
    assert called(studio) == actions_of(policy(["studio"], Narrowing()))


async def test_studio_in_ones_own_space(clock: FakeClock, studio: Studio, models: Models) -> None:
    """Each call, with the ARN that the fake gives an app, is let through; for the reaper of another user it is not."""
    lab = studio.add_app(studio.add_space("lab", studio.add_user("ann")), app_type="JupyterLab")
    watching = Watching(clock, lab, models, standing=lambda: Standing(mode="enforce", idle_timeout=hours(2)))
    apps = await watching.resources()
    await watching.source.act(apps["default"], "delete")
    await watching.close()
    document = policy(["studio"], Narrowing(account=studio.home.account, domain=lab.domain.id))
    owned = {"sagemaker:OwnerUserProfileArn": f"{lab.domain.place.arn('user-profile')}/{lab.domain.id}/ann"}
    for user, may in (("ann", True), ("bob", False)):
        caller = owned | {"sagemaker:DomainId": lab.domain.id, "sagemaker:UserProfileName": user}
        assert allows(document, "sagemaker:DeleteApp", lab.arn, caller) is may
    for action in called(studio) - {"sagemaker:DeleteApp"}:
        assert allows(document, action, lab.arn, {"aws:TagKeys": ["reaper:heartbeat"]}), action


async def test_notebook_instance(clock: FakeClock, studio: Studio, models: Models) -> None:
    """Its tags are found by what DescribeNotebookInstance calls it; another instance is not let through."""
    box = studio.add_notebook_instance("Box", created_at=T0 - hours(9))
    identity = Identity(account=box.place.account, region=box.place.region, notebook_instance="Box")

    def booted() -> datetime:
        return T0 - hours(5)

    aws = aws_of(models)
    source = InstanceSource(identity, (), SagemakerOptions(), aws, clock, None, booted)
    watching = WatchingSource(clock, source, aws)
    seen = await watching.resources()
    await watching.source.act(seen["Box"], "stop")
    await watching.close()
    document = policy(["notebook-instance"], Narrowing(region=box.place.region, notebook_instance="Box"))
    assert called(studio) == actions_of(document)
    for action in called(studio):
        assert allows(document, action, box.arn, {})
        assert not allows(document, action, box.place.arn("notebook-instance/other"), {})


async def test_endpoints_and_jobs(clock: FakeClock, studio: Studio, models: Models) -> None:
    """Each is acted on only where its owner has tagged it."""
    managed = {"sagemaker:ResourceTag/reaper:managed": "yes"}
    studio.add_endpoint("llm", created_at=T0 - hours(9))
    for kind in ("training-job", "processing-job", "transform-job"):
        studio.add_job(kind, "bert", created_at=T0 - hours(9))
    aws = aws_of(models)
    region = Region(studio.home.account, studio.home.region, aws, clock, minutes(5), PriceBook(clock))
    for purpose, source in (("endpoints", EndpointsSource(region)), ("jobs", JobsSource(region))):
        studio.requests.clear()
        watching = WatchingSource(clock, source, aws)
        for resource in (await watching.look()).resources:
            await source.act(resource, "delete" if purpose == "endpoints" else "stop")
        document = policy([purpose], Narrowing())
        assert called(studio) == actions_of(document)
        for action in actions_of(document, "Deny"):
            kind = next(one.resource for one in OPERATIONS if one.action == action)
            assert allows(document, action, studio.home.arn(f"{kind}/x"), managed)
            assert not allows(document, action, studio.home.arn(f"{kind}/x"), {})
        await source.close()
    await aws.close()
