"""What can go wrong: the log says exactly what, the app starts all the same, and nothing of ours runs."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from reaper.cli.lcc import Target, template
from tests.integration.lcc.place import Place
from tests.integration.lcc.small import NO_PYTHON, small_bundle

pytestmark = pytest.mark.xdist_group("lcc")

SUM = "0" * 64


def fails(place: Place, bundle: str | Path, sha256: str, *, python: str = "") -> str:
    """Run a script that can't get far; give its log."""
    place.run(place.script(Target.JUPYTERLAB, bundle, sha256, python=python))
    place.says("no daemon runs; the app is not affected")
    log = place.ended()
    assert not (place.folder / "installed").exists()
    assert not (place.folder / "lock").is_symlink()
    assert not (place.folder / "unpacked").exists()
    assert not (place.home / ".local").exists()
    return log


def aws(place: Place, folder: Path, program: str) -> None:
    """Put an `aws` on PATH."""
    command = folder / "aws"
    command.write_text(f"#!/bin/sh\n{program}\n")
    command.chmod(0o755)
    place.path = f"{folder}:{place.path}"


def test_a_bundle_that_is_not_the_one_that_was_meant(place, tmp_path):
    small = small_bundle(tmp_path)
    log = fails(place, small.path, SUM)
    assert f"FAILED: the SHA-256 of {small.path} is {small.sha256}, not {SUM}: not installed" in log


def test_a_bundle_that_was_cut_short(place, tmp_path):
    """Even with a sum that says it is right."""
    whole = small_bundle(tmp_path).path.read_bytes()
    short = tmp_path / "short.tar.gz"
    short.write_bytes(whole[: len(whole) // 2])
    log = fails(place, short, hashlib.sha256(short.read_bytes()).hexdigest())
    assert f"FAILED: {short} can't be unpacked: is it whole?" in log


def test_a_bundle_that_is_something_else(place, tmp_path):
    small = small_bundle(tmp_path, files={"MANIFEST": ""})
    assert "MANIFEST: No such file" in fails(place, small.path, small.sha256)


def test_a_bundle_that_is_not_there(place, tmp_path):
    assert f"FAILED: {tmp_path}/none can't be read" in fails(place, tmp_path / "none", SUM)


def test_no_python_that_fits(place, tmp_path):
    """Each that was looked at is named, with what it is."""
    small = small_bundle(tmp_path, python=NO_PYTHON)
    log = fails(place, small.path, small.sha256)
    assert "FAILED: missing: Python 3.99 (cp399)" in log
    assert "make bundle PYTHON=" in log
    assert f"  {place.home}/miniconda3/bin/python3: cpython 3." in log


def test_a_python_that_was_named_and_does_not_fit(place, tmp_path):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nprintf 'Python 3.7'\nexit 1\n")
    old.chmod(0o755)
    small = small_bundle(tmp_path)
    log = fails(place, small.path, small.sha256, python=str(old))
    assert f"  {old}: Python 3.7\n" in log
    assert log.count("/python") == log.count(str(old)) + 1, "no other was looked for"


def test_s3_that_refuses(place, tmp_path):
    aws(place, tmp_path, "echo 'fatal error: An error occurred (403): Forbidden' >&2; exit 1")
    log = fails(place, "s3://bucket/key", SUM)
    assert "(403): Forbidden" in log
    assert (
        "FAILED: aws s3 cp s3://bucket/key: status 1. May the role read it, and is there a way to S3" in log
    )


def test_s3_that_gives_something_else(place, tmp_path):
    """What was fetched is what is looked at: it was asked for by its address, into our folder."""
    small = small_bundle(tmp_path, python=NO_PYTHON)
    aws(place, tmp_path, f'echo "$@" >{tmp_path}/asked; cp {small.path} "$5"')
    log = fails(place, "s3://bucket/key", small.sha256)
    assert "FAILED: missing: Python 3.99 (cp399)" in log
    asked = (tmp_path / "asked").read_text()
    assert asked == f"s3 cp --only-show-errors s3://bucket/key {place.folder}/bundle.tar.gz\n"
    assert not (place.folder / "bundle.tar.gz").exists()


def test_no_aws_to_ask(place, tmp_path):
    """A PATH with what the script needs, and no aws."""
    if any(
        Path(folder, "aws").exists() for folder in ("/usr/local/bin", "/usr/bin", "/bin", "/opt/conda/bin")
    ):
        pytest.skip("this machine has an aws where the script always looks")
    log = fails(place, "s3://bucket/key", SUM)
    assert "FAILED: there is no aws command to fetch s3://bucket/key (PATH /usr/bin:/bin:" in log


def test_an_installer_that_finds_damage(place, tmp_path):
    """The real installer: what is in the bundle is checked file by file."""
    files = {"install.sh": template("install.sh"), "SHA256SUMS": f"{SUM}  reaper\n"}
    small = small_bundle(tmp_path, files=files)
    log = fails(place, small.path, small.sha256)
    assert "reaper: FAILED" in log
    assert "install.sh: a file of the bundle is damaged or missing" in log
    assert "FAILED: the bundle could not be installed (see above)" in log


def test_a_python_in_the_bundle_that_does_not_run_here(place, tmp_path):
    python = "#!/bin/sh\necho 'libssl.so.9: cannot open shared object file' >&2\nexit 127\n"
    total = hashlib.sha256(python.encode()).hexdigest()
    files = {"install.sh": template("install.sh"), "SHA256SUMS": f"{total}  python/bin/python3\n"}
    small = small_bundle(tmp_path, files={**files, "python/bin/python3": python})
    log = fails(place, small.path, small.sha256)
    assert "install.sh: the Python in the bundle can't be used here: libssl.so.9: cannot open" in log


def test_a_folder_that_can_not_be(place, tmp_path):
    (place.home / "file").touch()
    place.folder = place.home / "file/idle-reaper"
    said = place.run(place.script(Target.JUPYTERLAB, "/bundle", SUM))
    assert "Not a directory" in said
    assert "ended with status 1; the app is not affected" in said


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a folder of somebody else's")
def test_a_folder_of_somebody_else(place):
    place.folder.mkdir()
    shutil.chown(place.folder, "nobody")
    said = place.run(place.script(Target.JUPYTERLAB, "/bundle", SUM))
    assert f"FAILED: {place.folder} belongs to nobody, or is a link: name another ROOT" in said
    assert list(place.folder.iterdir()) == []


def test_a_folder_that_is_a_link(place):
    """In a place where everybody may write, it may lead anywhere."""
    (place.home / "elsewhere").mkdir()
    place.folder.symlink_to("elsewhere")
    assert "or is a link: name another ROOT" in place.run(place.script(Target.JUPYTERLAB, "/bundle", SUM))
    assert list((place.home / "elsewhere").iterdir()) == []


def test_nothing_in_the_environment(place, tmp_path):
    """Not even HOME and PATH: a script of an instance is run so."""
    small = small_bundle(tmp_path)
    script = place.script(Target.NOTEBOOK_INSTANCE, small.path, SUM)
    done = subprocess.run(["env", "-i", script], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    place.says("FAILED: the SHA-256")
    place.ended()
