"""Exit statuses of commands that count, and how their errors end."""

import pytest

from reaper.cli.exits import ExitHow, Sight, counted
from reaper.errors import ConfigError, ControlError, UsageError

WHOLE, PART, NOTHING = Sight.WHOLE, Sight.PART, Sight.NOTHING


@pytest.mark.parametrize(
    ("count", "sight", "status"),
    [
        (0, WHOLE, 0),
        (3, WHOLE, 3),
        (99, WHOLE, 99),
        (250, WHOLE, 99),
        (3, PART, 101),
        (0, PART, 101),
        (0, NOTHING, 100),
    ],
)
def test_count(count, sight, status):
    assert counted(ExitHow.COUNT, count, sight) == status
    assert counted(ExitHow.ZERO, count, sight) == 0


@pytest.mark.parametrize(
    ("count", "critical", "sight", "status"),
    [
        (0, 0, WHOLE, 0),
        (3, 0, WHOLE, 1),
        (3, 1, WHOLE, 2),
        (3, 0, PART, 1),
        (0, 0, PART, 3),
        (0, 0, NOTHING, 3),
    ],
)
def test_nagios(count, critical, sight, status):
    assert counted(ExitHow.NAGIOS, count, sight, critical=critical) == status


@pytest.mark.parametrize(
    ("error", "status"), [(UsageError("what?"), 102), (ConfigError("no"), 103), (ControlError("gone"), 100)]
)
def test_errors_are_never_a_count(reaper, monkeypatch, error, status):
    def fail(*_arguments, **_options):
        raise error

    monkeypatch.setattr("reaper.config.load_settings", fail, raising=False)
    assert reaper("coverage").status == status
    assert reaper("coverage", "--exit-status", "nagios").status == 3
    assert reaper("coverage", "--exit-status=nagios").status == 3


@pytest.mark.parametrize("arguments", [["--nope"], ["--exit-status", "many"], ["--output", "xml"], ["more"]])
def test_wrong_usage(reaper, arguments):
    assert reaper("coverage", *arguments).status == 102


def test_a_bug_is_no_count_either(reaper, monkeypatch, capsys):
    def fail(*_arguments, **_options):
        raise RuntimeError("a bug")

    monkeypatch.setattr("reaper.config.load_settings", fail, raising=False)
    ran = reaper("coverage")
    assert ran.status == 100
    assert "RuntimeError: a bug" in ran.err
