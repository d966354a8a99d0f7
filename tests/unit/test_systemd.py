"""The units: valid, hardened, and about the same names and times as the code.

systemd-analyze does not tell whether a unit starts. What it leaves out is asserted here, from what was seen under a
real systemd (252): a dynamic user of the name of a group that exists ends with 217/USER; a socket whose group would
have to be changed stays in the wrong one, because @privileged holds chown.
"""

import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from reaper.config.catalog import settings
from reaper.config.places import default_listen, default_state
from reaper.core.durations import parse_duration
from reaper.core.ruleset import Ruleset
from reaper.daemon.rules import Setup
from reaper.web.listen import GROUP

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNITS = {"reaper.service": 1.5, "reaper-host.service": 3.0}
"""Each unit with the most exposure that `systemd-analyze security` may find. The host's must see processes."""

each_unit = pytest.mark.parametrize("name", UNITS)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    assert program is not None, (
        "systemd-analyze is missing: .ci/run installs it (Debian: apt-get install systemd)"
    )
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=60, cwd=SYSTEMD
    )


class Unit:
    """A unit file; keys may be there more than once."""

    def __init__(self, name: str) -> None:
        self.text = (SYSTEMD / name).read_text(encoding="utf-8")
        self._values: dict[tuple[str, str], list[str]] = {}
        section = ""
        for line in self.text.splitlines():
            if line.startswith("["):
                section = line.strip("[]")
            elif line and not line.startswith("#"):
                key, _, value = line.partition("=")
                self._values.setdefault((section, key), []).append(value)

    def all(self, key: str, section: str = "Service") -> list[str]:
        return self._values.get((section, key), [])

    def one(self, key: str, section: str = "Service") -> str:
        (value,) = self.all(key, section)
        return value

    def seconds(self, key: str) -> float:
        value = self.one(key)
        return float(value) if value.isdigit() else parse_duration(value).total_seconds()


@each_unit
def test_a_unit_is_valid(name: str) -> None:
    done = analyze("verify", name)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@each_unit
def test_a_unit_is_hardened(name: str) -> None:
    done = analyze("security", "--offline=true", "--no-pager", name)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) <= UNITS[name]


@each_unit
def test_nothing_is_reaped_until_somebody_says_so(name: str) -> None:
    unit = Unit(name)
    assert "REAPER_MODE=dry-run" in unit.all("Environment")
    assert [one for one in unit.all("Environment") if one.startswith("REAPER_")] == ["REAPER_MODE=dry-run"]
    assert unit.one("EnvironmentFile") == "-/etc/reaper/reaper.env"
    # What stands later wins only between the two: an EnvironmentFile= beats Environment= (systemd.exec(5)).


@each_unit
def test_members_of_the_group_may_use_the_socket(name: str) -> None:
    """The daemon's own group is the socket's. Nothing has to be handed over: chown is filtered."""
    unit = Unit(name)
    assert unit.one("Group") == GROUP
    assert unit.all("SupplementaryGroups") == []
    assert "@privileged" in " ".join(unit.all("SystemCallFilter"))
    assert unit.one("RuntimeDirectoryMode") == "0755"
    assert f"g {GROUP} " in (SYSTEMD / "reaper.sysusers.conf").read_text(encoding="utf-8")


def test_the_dynamic_user_is_not_called_as_the_group_is() -> None:
    unit = Unit("reaper.service")
    assert unit.one("DynamicUser") == "yes"
    assert unit.one("User") not in {GROUP, "root", ""}


@each_unit
def test_its_directories_are_where_the_code_looks(name: str) -> None:
    unit = Unit(name)
    environ = {
        "STATE_DIRECTORY": f"/var/lib/{unit.one('StateDirectory')}",
        "RUNTIME_DIRECTORY": f"/run/{unit.one('RuntimeDirectory')}",
    }
    assert default_state(environ) == "/var/lib/reaper/journal.db"
    assert default_listen(environ) == "unix:/run/reaper/reaper.sock"
    assert unit.one("StateDirectoryMode") == "0700"


def test_its_credentials_are_settings() -> None:
    loaded = Unit("reaper.service").all("LoadCredential")
    assert [one.partition(":")[0] for one in loaded] == ["jupyter.url", "jupyter.token"]
    known = {info.credential for info in settings().values() if info.credential}
    for one in loaded:
        credential, _, path = one.partition(":")
        assert credential in known
        assert path == f"/etc/reaper/credentials/{credential}"
    assert Unit("reaper-host.service").all("LoadCredential") == []


@each_unit
def test_its_times_fit_those_of_the_daemon(name: str) -> None:
    """An action may end before draining gives up, and draining before systemd kills."""
    unit = Unit(name)
    setup = Setup(
        build_ruleset=lambda _: Ruleset(),
        check_override=lambda _name, _value: None,
        underlying={},
        poll_interval=timedelta(minutes=1),
    )
    assert setup.action_deadline < setup.drain_grace < unit.seconds("TimeoutStopSec")
    assert setup.look_deadline * 1.5 < unit.seconds("TimeoutStartSec")
    assert unit.seconds("WatchdogSec") >= 120, "the loop goes round once in a poll interval of a minute"
    assert unit.one("RestartPreventExitStatus") == "78"
    assert unit.one("Type") == "notify"


def test_the_units_exclude_each_other_and_agree() -> None:
    api, host = Unit("reaper.service"), Unit("reaper-host.service")
    assert host.one("Conflicts", "Unit") == "reaper.service"
    for key in (
        "ExecStart",
        "ExecReload",
        "StateDirectory",
        "RuntimeDirectory",
        "UMask",
        "MemoryMax",
        "TasksMax",
    ):
        assert api.one(key) == host.one(key), key


def test_the_host_unit_keeps_two_powers_and_both_only_read() -> None:
    unit = Unit("reaper-host.service")
    assert unit.one("CapabilityBoundingSet").split() == ["CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE"]
    assert unit.one("ProtectSystem") == "strict"
    assert unit.one("ProtectHome") == "read-only"


def test_every_line_of_hardening_has_a_comment_above_its_paragraph() -> None:
    """A reader of the unit must not guess: each paragraph begins with the reason for it."""
    service = Unit("reaper.service").text.partition("[Service]\n")[2].partition("\n[Install]")[0]
    bare = [part for part in service.split("\n\n") if not part.lstrip().startswith("#")]
    assert [part.splitlines()[0] for part in bare] == ["Type=notify"]


def test_the_daemon_needs_no_writable_executable_memory() -> None:
    """`MemoryDenyWriteExecute=`: everything is imported, and a loop run, with the kernel's own switch for it on.

    PR_SET_MDWE (65) is refused by kernels before 6.3; then only the imports are tried.
    """
    program = """
import ctypes
ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)
import asyncio, ssl, sqlite3
import aiohttp, psutil, pydantic, pynvml
import reaper.cli.run, reaper.web, reaper.journal.sqlite, reaper.notifiers.webhook, reaper.notifiers.command
from reaper.config import load_settings
load_settings({"HOME": "/nonexistent"})
asyncio.run(asyncio.to_thread(sum, range(10)))
print("fine")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.returncode) == ("fine\n", 0), done.stderr


def test_the_environment_file_names_every_variable() -> None:
    text = (SYSTEMD / "reaper.env").read_text(encoding="utf-8")
    named = set(re.findall(r"^#(REAPER_[A-Z0-9_]+)=", text, re.MULTILINE))
    wanted = {info.variable for info in settings().values()}
    wanted |= {f"{info.variable}_FILE" for info in settings().values() if info.credential}
    assert named == wanted | {"REAPER_CONFIG"}
    assert [line for line in text.splitlines() if line and not line.startswith("#")] == []


def test_the_group_file_is_one_that_systemd_reads() -> None:
    lines = [
        line
        for line in (SYSTEMD / "reaper.sysusers.conf").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert [line.split() for line in lines] == [["g", GROUP, "-", "-"]]
