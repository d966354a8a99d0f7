"""What kernels and terminals live in: an app of Studio Classic, or the app or instance that the server is."""

import json
from pathlib import Path
from typing import Any

import pytest

from reaper.clients.jupyter import SessionModel
from reaper.core.model import ResourceKey
from reaper.errors import CollectError, SourceUnavailable
from reaper.providers.jupyter.homes import Homes, app_name_of, find_homes

URL = "http://127.0.0.1:8888/jupyter/default/"
IMAGE = "arn:aws:sagemaker:eu-west-1:081325390199:image/datascience-1.0"
APP = {"app_name": "ds-1", "environment_arn": IMAGE, "instance_type": "ml.t3.medium"}
ARN = "arn:aws:sagemaker:eu-west-1:123456789012"


class Server:
    """Answers the one question."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def get_json(self, *path: str) -> Any:
        assert path == ("sagemaker", "api", "apps")
        if isinstance(self.answer, CollectError):
            raise self.answer
        return self.answer


@pytest.fixture
def metadata(tmp_path: Path) -> Path:
    return tmp_path / "resource-metadata.json"


async def homes(metadata: Path | None, answer: Any = None) -> Homes:
    return await find_homes(Server(answer), metadata, URL)  # type: ignore[arg-type]


def says(metadata: Path, **fields: str) -> Path:
    metadata.write_text(json.dumps(fields))
    return metadata


def classic(metadata: Path) -> Path:
    arn = f"{ARN}:app/d-1/ada/jupyterserver/default"
    return says(
        metadata,
        AppType="JupyterServer",
        DomainId="d-1",
        UserProfileName="ada",
        ResourceArn=arn,
        ResourceName="default",
    )


async def test_outside_of_sagemaker_nothing_lives_in_anything_and_nothing_is_asked():
    found = await homes(None, AssertionError("not to be asked"))
    assert found == Homes()
    assert found.of_kernel("ds-1") is None
    assert not found.belongs_to_system("1")


async def test_in_studio_classic_a_kernel_lives_in_the_app_that_its_session_names(metadata):
    found = await homes(classic(metadata), [APP])
    key = ResourceKey("studio.app", "123456789012/eu-west-1", "d-1/ada/KernelGateway/ds-1")
    assert found.of_kernel("ds-1") == key
    assert found.of_kernel(None) is None, "it may live in any of them"
    assert found.of_terminal(f"{IMAGE}__1__ml.t3.medium") == key


async def test_in_studio_classic_terminals_with_plain_names_are_the_systems(metadata):
    found = await homes(classic(metadata), [APP])
    assert found.belongs_to_system("1")
    assert not found.belongs_to_system(f"{IMAGE}__1__ml.t3.medium")


@pytest.mark.parametrize("answer", [SourceUnavailable("no answer"), [], None])
async def test_a_terminal_whose_app_is_not_listed_may_live_in_any(metadata, answer):
    found = await homes(classic(metadata), answer)
    assert found.classic
    assert found.of_terminal(f"{IMAGE}__1__ml.t3.medium") is None


async def test_without_an_identity_apps_are_named_after_the_server_that_lists_them(metadata):
    metadata.write_text("half written {")
    found = await homes(metadata, [APP])
    assert found.of_kernel("ds-1") == ResourceKey("studio.app", URL, "KernelGateway/ds-1")
    assert await homes(metadata, None) == Homes(), "it has no such endpoint: no Studio Classic"


@pytest.mark.parametrize("app_type", ["JupyterLab", "CodeEditor"])
async def test_in_the_new_studio_all_of_them_live_in_the_app_that_they_run_in(metadata, app_type):
    arn = f"{ARN}:app/d-1/lab/{app_type.lower()}/default"
    fields = {"AppType": app_type, "DomainId": "d-1", "SpaceName": "lab", "ResourceName": "default"}
    found = await homes(says(metadata, ResourceArn=arn, **fields))
    key = ResourceKey("studio.app", "123456789012/eu-west-1", f"d-1/lab/{app_type}/default")
    assert found.of_kernel(None) == found.of_terminal("1") == key
    assert not found.belongs_to_system("1")


async def test_on_a_notebook_instance_all_of_them_live_in_it(metadata):
    found = await homes(says(metadata, ResourceArn=f"{ARN}:notebook-instance/box", ResourceName="box"))
    key = ResourceKey("sagemaker.notebook_instance", "123456789012/eu-west-1", "box")
    assert found.of_kernel(None) == found.of_terminal("1") == key


def test_of_two_sessions_on_one_kernel_either_may_name_its_app():
    sessions = [SessionModel(id="1"), SessionModel(id="2", app_name="ds-1")]
    assert app_name_of(sessions) == "ds-1"
    assert app_name_of([]) is None
