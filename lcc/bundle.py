"""Build the archive that installs without internet: wheels, pip, an installer, and on request a Python.

    make bundle                                    for the Python of .venv and this machine's architecture
    make bundle ARGS='--for 3.12 --arch aarch64'   for another
    make bundle PYTHON=/path/to/bin/python3        with that Python in it: it must be a relocatable one

The wheels are those of `.ci/lock-run.txt`, every hash checked, fetched by pip and kept in `.cache/bundle/`. From
the same inputs the same bytes come out: names in order, no times, no owners. Standard library, `packaging` and pip.
"""

import argparse
import gzip
import hashlib
import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import parse_wheel_filename

from lcc.interpreter import Interpreter, Packed, PackingError, pack
from reaper import __version__
from reaper.cli.lcc import template

ROOT = Path(__file__).parent.parent
LOCK = ROOT / ".ci/lock-run.txt"
GLIBC = "2.17"
"""The oldest C library that all locked wheels support (manylinux2014); Amazon Linux 2 has 2.26."""

LEGACY = {"5": "manylinux1", "12": "manylinux2010", "17": "manylinux2014"}
"""Old names of platforms, by the minor version of glibc (PEP 600)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What a bundle is for.

    Attributes:
        python: Version of CPython: `3.11`.
        arch: As `uname -m` says it: `x86_64`, `aarch64`.
        glibc: The oldest version that must do.
    """

    python: str
    arch: str
    glibc: str

    @property
    def tag(self) -> str:
        """What wheels call this Python, and its ABI."""
        return "cp" + self.python.replace(".", "")

    @property
    def platforms(self) -> list[str]:
        """Names of the platforms whose wheels run there, the newest first."""
        found = []
        for minor in range(int(self.glibc.partition(".")[2]), 4, -1):
            found.append(f"manylinux_2_{minor}_{self.arch}")
            if str(minor) in LEGACY:
                found.append(f"{LEGACY[str(minor)]}_{self.arch}")
        return found

    @property
    def pip_options(self) -> list[str]:
        """What makes pip choose wheels for there."""
        options = ["--python-version", self.python, "--implementation", "cp", "--only-binary", ":all:"]
        for abi in (self.tag, "abi3", "none"):
            options += ["--abi", abi]
        for name in self.platforms:
            options += ["--platform", name]
        return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Build a bundle, and print its path and SHA-256."""
    options = _options(arguments)
    interpreter = Interpreter.ask(options.pack) if options.pack else None
    host = Host(
        python=options.python or (interpreter.version if interpreter else "{}.{}".format(*sys.version_info)),
        arch=options.arch or platform.machine(),
        glibc=options.glibc,
    )
    if interpreter and (interpreter.version, interpreter.arch) != (host.python, host.arch):
        raise PackingError(
            f"{options.pack} is {interpreter.version} for {interpreter.arch}, and the bundle is not"
        )
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="reaper-bundle-") as name:
        folder = Path(name)
        wheels = folder / "wheels"
        shutil.copytree(fetched(host, options.cache), wheels)
        _pip(["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT)])
        complete(wheels, host)
        packed = pack(interpreter, folder / "python") if interpreter else None
        if packed and packed.libraries:
            names = ", ".join(packed.libraries)
            sys.stderr.write(f"this Python needs of the system that it is to run on: {names}\n")
        (folder / "install.sh").write_text(template("install.sh"), encoding="utf-8")
        (folder / "MANIFEST").write_text(manifest(host, needed_glibc(wheels), packed), encoding="utf-8")
        (folder / "SHA256SUMS").write_text(sums(folder), encoding="utf-8")
        inside = "-python" if interpreter else ""
        archive = options.out / f"idle-reaper-bundle-{__version__}-{host.tag}-{host.arch}{inside}.tar.gz"
        write_archive(folder, archive)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    archive.with_name(f"{archive.name}.sha256").write_text(f"{digest}  {archive.name}\n", encoding="utf-8")
    sys.stdout.write(f"{archive} ({archive.stat().st_size / 1e6:.0f} MB)\nSHA-256 {digest}\n")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build the archive that installs without internet.")
    parser.add_argument("--for", dest="python", help="version of Python that it is for (3.12)")
    parser.add_argument("--arch", help="architecture that it is for, as uname -m says it")
    parser.add_argument("--glibc", default=GLIBC, help="oldest C library that it must run on")
    parser.add_argument("--pack", metavar="PYTHON", help="relocatable Python to put into it")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for the archive")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache/bundle", help="folder for wheels")
    return parser.parse_args(arguments)


def fetched(host: Host, cache: Path) -> Path:
    """Give a folder with the locked wheels for a host; pip fetches them where it is not there yet."""
    wanted = requirements(LOCK.read_text(encoding="utf-8"), host)
    key = hashlib.sha256("\n".join([wanted, *host.pip_options]).encode()).hexdigest()[:16]
    folder = cache / f"{host.tag}-{host.arch}-{key}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as name:
            part, listed = Path(name) / "wheels", Path(name) / "requirements.txt"
            listed.write_text(wanted, encoding="utf-8")
            source = ["--require-hashes", "--no-deps", "--requirement", str(listed)]
            _pip(["download", *source, *host.pip_options, "--dest", str(part)])
            part.rename(folder)
    return folder


def requirements(lock: str, host: Host) -> str:
    """Take from a lock what a host needs. Pure but for `packaging`'s idea of this machine.

    pip would judge the markers by the Python it runs on, whatever `--python-version` says.
    """
    environment = {
        **{name: str(value) for name, value in default_environment().items()},
        "implementation_name": "cpython",
        "os_name": "posix",
        "platform_machine": host.arch,
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{host.python}.0",
        "python_version": host.python,
        "sys_platform": "linux",
    }
    found = []
    for entry in re.split(r"\n(?=\S)", lock):
        head = entry.partition(" \\\n")[0]
        if head.startswith("#") or not head.strip():
            continue
        marker = Requirement(head).marker
        if marker is None or marker.evaluate(environment):
            found.append(entry.rstrip("\n"))
    return "\n".join([*found, ""])


def complete(wheels: Path, host: Host) -> None:
    """Have pip make sure that the wheels are all there are to install.

    Raises:
        PackingError: Something is missing: the lock is older than pyproject.toml.
    """
    with tempfile.TemporaryDirectory() as nowhere:
        try:
            source = ["--no-index", "--find-links", str(wheels), *host.pip_options, "--target", nowhere]
            _pip(["install", "--dry-run", "--ignore-installed", *source, f"idle-reaper=={__version__}"])
        except subprocess.CalledProcessError:
            raise PackingError("a wheel is missing (see above): run make lock") from None


def needed_glibc(wheels: Path) -> str:
    """Give the oldest C library that every wheel supports."""
    needed = "2.5"
    for wheel in wheels.glob("*.whl"):
        names = [tag.platform for tag in parse_wheel_filename(wheel.name)[3]]
        own = [
            f"{major}.{minor}"
            for name in names
            for major, minor in re.findall(r"manylinux_(\d+)_(\d+)_", name)
        ]
        own += [
            f"2.{minor}" for minor, old in LEGACY.items() if any(name.startswith(f"{old}_") for name in names)
        ]
        if own:
            needed = max(needed, min(own, key=_numbers), key=_numbers)
    return needed


def manifest(host: Host, glibc: str, packed: Packed | None) -> str:
    """Write what the installer reads with sed, a field a line. Pure."""
    if packed:
        glibc = max(glibc, packed.glibc, key=_numbers)
    fields = {
        "name": "idle-reaper",
        "version": __version__,
        "python": host.tag,
        "abi": host.tag,
        "arch": host.arch,
        "glibc": glibc,
        "packed": packed.version if packed else "",
        "libraries": " ".join(packed.libraries) if packed else "",
    }
    return "".join(f"{name}={value}\n" for name, value in fields.items())


def sums(folder: Path) -> str:
    """Write what `sha256sum --check` reads: every file but itself. Links are not followed."""
    files = (path for path in _inside(folder) if path.is_file() and not path.is_symlink())
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files
    )


def write_archive(folder: Path, archive: Path) -> None:
    """Write a folder as .tar.gz so that equal folders make equal archives."""
    part = archive.with_name(f"{archive.name}.part")
    with (
        part.open("wb") as file,
        gzip.GzipFile("", "wb", 6, file, mtime=0) as packed,
        tarfile.open(mode="w", fileobj=packed, format=tarfile.PAX_FORMAT) as tar,
    ):
        for path in _inside(folder):
            info = tar.gettarinfo(path, str(path.relative_to(folder)))
            info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "", ""
            info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
            info.pax_headers = {}
            tar.addfile(info, io.BytesIO(path.read_bytes()) if info.isreg() else None)
    part.replace(archive)


def _inside(folder: Path) -> Iterator[Path]:
    return iter(sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _pip(arguments: list[str]) -> None:
    """Run this Python's pip; what it has to say goes to stderr.

    Raises:
        CalledProcessError: It failed, and has said why.
    """
    quiet = ["-qq", "--disable-pip-version-check", "--no-input"]
    subprocess.run(
        [sys.executable, "-m", "pip", *quiet, *arguments],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        env={**os.environ, "SOURCE_DATE_EPOCH": "1580601600"},
    )


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PackingError as error:
        sys.exit(f"make bundle: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"make bundle: pip ended with status {error.returncode} (see above)")
