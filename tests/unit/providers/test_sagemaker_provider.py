"""Which sources of SageMaker there are: what a policy is about, and where we run."""

import json
import os
import pwd
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reaper.errors import ConfigError
from reaper.plugins import Sources
from reaper.providers.sagemaker import SagemakerOptions, SagemakerProvider
from reaper.testing import FakeClock

ARN = "arn:aws:sagemaker:eu-central-1:123456789012:"
BOX = {"ResourceArn": f"{ARN}notebook-instance/box", "ResourceName": "Box"}
APP = {"AppType": "JupyterLab", "DomainId": "d-abc", "UserProfileName": "ann", "ResourceName": "default"}
NAME = "sagemaker:123456789012/eu-central-1/notebook-instance/Box"


class Place:
    """A host: its metadata file, and the runtime files of its servers."""

    def __init__(self, folder: Path, *, below: str = "runtime", **options: Any) -> None:
        self.file = folder / "resource-metadata.json"
        self.runtime = folder / below
        self.runtime.mkdir(parents=True)
        settings = SagemakerOptions(metadata_file=self.file, **{"runtime_dirs": (self.runtime,), **options})
        self.clock = FakeClock()
        self.provider = SagemakerProvider(settings, self.clock)

    def says(self, content: object) -> None:
        self.file.write_text(content if isinstance(content, str) else json.dumps(content))

    def serves(self, port: int = 8443) -> None:
        entry = {"base_url": "/", "hostname": "0.0.0.0", "port": port, "pid": os.getpid(), "token": ""}
        entry |= {"secure": False, "root_dir": "/root", "sock": "", "url": "http://0.0.0.0"}
        (self.runtime / f"jpserver-{os.getpid()}.json").write_text(json.dumps(entry))

    async def discover(self) -> Sources:
        return await self.provider.discover(self.clock.now(), {})


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    one = Place(tmp_path)
    yield one
    await one.provider.close()


async def test_on_a_notebook_instance_it_is_a_source(place: Place) -> None:
    place.says(BOX)
    found = await place.discover()
    assert [source.name for source in found.sources] == [NAME]
    assert (found.complete, found.required, found.problems) == (True, (NAME,), ())
    assert (await place.discover()).sources[0] is found.sources[0]


async def test_another_object_of_the_same_name_where_a_server_came(place: Place) -> None:
    place.says(BOX)
    (before,) = (await place.discover()).sources
    place.serves()
    (after,) = (await place.discover()).sources
    assert (before is after, before.name == after.name) == (False, True)
    assert [server.url for server in after.servers] == ["http://127.0.0.1:8443/"]  # type: ignore[attr-defined]
    await before.close()


async def test_what_was_once_read_holds(place: Place) -> None:
    place.says(BOX)
    await place.discover()
    place.says("{")
    assert [source.name for source in (await place.discover()).sources] == [NAME]
    place.file.unlink()
    assert (await place.discover()).complete


@pytest.mark.parametrize(("content", "complete"), [(None, True), (APP, True), ("{", False), ("[]", False)])
async def test_elsewhere_there_is_none_and_it_says_why(
    place: Place, content: object, *, complete: bool
) -> None:
    """A file that can't be read ends nothing: the next reading may tell."""
    if content is not None:
        place.says(content)
    found = await place.discover()
    assert (found.sources, found.complete, found.required) == ((), complete, ())
    assert str(place.file) in found.problems[0]


async def test_what_no_policy_is_about_is_not_looked_at(tmp_path: Path) -> None:
    place = Place(tmp_path, kinds=frozenset())
    place.says(BOX)
    found = await place.discover()
    assert (found.sources, found.complete, found.problems) == ((), True, ())
    await place.provider.close()


async def test_a_server_by_address_is_the_one_that_people_come_in_by(tmp_path: Path) -> None:
    place = Place(tmp_path, urls=("http://127.0.0.1:8443/",))
    place.says(BOX)
    place.serves()
    (source,) = (await place.discover()).sources
    (server,) = source.servers  # type: ignore[attr-defined]
    assert (server.pid, server.root_dir) == (os.getpid(), Path("/root"))
    await place.provider.close()


@pytest.mark.parametrize(("uid", "servers"), [(0, ["http://127.0.0.1:8443/"]), (1001, [])])
async def test_root_finds_the_server_of_the_user_that_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, servers: list[str]
) -> None:
    """A lifecycle script runs as root, Jupyter as ec2-user: without the server nothing tells where notebooks are."""
    home = tmp_path / "ec2-user"
    service = SimpleNamespace(pw_dir=str(tmp_path / "service"), pw_uid=999)
    person = SimpleNamespace(pw_dir=str(home), pw_uid=1000)
    monkeypatch.setattr(pwd, "getpwall", lambda: [service, person])
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "root"))
    place = Place(tmp_path, below="ec2-user/.local/share/jupyter/runtime", runtime_dirs=())
    place.says(BOX)
    place.serves()
    (source,) = (await place.discover()).sources
    found = source.servers  # type: ignore[attr-defined]
    assert [server.url for server in found] == servers
    assert [server.root_dir for server in found] == [Path("/root")] * len(servers)
    await place.provider.close()


def test_an_address_that_cant_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Place(tmp_path, urls=("ftp://127.0.0.1/",))


def test_to_import_it_never_imports_aws() -> None:
    code = "import sys, reaper.providers.sagemaker; sys.exit('botocore' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


ENDPOINTS_AND_JOBS = frozenset({"sagemaker.endpoint", "sagemaker.job"})


async def test_all_regions_can_not_be_asked_yet(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name the regions"):
        Place(tmp_path, kinds=ENDPOINTS_AND_JOBS, regions=("all",))
    other = tmp_path / "other"
    other.mkdir()
    await Place(other, regions=("all",)).provider.close()  # of no matter where nobody asks for them


def test_its_kinds_are_those_of_the_contract() -> None:
    from reaper.config.kinds import KINDS

    ours = {kind: actions for kind, actions in KINDS.items() if kind.startswith("sagemaker.")}
    assert dict(SagemakerProvider.kinds) == ours
