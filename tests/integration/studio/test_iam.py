"""The policy that `reaper iam` prints holds every call that the code makes, and nothing else: by what the fake saw."""

import pytest

from reaper.clients.aws import OPERATIONS, Models
from reaper.clients.aws.policy import Narrowing, policy
from reaper.providers.studio.options import Standing
from reaper.testing import FakeClock, hours
from reaper.testing.studio import Studio
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
