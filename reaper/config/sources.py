"""Where settings are read from: the environment, systemd's credentials, the configuration file.

Each is a pydantic-settings source that also knows where each of its values stands, so that an error
and `reaper config show` can say it. Environment beats credential beats file beats default.
"""

import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from reaper.config.catalog import FILE_ONLY, PREFIX, SettingInfo, sections, settings, suggest
from reaper.config.locate import key_lines, line_of
from reaper.config.model import Origin
from reaper.config.places import (
    config_file,
    credential_key,
    default_listen,
    default_state,
    place_of_state,
    read_table,
)
from reaper.config.problems import Problem

__all__ = ["Layer", "LayerSource", "credentials", "defaults", "environment", "file"]

_KUBERNETES = ("REAPER_PORT", "REAPER_SERVICE_")
"""What Kubernetes injects for a service that is called `reaper`."""

_ELSEWHERE = frozenset({"REAPER_CONFIG"})
"""Variables that are no settings."""

_LARGEST_SECRET = 64 * 1024
_OTHERS_MAY_READ = stat.S_IROTH


@dataclass(slots=True, kw_only=True)
class Layer:
    """What one source gave.

    Attributes:
        values: As nested tables, not validated.
        origins: Where each value came from, by dotted name.
        problems: What could not be read.
        warnings: What could be read, but a person should know.
        path: The file, for the file's layer.
        lines: Lines of the file's keys, by path.
        broken: It could not be read at all, so nothing is known of what it would have said.
    """

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    path: Path | None = None
    lines: dict[tuple[str | int, ...], int] = field(default_factory=dict)
    broken: bool = False

    def put(self, info: SettingInfo, value: Any, origin: Origin) -> None:
        """Take a value."""
        table = self.values
        for key in info.path[:-1]:
            table = table.setdefault(key, {})
        table[info.path[-1]] = value
        self.origins[info.name] = origin

    def drop(self, path: tuple[str | int, ...]) -> None:
        """Take a value out again: a setting, a whole section, an unknown key, one item of a list of tables."""
        table: Any = self.values
        for key in path[:-1]:
            table = table.get(key) if isinstance(table, dict) else None
        if isinstance(table, dict):
            table.pop(path[-1], None)
        elif isinstance(table, list) and isinstance(path[-1], int) and path[-1] < len(table):
            del table[path[-1]]

    def where(self, path: tuple[str | int, ...]) -> str:
        """Say where a key of the file stands: `/etc/reaper/reaper.toml:3: idle_timeout`."""
        line = line_of(self.lines, path)
        name = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
        return f"{self.path}{f':{line}' if line else ''}: {name}"


class LayerSource(PydanticBaseSettingsSource):
    """Hands a layer to pydantic-settings."""

    def __init__(self, settings_cls: type[BaseSettings], layer: Layer) -> None:
        super().__init__(settings_cls)
        self._layer = layer

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Give one field's value; asked for by the base class, used by nobody."""
        return self._layer.values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Give all values."""
        return self._layer.values


# The environment


def environment(environ: Mapping[str, str]) -> Layer:
    """Read `REAPER_*`. An empty value counts as unset."""
    layer = Layer()
    by_variable = {info.variable: info for info in settings().values()}
    by_file_variable = {f"{info.variable}_FILE": info for info in settings().values() if info.credential}
    for variable, raw in sorted(environ.items()):
        text = raw.strip()
        if not text or not variable.upper().startswith(PREFIX) or variable in _ELSEWHERE:
            continue
        if variable.startswith(_KUBERNETES):
            continue
        if variable in by_variable:
            info = by_variable[variable]
            value = place_of_state(text, Path.cwd()) if info.name == "state" else text
            if not _is_unicode(text):
                layer.problems.append(Problem(where=variable, message="is not UTF-8 text"))
            else:
                written = None if info.credential else text
                layer.put(info, value, Origin(source=f"env {variable}", where=variable, written=written))
        elif variable in by_file_variable:
            info = by_file_variable[variable]
            if environ.get(info.variable, "").strip():
                message = f"{info.variable} is set too: set one of them"
                layer.problems.append(Problem(where=variable, message=message))
                continue
            origin = Origin(source=f"env {variable}", where=variable)
            _put_secret(layer, info, Path(text).expanduser().absolute(), origin)
        else:
            _unknown_variable(layer, variable, [*by_variable, *by_file_variable, *_ELSEWHERE])
    return layer


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _unknown_variable(layer: Layer, variable: str, known: list[str]) -> None:
    upper = variable.upper()
    if not variable.startswith(PREFIX) and upper not in known:
        return  # somebody else's: only upper case names are ours
    name = upper.removeprefix(PREFIX).replace("__", ".").lower()
    if upper in known:
        message = f"is not read: variables are upper case; write {upper}"
    elif name in sections() and name:
        message = f"is a group of settings, not one: set {variable}__NAME, such as {_one_of(name)}"
    elif name in FILE_ONLY:
        message = f"can't be a variable: write [[{name}]] in the configuration file"
    else:
        near = suggest(variable, known)
        message = "there is no such setting; " + (
            f"did you mean {near}?" if near else "'reaper config schema' lists all there are"
        )
    layer.problems.append(Problem(where=variable, message=message))


def _one_of(section: str) -> str:
    return next(info.variable for info in settings().values() if info.name.startswith(f"{section}."))


# Secrets in files


def _put_secret(layer: Layer, info: SettingInfo, path: Path, origin: Origin) -> None:
    """Read a secret from a file into a layer, or say why not. Its last line end is no part of it."""
    try:
        content, mode = _content(path)
    except OSError as error:
        message = f"{path} can't be read: {error.strerror or error}"
        layer.problems.append(Problem(where=origin.where, message=message))
        return
    except ValueError as error:
        layer.problems.append(Problem(where=origin.where, message=f"{path} {error}"))
        return
    if mode & _OTHERS_MAY_READ:
        layer.warnings.append(f"{origin.where}: everybody on this host may read {path}: chmod o-r {path}")
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    if not lines:
        layer.problems.append(Problem(where=origin.where, message=f"{path} is empty"))
    elif len(lines) > 1 and info.name not in {"jupyter.url", "notify"}:
        message = f"{path} holds several lines; it must hold the secret alone"
        layer.problems.append(Problem(where=origin.where, message=message))
    else:
        layer.put(info, ",".join(lines) if len(lines) > 1 else lines[0], origin)


def _content(path: Path) -> tuple[str, int]:
    with path.open("rb") as stream:
        mode = path.stat().st_mode
        content = stream.read(_LARGEST_SECRET + 1)
    if len(content) > _LARGEST_SECRET:
        raise ValueError(f"is larger than {_LARGEST_SECRET // 1024} KiB: that is no secret")
    try:
        return content.decode("utf-8-sig"), mode
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None


def credentials(environ: Mapping[str, str]) -> Layer:
    """Read what systemd put into `$CREDENTIALS_DIRECTORY` for us; other names there are somebody else's."""
    layer = Layer()
    named = environ.get("CREDENTIALS_DIRECTORY", "").strip()
    if not named:
        return layer
    wanted = {credential_key(info.credential): info for info in settings().values() if info.credential}
    try:
        files = sorted(path for path in Path(named).iterdir() if credential_key(path.name) in wanted)
    except OSError as error:
        message = f"{named} can't be read: {error.strerror or error}"
        layer.problems.append(Problem(where="CREDENTIALS_DIRECTORY", message=message))
        return layer
    seen: dict[str, Path] = {}
    for path in files:
        info = wanted[credential_key(path.name)]
        if info.name in seen:
            message = f"{seen[info.name].name} is the same credential: keep one of them"
            layer.problems.append(Problem(where=f"credential {path.name}", message=message))
            continue
        seen[info.name] = path
        origin = Origin(source=f"credential {path.name}", where=f"credential {path.name}")
        _put_secret(layer, info, path, origin)
    return layer


# The file


def file(environ: Mapping[str, str]) -> Layer:
    """Read the configuration file, if there is one."""
    path, was_named = config_file(environ)
    layer = Layer(path=path)
    if path is None:
        return layer
    text = ""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        content = read_table(text, path)
    except OSError as error:
        hint = "REAPER_CONFIG names it" if was_named else "REAPER_CONFIG can name another"
        _broken(layer, str(path), f"can't be read: {error.strerror or error} ({hint})")
        return layer
    except UnicodeDecodeError as error:
        _broken(layer, str(path), f"is not UTF-8 text (byte {error.start})")
        return layer
    except ValueError as error:
        line = _line_in(error, text)
        what = "JSON" if path.suffix.lower() == ".json" else "TOML"
        _broken(layer, f"{path}:{line}" if line else str(path), f"is no {what} that can be read: {error}")
        return layer
    layer.lines = key_lines(text, is_json=path.suffix.lower() == ".json")
    _take_table(layer, content)
    if any(info.credential for info in _given(layer)) and path.stat().st_mode & _OTHERS_MAY_READ:
        layer.warnings.append(
            f"{path}: it holds secrets and everybody on this host may read it: chmod o-r {path}"
        )
    return layer


def _broken(layer: Layer, where: str, message: str) -> None:
    layer.problems.append(Problem(where=where, message=message))
    layer.broken = True


def _line_in(error: ValueError, text: str) -> int | None:
    """Find the line of a syntax error: json says it, tomllib writes it into its message."""
    line = getattr(error, "lineno", None)
    if isinstance(line, int):
        return line
    if str(error).endswith("(at end of document)"):
        return text.rstrip().count("\n") + 1
    _, at, rest = str(error).rpartition("(at line ")
    return int(rest.partition(",")[0]) if at and rest.partition(",")[0].isdigit() else None


def _given(layer: Layer) -> Iterator[SettingInfo]:
    """Give the settings that stand in the file itself, not in another that it names."""
    for name, origin in layer.origins.items():
        if not origin.source.endswith("_file"):
            yield settings()[name]


def _take_table(layer: Layer, content: dict[str, Any]) -> None:
    """Take what the file says. Unknown keys stay in, for validation to find."""
    layer.values = _without_nulls(content)
    for info in settings().values():
        table = _table(layer.values, info.path[:-1])
        if table is None:
            continue
        key = info.path[-1]
        if key in table:
            written = table[key] if isinstance(table[key], str) and not info.credential else None
            layer.origins[info.name] = _origin(layer, info.path, written)
        if info.credential and f"{key}_file" in table:
            _take_secret_file(layer, info, table)
        if info.name == "state" and isinstance(table.get(key), str) and table[key].strip():
            base = layer.path.parent if layer.path is not None else Path.cwd()
            table[key] = place_of_state(table[key].strip(), base)


def _take_secret_file(layer: Layer, info: SettingInfo, table: dict[str, Any]) -> None:
    key = f"{info.path[-1]}_file"
    path = (*info.path[:-1], key)
    origin = Origin(source=f"file {layer.path}:{'.'.join(path)}", where=layer.where(path))
    named = table.pop(key)
    if info.path[-1] in table:
        message = f"{info.name} is there too: keep one of them"
        layer.problems.append(Problem(where=origin.where, message=message))
    elif not isinstance(named, str) or not named.strip():
        layer.problems.append(Problem(where=origin.where, message="must be the path of a file"))
    else:
        base = layer.path.parent if layer.path is not None else Path.cwd()
        _put_secret(layer, info, base.absolute() / Path(named).expanduser(), origin)


def _origin(layer: Layer, path: tuple[str, ...], written: str | None) -> Origin:
    return Origin(source=f"file {layer.path}:{'.'.join(path)}", where=layer.where(path), written=written)


def _table(values: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any] | None:
    table: Any = values
    for key in path:
        table = table.get(key) if isinstance(table, dict) else None
    return table if isinstance(table, dict) else None


def _without_nulls(value: Any) -> Any:
    """Leave out JSON's nulls: unset."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return value


# Defaults that depend on the environment


def defaults(environ: Mapping[str, str]) -> Layer:
    """Give the defaults that are no constants."""
    layer = Layer()
    places: dict[str, Callable[[Mapping[str, str]], str]] = {"state": default_state, "listen": default_listen}
    for name, place in places.items():
        layer.put(settings()[name], place(environ), Origin(source="default", where=settings()[name].variable))
    return layer
