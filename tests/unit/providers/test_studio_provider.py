"""Which sources there are, by the metadata file and the servers of this container."""

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
from reaper.providers.studio import StudioOptions, StudioProvider
from reaper.testing import FakeClock

ARN = "arn:aws:sagemaker:eu-central-1:123456789012:"
CLASSIC: dict[str, Any] = {
    "AppType": "JupyterServer",
    "DomainId": "d-abc",
    "UserProfileName": "ann",
    "ResourceArn": f"{ARN}app/d-abc/ann/JupyterServer/default",
    "ResourceName": "default",
}
ANN = "studio:123456789012/eu-central-1/d-abc/ann"
NOTEBOOK_INSTANCE = {"ResourceArn": f"{ARN}notebook-instance/box", "ResourceName": "box"}


class Place:
    """A container: its metadata file, and the runtime files of its servers."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.file = folder / "resource-metadata.json"
        self.runtime = folder / "runtime"
        self.runtime.mkdir()
        settings = {"runtime_dirs": (self.runtime,), **options}
        self.options = StudioOptions(metadata_file=self.file, **settings)
        self.clock = FakeClock()
        self.provider = StudioProvider(self.options, self.clock)

    def says(self, content: object) -> None:
        self.file.write_text(content if isinstance(content, str) else json.dumps(content))

    def serves(self, base_url: str = "/jupyter/default/", port: int = 8888) -> None:
        entry = {"base_url": base_url, "hostname": "0.0.0.0", "port": port, "pid": os.getpid(), "token": ""}
        entry |= {"secure": False, "root_dir": "/root", "sock": "", "url": "http://0.0.0.0"}
        (self.runtime / f"jpserver-{os.getpid()}.json").write_text(json.dumps(entry))

    async def discover(self) -> Sources:
        return await self.provider.discover(self.clock.now(), {})

    async def names(self) -> list[str]:
        return [source.name for source in (await self.discover()).sources]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    one = Place(tmp_path)
    yield one
    await one.provider.close()


class TestWithAnIdentity:
    async def test_one_source_for_the_owner(self, place: Place) -> None:
        place.says(CLASSIC)
        found = await place.discover()
        assert [source.name for source in found.sources] == [ANN]
        assert (found.complete, found.required, found.problems) == (True, (ANN,), ())

    async def test_the_same_object_while_nothing_changes(self, place: Place) -> None:
        place.says(CLASSIC)
        place.serves()
        first, second = await place.discover(), await place.discover()
        assert first.sources[0] is second.sources[0]

    async def test_another_where_a_server_came(self, place: Place) -> None:
        place.says(CLASSIC)
        (first,) = (await place.discover()).sources
        place.serves(port=9999)
        (second,) = (await place.discover()).sources
        assert first is not second
        assert first.name == second.name
        await first.close()

    async def test_a_classic_server_is_where_it_always_is(self, place: Place) -> None:
        """Its runtime file may lie where another user alone can read it."""
        place.says(CLASSIC)
        (source,) = (await place.discover()).sources
        assert [server.url for server in source.servers] == ["http://127.0.0.1:8888/jupyter/default/"]  # type: ignore[attr-defined]

    async def test_a_space_has_one_too(self, place: Place) -> None:
        arn = f"{ARN}app/d-abc/work/JupyterLab/default"
        place.says({**CLASSIC, "AppType": "JupyterLab", "SpaceName": "work", "ResourceArn": arn})
        assert await place.names() == ["studio:123456789012/eu-central-1/d-abc/work"]

    async def test_what_was_once_read_holds(self, place: Place) -> None:
        place.says(CLASSIC)
        await place.discover()
        for content in ("", '{"AppType": "Jup', "[]"):
            place.says(content)
            found = await place.discover()
            assert [source.name for source in found.sources] == [ANN]
            assert (found.complete, found.problems) == (True, ())
        place.file.unlink()
        assert await place.names() == [ANN]

    async def test_without_an_arn_the_server_names_them(self, place: Place) -> None:
        """As it does for their kernels: what lives in an app must name it the same."""
        place.says({**CLASSIC, "ResourceArn": ""})
        place.serves()
        (source,) = (await place.discover()).sources
        assert source.name == "studio:http://127.0.0.1:8888/jupyter/default/"
        assert source._doors._order() == ["server"]  # type: ignore[attr-defined]

    async def test_a_notebook_instance_has_no_apps(self, place: Place) -> None:
        place.says(NOTEBOOK_INSTANCE)
        found = await place.discover()
        assert (found.sources, found.complete, found.problems) == ((), True, ())


class TestWithoutOne:
    async def test_no_file_and_no_server_is_no_studio(self, place: Place) -> None:
        found = await place.discover()
        assert (found.sources, found.complete) == ((), True)
        assert "resource-metadata.json is not there" in found.problems[0]

    async def test_a_classic_server_lists_its_apps_all_the_same(self, place: Place) -> None:
        place.serves()
        found = await place.discover()
        assert [source.name for source in found.sources] == ["studio:http://127.0.0.1:8888/jupyter/default/"]
        assert (found.complete, found.required, found.problems) == (True, (), ())

    async def test_another_server_is_nobodys_studio(self, place: Place) -> None:
        place.serves(base_url="/")
        assert await place.names() == []

    @pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"AppType": "Unicorn"}'])
    async def test_a_file_that_cant_be_read_ends_nothing(self, place: Place, content: str) -> None:
        """What was watched before a restart may still be there: the next reading may tell."""
        place.says(content)
        found = await place.discover()
        assert (found.sources, found.complete, found.required) == ((), False, ())
        assert "resource-metadata.json" in found.problems[0]
        place.says(CLASSIC)
        assert await place.names() == [ANN]

    async def test_a_file_that_cant_be_read_leaves_the_server(self, place: Place) -> None:
        place.says("{")
        place.serves()
        found = await place.discover()
        assert [source.name for source in found.sources] == ["studio:http://127.0.0.1:8888/jupyter/default/"]
        assert not found.complete
        assert found.problems

    async def test_the_api_needs_an_owner(self, tmp_path: Path) -> None:
        place = Place(tmp_path, apps="api")
        place.serves()
        assert await place.names() == []
        await place.provider.close()


class TestNamedServers:
    async def test_one_named_by_address_is_asked_wherever_it_is(self, tmp_path: Path) -> None:
        place = Place(tmp_path, urls=("http://127.0.0.1:7777/base/",))
        assert await place.names() == ["studio:http://127.0.0.1:7777/base/"]
        await place.provider.close()

    async def test_its_runtime_file_says_more(self, tmp_path: Path) -> None:
        place = Place(tmp_path, urls=("http://127.0.0.1:8888/jupyter/default/",))
        place.serves()
        (source,) = (await place.discover()).sources
        (server,) = source.servers  # type: ignore[attr-defined]
        assert (server.pid, server.root_dir) == (os.getpid(), Path("/root"))
        await place.provider.close()

    def test_an_address_that_cant_be_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError):
            Place(tmp_path, urls=("ftp://127.0.0.1/",))


async def test_root_finds_the_server_of_the_user_that_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "sagemaker-user"
    person = SimpleNamespace(pw_dir=str(home), pw_uid=1000)
    monkeypatch.setattr(pwd, "getpwall", lambda: [person])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "root"))
    place = Place(tmp_path, runtime_dirs=())
    place.runtime = home / ".local/share/jupyter/runtime"
    place.runtime.mkdir(parents=True)
    place.says(CLASSIC)
    place.serves(port=9999)
    (source,) = (await place.discover()).sources
    assert [server.url for server in source.servers] == ["http://127.0.0.1:9999/jupyter/default/"]  # type: ignore[attr-defined]
    await place.provider.close()


def test_it_says_what_it_can_do() -> None:
    assert StudioProvider.name == "studio"
    assert StudioProvider.kinds == {"studio.app": ("delete",)}


def test_who_asks_the_server_alone_never_imports_aws() -> None:
    code = "import sys, reaper.providers.studio; sys.exit('botocore' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
