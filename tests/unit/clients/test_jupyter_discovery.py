"""Which servers the runtime files tell of; what a look at them leaves as it was."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from reaper.clients.jupyter import Discovery, ServerAddress, discover, runtime_dirs

HOUR_S = 3600


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "runtime"


@pytest.fixture(scope="module")
def other_pid() -> Iterator[int]:
    """A process that is no Jupyter server."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate()


def entry(**changes: Any) -> dict[str, Any]:
    return {
        "base_url": "/",
        "hostname": "localhost",
        "password": False,
        "pid": os.getpid(),
        "port": 8888,
        "root_dir": "/home/ada",
        "secure": False,
        "sock": "",
        "token": "sesame",
        "url": "http://localhost:8888/",
        "version": "2.21.1",
        **changes,
    }


def write(
    directory: Path,
    content: object = None,
    *,
    pid: int | None = None,
    prefix: str = "jpserver",
    age_s: float = 0,
) -> Path:
    directory.mkdir(exist_ok=True)
    file = directory / f"{prefix}-{os.getpid() if pid is None else pid}.json"
    file.write_text(
        content if isinstance(content, str) else json.dumps(entry() if content is None else content)
    )
    written = file.stat().st_mtime - age_s
    os.utime(file, (written, written))
    return file


def the_one(found: Discovery) -> ServerAddress:
    assert found.problems == ()
    assert found.complete
    (address,) = found.servers
    return address


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_where_jupyter_looks() -> None:
    home = {"HOME": "/home/ada"}
    assert runtime_dirs({**home, "JUPYTER_RUNTIME_DIR": "/r", "JUPYTER_DATA_DIR": "/d"}) == (Path("/r"),)
    assert runtime_dirs({**home, "JUPYTER_DATA_DIR": "/d"}) == (Path("/d/runtime"),)
    assert runtime_dirs({**home, "JUPYTER_RUNTIME_DIR": ""})[0] == Path(
        "/home/ada/.local/share/jupyter/runtime"
    )
    assert runtime_dirs({**home, "XDG_DATA_HOME": "/x"})[0] == Path("/x/jupyter/runtime")
    assert Path("/run/user/1/jupyter") in runtime_dirs({**home, "XDG_RUNTIME_DIR": "/run/user/1"})
    others = runtime_dirs({"JUPYTER_RUNTIME_DIR": "/r"}, homes=[Path("/home/bob"), Path("/home/bob")])
    assert others == (Path("/r"), Path("/home/bob/.local/share/jupyter/runtime"))
    assert runtime_dirs({})[0].is_absolute()


@pytest.mark.parametrize(
    ("changes", "url"),
    [
        ({}, "http://localhost:8888/"),
        ({"base_url": "/user/a%40b/"}, "http://localhost:8888/user/a%40b/"),
        ({"base_url": "/no/slash"}, "http://localhost:8888/no/slash/"),
        ({"secure": True}, "https://localhost:8888/"),
        ({"hostname": ""}, "http://localhost:8888/"),
        ({"hostname": None}, "http://localhost:8888/"),
        ({"hostname": "*"}, "http://localhost:8888/"),
        ({"hostname": "0.0.0.0"}, "http://127.0.0.1:8888/"),
        ({"hostname": "::"}, "http://[::1]:8888/"),
        ({"hostname": "::1"}, "http://[::1]:8888/"),
        ({"hostname": "10.1.2.3", "port": 1}, "http://10.1.2.3:1/"),
        ({"sock": "/tmp/a b.sock", "port": 0, "hostname": ""}, "http+unix://%2Ftmp%2Fa%20b.sock/"),
        ({"sock": "/tmp/j.sock", "base_url": "/b/"}, "http+unix://%2Ftmp%2Fj.sock/b/"),
    ],
)
def test_addresses(directory: Path, changes: dict[str, Any], url: str) -> None:
    file = write(directory, entry(**changes))
    address = the_one(discover([directory], {}))
    assert address.url == url
    assert address.token.get_secret_value() == "sesame"
    assert address.pid == os.getpid()
    assert address.root_dir == Path("/home/ada")
    assert address.runtime_file == file
    assert address.local is ("10.1.2.3" not in url)


def test_a_jupyter_server_under_a_name_that_we_cannot_place_is_on_this_host_all_the_same(
    directory: Path,
) -> None:
    """`--ip=box.example.org`: only a name server knows that this is us. Its processes are evidence here."""
    command = [sys.executable, "-c", "input()", "/usr/bin/jupyter-lab"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        write(directory, entry(hostname="box.example.org", secure=True), pid=process.pid)
        address = the_one(discover([directory], {}))
    finally:
        process.communicate()
    assert (address.local, address.verify) == (True, True)


def test_the_certificate_of_a_server_on_loopback_is_not_checked_unless_a_ca_file_is_given(
    directory: Path, tmp_path: Path
) -> None:
    write(directory, entry(secure=True))
    assert the_one(discover([directory], {})).verify is False
    checked = the_one(discover([directory], {}, ca_file=tmp_path / "ca.pem"))
    assert (checked.verify, checked.ca_file) == (True, tmp_path / "ca.pem")
    write(directory, entry(secure=True, hostname="10.1.2.3"))
    assert the_one(discover([directory], {})).verify is True


def test_an_old_notebook_server(directory: Path) -> None:
    old = {key: value for key, value in entry(notebook_dir="/old").items() if key not in {"root_dir", "sock"}}
    write(directory, old, prefix="nbserver")
    assert the_one(discover([directory], {})).root_dir == Path("/old")


def test_one_server_is_listed_once(directory: Path, tmp_path: Path) -> None:
    write(directory)
    write(directory, prefix="nbserver")
    (tmp_path / "link").symlink_to(directory)
    write(tmp_path / "elsewhere")
    found = discover([directory, directory / ".", tmp_path / "link", tmp_path / "elsewhere"], {})
    assert the_one(found).url == "http://localhost:8888/"


def test_a_port_belongs_to_the_file_that_was_written_last(directory: Path, other_pid: int) -> None:
    write(directory, entry(token="old"), age_s=30)
    write(directory, entry(token="new"), pid=other_pid)
    assert the_one(discover([directory], {})).token.get_secret_value() == "new"


def test_the_file_of_a_dead_process_is_passed_over_and_left_alone(directory: Path) -> None:
    file = write(directory, pid=dead_pid())
    broken = write(directory, "{", pid=dead_pid(), prefix="nbserver")
    found = discover([directory], {})
    assert found == Discovery(servers=(), problems=(), complete=True)
    assert file.exists()
    assert broken.exists()


def test_a_pid_that_is_somebody_elses_by_now(directory: Path, other_pid: int) -> None:
    file = write(directory, pid=other_pid, age_s=HOUR_S)
    assert discover([directory], {}) == Discovery(servers=(), problems=(), complete=True)
    assert file.exists()


def test_a_jupyter_server_younger_than_its_file_is_believed(
    directory: Path, other_pid: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock was set after it started: its start seems to lie after the writing of the file."""
    write(directory, pid=other_pid, age_s=HOUR_S)
    for command, running in [
        (["/opt/conda/bin/python", "/opt/conda/bin/jupyter-lab", "--ip=*"], True),
        (["python3", "-m", "jupyter_server"], True),
        (["python3", "/usr/bin/jupyterhub-singleuser"], True),
        (["python3", "-m", "ipykernel_launcher", "-f", "/home/a/jupyter/runtime/kernel-1.json"], False),
        ([], False),
    ]:
        monkeypatch.setattr(psutil.Process, "cmdline", lambda self, command=command: command)
        assert bool(discover([directory], {}).servers) is running


def test_a_process_that_may_not_be_looked_at_is_believed(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(directory)

    def refuse(self: psutil.Process) -> str:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "status", refuse)
    assert the_one(discover([directory], {})).pid == os.getpid()


def test_a_process_that_proc_hides_is_believed(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/proc mounted with hidepid=2: other users' processes are not there, and yet can't be signalled."""
    write(directory)

    def hide(self: psutil.Process) -> str:
        raise psutil.NoSuchProcess(self.pid)

    def forbid(pid: int, signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(psutil.Process, "status", hide)
    monkeypatch.setattr(os, "kill", forbid)
    assert the_one(discover([directory], {})).pid == os.getpid()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "is empty (half written?)"),
        ('{"token": "sesame", "po', "holds no JSON (half written?)"),
        ("[" * 50_000, "holds no JSON"),
        ('["sesame"]', "holds no JSON object"),
        (" " * 70_000, "longer than 65536 bytes"),
        (entry(port="8888"), "port is no port number"),
        (entry(port=0), "port is no port number"),
        (entry(port=65_536), "port is no port number"),
        (entry(port=True), "port is no port number"),
        (entry(base_url=None), "base_url does not begin with a slash"),
        (entry(base_url="//evil.example.org@x"), None),
        (entry(hostname="evil.example.org/?x="), "hostname is no host name"),
        (entry(hostname="user@evil"), "hostname is no host name"),
        (entry(hostname=7), "hostname is no text"),
        (entry(token="two words"), "token holds characters"),
        (entry(token=["x"]), "token is no text"),
        (entry(sock="/tmp/j.sock", secure=True), "TLS over a unix socket is not supported"),
    ],
)
def test_files_that_cannot_be_understood(directory: Path, content: object, problem: str | None) -> None:
    file = write(directory, content)
    found = discover([directory], {})
    if problem is None:
        assert the_one(found).url.startswith("http://localhost:8888/")
        return
    assert found.servers == ()
    assert not found.complete
    (said,) = found.problems
    assert said.startswith(f"{file}: {problem}")
    assert "sesame" not in said


def test_one_broken_file_does_not_hide_the_others(directory: Path, other_pid: int) -> None:
    write(directory, "{", pid=other_pid)
    write(directory)
    found = discover([directory], {})
    assert [address.pid for address in found.servers] == [os.getpid()]
    assert not found.complete


def test_what_is_no_runtime_file(directory: Path) -> None:
    directory.mkdir()
    for name in (
        "jpserver-1-open.html",
        "kernel-1.json",
        "jpserver-.json",
        "jpserver-x.json",
        "jpserver-0.json",
    ):
        (directory / name).write_text("{")
    (directory / "jpserver-99999999999999999999.json").write_text("{")
    (directory / "jpserver-9999999999.json").write_text("{")
    assert discover([directory], {}) == Discovery(servers=(), problems=(), complete=True)


def test_a_pipe_under_that_name_does_not_block(directory: Path) -> None:
    directory.mkdir()
    os.mkfifo(directory / f"jpserver-{os.getpid()}.json")
    found = discover([directory], {})
    assert "not a regular file" in found.problems[0]


def test_directories_that_are_missing_or_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert discover([tmp_path / "none", tmp_path / "file"], {}).complete
    found = discover([tmp_path / "loop"], {})
    assert not found.complete

    def forbid(path: Path) -> list[str]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", forbid)  # the tests may run as root, whom nothing is closed to
    found = discover([tmp_path], {})
    assert found == Discovery(
        servers=(), problems=(f"{tmp_path}: Permission denied (EACCES)",), complete=False
    )


def test_a_file_that_may_not_be_read(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(directory)

    def forbid(path: Path, flags: int) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", forbid)
    found = discover([directory], {})
    assert found == Discovery(servers=(), problems=(f"{file}: Permission denied (EACCES)",), complete=False)


def test_a_file_that_goes_away_while_it_is_looked_at(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(directory)

    def gone(path: Path, flags: int) -> int:
        raise FileNotFoundError

    monkeypatch.setattr(os, "open", gone)
    assert discover([directory], {}) == Discovery(servers=(), problems=(), complete=True)


class TestUnderJupyterHub:
    """The file's token is empty; the server accepts its own JUPYTERHUB_API_TOKEN."""

    @pytest.fixture
    def singleuser(self, directory: Path) -> Iterator[int]:
        process = subprocess.Popen(
            [sys.executable, "-c", "input()"],
            stdin=subprocess.PIPE,
            env={**os.environ, "JUPYTERHUB_API_TOKEN": "its-own"},
        )
        write(directory, entry(token="", base_url="/user/ada/"), pid=process.pid)
        yield process.pid
        process.communicate()

    def token(self, directory: Path, **environ: str) -> str:
        return the_one(discover([directory], environ)).token.get_secret_value()

    def test_of_the_process(self, directory: Path, singleuser: int) -> None:
        assert self.token(directory, JUPYTERHUB_API_TOKEN="ours") == "its-own"

    def test_a_process_without_is_under_no_hub(self, directory: Path, other_pid: int) -> None:
        write(directory, entry(token=""), pid=other_pid)
        assert self.token(directory, JUPYTERHUB_API_TOKEN="ours") == ""

    @pytest.mark.parametrize(
        ("prefix", "token"),
        [(None, "ours"), ("/user/ada/", "ours"), ("/user/ada", "ours"), ("/user/bob/", "")],
    )
    def test_of_our_own_environment_where_the_process_is_closed(
        self,
        directory: Path,
        singleuser: int,
        monkeypatch: pytest.MonkeyPatch,
        prefix: str | None,
        token: str,
    ) -> None:
        def refuse(self: psutil.Process) -> dict[str, str]:
            raise psutil.AccessDenied(self.pid)

        monkeypatch.setattr(psutil.Process, "environ", refuse)
        environ = {} if prefix is None else {"JUPYTERHUB_SERVICE_PREFIX": prefix}
        assert self.token(directory, JUPYTERHUB_API_TOKEN="ours", **environ) == token

    def test_never_of_a_process_that_belongs_to_another_user_than_the_file(
        self, directory: Path, singleuser: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Root reads everybody's files: one user must not get at another's token by naming his pid."""
        stranger = psutil.Process().uids()._replace(effective=os.getuid() + 1)
        monkeypatch.setattr(psutil.Process, "uids", lambda self: stranger)
        assert self.token(directory) == ""
