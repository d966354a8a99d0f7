"""Settings that are fine each, but not together."""

import pytest

from tests.support.configuration import Given

NOBODY = (
    "1m of notice in enforce mode, but nobody is told: "
    "set REAPER_NOTIFY to command:/path or https://..., or ask for no notice"
)
SOON = "3h is not shorter than the idle timeout, 2h: notice goes out as soon as a thing is idle"
NOT_FOR_FOUND = (
    "it is for the servers in REAPER_JUPYTER__URL, and none is named: servers that are found have their own"
)


@pytest.mark.parametrize(
    ("variables", "where", "message"),
    [
        ({"MODE": "enforce", "WARN_BEFORE": "1m"}, "REAPER_WARN_BEFORE", NOBODY),
        (
            {"MODE": "enforce", "WARN_BEFORE": "1m", "NOTIFY": "log:"},
            "REAPER_WARN_BEFORE",
            NOBODY.replace("nobody", "only the log"),
        ),
        (
            {"IDLE_TIMEOUT": "5m", "IDLE_TIMEOUT_MIN": "10m"},
            "REAPER_IDLE_TIMEOUT",
            "5m is less than REAPER_IDLE_TIMEOUT_MIN, 10m",
        ),
        (
            {"IDLE_TIMEOUT": "2d", "IDLE_TIMEOUT_MAX": "1d"},
            "REAPER_IDLE_TIMEOUT",
            "2d is more than REAPER_IDLE_TIMEOUT_MAX, 1d",
        ),
        ({"IDLE_TIMEOUT_MIN": "3h"}, "REAPER_IDLE_TIMEOUT", "2h is less than REAPER_IDLE_TIMEOUT_MIN, 3h"),
        (
            {"IDLE_TIMEOUT_MIN": "2d", "IDLE_TIMEOUT_MAX": "1d"},
            "REAPER_IDLE_TIMEOUT_MIN",
            "2d is more than REAPER_IDLE_TIMEOUT_MAX, 1d",
        ),
        (
            {"LISTEN": "127.0.0.1:1,[::]:2"},
            "REAPER_LISTEN",
            "tcp:[::]:2 can be reached from other hosts: set REAPER_API_TOKEN, or listen on 127.0.0.1",
        ),
        (
            {"JUPYTER__URL": "http://a/,http://b/?token=abc", "JUPYTER__TOKEN": "x"},
            "REAPER_JUPYTER__URL",
            "http://b/?********** holds a token, and REAPER_JUPYTER__TOKEN is set too: keep one",
        ),
        (
            {"JUPYTER__CA_FILE": "/dev/null", "JUPYTER__VERIFY": "false"},
            "REAPER_JUPYTER__CA_FILE",
            "certificates are not checked at all (jupyter.verify = false): keep one of the two",
        ),
        (
            {"CHECK__CRITICAL_AFTER": "1h"},
            "REAPER_CHECK__WARNING_AFTER",
            "2h is not before check.critical_after, 1h",
        ),
    ],
)
def test_errors(given: Given, variables: dict[str, str], where: str, message: str) -> None:
    assert given.errors(**variables) == [(where, message)]


def test_a_default_is_blamed_by_its_variable_and_a_key_by_its_line(given: Given) -> None:
    [(where, _)] = given.errors('\nwarn_before = "1m"', MODE="enforce")
    assert where == "FILE:2: warn_before"


@pytest.mark.parametrize(
    "variables",
    [
        {"MODE": "dry-run", "WARN_BEFORE": "1m"},
        {"MODE": "enforce", "WARN_BEFORE": "1m", "NOTIFY": "log:,command:/bin/true"},
        {"MODE": "enforce"},
        {"IDLE_TIMEOUT": "5m", "IDLE_TIMEOUT_MIN": "5m", "IDLE_TIMEOUT_MAX": "5m"},
        {"LISTEN": "0.0.0.0:1", "API_TOKEN": "abc"},
        {"LISTEN": "127.0.0.1:1,localhost:2,unix:/a.sock"},
        {"JUPYTER__URL": "http://b/?token=abc"},
        {"JUPYTER__URL": "http://b/", "JUPYTER__TOKEN": "x"},
    ],
)
def test_no_errors(given: Given, variables: dict[str, str]) -> None:
    assert given.errors(**variables) == []
    assert given.warnings(**variables) == []


@pytest.mark.parametrize(
    ("variables", "warning"),
    [
        ({"WARN_BEFORE": "3h"}, f"REAPER_WARN_BEFORE: {SOON}"),
        ({"JUPYTER__TOKEN": "abc"}, f"REAPER_JUPYTER__TOKEN: {NOT_FOR_FOUND}"),
    ],
)
def test_warnings(given: Given, variables: dict[str, str], warning: str) -> None:
    assert given.warnings(**variables) == [warning]
