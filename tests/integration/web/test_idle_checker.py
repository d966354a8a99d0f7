"""The old Studio extension's API: what its monitors and scripts send, and what they read."""

import json

import pytest

from reaper.errors import ConfigError
from reaper.web.idle_checker import PATHS
from tests.integration.web.serving import TOKEN, bearer, over_tcp, problem

PATH = PATHS[0]


@pytest.mark.parametrize("path", PATHS)
async def test_a_monitor_reads_seconds_and_the_count(client, path):
    response = await client.get(path)
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("application/json")
    assert await response.json() == {"idle_time": 7200, "keep_terminals": False, "count": 1}


@pytest.mark.parametrize("path", PATHS)
async def test_a_script_sets_minutes_and_is_told_seconds(client, control, path):
    """What set-time-interval scripts send, with the query that Jupyter wanted of them."""
    body = {"idle_time": 90, "keep_terminals": False}
    response = await client.post(path, json=body, params={"_xsrf": "2|abc"})
    assert response.status == 200
    assert (await response.json())["idle_time"] == 5400
    assert (await (await client.get(path)).json())["idle_time"] == 5400
    (asked,) = control.requests("change_setting")
    assert asked.argument == {"name": "idle-timeout", "value": "90m", "for_s": None}
    assert asked.caller.details["via"] == "unix"


async def test_digits_as_text_are_minutes_too(client):
    response = await client.post(PATH, data=json.dumps({"idle_time": "45"}))
    assert (await response.json())["idle_time"] == 2700


async def test_it_is_patch_settings_by_another_name(client):
    await client.post(PATH, json={"idle_time": 45})
    settings = (await (await client.get("/api/v1/settings")).json())["settings"]
    assert settings[0]["value"] == "45m"


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({}, "idle_time", "missing"),
        ({"keep_terminals": True}, "idle_time", "missing"),
        ({"idle_time": None}, "idle_time", "missing"),
        ({"idle_time": 0}, "idle_time", "1 or more"),
        ({"idle_time": -5}, "idle_time", "1 or more"),
        ({"idle_time": 1.5}, "idle_time", "whole number"),
        ({"idle_time": True}, "idle_time", "whole number"),
        ({"idle_time": "90m"}, "idle_time", "whole number"),
        ({"idle_time": "²"}, "idle_time", "whole number"),
        ({"idle_time": ""}, "idle_time", "whole number"),
        ({"idle_time": [90]}, "idle_time", "whole number"),
        ({"idle_time": 10**30}, "idle_time", "whole number"),
        ({"idle_time": 90, "keep_terminals": "false"}, "keep_terminals", "true or false"),
        ({"idle_time": 90, "keep_terminal": True}, "keep_terminal", "did you mean 'keep_terminals'"),
    ],
)
async def test_bad_input_changes_nothing(client, control, body, field, says):
    response = await client.post(PATH, json=body)
    assert response.status == 400
    told = await problem(response)
    assert told["field"] == field
    assert says in told["detail"]
    assert control.requests("change_setting") == []


@pytest.mark.parametrize("body", [b"", b"idle_time=90", b"[90]", b'{"idle_time": 90'])
async def test_what_is_no_json_object_changes_nothing(client, control, body):
    response = await client.post(PATH, data=body)
    assert response.status == 400
    assert control.requests("change_setting") == []


async def test_terminals_can_not_be_kept_from_now_on_and_it_says_so(client, control):
    response = await client.post(PATH, json={"idle_time": 90, "keep_terminals": True})
    assert response.status == 422
    assert "REAPER_KEEP_TERMINALS to true" in (await problem(response))["detail"]
    assert control.requests("change_setting") == [], "the limit neither"


async def test_what_the_daemon_refuses_is_told(client, control):
    control.breaks = ConfigError("idle-timeout: 5m is below REAPER_IDLE_TIMEOUT_MIN")
    response = await client.post(PATH, json={"idle_time": 5})
    assert response.status == 422
    assert "REAPER_IDLE_TIMEOUT_MIN" in (await problem(response))["detail"]


async def test_the_token_names_who_it_was(control):
    async with over_tcp(control) as session:
        assert (await session.get(PATH)).status == 200
        assert (await session.post(PATH, json={"idle_time": 5})).status == 401
        assert (await session.post(PATH, json={"idle_time": 5}, headers=bearer(TOKEN))).status == 200
    (asked,) = control.requests("change_setting")
    assert asked.caller.who == "token@127.0.0.1"
