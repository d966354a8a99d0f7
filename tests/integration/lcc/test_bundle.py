"""The archive that `make bundle` builds."""

import hashlib
import sys
import tarfile

import pytest

from reaper import __version__
from tests.integration.lcc.place import Built

pytestmark = pytest.mark.xdist_group("lcc")


def contents(built: Built) -> dict[str, bytes]:
    with tarfile.open(built.path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isreg()}  # type: ignore[union-attr]


def test_it_holds_what_it_says(built):
    files = contents(built)
    sums = [line.split("  ", 1) for line in files.pop("SHA256SUMS").decode().splitlines()]
    listed = {name: digest for digest, name in sums}
    assert listed == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    fields = dict(line.split("=", 1) for line in files["MANIFEST"].decode().splitlines())
    assert built.path.name == f"idle-reaper-bundle-{__version__}-{fields['python']}-{fields['arch']}.tar.gz"
    wheels = {name.split("/")[1].split("-")[0] for name in files if name.startswith("wheels/")}
    assert {"idle_reaper", "aiohttp", "botocore", "pip"} <= wheels
    assert {"pytest", "jupyter_server", "setuptools"}.isdisjoint(wheels)
    assert set(files) - {name for name in files if name.startswith("wheels/")} == {"MANIFEST", "install.sh"}
    beside = built.path.with_name(f"{built.path.name}.sha256").read_text()
    assert beside == f"{built.sha256}  {built.path.name}\n"


def test_a_second_build_has_the_same_bytes(built, packed):
    """The one with a Python in it was built anew, our own wheel too."""
    one, other = contents(built), contents(packed)
    python = {name for name in other if name.startswith("python/")}
    assert "python/bin/python" + ".".join(map(str, sys.version_info[:2])) in python
    assert not any("/site-packages/" in name or "/test/" in name for name in python)
    described = {"MANIFEST", "SHA256SUMS"}
    assert {name: one[name] for name in one if name not in described} == {
        name: content for name, content in other.items() if name not in described | python
    }
