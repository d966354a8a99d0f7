"""`reaper uninstall`: remove what reaper itself made, and nothing else."""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from reaper.cli.app import new_app
from reaper.cli.output import Column, Format, OutputOption, Page, emit_json, note
from reaper.errors import ControlError, UsageError

__all__ = ["Made", "app", "made_by_reaper"]

app = new_app()

_UNIT_FOLDERS = (Path("/etc/systemd/system"),)
"""Where a person installs units; those below /usr/lib belong to a package, and go with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A file that reaper made.

    Attributes:
        path: The file; or a folder, removed only when it is empty then.
        what: What it is.
        purge: It goes only with --purge: a person wrote it.
    """

    path: Path
    what: str
    purge: bool = False


@app.command()
def uninstall(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list it.")] = False,
    purge: Annotated[bool, typer.Option("--purge", help="The configuration files too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: Annotated[Format, OutputOption] = Format.TABLE,
) -> int:
    """Remove what reaper itself made on this machine.

    That is its journal with its backups, its socket, its shell completion and unit files in /etc/systemd/system or
    ~/.config/systemd/user. The configuration stays unless --purge is given. The Python package is pip's: the command
    for that is printed. Refused while a daemon runs.
    """
    from reaper.cli.client import find

    client, _ = find()
    if client is not None and not dry_run:
        raise ControlError(f"a daemon runs (it answers at {client.address}): stop it first")
    if not dry_run:
        _nobody_writes(os.environ)
    found = list(made_by_reaper(os.environ))
    going = [one for one in found if purge or not one.purge]
    if going and not dry_run and not yes:
        _ask(going, output)
    states = [(one, *_remove(one, dry_run=dry_run, kept=one not in going)) for one in found]
    package = f"{sys.executable} -m pip uninstall idle-reaper"
    if output is Format.JSON:
        items = [
            {"path": str(one.path), "what": one.what, "state": state, "detail": detail}
            for one, state, detail in states
        ]
        emit_json({"schema": 1, "dry_run": dry_run, "items": items, "package_command": package})
    else:
        shown = Page()
        if states:
            columns = [Column(title="state"), Column(title="what"), Column(title="path", wraps=True)]
            rows = [
                [f"{state} ({detail})" if detail else state, one.what, str(one.path)]
                for one, state, detail in states
            ]
            shown.table(columns, rows)
        else:
            shown.line("reaper made nothing on this machine, or nothing that this user can see")
        shown.line(f"the package itself: {package}")
        if any(one.what == "systemd unit" and state == "removed" for one, state, _ in states):
            shown.line("then: systemctl daemon-reload")
        shown.show()
    return 1 if any(state == "failed" for _, state, _ in states) else 0


def _nobody_writes(environ: Mapping[str, str]) -> None:
    """Refuse while a process holds a journal: a daemon that serves nowhere, or a `run --once`."""
    from reaper.cli.diagnosis import holder
    from reaper.cli.offline import journal_file
    from reaper.config.places import journal_candidates

    for place in journal_candidates(environ):
        path = journal_file(place)
        pid = holder(path) if path is not None else None
        if pid is not None:
            raise ControlError(f"process {pid} writes the journal {path}: stop it first")


def _ask(going: list[Made], output: Format) -> None:
    if output is Format.JSON or not sys.stdin.isatty():
        raise UsageError("nobody can be asked here: look with --dry-run, then add --yes")
    for one in going:
        note(f"{one.what}: {one.path}")
    if not typer.confirm("Remove these?", err=True):
        raise ControlError("nothing was removed")


def _remove(one: Made, *, dry_run: bool, kept: bool) -> tuple[str, str | None]:
    if kept:
        return "kept", "--purge removes it"
    if dry_run:
        return "found", None
    try:
        if one.path.is_dir() and not one.path.is_symlink():
            if any(one.path.iterdir()):
                return "kept", "something else is in it"
            one.path.rmdir()
        elif one.what == "completion line":
            _without_line(one.path, _COMPLETION_LINE.format(home=Path.home()))
        else:
            one.path.unlink()
    except FileNotFoundError:
        return "removed", "was gone already"
    except OSError as error:
        return "failed", error.strerror or str(error)
    return "removed", None


def made_by_reaper(environ: Mapping[str, str]) -> Iterator[Made]:
    """Find what reaper made and is there, files before the folders they are in."""
    folders: dict[Path, str] = {}
    for made, folder in (*_journal(environ), *_sockets(environ)):
        yield made
        folders[folder] = "folder of its own"
    for folder, what in folders.items():
        if folder.name == "reaper":
            yield Made(path=folder, what=what)
    yield from _completion()
    yield from _units()
    yield from _configuration(environ)


def _journal(environ: Mapping[str, str]) -> Iterator[tuple[Made, Path]]:
    from reaper.cli.offline import journal_file
    from reaper.config.places import journal_candidates

    for place in journal_candidates(environ):
        path = journal_file(place)
        if path is None:
            continue
        for suffix, what in (
            ("", "journal"),
            ("-wal", "journal"),
            ("-shm", "journal"),
            (".lock", "journal's lock"),
        ):
            file = path.with_name(path.name + suffix)
            if _there(file):
                yield Made(path=file, what=what), path.parent
        for backup in sorted(path.parent.glob(f"{path.name}.bak-*")) if _there(path.parent) else ():
            yield Made(path=backup, what="journal's backup"), path.parent


def _sockets(environ: Mapping[str, str]) -> Iterator[tuple[Made, Path]]:
    from reaper.config.places import client_addresses

    for address in client_addresses(environ):
        if address.path is not None and _there(address.path) and address.path.is_socket():
            yield Made(path=address.path, what="socket"), address.path.parent


_COMPLETION_LINE = "source '{home}/.bash_completions/reaper.sh'"
"""What `reaper completion --install` adds to ~/.bashrc (typer)."""


def _completion() -> Iterator[Made]:
    home = Path.home()
    for path in (".bash_completions/reaper.sh", ".zfunc/_reaper", ".config/fish/completions/reaper.fish"):
        if _there(home / path):
            yield Made(path=home / path, what="shell completion")
    bashrc = home / ".bashrc"
    try:
        lines = bashrc.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError):
        return
    if _COMPLETION_LINE.format(home=home) in lines:
        yield Made(path=bashrc, what="completion line")


def _without_line(path: Path, line: str) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(one for one in lines if one.rstrip("\n") != line), encoding="utf-8")


def _units() -> Iterator[Made]:
    for folder in (*_UNIT_FOLDERS, Path.home() / ".config/systemd/user"):
        for pattern in ("reaper*.service", "*.wants/reaper*.service"):
            for unit in sorted(folder.glob(pattern)) if _there(folder) else ():
                if _is_ours(unit):
                    yield Made(path=unit, what="systemd unit")


def _is_ours(unit: Path) -> bool:
    try:
        text = unit.read_text(encoding="utf-8")
    except FileNotFoundError:
        return unit.is_symlink() and unit.parent.name.endswith(".wants")  # enabled, and its unit is gone
    except (OSError, UnicodeError):
        return False
    return any(
        line.startswith("ExecStart=") and "reaper" in line and " run" in line for line in text.splitlines()
    )


def _configuration(environ: Mapping[str, str]) -> Iterator[Made]:
    from reaper.config.places import ETC_FILE, config_file

    path, named = config_file(environ)
    if path is not None and not named and _there(path):
        yield Made(path=path, what="configuration", purge=True)
    extra = ETC_FILE.with_name("reaper.env")
    if _there(extra):
        yield Made(path=extra, what="configuration", purge=True)


def _there(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True
