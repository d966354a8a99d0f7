"""The archive that `make bundle` builds, and its installer by hand."""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from reaper import __version__
from reaper.cli.lcc import template
from tests.integration.lcc.place import Built
from tests.integration.lcc.small import NO_PYTHON, tiny_wheel

pytestmark = pytest.mark.xdist_group("lcc")


def contents(built: Built) -> dict[str, bytes]:
    with tarfile.open(built.path) as tar:
        found = ((member, tar.extractfile(member)) for member in tar)
        return {member.name: stream.read() for member, stream in found if stream and not member.issym()}


def test_it_holds_what_it_says(built: Built):
    files = contents(built)
    lines = (line.split("  ", 1) for line in files.pop("SHA256SUMS").decode().splitlines())
    listed = {name: digest for digest, name in lines}
    assert listed == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    fields = dict(line.split("=", 1) for line in files["MANIFEST"].decode().splitlines())
    inside = "-python" if built.packs else ""
    name = f"idle-reaper-bundle-{__version__}-{fields['python']}-{fields['arch']}{inside}.tar.gz"
    assert built.path.name == name
    assert built.path.with_name(f"{name}.sha256").read_text() == f"{built.sha256}  {name}\n"
    wheels = {name.split("/")[1].split("-")[0] for name in files if name.startswith("wheels/")}
    assert {"idle_reaper", "aiohttp", "botocore", "pip"} <= wheels
    assert {"pytest", "jupyter_server", "setuptools"}.isdisjoint(wheels)
    others = {name for name in files if not name.startswith(("wheels/", "python/"))}
    assert others == {"MANIFEST", "install.sh"}
    if built.packs:
        assert "python/bin/python{}.{}".format(*sys.version_info) in files
    assert not any("/site-packages/" in name or "/test/" in name for name in files)


def test_our_own_wheel_tells_no_time(built: Built):
    """Or no two people could build the same archive; all other wheels come as they are."""
    name, content = next(one for one in contents(built).items() if one[0].startswith("wheels/idle_reaper-"))
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        assert len({entry.date_time for entry in wheel.infolist()}) == 1, name
        assert "reaper/cli/templates/lifecycle.sh" in wheel.namelist()


@pytest.fixture
def bundle(built: Built, tmp_path: Path) -> Path:
    """An unpacked bundle with the real installer and the real pip, and a program that is made in no time."""
    folder = tmp_path / "bundle"
    (folder / "wheels").mkdir(parents=True)
    pip = next(one for one in contents(built).items() if one[0].startswith("wheels/pip-"))
    (folder / pip[0]).write_bytes(pip[1])
    (folder / "wheels/idle_reaper-0-py3-none-any.whl").write_bytes(tiny_wheel())
    tag = "cp{}{}".format(*sys.version_info)
    (folder / "MANIFEST").write_text(f"version=0\npython={tag}\narch={os.uname().machine}\nglibc=2.17\n")
    (folder / "install.sh").write_text(template("install.sh"))
    names = sorted(path for path in folder.rglob("*") if path.is_file())
    (folder / "SHA256SUMS").write_text(
        "".join(
            f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in names
        )
    )
    return folder


def install(
    bundle: Path, *arguments: str | Path, home: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the installer as a person would; PIP_TARGET is one of many things that could lead pip astray."""
    return subprocess.run(
        ["bash", bundle / "install.sh", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=bundle.parent,
        env={"PATH": os.defpath, "HOME": str(home or bundle.parent), "PIP_TARGET": "/nonexistent"},
    )


def test_by_hand_twice_with_a_python_that_was_named(bundle, tmp_path):
    python = getattr(sys, "_base_executable", sys.executable)
    for _ in range(2):
        done = install(bundle, "new", python)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"reaper 0 is in {tmp_path}/new/bin, on {python}\n"
    assert not (tmp_path / "new/bin/pip").exists()


def test_by_hand_what_is_refused(bundle, tmp_path):
    assert "usage: bash install.sh FOLDER [PYTHON]" in install(bundle).stderr
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").touch()
    assert "holds something else" in install(bundle, "mine").stderr
    assert (tmp_path / "mine/thesis.tex").exists()
    refused = install(bundle, "new", "/bin/false")
    assert refused.returncode == 1
    assert "/bin/false: does not run" in refused.stderr
    assert "no Python fits: Python {}.{} (cp{}{})".format(*sys.version_info[:2] * 2) in refused.stderr
    (bundle / "MANIFEST").write_text("")
    assert "is damaged or missing" in install(bundle, "new").stderr


@pytest.mark.skipif(os.getuid() != 0, reason="only root could become somebody else's")
def test_by_hand_as_root_with_somebody_elses_python(bundle, own_home):
    """One that is found is not run as root; whoever names it knows what they do."""
    theirs = own_home / "miniconda3/bin/python3"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("#!/bin/sh\nexit 0\n")
    theirs.chmod(0o755)
    own_home.chmod(0o755)
    shutil.chown(theirs, "nobody")
    (bundle / "MANIFEST").write_text(f"version=0\npython={NO_PYTHON}\narch=\nglibc=\n")
    digest = hashlib.sha256((bundle / "MANIFEST").read_bytes()).hexdigest()
    (bundle / "SHA256SUMS").write_text(f"{digest}  MANIFEST\n")
    refused = install(bundle, "new", home=own_home)
    assert refused.returncode == 1
    assert (
        f"{theirs} belongs to nobody, and this would run it as root: name it if you mean it" in refused.stderr
    )
