"""Where we run, by the metadata file; and the names of apps that follow from it."""

import json
from pathlib import Path
from typing import Any

import pytest

from reaper.clients.studio import (
    APP_TYPES,
    Identity,
    app_key,
    known_identity,
    own_identity,
    own_key,
    read_identity,
)
from reaper.clients.studio.identity import parse_identity
from reaper.core.model import ResourceKey
from reaper.errors import SourceMalformed, SourceUnavailable

ARN = "arn:aws:sagemaker:eu-central-1:123456789012:"
CLASSIC: dict[str, Any] = {
    "AppType": "JupyterServer",
    "DomainId": "d-abc",
    "UserProfileName": "ann",
    "ResourceArn": f"{ARN}app/d-abc/ann/JupyterServer/default",
    "ResourceName": "default",
    "AppImageVersion": "",
}
ANN = Identity(
    account="123456789012",
    region="eu-central-1",
    domain="d-abc",
    user="ann",
    app_type="JupyterServer",
    app_name="default",
)


def read(tmp_path: Path, content: object) -> Identity | None:
    file = tmp_path / "resource-metadata.json"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        file.write_text(json.dumps(content))
    return read_identity(file)


class TestReading:
    def test_studio_classic(self, tmp_path: Path) -> None:
        found = read(tmp_path, CLASSIC)
        assert found == ANN
        assert found is not None
        assert found.scope == "123456789012/eu-central-1"
        assert found.owner_parameters == {"UserProfileName": "ann"}

    @pytest.mark.parametrize("app_type", APP_TYPES)
    def test_every_type_of_app_however_its_arn_writes_it(self, tmp_path: Path, app_type: str) -> None:
        arn = f"{ARN}app/d-abc/ann/{app_type.lower()}/a-1"
        said = {**CLASSIC, "AppType": app_type, "ResourceArn": arn, "ResourceName": "a-1"}
        from_arn = {"UserProfileName": "ann", "ResourceArn": arn}
        for content in (said, from_arn):
            found = read(tmp_path, content)
            assert found is not None
            assert (found.app_type, found.app_name, found.domain) == (app_type, "a-1", "d-abc")

    def test_a_space_of_a_user(self, tmp_path: Path) -> None:
        arn = f"{ARN}app/d-abc/work/JupyterLab/default"
        found = read(
            tmp_path,
            {
                **CLASSIC,
                "AppType": "JupyterLab",
                "SpaceName": "work",
                "ResourceArn": arn,
                "ExecutionRoleArn": "x",
            },
        )
        assert found is not None
        assert (found.user, found.space, found.owner) == (None, "work", "work")
        assert found.owner_parameters == {"SpaceName": "work"}

    def test_where_both_are_named_the_arn_decides(self, tmp_path: Path) -> None:
        found = read(tmp_path, {**CLASSIC, "SpaceName": "work"})
        assert found is not None
        assert (found.user, found.space) == ("ann", None)

    def test_the_arn_with_its_case_is_preferred(self, tmp_path: Path) -> None:
        arn = CLASSIC["ResourceArn"].lower()
        for careful in ("", None, CLASSIC["ResourceArn"]):
            assert read(tmp_path, {**CLASSIC, "ResourceArn": arn, "ResourceArnCaseSensitive": careful}) == ANN

    def test_a_notebook_instance(self, tmp_path: Path) -> None:
        found = read(tmp_path, {"ResourceArn": f"{ARN}notebook-instance/box", "ResourceName": "Box"})
        assert found == Identity(account="123456789012", region="eu-central-1", notebook_instance="Box")
        assert own_key(found) == ResourceKey(
            "sagemaker.notebook_instance", "123456789012/eu-central-1", "Box"
        )

    def test_another_partition(self, tmp_path: Path) -> None:
        arn = "arn:aws-cn:sagemaker:cn-north-1:123456789012:app/d-abc/ann/JupyterServer/default"
        found = read(tmp_path, {**CLASSIC, "ResourceArn": arn})
        assert found is not None
        assert (found.partition, found.region) == ("aws-cn", "cn-north-1")

    def test_no_file_is_no_studio(self, tmp_path: Path) -> None:
        assert read_identity(tmp_path / "none") is None
        (tmp_path / "file").touch()
        assert read_identity(tmp_path / "file/below") is None


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no JSON"),
        (b'{"AppType": "JupyterSer', "half written"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "longer than|no JSON"),
        (b" " * 70_000, "longer than"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        ({**CLASSIC, "ResourceArn": "arn:aws:s3:::bucket"}, "none of SageMaker's"),
        ({**CLASSIC, "ResourceArn": 7}, "ResourceArn that is no text"),
        ({**CLASSIC, "ResourceArn": f"{ARN}endpoint/e"}, "neither a Studio app"),
        ({**CLASSIC, "AppType": "Unicorn"}, "unknown AppType"),
        ({**CLASSIC, "AppType": ["JupyterLab"]}, "AppType that is no text"),
        ({"ResourceName": "default", "UserProfileName": "ann", "DomainId": "d-abc"}, "names no AppType"),
        ({**CLASSIC, "UserProfileName": None}, "neither a UserProfileName nor a SpaceName"),
        ({**CLASSIC, "UserProfileName": "../ann"}, "UserProfileName that is none"),
        ({**CLASSIC, "SpaceName": "a b", "UserProfileName": ""}, "SpaceName that is none"),
        ({**CLASSIC, "ResourceName": "a/b"}, "ResourceName that is none"),
        ({**CLASSIC, "DomainId": "", "ResourceArn": ""}, "names no DomainId"),
        ({}, "neither a UserProfileName nor a SpaceName"),
    ],
)
def test_what_cant_be_understood_says_why(tmp_path: Path, content: object, why: str) -> None:
    with pytest.raises(SourceMalformed, match=why) as found:
        read(tmp_path, content)
    assert "resource-metadata.json" in str(found.value)


def test_what_cant_be_read_is_not_missing(tmp_path: Path) -> None:
    (tmp_path / "resource-metadata.json").mkdir()
    with pytest.raises(SourceUnavailable, match="can't be read"):
        read_identity(tmp_path / "resource-metadata.json")


class TestKeys:
    def test_an_app_is_the_tail_of_its_arn(self) -> None:
        assert app_key(ANN, "data-science") == ResourceKey(
            "studio.app", "123456789012/eu-central-1", "d-abc/ann/KernelGateway/data-science"
        )

    def test_two_users_apps_of_one_name_are_two(self) -> None:
        bob = parse_identity({**CLASSIC, "UserProfileName": "bob"})
        assert app_key(ANN, "data-science") != app_key(bob, "data-science")

    def test_where_nothing_names_the_owner_the_server_does(self) -> None:
        url = "http://127.0.0.1:8888/jupyter/default/"
        expected = ResourceKey("studio.app", url, "KernelGateway/a-1")
        assert app_key(None, "a-1", server_url=url) == expected
        without_arn = parse_identity({**CLASSIC, "ResourceArn": ""})
        assert app_key(without_arn, "a-1", server_url=url) == expected

    def test_the_app_that_we_run_in(self) -> None:
        lab = parse_identity({**CLASSIC, "AppType": "JupyterLab"})
        assert own_key(lab).id == "d-abc/ann/JupyterLab/default"


def test_what_was_once_read_holds_for_the_process(tmp_path: Path) -> None:
    file = tmp_path / "resource-metadata.json"
    assert (own_identity(file), known_identity(file)) == (None, None)
    file.write_text("half {")
    with pytest.raises(SourceMalformed):
        own_identity(file)
    file.write_text(json.dumps(CLASSIC))
    assert own_identity(file) == known_identity(file) == ANN
    for content in ("half {", json.dumps({**CLASSIC, "ResourceName": "another"})):
        file.write_text(content)
        assert own_identity(file) == ANN
    file.unlink()
    assert own_identity(file) == known_identity(file) == ANN
