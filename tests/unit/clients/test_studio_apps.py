"""What both doors tell of apps, read without trusting them; and which app an image terminal lives in."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from reaper.clients.studio import AppModel, app_of_terminal, image_terminal
from reaper.clients.studio.apps import parse_api_app, parse_api_apps, parse_door_apps
from reaper.errors import SourceMalformed

IMAGE = "arn:aws:sagemaker:us-east-1:081325390199:image/datascience-1.0"
LISTED: dict[str, Any] = {
    "app_name": "a-1",
    "environment_arn": IMAGE,
    "environment_name": "Data Science",
    "image_name": "datascience",
    "instance_type": "ml.t3.medium",
    "lifecycle_config_arn": "None",
}
CREATED = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DETAILS: dict[str, Any] = {
    "AppName": "a-1",
    "AppType": "KernelGateway",
    "Status": "InService",
    "CreationTime": CREATED,
    "ResourceSpec": {"InstanceType": "ml.t3.medium", "SageMakerImageArn": IMAGE},
}


class TestServersOwnEndpoint:
    def test_what_it_lists_is_in_service(self) -> None:
        (app,) = parse_door_apps([LISTED], "GET")
        assert app == AppModel(
            name="a-1", instance_type="ml.t3.medium", environment=IMAGE, image="Data Science"
        )
        assert (app.app_type, app.status, app.created_at) == ("KernelGateway", None, None)

    def test_fields_that_are_not_there_are_unknown(self) -> None:
        (app,) = parse_door_apps([{"app_name": "a-1", "instance_type": 7, "environment_arn": None}], "GET")
        assert app == AppModel(name="a-1")

    def test_one_name_twice_can_t_be_told_apart(self) -> None:
        apps = parse_door_apps([LISTED, LISTED, {**LISTED, "app_name": "a-2"}], "GET")
        assert [(app.name, app.problem) for app in apps] == [("a-1", "it is listed twice"), ("a-2", None)]

    @pytest.mark.parametrize(
        "payload",
        [
            {},
            None,
            "a-1",
            7,
            ["a-1"],
            [{}],
            [{"app_name": None}],
            [{"app_name": ""}],
            [{"app_name": 7}],
            [{"app_name": "a\n1"}],
            [{"app_name": "x" * 5000}],
            [LISTED, {"app_nam": "cut"}],
        ],
    )
    def test_an_app_without_a_name_spoils_the_list(self, payload: object) -> None:
        with pytest.raises(SourceMalformed):
            parse_door_apps(payload, "GET")


class TestApi:
    def test_details(self) -> None:
        (app,) = parse_api_apps([DETAILS], "ListApps")
        assert app == AppModel(
            name="a-1",
            status="InService",
            created_at=CREATED,
            instance_type="ml.t3.medium",
            environment=IMAGE,
            image="datascience-1.0",
        )

    def test_any_zone_is_utc(self) -> None:
        tokyo = CREATED.astimezone(timezone(timedelta(hours=9)))
        app = parse_api_app({**DETAILS, "CreationTime": tokyo})
        assert app.created_at is not None
        assert (app.created_at, app.created_at.tzinfo) == (CREATED, UTC)

    @pytest.mark.parametrize(
        ("change", "problem"),
        [
            ({"CreationTime": None}, "CreationTime"),
            ({"CreationTime": CREATED.replace(tzinfo=None)}, "CreationTime"),
            ({"CreationTime": "2026-03-02"}, "CreationTime"),
            ({"Status": None}, "Status"),
            ({"Status": 7, "AppType": ""}, "AppType, Status"),
        ],
    )
    def test_what_cant_be_read_is_said(self, change: dict[str, Any], problem: str) -> None:
        assert parse_api_app({**DETAILS, **change}).problem == f"{problem} can't be read"

    @pytest.mark.parametrize("spec", [None, [], {}, {"InstanceType": None}])
    def test_an_app_need_not_say_what_it_runs_on(self, spec: object) -> None:
        app = parse_api_app({**DETAILS, "ResourceSpec": spec})
        assert (app.instance_type, app.image, app.problem) == (None, None, None)

    @pytest.mark.parametrize("item", ["a-1", None, {}, {"AppName": ""}, {"AppName": ["a"]}])
    def test_an_app_without_a_name_spoils_the_list(self, item: object) -> None:
        with pytest.raises(SourceMalformed):
            parse_api_apps([DETAILS, item], "ListApps")


class TestImageTerminals:
    def test_their_names_carry_image_and_instance_type(self) -> None:
        assert image_terminal(f"{IMAGE}__1__ml.t3.medium") == (IMAGE, "ml.t3.medium")
        assert image_terminal(f"{IMAGE}__12__ml.t3.medium__x") == (IMAGE, "ml.t3.medium")

    @pytest.mark.parametrize(
        "name", ["1", "", "train", "arn:", IMAGE, f"{IMAGE}__1", f"{IMAGE}__1__", "a__1__b"]
    )
    def test_the_systems_do_not(self, name: str) -> None:
        assert image_terminal(name) is None

    def test_its_app_is_the_one_of_that_image_and_instance_type(self) -> None:
        small = AppModel(name="small", environment=IMAGE, instance_type="ml.t3.medium")
        large = AppModel(name="large", environment=IMAGE, instance_type="ml.g5.xlarge")
        assert app_of_terminal(f"{IMAGE}__1__ml.g5.xlarge", [small, large]) is large
        assert app_of_terminal(f"{IMAGE}__1__ml.p3.2xlarge", [small, large]) is None
        assert app_of_terminal("1", [small, large]) is None

    def test_where_it_could_be_several_it_is_none(self) -> None:
        twins = [AppModel(name=name, environment=IMAGE, instance_type="ml.t3.medium") for name in "ab"]
        assert app_of_terminal(f"{IMAGE}__1__ml.t3.medium", twins) is None
