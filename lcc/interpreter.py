"""Pack a Python that runs from wherever it is put: only what is needed of it, and only if that runs.

Whether a Python is relocatable can't be read off it. So its parts are copied, the copy is run with every extension
module loaded, and what the kernel then shows as mapped tells the truth: nothing may come from the old place.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Interpreter", "PackingError", "pack"]

_SYSTEM = ("/lib/", "/lib64/", "/usr/lib/", "/usr/lib64/")
"""Where libraries of the system are; they stay there."""

_GLIBC = re.compile(
    r"(ld-linux.*|libc|libm|libdl|librt|libutil|libpthread|libresolv|libnsl|libnss_.*|libanl)[.-].*"
)
"""The C library's own files: any Linux that it is new enough for has them."""

_UNNEEDED = shutil.ignore_patterns(
    "__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3",
    "ensurepip", "config-*", "_tkinter*", "_test*", "_xx*", "_ctypes_test*", "EXTERNALLY-MANAGED",
)  # fmt: skip
"""Parts of the standard library that a daemon never asks for; pip comes as a wheel."""

_ASK = """
import json, os, platform, sys, sysconfig
paths = sysconfig.get_paths()
json.dump({
    "full_version": platform.python_version(),
    "version": "%d.%d" % sys.version_info[:2],
    "arch": platform.machine(),
    "cpython": sys.implementation.name == "cpython" and not sysconfig.get_config_var("Py_GIL_DISABLED"),
    "virtual": sys.prefix != sys.base_prefix,
    "prefix": os.path.realpath(sys.base_prefix),
    "executable": os.path.realpath(sys.executable),
    "stdlib": os.path.realpath(os.path.dirname(os.__file__)),
}, sys.stdout)
"""

_MAPPED = """
import importlib, json, os, sys
import ctypes, sqlite3, ssl, venv, zlib
folder = os.path.join(os.path.dirname(os.__file__), "lib-dynload")
for name in sorted(os.listdir(folder) if os.path.isdir(folder) else ()):
    module = name.partition(".")[0]
    if not module.startswith(("_test", "_xx", "_tkinter", "_ctypes_test")):
        try:
            importlib.import_module(module)
        except ImportError as error:
            print("%s: %s" % (module, error), file=sys.stderr)
with open("/proc/self/maps") as maps:
    files = {line.split(None, 5)[5].strip() for line in maps if "/" in line}
json.dump([sys.prefix, sorted(name for name in files if ".so" in os.path.basename(name))], sys.stdout)
"""


class PackingError(Exception):
    """Something can't be put into a bundle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """A Python on this machine.

    Attributes:
        version: `3.11`.
        full_version: `3.11.7`.
        arch: As `uname -m` says it.
        prefix: Where it is installed.
        executable: The file that is run.
        stdlib: Its standard library.
    """

    version: str
    full_version: str
    arch: str
    prefix: Path
    executable: Path
    stdlib: Path

    @classmethod
    def ask(cls, path: str) -> "Interpreter":
        """Run a Python to learn what it is.

        Raises:
            PackingError: It can't be packed: it does not run, is too old, is no CPython, or a virtual environment.
        """
        found = _run(shutil.which(path) or path, _ASK)
        if tuple(map(int, found["version"].split("."))) < (3, 11):
            raise PackingError(f"{path} is Python {found['full_version']}, and reaper needs 3.11 or newer")
        if not found.pop("cpython"):
            raise PackingError(f"{path} is no ordinary CPython: there are no wheels for it")
        if found.pop("virtual"):
            raise PackingError(
                f"{path} is a virtual environment: name the Python behind it, in {found['prefix']}"
            )
        places = {name: Path(found[name]) for name in ("prefix", "executable", "stdlib")}
        if not places["stdlib"].is_relative_to(places["prefix"]):
            raise PackingError(f"the standard library of {path} is outside {found['prefix']}")
        return cls(version=found["version"], full_version=found["full_version"], arch=found["arch"], **places)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What was packed.

    Attributes:
        version: `3.11.7`.
        glibc: The oldest C library that it runs on.
        libraries: What it takes from the system besides; empty where it is self-contained.
    """

    version: str
    glibc: str
    libraries: tuple[str, ...]


def pack(interpreter: Interpreter, folder: Path) -> Packed:
    """Copy a Python to a folder that is not there yet, and see that it runs from anywhere.

    Raises:
        PackingError: It does not: it is tied to its old place.
    """
    (folder / "bin").mkdir(parents=True)
    name = f"python{interpreter.version}"
    shutil.copy2(interpreter.executable, folder / "bin" / name)
    (folder / "bin/python3").symlink_to(name)
    shutil.copytree(
        interpreter.stdlib, folder / interpreter.stdlib.relative_to(interpreter.prefix), ignore=_UNNEEDED
    )
    _, mapped = _run(str(interpreter.executable), _MAPPED)
    _copy_libraries(map(Path, mapped), interpreter.prefix, folder)
    with tempfile.TemporaryDirectory(prefix="reaper-elsewhere-") as place:
        elsewhere = Path(place).resolve() / "python"
        shutil.copytree(folder, elsewhere, symlinks=True)
        prefix, mapped = _run(str(elsewhere / "bin/python3"), _MAPPED)
        outside = [Path(file) for file in mapped if not Path(file).is_relative_to(elsewhere)]
    tied = [str(file) for file in outside if not str(file).startswith(_SYSTEM)]
    if Path(prefix) != elsewhere or tied:
        raise PackingError(
            f"{interpreter.executable} is not relocatable: a copy of it still uses "
            f"{', '.join(tied) or prefix}. Take one that is made to be moved (python-build-standalone, a conda one)"
        )
    libraries = tuple(sorted({file.name for file in outside if not _GLIBC.fullmatch(file.name)}))
    return Packed(version=interpreter.full_version, glibc=_glibc_of(folder), libraries=libraries)


def _copy_libraries(mapped: Iterable[Path], prefix: Path, folder: Path) -> None:
    """Copy the libraries that lie in the prefix, by every name that leads to them there."""
    for file in mapped:
        if not file.is_relative_to(prefix) or str(file).startswith(_SYSTEM):
            continue
        for name in file.parent.iterdir():
            target = folder / name.relative_to(prefix)
            if not target.exists() and name.resolve() == file.resolve():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(name, target)


def _glibc_of(folder: Path) -> str:
    """Give the newest symbol version of glibc that its binaries ask for."""
    newest = (2, 5)
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and (path.parent.name == "bin" or ".so" in path.name):
            asked = re.findall(rb"GLIBC_2\.(\d+)", path.read_bytes())
            newest = max([newest, *((2, int(minor)) for minor in asked)])
    return "{}.{}".format(*newest)


def _run(python: str, program: str) -> Any:
    """Run a program in a Python with nothing around it, and give its JSON.

    Raises:
        PackingError: It failed.
    """
    try:
        done = subprocess.run(
            [Path(python).absolute(), "-I", "-c", program],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PackingError(f"{python} does not run: {error}") from error
    if done.returncode:
        raise PackingError(f"{python} does not run: {done.stderr.strip()[-500:]}")
    if done.stderr:
        sys.stderr.write(done.stderr)
    return json.loads(done.stdout)
