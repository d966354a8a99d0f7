"""`reaper config`: show, check and describe the configuration."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from reaper.cli.app import EXIT_CONFIG, Group, new_app
from reaper.cli.output import Column, Format, OutputOption, Page, emit, emit_json

__all__ = ["app", "local_settings", "policies_toml", "settings_page"]

app = new_app(cls=Group, no_args_is_help=True)


@app.callback()
def config() -> None:
    """Show, check or describe the configuration.

    It is read from REAPER_* variables, then from a file: REAPER_CONFIG, else /etc/reaper/reaper.toml, else
    $XDG_CONFIG_HOME/reaper/reaper.toml.
    """


@app.command()
def show(
    local: Annotated[bool, typer.Option("--local", help="Of this shell, whatever a daemon says.")] = False,
    policies: Annotated[
        bool, typer.Option("--policies", help="The policies alone, as TOML for the file.")
    ] = False,
    output: Annotated[Format, OutputOption] = Format.TABLE,
) -> None:
    """Print every effective setting of the daemon and where it came from.

    Secrets are masked. Without a daemon, and with --local, these are the settings that a daemon started in this shell
    would have.
    """
    document = _local() if local else _of_daemon()
    if policies:
        if output is Format.JSON:
            emit_json({"schema": 1, "policies": document["policies"], "daemon": document["daemon"]})
        else:
            emit(policies_toml(document))
    elif output is Format.JSON:
        emit_json(document)
    else:
        settings_page(document, Page()).show()


@app.command()
def check(output: Annotated[Format, OutputOption] = Format.TABLE) -> int:
    """Check the configuration of this shell; exit status 78 if a daemon could not use it.

    Everything that is wrong is named at once, each with its variable or line.
    """
    from reaper.config import check as check_configuration

    document = check_configuration()
    if output is Format.JSON:
        emit_json(document)
    else:
        shown = Page()
        for level, style in (("errors", "fail"), ("warnings", "warn")):
            for one in document[level]:
                text = f"{one['where']}: {one['message']}" if isinstance(one, dict) else str(one)
                shown.line(f"{level[:-1]}: {text}", hanging=2, style=style)
        file = document["file"] or "no configuration file: environment and defaults"
        verdict = "can be used" if document["ok"] else "can not be used"
        shown.line(f"{file}: {verdict}" if document["file"] else f"{file} {verdict}")
        shown.show()
    return 0 if document["ok"] else EXIT_CONFIG


@app.command("schema")
def schema_() -> None:
    """Print the JSON Schema of the configuration file; 'x-variable' names the environment variables."""
    from reaper.config import schema

    emit_json(schema())


def local_settings() -> dict[str, Any]:
    """Give the settings of this shell.

    Raises:
        ConfigError: They can't be used.
    """
    from reaper.config import load_settings, show as show_settings

    return show_settings(load_settings())


def _local() -> dict[str, Any]:
    return {**local_settings(), "daemon": False}


def _of_daemon() -> dict[str, Any]:
    from reaper.cli.client import find
    from reaper.cli.output import note
    from reaper.cli.reach import DaemonReach, plainly

    client, tried = find()
    if client is not None:
        return DaemonReach(client).settings()
    document = _local()
    note(f"{plainly(tried) if tried else 'REAPER_LISTEN is none'}; these are the settings of this shell")
    return document


def settings_page(document: Mapping[str, Any], shown: Page) -> Page:
    """Draw the settings."""
    file = document.get("file") or "no configuration file"
    shown.line(f"mode {document['mode']}, preset {document['preset']}, {file}", style="bold")
    for warning in document.get("warnings") or ():
        shown.line(f"warning: {warning}", hanging=2, style="warn")
    columns = [Column(title="variable"), Column(title="value", wraps=True), Column(title="from", wraps=True)]
    brief = shown.screen.width is not None
    rows = [[one["variable"], _shown(one), _source(one, brief=brief)] for one in document["settings"]]
    shown.table(columns, rows)
    if document.get("policies"):
        shown.line()
        names = ", ".join(f"{one['name']} ({one['kind']}, {one['rule']})" for one in document["policies"])
        shown.line(f"policies: {names}; 'reaper config show --policies' writes them out", hanging=2)
    return shown


def _shown(setting: Mapping[str, Any]) -> str:
    """Write a setting's value; where nothing is set, what that means."""
    unset = setting["source"] == "default" and setting["value"] in (None, [], "")
    return str(setting["default"]) if unset and setting.get("default") else _value(setting["value"])


def _source(setting: Mapping[str, Any], *, brief: bool) -> str:
    """Write where a value came from; briefly, without the variable and the file that stand there already."""
    source = str(setting["source"])
    if not brief:
        return source
    if source == f"env {setting['variable']}":
        return "env"
    return "file" if source.startswith("file ") and source.endswith(f":{setting['name']}") else source


def _value(value: object) -> str:
    if value is None:
        return "unset"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return value or "unset"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ",".join(value) or "none"
    return json.dumps(value, ensure_ascii=False)


def policies_toml(document: Mapping[str, Any]) -> str:
    """Write the policies of a settings document as TOML that the configuration file can hold."""
    whose = "the daemon" if document.get("daemon") else "this shell"
    heading = f"# The policies in force ({whose}: mode {document['mode']}, preset {document['preset']}).\n"
    blocks = [heading + "# A policy may be stricter than the mode, never looser."]
    for policy in document["policies"]:
        lines = ["[[policies]]", f"name = {_toml(policy['name'])}", f"kind = {_toml(policy['kind'])}"]
        match = _match(policy["match"])
        if match:
            lines.append(f"match = {_toml(match)}")
        if policy.get("where") is not None:
            lines.append(f"where = {_toml(policy['where'])}")
        lines.append(f"rule = {_toml(policy['rule'])}")
        lines += [f"{_key(key)} = {_toml(value)}" for key, value in policy["parameters"].items()]
        steps = policy["steps"]
        if len(steps) == 1:
            lines.append(f"action = {_toml(steps[0]['action'])}")
        if policy["mode"] == "dry-run":
            lines.append(f"mode = {_toml(policy['mode'])}")
        lines += [f"{name} = {_toml(policy[name])}" for name in ("warn_before", "minimum_age")]
        for step in steps if len(steps) > 1 else ():
            lines += ["[[policies.steps]]", f"action = {_toml(step['action'])}"]
            lines += [f"after = {_toml(step['after'])}"] if step["after"] != "0s" else []
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def _match(match: Mapping[str, Any]) -> dict[str, Any]:
    """Write a match as the file has it: attributes stand beside the other keys."""
    table = {name: match[name] for name in ("scope", "name", "owner") if match.get(name)}
    if match.get("tags"):
        table["tags"] = match["tags"]
    return {**table, **(match.get("attributes") or {})}


def _toml(value: Any, indent: str = "") -> str:
    """Write a value; tables in a list have a line each."""
    if isinstance(value, Mapping):
        inside = [f"{_key(key)} = {_toml(item, indent)}" for key, item in value.items()]
        return "{ " + ", ".join(inside) + " }"
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        inside = [f"\n{indent}  {_toml(item, indent + '  ')}," for item in value]
        return "[" + "".join(inside) + f"\n{indent}]"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    written = json.dumps(str(value), ensure_ascii=False)
    return "".join(char if char.isprintable() else f"\\U{ord(char):08x}" for char in written)


def _key(key: str) -> str:
    bare = key.replace("_", "").replace("-", "")
    return key if bare.isascii() and bare.isalnum() else _toml(key)
