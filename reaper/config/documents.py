"""What people see of the configuration: `config show`, `config show --policies`, `config schema`."""

from collections.abc import Mapping
from datetime import timedelta
from functools import cache
from typing import Any

from pydantic import SecretStr

from reaper import __version__
from reaper.config.catalog import SettingInfo, settings as all_settings
from reaper.config.kinds import served
from reaper.config.model import Settings
from reaper.config.policies import rule_keys, to_toml
from reaper.config.rules import build_ruleset, idle_timeout as timeout_in_force, policies
from reaper.config.values import MASK, duration_text, safe_address, safe_url
from reaper.core.codec import instant_to_text, to_json
from reaper.core.durations import parse_duration
from reaper.core.facts import SettingChanged
from reaper.core.ruleset import PolicySpec, Ruleset

__all__ = ["schema", "show", "show_policies_toml", "shown_default"]


def show(settings: Settings, overrides: Mapping[str, SettingChanged] | None = None) -> dict[str, Any]:
    """Give the document of `reaper config show`: every effective setting with where it came from, secrets masked.

    Args:
        settings: The configuration.
        overrides: What `reaper set` put over it and is in force, by name.
    """
    changed = overrides or {}
    ruleset = build_ruleset(
        settings, {name: one.value for name, one in changed.items() if one.value is not None}
    )
    provenance = settings.provenance
    return {
        "schema": 1,
        "version": __version__,
        "file": None if provenance.file is None else str(provenance.file),
        "mode": settings.mode.value,
        "preset": provenance.preset,
        "settings": [_entry(settings, info, changed) for info in all_settings().values()],
        "policies": [_policy(policy, ruleset) for policy in ruleset.policies],
        "warnings": list(provenance.warnings),
    }


def _entry(settings: Settings, info: SettingInfo, changed: Mapping[str, SettingChanged]) -> dict[str, Any]:
    origin = settings.provenance.origins.get(info.name)
    source = origin.source if origin is not None else "default"
    written = origin.written if origin is not None else info.shown_default
    value = _value(settings, info, written)
    override = changed.get(info.name.replace("_", "-"))
    if override is not None and override.value is not None:
        value = override.value
        until = f" until {instant_to_text(override.until)}" if override.until is not None else ""
        source = f"override by {override.who}{until}"
    return {
        "name": info.name,
        "variable": info.variable,
        "value": value,
        "source": source,
        "default": shown_default(info),
    }


def _value(settings: Settings, info: SettingInfo, written: str | None = None) -> Any:
    """Give a value as JSON, as it could be written in the file; secrets masked, or with their harmless part.

    A length of time is given as it was written, where that is known.
    """
    table: Any = settings
    for key in info.path[:-1]:
        table = getattr(table, key)
    value: Any = getattr(table, info.path[-1])
    if info.name == "notify":
        return [safe_address(address.get_secret_value()) for address in value]
    if info.name == "jupyter.url":
        return [safe_url(url.get_secret_value()) for url in value]
    if info.name == "state":
        return safe_state(value)
    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, timedelta) and written:
        return written.strip()
    return table.model_dump(mode="json", include={info.path[-1]})[info.path[-1]]


def safe_state(state: str) -> str:
    """Write the journal's place without user name and password. Pure."""
    return safe_url(state) if "://" in state and "@" in state else state


def _policy(policy: PolicySpec, ruleset: Ruleset) -> dict[str, Any]:
    parameters = rule_keys(policy)
    where, rule = parameters.pop("where", None), parameters.pop("rule")
    return {
        "name": policy.name,
        "kind": policy.kind,
        "match": to_json(policy.match),
        "where": where,
        "rule": rule,
        "parameters": parameters,
        "steps": [{"action": step.action, "after": duration_text(step.after)} for step in policy.steps],
        "mode": policy.mode.value,
        "enforced": ruleset.enforced(policy),
        "warn_before": duration_text(policy.warn_before),
        "minimum_age": duration_text(policy.minimum_age),
        "served": served(policy.kind),
    }


def show_policies_toml(settings: Settings, overrides: Mapping[str, str] | None = None) -> str:
    """Give the policies in force as TOML that loads back equal: `reaper config show --policies`."""
    found = policies(settings, timeout_in_force(settings, overrides or {}))
    origin = (
        f"the policies of {settings.provenance.file}"
        if settings.policies
        else f"the preset {settings.provenance.preset}"
    )
    heading = f"Written out from {origin}.\n"
    heading += f"REAPER_MODE is {settings.mode.value}: a policy may be stricter, never looser."
    if settings.keep_terminals:
        heading += "\nkeep_terminals is true: no policy is about terminals."
    return to_toml(found, heading=heading)


def shown_default(info: SettingInfo) -> str:
    """Give a setting's default as the reference writes it."""
    if info.shown_default:
        return info.shown_default
    value = _value(_defaults(), info)
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


@cache
def _defaults() -> Settings:
    return Settings()


def schema() -> dict[str, Any]:
    """Give the JSON Schema of the configuration file: `reaper config schema`. `x-variable` names the variables."""
    found = Settings.model_json_schema()
    definitions = found.get("$defs", {})
    for info in all_settings().values():
        properties = _properties(found, definitions, info)
        name = info.path[-1]
        properties[name]["x-variable"] = info.variable
        if not isinstance(properties[name].get("default"), (bool, type(None))):
            properties[name]["default"] = _value(_defaults(), info)
        if info.credential:
            properties[f"{name}_file"] = {
                "type": "string",
                "description": f"A file that holds {name}",
                "x-variable": f"{info.variable}_FILE",
                "x-credential": info.credential,
            }
            properties[name]["x-credential"] = info.credential
    for table in ("PolicyTable", "StepTable", "BudgetTable"):
        for declared in definitions[table]["properties"].values():
            if str(declared.get("default", "")).startswith(
                "P"
            ):  # pydantic's ISO 8601; ours are easier to read
                declared["default"] = duration_text(parse_duration(declared["default"]))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **found,
        "title": "reaper's configuration file",
    }


def _properties(found: dict[str, Any], definitions: dict[str, Any], info: SettingInfo) -> dict[str, Any]:
    table = found
    for key in info.path[:-1]:
        reference = str(table["properties"][key]["$ref"])
        table = definitions[reference.rpartition("/")[2]]
    properties: dict[str, Any] = table["properties"]
    return properties
