"""Bundles that are made in no time: a program of the test in the place of reaper, an installer that only copies."""

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from tests.integration.lcc.place import Built

__all__ = ["NO_PYTHON", "REAPER", "small_bundle", "tiny_wheel"]

NO_PYTHON = "cp399"
"""A Python that is nowhere."""

REAPER = """#!/bin/bash
# Plays reaper: notes that it runs and what its settings are, and ends as it is told.
if [ "$1" = --version ]; then echo "reaper 0"; exit; fi
echo "$(id -un) $REAPER_MODE $REAPER_IDLE_TIMEOUT $HOME" >>"${REAPER_LISTEN#unix:}.ran"
trap 'exit 0' TERM
while :; do sleep 0.1; done
"""

_INSTALL = """#!/bin/bash
mkdir -p "$1/bin"
cp reaper "$1/bin/reaper"
chmod 755 "$1/bin/reaper"
"""


def small_bundle(
    folder: Path, *, python: str = "", reaper: str = REAPER, files: Mapping[str, str] | None = None
) -> Built:
    """Write a bundle.

    Args:
        folder: Gets the archive.
        python: The tag it asks for; empty: none in particular.
        reaper: What is installed as reaper.
        files: What else is in it, or is there instead; an empty text leaves a file out.
    """
    manifest = f"name=idle-reaper\nversion=0\npython={python}\narch=\nglibc=\n"
    content = {"MANIFEST": manifest, "install.sh": _INSTALL, "reaper": reaper, **(files or {})}
    path = folder / "small.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, text in content.items():
            if text:
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(text.encode()), 0o755
                tar.addfile(info, io.BytesIO(text.encode()))
    return Built(path=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())


def tiny_wheel() -> bytes:
    """Make a wheel that pip takes for idle-reaper 0: a module, and a command that tells its version."""
    folder = "idle_reaper-0.dist-info"
    content = {
        "tiny_reaper.py": "def main():\n    print('reaper 0')\n",
        f"{folder}/METADATA": "Metadata-Version: 2.1\nName: idle-reaper\nVersion: 0\n",
        f"{folder}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{folder}/entry_points.txt": "[console_scripts]\nreaper = tiny_reaper:main\n",
    }
    record = "".join(f"{name},,\n" for name in (*content, f"{folder}/RECORD"))
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as wheel:
        for name, text in (*content.items(), (f"{folder}/RECORD", record)):
            wheel.writestr(name, text)
    return made.getvalue()
