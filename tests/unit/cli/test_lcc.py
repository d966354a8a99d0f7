"""`reaper lcc render`: what is written is what was asked for, safe to run, and taken by SageMaker."""

import json
import os
import re
import shlex
import shutil
import subprocess
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import botocore.session
import botocore.validate
import pytest

from reaper import __version__
from reaper.cli.lcc import LONGEST, Target, template

ROOT = Path(__file__).parents[3]
TEMPLATES = ROOT / "reaper/cli/templates"
SUM = "5e" * 32
NASTY = """command:/opt/it's "$(touch pwned)" `touch pwned` ${HOME} \\' \\ ; touch pwned # ü"""

each_target = pytest.mark.parametrize("target", [target.value for target in Target])


def sourced(script: str) -> str:
    """A script without its last act: what it defines can be looked at."""
    head, main, _ = script.rpartition('main "$@"\n')
    assert main
    return head.replace("trap 'echo", "true 'echo")


def bash(script: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        cwd=folder,
        env={"PATH": os.defpath, "HOME": str(folder), "REAPER_POLL_INTERVAL": "9s"},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def shellcheck(script: str) -> None:
    if shutil.which("shellcheck") is None:
        if os.environ.get("CI"):
            pytest.fail("shellcheck is not there: .ci/run installs it")
        pytest.skip("shellcheck is not installed")
    done = subprocess.run(
        ["shellcheck", "--shell", "bash", "-"],
        input=script,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("", 0)


@each_target
def test_a_script_is_one_that_sagemaker_takes(reaper, target):
    ran = reaper("lcc", "render", "--target", target)
    assert ran.status == 0
    assert ran.out.startswith("#!/bin/bash\n# idle-reaper in a ")
    assert "\r" not in ran.out
    assert ran.out.endswith("\n")
    assert len(b64encode(ran.out.encode())) < LONGEST - 2000, "there must be room for settings"
    assert "set -euo pipefail" in ran.out
    assert f"VERSION='{__version__}'\n" in ran.out
    assert "export REAPER_MODE='dry-run'\n" in ran.out
    assert "a dry run" in ran.err
    shellcheck(ran.out)


def test_a_script_with_everything_is_clean_too(reaper):
    arguments = ["--mode", "enforce", "--idle-timeout", "90m", "--bundle", "s3://bucket/a b'c.tar.gz"]
    arguments += ["--sha256", SUM, "--notify", "https://example.com/x?a=1&b=2", "--notify", NASTY]
    arguments += [
        "--set",
        "REAPER_KEEP_TERMINALS=true",
        "--python",
        "/opt/py/bin/python3",
        "--folder",
        "/opt/x",
    ]
    ran = reaper("lcc", "render", "--target", "jupyterlab", *arguments)
    assert ran.status == 0
    assert "export REAPER_MODE='enforce'\n" in ran.out
    assert "export REAPER_IDLE_TIMEOUT='90m'\n" in ran.out
    assert f"SHA256='{SUM}'\n" in ran.out
    assert "ROOT='/opt/x'\n" in ran.out
    assert "dry run" not in ran.err
    assert "can read its addresses" in ran.err
    shellcheck(ran.out)


def test_the_installer_and_its_parts_are_clean():
    """With what it includes and without, as `make check` sees it."""
    shellcheck((TEMPLATES / "find-python.sh").read_text(encoding="utf-8"))
    shellcheck(template("install.sh"))


@pytest.mark.parametrize(
    ("target", "preset", "folder"),
    [
        ("jupyter-server", "studio", "/var/tmp/idle-reaper"),
        ("jupyterlab", "studio", "/var/tmp/idle-reaper"),
        ("code-editor", "studio", "/var/tmp/idle-reaper"),
        ("notebook-instance", "notebook-instance", "/opt/idle-reaper"),
    ],
)
def test_each_target_has_its_preset_and_place(reaper, target, preset, folder):
    script = reaper("lcc", "render", "--target", target).out
    assert f"export REAPER_PRESET='{preset}'\n" in script
    assert f"ROOT='{folder}'\n" in script


def test_values_reach_the_daemon_as_they_were_given(reaper, tmp_path):
    """Through the script, the worker that it writes, and the command that the worker writes."""
    script = reaper(
        "lcc", "render", "--target", "jupyterlab", "--notify", NASTY, "--bundle", "/a 'b'", "--sha256", SUM
    ).out
    (tmp_path / "script").write_text(sourced(script))
    bash("source ./script; worker >worker", tmp_path)
    worker, mark, _ = (tmp_path / "worker").read_text().rpartition("\nwork\n")
    assert mark
    (tmp_path / "worker").write_text(worker + "\n")
    bash('source ./worker; command_file "${!REAPER_@}" >command', tmp_path)
    command = (tmp_path / "command").read_text().replace("\nexec ", "\ntrue ")
    (tmp_path / "command").write_text(command)
    shown = bash(
        'source ./worker; printf "%s\\n" "$BUNDLE"; source ./command; printenv REAPER_NOTIFY', tmp_path
    )
    assert shown == f"/a 'b'\n{NASTY}\n"
    assert not (tmp_path / "pwned").exists()


def test_variables_of_the_image_do_not_count(reaper, tmp_path):
    (tmp_path / "script").write_text(sourced(reaper("lcc", "render", "--target", "jupyterlab").out))
    names = bash('source ./script; echo "${!REAPER_@}"', tmp_path)
    assert names == "REAPER_IDLE_TIMEOUT REAPER_MODE REAPER_PRESET\n"


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--notify", "log:\nrm"], 2, "line break"),
        (["--notify", "log:\x1b[31m"], 2, "can't be printed"),
        (["--set", "REAPER_KEEP_TERMINALS=true\n"], 2, "line break"),
        (["--set", "PATH=/x"], 2, "not REAPER_NAME=VALUE"),
        (["--set", "REAPER_X;id=1"], 2, "not REAPER_NAME=VALUE"),
        (["--set", "REAPER_KEEP_TERMINALS"], 2, "not REAPER_NAME=VALUE"),
        (["--set", "REAPER_IDLE_TIMEOUTS=3h"], 78, "REAPER_IDLE_TIMEOUT"),
        (["--set", "REAPER_NOFITY_FILE=/x"], 78, "no such setting"),
        (["--idle-timeout", "120"], 78, "no unit"),
        (["--notify", "carrier-pigeon:x"], 78, "no notifier"),
        (["--mode", "enforce", "--set", "REAPER_WARN_BEFORE=5m"], 78, "nobody is told"),
        (["--bundle", "s3://bucket/key"], 2, "go together"),
        (["--sha256", SUM], 2, "go together"),
        (["--bundle", "https://x/y", "--sha256", SUM], 2, "neither s3://"),
        (["--bundle", "s3://bucket", "--sha256", SUM], 2, "neither s3://"),
        (["--bundle", "/x\ny", "--sha256", SUM], 2, "line break"),
        (["--bundle", "/x", "--sha256", SUM.upper()], 2, "hexadecimal"),
        (["--folder", "relative"], 2, "absolute path"),
        (["--folder", "/with space"], 2, "absolute path"),
        (["--python", "/x;y"], 2, "absolute path"),
        (["--create", "-x"], 2, "hyphen"),
        (["--create", "x" * 64], 2, "63"),
        (["--notify", f"https://example.com/{'x' * 3000}"], 2, "characters in base64"),
    ],
)
def test_what_can_not_be_used_is_refused(reaper, arguments, status, said):
    ran = reaper("lcc", "render", "--target", "jupyterlab", *arguments)
    assert (ran.status, ran.out) == (status, "")
    assert said in ran.err


def test_files_of_the_image_are_not_looked_for_here(reaper):
    ran = reaper(
        "lcc", "render", "--target", "jupyterlab", "--set", "REAPER_NOTIFY_FILE=/not/here", "--set",
        "REAPER_CONFIG=/nor/here.toml", "--set", "REAPER_JUPYTER__CA_FILE=/nor/this",
    )  # fmt: skip
    assert ran.status == 0
    assert "export REAPER_NOTIFY_FILE='/not/here'\n" in ran.out


@pytest.mark.parametrize(
    ("target", "app_type"),
    [
        ("jupyter-server", "JupyterServer"),
        ("jupyterlab", "JupyterLab"),
        ("code-editor", "CodeEditor"),
        ("notebook-instance", None),
    ],
)
def test_the_call_is_one_that_aws_knows(reaper, target, app_type):
    """Its words are parameters in botocore's model of SageMaker, and its content is the script."""
    script = reaper("lcc", "render", "--target", target).out
    ran = reaper("lcc", "render", "--target", target, "--create", "idle-reaper-1")
    assert ran.status == 0
    shellcheck(ran.out)
    aws, service, command, *options = shlex.split(ran.out.replace("\\\n", ""))
    assert (aws, service) == ("aws", "sagemaker")
    given = dict(zip(options[::2], options[1::2], strict=True))
    operation = "".join(word.capitalize() for word in command.split("-"))
    shape = (
        botocore.session.get_session().get_service_model("sagemaker").operation_model(operation).input_shape
    )
    parameters: dict[str, Any] = {}
    for option, value in given.items():
        name = "".join(word.capitalize() for word in option.removeprefix("--").split("-"))
        parameters[name] = [dict([value.split("=", 1)])] if value.startswith("Content=") else value
    assert shape is not None
    report = botocore.validate.ParamValidator().validate(parameters, shape)
    assert not report.has_errors(), report.generate_report()
    if app_type is None:
        content = parameters["OnStart"][0]["Content"]
    else:
        assert parameters["StudioLifecycleConfigAppType"] == app_type
        assert app_type in shape.members["StudioLifecycleConfigAppType"].enum
        content = parameters["StudioLifecycleConfigContent"]
    assert b64decode(content).decode() == script
    limit = botocore.session.get_session().get_service_model("sagemaker")
    assert limit.shape_for("StudioLifecycleConfigContent").metadata["max"] == LONGEST
    name = next(value for key, value in parameters.items() if key.endswith("Name"))
    assert re.fullmatch(limit.shape_for("StudioLifecycleConfigName").metadata["pattern"], name)


def test_the_page_attaches_it_as_aws_wants_it():
    page = (ROOT / "docs/how-to/install-in-studio.md").read_text(encoding="utf-8")
    settings = json.loads(page.partition("settings.json <<'END'\n")[2].partition("\nEND\n")[0])
    model = botocore.session.get_session().get_service_model("sagemaker")
    shape = model.operation_model("UpdateDomain").input_shape
    assert shape is not None
    parameters = {"DomainId": "d-EXAMPLE", "DefaultUserSettings": settings}
    report = botocore.validate.ParamValidator().validate(parameters, shape)
    assert not report.has_errors(), report.generate_report()
    for app in settings.values():
        assert app["LifecycleConfigArns"] == [app["DefaultResourceSpec"]["LifecycleConfigArn"]]


def test_nothing_is_run(reaper, monkeypatch, tmp_path):
    """`--create` prints a call; no aws is started, found on PATH or not."""
    fake = tmp_path / "aws"
    fake.write_text(f"#!/bin/sh\ntouch {tmp_path}/called\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert reaper("lcc", "render", "--target", "jupyterlab", "--create", "x").status == 0
    assert not (tmp_path / "called").exists()
