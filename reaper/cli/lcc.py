"""`reaper lcc`: lifecycle scripts that install the reaper in SageMaker Studio apps and notebook instances.

The scripts are the templates in `reaper/cli/templates` with what was asked for written into them. Nothing here
talks to AWS: `--create` prints the call that would.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Annotated

import typer

from reaper import __version__
from reaper.cli.app import Group, new_app
from reaper.cli.output import emit, note
from reaper.core.ruleset import Mode
from reaper.errors import UsageError

__all__ = ["LONGEST", "Target", "app", "create_call", "default_variables", "render_script", "template"]

LONGEST = 16_384
"""Characters in base64 that a lifecycle script may have, says SageMaker's own service model."""

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
"""Of a lifecycle configuration; from the service model."""

_S3 = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^/].*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_PATH = re.compile(r"/[A-Za-z0-9._/-]+")
_SPECIAL = re.compile(r"[\"'`$\\]")
"""What shellcheck suspects in single quotes of being meant otherwise."""

_VARIABLE = re.compile(r"REAPER_[A-Z0-9_]+")

_INCLUDE = re.compile(r"^# include (\S+)\n", re.MULTILINE)


class Target(StrEnum):
    """Where a script is to run."""

    JUPYTER_SERVER = "jupyter-server"
    JUPYTERLAB = "jupyterlab"
    CODE_EDITOR = "code-editor"
    NOTEBOOK_INSTANCE = "notebook-instance"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What a target is like.

    Attributes:
        title: The first line of its script.
        app_type: What CreateStudioLifecycleConfig calls it; None: it is a notebook instance.
        preset: `REAPER_PRESET`.
        folder: Where everything is put: on the app's own disk, not in a home, which may be a network file system.
        command: Where people find the command.
    """

    title: str
    app_type: str | None
    preset: str = "studio"
    folder: str = "/var/tmp/idle-reaper"  # noqa: S108 - a container of one user; the script refuses somebody else's
    command: str = '"$HOME/.local/bin/reaper"'


_PLACES = {
    Target.JUPYTER_SERVER: _Place(
        title="a JupyterServer app of SageMaker Studio Classic, with any version of JupyterLab",
        app_type="JupyterServer",
    ),
    Target.JUPYTERLAB: _Place(title="a JupyterLab space of SageMaker Studio", app_type="JupyterLab"),
    Target.CODE_EDITOR: _Place(title="a Code Editor space of SageMaker Studio", app_type="CodeEditor"),
    Target.NOTEBOOK_INSTANCE: _Place(
        title="a SageMaker notebook instance (on start, as root)",
        app_type=None,
        preset="notebook-instance",
        folder="/opt/idle-reaper",
        command="/usr/local/bin/reaper",
    ),
}

app = new_app(cls=Group, no_args_is_help=True)


@app.callback()
def lcc() -> None:
    """Write lifecycle scripts for SageMaker Studio and notebooks.

    Such a script installs the reaper when an app or an instance starts.
    """


@app.command()
def render(
    target: Annotated[Target, typer.Option("--target", help="Where it is to run.", show_default=False)],
    idle_timeout: Annotated[str, typer.Option("--idle-timeout", metavar="DURATION")] = "120m",
    mode: Annotated[Mode, typer.Option("--mode", help="enforce: act; dry-run: only tell.")] = Mode.DRY_RUN,
    bundle: Annotated[
        str,
        typer.Option(
            "--bundle",
            metavar="s3://...|/PATH",
            help="What 'make bundle' made. Without it the script installs by pip, from the internet.",
        ),
    ] = "",
    sha256: Annotated[str, typer.Option("--sha256", help="Of the bundle; goes with --bundle.")] = "",
    notify: Annotated[
        list[str] | None, typer.Option("--notify", metavar="ADDRESS", help="Whom to tell; may be repeated.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="REAPER_...=VALUE", help="Any other setting; may be repeated."),
    ] = None,
    python: Annotated[
        str, typer.Option("--python", metavar="/PATH", help="The Python to use there, instead of looking.")
    ] = "",
    folder: Annotated[
        str, typer.Option("--folder", metavar="/PATH", help="Where it is put there.", show_default=False)
    ] = "",
    create: Annotated[
        str | None,
        typer.Option("--create", metavar="NAME", help="Print the AWS call that makes it, instead."),
    ] = None,
) -> None:
    """Write one script to stdout, or the AWS call that creates it.

    The script installs in the background, and whatever fails there, the app starts. Nothing is sent anywhere: --create
    prints a call for a person, or a pipeline, to run.

    \b
    Examples:
      reaper lcc render --target jupyterlab --mode enforce > on-start.sh
      reaper lcc render --target jupyter-server --idle-timeout 90m \\
        --bundle s3://my-bucket/idle-reaper-bundle.tar.gz --sha256 SUM
      reaper lcc render --target code-editor --create idle-reaper
    """  # noqa: D301 - click's mark for lines to leave alone
    variables = default_variables(target) | {"REAPER_MODE": mode.value, "REAPER_IDLE_TIMEOUT": idle_timeout}
    if notify:
        variables["REAPER_NOTIFY"] = _list(notify)
    variables |= _assignments(settings or [])
    script = render_script(
        target, variables=variables, bundle=bundle, sha256=sha256, python=python, folder=folder
    )
    if create is None:
        emit(script)
    else:
        emit(create_call(target, create, script))
    if variables["REAPER_MODE"] == Mode.DRY_RUN:
        note("a dry run: the daemon will only tell what it would do; --mode enforce has it act")
    if notify:
        note("whoever may describe the lifecycle configuration can read its addresses")


def default_variables(target: Target) -> dict[str, str]:
    """Give the settings that a script has in any case."""
    return {
        "REAPER_MODE": Mode.DRY_RUN.value,
        "REAPER_PRESET": _PLACES[target].preset,
        "REAPER_IDLE_TIMEOUT": "120m",
    }


def render_script(
    target: Target,
    *,
    variables: Mapping[str, str],
    bundle: str = "",
    sha256: str = "",
    python: str = "",
    folder: str = "",
) -> str:
    """Write a lifecycle script.

    Args:
        target: Where it is to run.
        variables: Settings: `REAPER_MODE` and others. They are checked as the daemon would.
        bundle: `s3://` address or absolute path of an offline bundle; empty: pip and the internet.
        sha256: The bundle's.
        python: Path of the Python to use.
        folder: Where everything is put; empty: the target's own.

    Raises:
        UsageError: A value can't be used, or the script is longer than SageMaker takes.
        ConfigError: A setting is unknown or can't be used.
    """
    place = _PLACES[target]
    folder = folder or place.folder
    _check_bundle(bundle, sha256)
    for option, path in (("--python", python), ("--folder", folder)):
        if path and not _PATH.fullmatch(path):
            raise UsageError(f"{option}: {path!r} is not an absolute path of letters, digits and . _ - /")
    _check_settings(variables)
    lines = [
        f"VERSION={_quoted('the version', __version__)}",
        f"BUNDLE={_quoted('--bundle', bundle)} # made by make bundle; empty: pip, from the internet",
        f"SHA256={_quoted('--sha256', sha256)}",
        f"PYTHON={_quoted('--python', python)} # empty: looked for",
        f"ROOT={_quoted('--folder', folder)}",
        f"COMMAND={place.command}",
        *(f"export {name}={_quoted(name, value)}" for name, value in variables.items()),
    ]
    heading = [f"# idle-reaper in {place.title}; written by reaper lcc render"]
    if _SPECIAL.search("".join([bundle, *variables.values()])):
        heading.append("# shellcheck disable=SC1003,SC2016,SC2089,SC2090 # settings mean just what they say")
    script = _replaced(template("lifecycle.sh"), "heading", heading)
    script = _replaced(script, "settings", lines)
    size = len(b64encode(script.encode()))
    if size > LONGEST:
        raise UsageError(
            f"the script has {size} characters in base64, and SageMaker takes {LONGEST}: put settings into a file "
            "of the image and name it with --set REAPER_CONFIG=/path"
        )
    return script


def create_call(target: Target, name: str, script: str) -> str:
    """Write the call of the AWS command line that creates a lifecycle configuration.

    Raises:
        UsageError: The name is none that SageMaker takes.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"--create: {name!r} is not 1 to 63 letters, digits and hyphens, no hyphen at an end"
        )
    content = b64encode(script.encode()).decode()
    app_type = _PLACES[target].app_type
    if app_type is None:
        words = [
            "aws sagemaker create-notebook-instance-lifecycle-config",
            f"--notebook-instance-lifecycle-config-name {name}",
            f"--on-start Content={content}",
        ]
    else:
        words = [
            "aws sagemaker create-studio-lifecycle-config",
            f"--studio-lifecycle-config-name {name}",
            f"--studio-lifecycle-config-app-type {app_type}",
            f"--studio-lifecycle-config-content {content}",
        ]
    return " \\\n  ".join(words) + "\n"


def template(name: str) -> str:
    """Give a script of `reaper/cli/templates` with what it includes in it."""
    folder = files("reaper.cli") / "templates"

    def included(match: re.Match[str]) -> str:
        text = (folder / match[1]).read_text(encoding="utf-8")
        return text.removeprefix("# shellcheck shell=bash\n")

    return _INCLUDE.sub(included, (folder / name).read_text(encoding="utf-8"))


def _replaced(script: str, part: str, lines: list[str]) -> str:
    """Put lines in the place of what stands between the marks of a part."""
    before, mark, rest = script.partition(f"# --- {part}, by reaper lcc render ---\n")
    _, end, after = rest.partition("# --- end ---\n")
    if not end:
        raise ValueError(f"the template has no part {part!r}")
    text = "".join(f"{line}\n" for line in lines)
    return before + (text if part == "heading" else mark + text + end) + after


def _quoted(what: str, value: str) -> str:
    """Write a value so that a shell reads just that.

    Raises:
        UsageError: It has control characters: no setting needs one, and what a newline does depends on who reads it.
    """
    if not value.isprintable():
        raise UsageError(f"{what}: {value!r} has characters that can't be printed (a line break?)")
    return "'" + value.replace("'", "'\\''") + "'"


def _list(addresses: list[str]) -> str:
    import json

    return addresses[0] if len(addresses) == 1 else json.dumps(addresses, ensure_ascii=False)


def _assignments(texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not _VARIABLE.fullmatch(name):
            raise UsageError(f"--set: {text!r} is not REAPER_NAME=VALUE")
        found[name] = value
    return found


def _check_bundle(bundle: str, sha256: str) -> None:
    if bool(bundle) != bool(sha256):
        raise UsageError("--bundle and --sha256 go together: 'make bundle' prints the sum")
    if bundle and not (_S3.fullmatch(bundle) or bundle.startswith("/")):
        raise UsageError(f"--bundle: {bundle!r} is neither s3://BUCKET/KEY nor an absolute path")
    if sha256 and not _SHA256.fullmatch(sha256):
        raise UsageError(f"--sha256: {sha256!r} is not 64 hexadecimal digits in lower case")


def _check_settings(variables: Mapping[str, str]) -> None:
    """Check settings as the daemon will, but for what is only there: files, and the preset's metadata.

    Raises:
        ConfigError: A setting is unknown or can't be used.
    """
    import tempfile

    from reaper.config import load_settings
    from reaper.config.catalog import settings, suggest
    from reaper.errors import ConfigError

    known = {info.variable for info in settings().values()}
    known |= {f"{info.variable}_FILE" for info in settings().values() if info.credential} | {"REAPER_CONFIG"}
    files_there = {name for name in variables if name.endswith("_FILE") or name == "REAPER_CONFIG"}
    if unknown := sorted(files_there - known):
        near = suggest(unknown[0], sorted(known))
        raise ConfigError(
            f"--set {unknown[0]}: there is no such setting" + (f"; did you mean {near}?" if near else "")
        )
    with tempfile.NamedTemporaryFile(suffix=".toml") as empty:
        here = {name: value for name, value in variables.items() if name not in files_there}
        here |= {"HOME": "/nonexistent", "REAPER_CONFIG": empty.name, "REAPER_PRESET": "jupyter"}
        load_settings(here)
