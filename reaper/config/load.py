"""Load the settings: read every source, find everything that is wrong with it at once, or give them."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ValidationError

from reaper.config import sources
from reaper.config.catalog import FILE_ONLY, settings as all_settings
from reaper.config.checks import contradictions
from reaper.config.model import Provenance, Settings
from reaper.config.presets import PRESETS, detect
from reaper.config.problems import Problem, explain, joined
from reaper.config.sources import Layer, LayerSource
from reaper.errors import ConfigError

__all__ = ["check", "load_settings"]

_ROUNDS = 3
"""A table that is dropped may have hidden another error: look again, but not for ever."""


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Load the settings.

    Args:
        environ: The environment; this process's by default.

    Raises:
        ConfigError: Something can't be used. The message names everything that is wrong, each with its
            variable or file, line and key. It never holds a secret.
    """
    settings, problems = _load(os.environ if environ is None else environ)
    if problems:
        raise ConfigError(joined(problems))
    return settings


def check(environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Give the document of `reaper config check`: `ok`, `file`, and all errors and warnings."""
    settings, problems = _load(os.environ if environ is None else environ)
    file = settings.provenance.file
    return {
        "schema": 1,
        "ok": not problems,
        "file": None if file is None else str(file),
        "errors": [{"where": problem.where, "message": problem.message} for problem in problems],
        "warnings": list(settings.provenance.warnings),
    }


def _load(environ: Mapping[str, str]) -> tuple[Settings, list[Problem]]:
    """Give the settings, with defaults for what can't be used, and everything that is wrong."""
    variables, secrets = sources.environment(environ), sources.credentials(environ)
    file, defaults = sources.file(environ), sources.defaults(environ)
    layers = (variables, secrets, file, defaults)
    problems = [problem for layer in layers for problem in layer.problems]
    numbers = _policy_numbers(file)
    bad: set[str] = set()
    for layer in layers:
        problems += _validate(layer, bad, numbers)
    built = Settings.from_sources(LayerSource(Settings, layer) for layer in layers)
    origins = {name: origin for layer in reversed(layers) for name, origin in layer.origins.items()}
    preset, warnings = _preset(built)
    provenance = Provenance(
        file=file.path, origins=origins, lines=file.lines, policy_numbers=tuple(numbers), preset=preset
    )
    settings = built.with_provenance(provenance)
    warnings = [*(warning for layer in layers for warning in layer.warnings), *warnings]
    if not file.broken:
        found, more = contradictions(settings, bad)
        problems, warnings = problems + found, warnings + more
    return built.with_provenance(replace(provenance, warnings=tuple(warnings))), problems


def _policy_numbers(file: Layer) -> list[int]:
    tables = file.values.get("policies")
    return list(range(len(tables))) if isinstance(tables, list) else []


def _preset(settings: Settings) -> tuple[str, list[str]]:
    """Give the preset in force, and what should be known about how it was found."""
    if settings.preset == "auto":
        preset, warning = detect(settings.studio.metadata_file)
        return preset, [warning] if warning else []
    if PRESETS[settings.preset].available:
        return settings.preset, []
    return "jupyter", []  # `contradictions` refuses it; until then something must stand here


# Validation of one layer


def _validate(layer: Layer, bad: set[str], numbers: list[int]) -> list[Problem]:
    """Find what can't be used in a layer, and take it out, so that the rest can be looked at together.

    Args:
        layer: The layer; its values are changed.
        bad: Takes the dotted names of what was taken out.
        numbers: Which policies are left, by their number in the file.
    """
    problems: list[Problem] = []
    for _ in range(_ROUNDS):
        try:
            Settings.from_sources([LayerSource(Settings, layer)])
        except ValidationError as error:
            # The values are asked for because our own messages repeat them, except where they may be secret.
            found = error.errors(include_url=False)
            problems += [_problem(layer, one) for one in found]
            policies = {one["loc"][1] for one in found if one["loc"][0] == "policies" and len(one["loc"]) > 1}
            for index in sorted((i for i in policies if isinstance(i, int)), reverse=True):
                layer.drop(("policies", index))
                del numbers[index]
            for name in {
                _setting_name(one["loc"]) for one in found if one["loc"][1:2] not in {(i,) for i in policies}
            }:
                layer.drop(tuple(name.split(".")))
                bad.add(name)
        else:
            break
    return problems


def _setting_name(loc: tuple[int | str, ...]) -> str:
    """Give the dotted name of the setting, section or unknown key that an error's place lies in. Pure."""
    names = [str(part) for part in loc]
    for end in range(len(names), 0, -1):
        name = ".".join(names[:end])
        if name in all_settings() or name in FILE_ONLY:
            return name
    return ".".join(names)


def _problem(layer: Layer, error: Any) -> Problem:
    loc: tuple[int | str, ...] = error["loc"]
    name = _setting_name(loc)
    info = all_settings().get(name)
    secret = info is not None and info.credential is not None
    message = explain(error, secret=secret, known=_known(loc[:-1]))
    if name in layer.origins and layer.path is None:
        inside = [
            f"number {part + 1}" if isinstance(part, int) else part for part in loc[len(name.split(".")) :]
        ]
        return Problem(
            where=layer.origins[name].where,
            message=": ".join([", ".join(inside), message] if inside else [message]),
        )
    if name in layer.origins and layer.origins[name].source.endswith("_file"):
        return Problem(where=layer.origins[name].where, message=message)
    return Problem(where=layer.where(_without_branches(loc)), message=message)


def _without_branches(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Take out what pydantic puts into a place to name the branch of a union. Pure."""
    return tuple(part for part in loc if not (isinstance(part, str) and ("[" in part or part == "bool")))


def _known(loc: tuple[int | str, ...]) -> list[str]:
    """Give the keys that a table of the file may have."""
    model: type[BaseModel] | None = Settings
    for part in loc:
        if isinstance(part, int) or model is None:
            continue
        model = _model_of(model, part)
    if model is None:
        return []
    names = list(model.model_fields)
    prefix = ".".join(str(part) for part in loc)
    for name in list(names):
        info = all_settings().get(f"{prefix}.{name}" if prefix else name)
        if info is not None and info.credential:
            names.append(f"{name}_file")
    return names


def _model_of(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    field = model.model_fields.get(name)
    if field is None:
        return None
    candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
    for candidate in candidates:
        inner = [candidate, *getattr(candidate, "__args__", ())]
        for one in inner:
            if isinstance(one, type) and issubclass(one, BaseModel):
                return one
    return None
