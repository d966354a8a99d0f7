"""The table of commands, and how errors end."""

import importlib.util
import inspect
import json
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer

from reaper import __version__
from reaper.cli import app as root
from reaper.cli.app import COMMANDS, LATER
from reaper.errors import ConfigError, ControlError, JournalLocked, UsageError


def test_version(reaper):
    assert reaper("--version").out == f"reaper {__version__}\n"


def test_help_lists_every_command_on_a_line_of_its_own(reaper):
    ran = reaper("--help")
    assert ran.status == 0
    for name, entry in COMMANDS.items():
        assert f"  {name.ljust(10)}  {entry.help}\n" in ran.out, "longer than 80 columns?"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["train", "--max-hours", "4", "--", "python", "train.py"], 125),
        (["extend", "2h"], 2),
        (["launch", "--spot"], 2),
        (["simulate"], 2),
    ],
)
def test_commands_of_later_versions_say_so(reaper, arguments, status):
    """And end as they will for wrong usage: cron must not read 2 as "two need attention"."""
    assert arguments[0] in LATER
    ran = reaper(*arguments)
    assert ran.status == status
    assert ran.out == ""
    assert f"'{arguments[0]}' is not in this version ({__version__}): it will" in ran.err
    assert "Did you mean" not in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_command_is_here_or_for_later():
    assert set(COMMANDS).isdisjoint(LATER)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_of_itself_what_the_list_says(name, reaper):
    """The list is a table, so that --help imports no command: it must not drift from the commands."""
    module, _, attribute = COMMANDS[name].target.partition(":")
    found = getattr(import_module(module), attribute)
    assert isinstance(found, typer.Typer)
    callback = (found.registered_callback or found.registered_commands[0]).callback
    assert (inspect.getdoc(callback) or "").splitlines()[0] == COMMANDS[name].help
    ran = reaper(name, "--help")
    assert ran.status == 0
    assert COMMANDS[name].help.split()[0] in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_no_arguments_is_help_and_a_usage_error(reaper):
    ran = reaper()
    assert ran.status == 2
    assert "Commands:" in ran.err
    assert ran.out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sttus"], "Did you mean 'status'"),
        (["status", "--nope"], "--nope"),
        (["status", "--output", "xml"], "'xml' is not one of table, json"),
        (["explain"], "RESOURCE"),
        (["status", "more"], "unexpected"),
        (["config"], "Commands:"),
        (["config", "nope"], "No such command"),
    ],
)
def test_usage_errors_are_one_line_and_2(reaper, arguments, said):
    ran = reaper(*arguments)
    assert ran.status == 2
    assert said in ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("what?"), 2),
        (ConfigError("REAPER_MODE: no"), 78),
        (ControlError("no daemon"), 1),
        (JournalLocked("held by 7"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_statuses(reaper, monkeypatch, error, status):
    def fail(*_arguments, **_options):
        raise error

    monkeypatch.setattr("reaper.cli.reach.open_reach", fail)
    ran = reaper("status")
    assert ran.status == status
    assert ran.out == ""
    assert "Traceback" not in ran.err
    if str(error):
        assert ran.err == f"reaper: error: {error}\n"
        document = json.loads(reaper("status", "--output", "json").err)
        assert document == {"schema": 1, "error": str(error), "exit_status": status, "candidates": []}


def test_a_bug_is_not_taken_for_a_users_error(monkeypatch):
    """It ends with Python's own traceback: rich's shows local variables, and those hold tokens."""

    def fail(*_arguments, **_options):
        raise RuntimeError("a bug")

    monkeypatch.setattr("reaper.cli.reach.open_reach", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        root.main(["status"])
    assert sys.excepthook.__module__ != "typer.main"


def test_the_reference_page_is_up_to_date():
    root_folder = Path(__file__).parents[3]
    spec = importlib.util.spec_from_file_location("docs_generate", root_folder / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = root_folder / "docs/reference/cli.md"
    assert page.read_text(encoding="utf-8") == module.commands.cli_page(), "stale: run make docs"
    for name in COMMANDS:
        assert f"## `reaper {name}`" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(reaper, shell):
    ran = reaper("completion", shell)
    assert ran.status == 0
    assert "_REAPER_COMPLETE" in ran.out


def test_completion_needs_a_shell_it_knows(reaper, monkeypatch):
    monkeypatch.setenv("SHELL", "/bin/csh")
    assert reaper("completion").status == 2
    monkeypatch.setenv("SHELL", "/bin/bash")
    assert "_REAPER_COMPLETE" in reaper("completion").out


def test_completion_is_installed_into_the_home_folder(reaper, own_home):
    ran = reaper("completion", "bash", "--install")
    assert ran.status == 0
    assert (own_home / ".bash_completions/reaper.sh").exists()
    assert "reaper.sh" in (own_home / ".bashrc").read_text()
