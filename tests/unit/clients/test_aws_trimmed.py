"""Trimmed service models say the same as botocore's own, of what we call; what happens where they can't be kept."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import botocore
import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel, Shape

from reaper.clients.aws import (
    DELETE_APP,
    LIST_APPS,
    OPERATIONS,
    Aws,
    AwsOptions,
    Models,
    Operation,
    cache_dir,
    trimmed,
)
from reaper.errors import ActionUnavailable, SourceUnavailable

SERVICES = sorted({operation.service for operation in OPERATIONS})


@pytest.fixture(scope="module")
def own() -> Loader:
    return Loader()


@pytest.fixture(scope="module")
def copy(own: Loader, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = trimmed.place(tmp_path_factory.mktemp("cache"), botocore.__version__)
    trimmed.build(target, own)
    return target


def _model(loader: Loader, service: str) -> ServiceModel:
    return ServiceModel(loader.load_service_model(service, "service-2"), service)


def _outline(shape: Shape | None, seen: tuple[str, ...] = ()) -> Any:
    """Write a shape out with all that is in it."""
    if shape is None or shape.name in seen:
        return shape and shape.name
    inside = (*seen, shape.name)
    parts = {name: _outline(member, inside) for name, member in getattr(shape, "members", {}).items()}
    for part in ("member", "key", "value"):
        if hasattr(shape, part):
            parts[part] = _outline(getattr(shape, part), inside)
    return shape.name, shape.type_name, dict(shape.serialization), dict(shape.metadata), parts


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
class TestEveryOperation:
    def test_botocore_knows_it(self, own: Loader, operation: Operation) -> None:
        model = _model(own, operation.service).operation_model(operation.name)
        errors = {shape.error_code for shape in model.error_shapes}
        assert not operation.items or model.output_shape.members[operation.items].type_name == "list"
        assert operation.action in ("", f"{operation.service}:{operation.name}")
        assert operation.used_for
        assert not errors or operation.absent & errors or not operation.absent

    def test_the_copy_says_the_same(self, own: Loader, copy: Path, operation: Operation) -> None:
        short = Loader(extra_search_paths=[str(copy)])
        ours, theirs = (
            _model(loader, operation.service).operation_model(operation.name) for loader in (short, own)
        )
        assert _outline(ours.input_shape) == _outline(theirs.input_shape)
        assert _outline(ours.output_shape) == _outline(theirs.output_shape)
        assert list(map(_outline, ours.error_shapes)) == list(map(_outline, theirs.error_shapes))
        assert ours.http == theirs.http
        assert ours.service_model.metadata == theirs.service_model.metadata


def test_the_copy_holds_nothing_else(copy: Path) -> None:
    short = Loader(extra_search_paths=[str(copy)])
    assert set(_model(short, "sagemaker").operation_names) == {
        operation.name for operation in OPERATIONS if operation.service == "sagemaker"
    }
    assert set(_model(short, "sts").operation_names) == {
        "AssumeRole",
        "AssumeRoleWithWebIdentity",
        "GetCallerIdentity",
    }
    sizes = {file.relative_to(copy).parts[0]: file.stat().st_size for file in copy.rglob("*.json")}
    assert sum(sizes.values()) < 250_000
    assert sum(sizes.values()) - sizes["ec2"] < 150_000  # all that is there for who never calls EC2


@pytest.mark.parametrize("region", ["eu-central-1", "us-east-1", "cn-north-1", "us-gov-west-1"])
def test_requests_go_where_they_would(own: Loader, copy: Path, region: str) -> None:
    import botocore.session

    addresses = []
    for loader in (own, Loader(extra_search_paths=[str(copy)])):
        session = botocore.session.Session()
        session.register_component("data_loader", loader)
        for service in (*SERVICES, "sso", "sso-oidc"):
            client = session.create_client(
                service, region_name=region, aws_access_key_id="a", aws_secret_access_key="b"
            )
            signer = client._request_signer
            addresses.append((service, client.meta.endpoint_url, signer.region_name, signer.signing_name))
            client.close()
    half = len(addresses) // 2
    assert addresses[:half] == addresses[half:]


def test_an_operation_that_botocore_does_not_know_is_an_error(own: Loader, tmp_path: Path) -> None:
    unknown = replace(LIST_APPS, name="ListUnicorns")
    with pytest.raises(KeyError):
        trimmed.build(tmp_path / "copies/a", own, (unknown,))
    assert list((tmp_path / "copies").iterdir()) == []


class TestWhereItIsKept:
    def test_each_version_of_botocore_has_its_own(self, tmp_path: Path) -> None:
        assert trimmed.place(tmp_path, "1.2.3") != trimmed.place(tmp_path, "1.2.4")
        assert "1.2.3" in trimmed.place(tmp_path, "1.2.3").name

    def test_so_has_each_set_of_operations(self, tmp_path: Path) -> None:
        assert trimmed.place(tmp_path, "1.2.3") != trimmed.place(tmp_path, "1.2.3", OPERATIONS[1:])
        assert trimmed.place(tmp_path, "1.2.3") == trimmed.place(tmp_path, "1.2.3", OPERATIONS[::-1])

    @pytest.mark.parametrize(
        ("environ", "directory"),
        [
            ({"CACHE_DIRECTORY": "/var/cache/reaper:/other", "HOME": "/h"}, "/var/cache/reaper"),
            ({"XDG_CACHE_HOME": "/c", "HOME": "/h"}, "/c/reaper"),
            ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/reaper"),
            ({"HOME": "/h"}, "/h/.cache/reaper"),
            ({"HOME": ""}, None),
            ({}, None),
        ],
    )
    def test_among_the_users_caches(self, environ: dict[str, str], directory: str | None) -> None:
        assert cache_dir(environ) == (None if directory is None else Path(directory))


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    yield trimmed.place(tmp_path / "cache", botocore.__version__)
    left = list((tmp_path / "cache/aws-models").glob(".*"))
    assert left == []


def _command(target: Path) -> list[str]:
    return [sys.executable, "-m", "reaper.clients.aws.trimmed", str(target)]


class TestWriting:
    def test_two_at_the_same_time_agree(self, target: Path) -> None:
        both = [subprocess.Popen(_command(target)) for _ in range(2)]
        assert [process.wait(60) for process in both] == [0, 0]
        assert trimmed.usable(target)

    @pytest.mark.parametrize("damage", ["cut", "gone", "manifest", "empty"])
    def test_a_broken_one_is_written_anew(self, target: Path, own: Loader, damage: str) -> None:
        trimmed.build(target, own)
        if damage == "cut":
            model = next(target.rglob("service-2.json"))
            model.write_bytes(model.read_bytes()[:100])
        elif damage == "gone":
            next(target.rglob("service-2.json")).unlink()
        elif damage == "manifest":
            (target / "manifest.json").write_text("[]")
        else:
            (target / "manifest.json").write_text('{"files": {}}')
        assert not trimmed.usable(target)
        trimmed.build(target, own)
        assert trimmed.usable(target)

    @pytest.mark.parametrize("which", ["itself", "its parent"])
    def test_one_that_others_can_write_is_not_used(self, target: Path, own: Loader, which: str) -> None:
        trimmed.build(target, own)
        (target if which == "itself" else target.parent).chmod(0o777)
        assert not trimmed.usable(target)


class TestLoading:
    async def test_the_copy_is_made_once_and_used(self, tmp_path: Path) -> None:
        loader = await Models(tmp_path).loader()
        (target,) = (tmp_path / "aws-models").iterdir()
        assert loader.search_paths[0] == str(target)
        written = (target / "manifest.json").stat().st_mtime_ns

        again = Models(tmp_path)
        assert (await again.loader()).search_paths[0] == str(target)
        assert again.problem is None
        assert (target / "manifest.json").stat().st_mtime_ns == written

    async def test_where_it_cant_be_kept_the_whole_models_are_used(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").touch()
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        aws = Aws(AwsOptions(attempts=1, cache=tmp_path / "file"))
        with pytest.raises(SourceUnavailable, match="not connected"):
            await aws.pages(LIST_APPS, region="eu-central-1")
        assert "Not a directory" in (aws.models.problem or "")
        await aws.close()

    async def test_a_directory_that_others_can_write_is_not_used(self, tmp_path: Path) -> None:
        (tmp_path / "aws-models").mkdir()
        (tmp_path / "aws-models").chmod(0o777)
        models = Models(tmp_path)
        loader = await models.loader()
        assert not any(str(tmp_path) in path for path in loader.search_paths)
        assert "may be written by others" in (models.problem or "")

    async def test_without_a_place_at_all(self) -> None:
        models = Models(environ={})
        loader = await models.loader()
        assert Loader.BUILTIN_DATA_PATH in loader.search_paths
        assert "HOME" in (models.problem or "")

    async def test_who_has_no_time_to_wait_leaves_it_to_the_next(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A look has ten seconds; on a machine that boots the copy may take longer, and is not begun anew."""
        go = tmp_path / "go"
        slow = tmp_path / "python"
        slow.write_text(
            f"#!/bin/sh\necho x >> {tmp_path}/begun\nwhile [ ! -e {go} ]; do sleep 0.05; done\n"
            f'exec {sys.executable} "$@"\n'
        )
        slow.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(slow))
        aws = Aws(AwsOptions(attempts=1, cache=tmp_path / "cache"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await aws.pages(LIST_APPS, region="eu-central-1")
        with pytest.raises(SourceUnavailable, match="still has not answered"):
            await aws.pages(LIST_APPS, region="eu-central-1")
        with pytest.raises(ActionUnavailable, match="still has not answered"):
            await aws.act(DELETE_APP, region="eu-central-1", DomainId="d-1", AppType="Canvas", AppName="a")
        go.touch()
        loader = None
        async with asyncio.timeout(60):
            while loader is None:
                with contextlib.suppress(SourceUnavailable):
                    loader = await aws.models.loader()
                await asyncio.sleep(0.05)
        assert (aws.models.problem, loader.search_paths[0]) == (
            None,
            str(trimmed.place(tmp_path / "cache", botocore.__version__)),
        )
        assert (tmp_path / "begun").read_text() == "x\n"
        await aws.close()

    async def test_without_another_process(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
        models = Models(tmp_path)
        assert not any(str(tmp_path) in path for path in (await models.loader()).search_paths)
        assert "No such file" in (models.problem or "")


def test_memory_stays_within_what_a_notebook_can_spare(tmp_path: Path) -> None:
    """One client of each service that a Studio agent calls: under 25 MB with the copy (20 measured), 40 without."""
    code = f"""
import asyncio, psutil, aiohttp
from pathlib import Path
from reaper.clients.aws import *
before = psutil.Process().memory_info().rss
async def main():
    aws = Aws(AwsOptions(attempts=1, cache=Path({str(tmp_path)!r})))
    for operation in (LIST_APPS, LIST_TAGS, GET_METRIC_DATA):
        try:
            await aws.pages(operation, region="eu-central-1")
        except Exception as error:
            assert "not connected" in str(error) or "ParamValidation" in str(error), error
    await aws.close()
asyncio.run(main())
print((psutil.Process().memory_info().rss - before) / 1e6)
"""
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
    trimmed.build(trimmed.place(tmp_path, botocore.__version__), Loader())
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) < 25
