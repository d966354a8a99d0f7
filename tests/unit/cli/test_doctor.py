"""`reaper doctor`: finds what is wrong, changes nothing, sends nothing."""

import os
import pwd
import socket
from datetime import UTC, datetime, timedelta

import pytest

from reaper.cli import diagnosis
from reaper.cli.diagnosis import Patient, examine
from reaper.cli.wiring import loaded, silent_providers
from reaper.clock import SystemClock
from reaper.config import load_settings
from reaper.core.codec import to_json
from reaper.errors import ControlError
from tests.unit.cli.test_with_daemon import valid

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def found(patient, name):
    return [(one.level, one.text) for one in examine(patient) if one.name == name]


def patient(**status):
    """One whose daemon says this."""
    made = Patient(environ=os.environ, now=NOW)
    document = {"sources": [], "resources": [], "notes": [], "problems": [], **status}
    made.__dict__["status"] = document
    return made


def test_a_healthy_daemon_is_seen(reaper, daemon):
    ran = reaper("doctor", "-o", "json")
    document = valid("doctor", ran.json)
    checks: dict[str, list[dict[str, str]]] = {}
    for one in document["checks"]:
        checks.setdefault(one["name"], []).append(one)
    assert checks["configuration"][0]["level"] == "ok"
    assert checks["daemon"][0]["level"] == "ok"
    assert checks["version"][0]["level"] == "ok"
    assert checks["socket"][0]["text"].endswith(f"is 0660, owned by {daemon.socket.owner()}")
    assert checks["process evidence"][0]["text"] == "readable for 5 of 5"
    assert [one["level"] for one in checks["sources"]] == ["ok", "fail"]
    assert document["ok"] is False
    assert ran.status == 1
    table = reaper("doctor")
    assert table.status == 1
    assert "1 failed" in table.out
    assert "What to do" in table.out


def test_no_daemon_and_no_journal_is_no_failure(reaper, no_daemon):
    """So it is right after the installation, and with cron's `run --once`."""
    ran = reaper("doctor")
    assert ran.status == 0
    assert "none answers" in ran.out
    assert "none yet" in ran.out
    assert not no_daemon.exists()


def test_before_the_first_start_it_looks_for_servers_itself(reaper, no_daemon, own_home, monkeypatch):
    """That is when somebody asks why nothing is found."""
    monkeypatch.setattr(pwd, "getpwall", list)
    [source] = [one for one in reaper("doctor", "-o", "json").json["checks"] if one["name"] == "sources"]
    assert source["level"] == "warn"
    assert source["text"] == f"no Jupyter server was found in {own_home}/jupyter/runtime"
    assert "REAPER_JUPYTER__URL" in source["advice"]
    monkeypatch.setenv("REAPER_JUPYTER__URL", "http://127.0.0.1:9/")
    ran = reaper("doctor", "-o", "json")
    [source] = [one for one in ran.json["checks"] if one["name"] == "sources"]
    assert source["level"] == "fail"
    assert source["text"].startswith("jupyter:http://127.0.0.1:9/: ")
    assert ran.status == 1
    assert not no_daemon.exists(), "it made no journal"
    monkeypatch.setenv("REAPER_IDLE_TIMEOUT", "soon")
    [source] = [one for one in reaper("doctor", "-o", "json").json["checks"] if one["name"] == "sources"]
    assert source["level"] == "skip"


def test_root_is_told_of_the_homes_of_all_people_too(reaper, no_daemon, own_home, monkeypatch):
    """There it is looked as well: on a notebook instance reaper is root, and the server is a user's."""
    person = pwd.struct_passwd(("ann", "x", 1000, 1000, "", f"{own_home}/ann", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwall", lambda: [person])
    for uid, more in ((0, f", {own_home}/ann/.local/share/jupyter/runtime"), (1, "")):
        monkeypatch.setattr(os, "geteuid", lambda uid=uid: uid)
        [(level, text)] = found(Patient(environ=os.environ, now=NOW), "sources")
        assert (level, text) == ("warn", f"no Jupyter server was found in {own_home}/jupyter/runtime{more}")


def test_a_daemon_that_finds_no_server_is_told_where_this_shell_would_look(no_daemon, own_home):
    [(level, text)] = found(patient(), "sources")
    assert (level, text) == ("warn", "none was ever found")
    [finding] = [one for one in examine(patient()) if one.name == "sources"]
    assert f"{own_home}/jupyter/runtime" in (finding.advice or "")


def test_the_journal_is_looked_at_without_a_daemon(reaper, journal):
    checks = {one["name"]: one for one in reaper("doctor", "-o", "json").json["checks"]}
    assert checks["journal"]["level"] == "ok"
    assert checks["journal writable"]["text"] == "by this user, and nobody holds it"
    assert checks["sources"]["level"] == "fail"
    journal.with_name("journal.db.lock").write_text(f"{os.getpid()}\n")
    checks = {one["name"]: one for one in reaper("doctor", "-o", "json").json["checks"]}
    assert str(os.getpid()) in checks["journal writable"]["text"]
    journal.write_bytes(b"no journal")
    ran = reaper("doctor", "-o", "json")
    assert ran.status == 1
    assert {one["name"]: one for one in ran.json["checks"]}["journal"]["level"] == "fail"


def test_a_bad_configuration_is_the_first_thing_said(reaper, no_daemon, monkeypatch):
    monkeypatch.setenv("REAPER_IDLE_TIMEOUT", "soon")
    ran = reaper("doctor", "-o", "json")
    assert ran.status == 1
    first, *rest = ran.json["checks"]
    assert (first["name"], first["level"]) == ("configuration", "fail")
    assert {one["name"] for one in rest} >= {"daemon", "notifiers"}


def test_two_reapers_blind_ones_and_other_notes(no_daemon):
    blind = {"kind": "jupyter.kernel", "id": "1", "scope": "s", "name": "a", "reason": "held", "blind": True}
    made = patient(
        resources=[blind], notes=["s: another reaper watches this server too", "s: something else"]
    )
    assert found(made, "two reapers") == [("warn", "s: another reaper watches this server too")]
    assert found(made, "notes") == [("warn", "s: something else")]
    assert found(made, "blind") == [("warn", "jupyter.kernel a: held")]


def test_processes_that_can_not_be_read(no_daemon):
    def resource(name, said):
        return {
            "kind": "jupyter.kernel",
            "id": name,
            "scope": "s",
            "name": name,
            "attributes": {"process_evidence": said},
        }

    said = [
        "readable",
        "not readable: another user's process",
        "not applicable: the server is on another machine",
    ]
    made = patient(resources=[resource(str(number), one) for number, one in enumerate(said)])
    levels = [(one.level, one.advice) for one in examine(made) if one.name == "process evidence"]
    assert [level for level, _ in levels] == ["ok", "warn", "warn"]
    assert "root" in (levels[1][1] or "")
    assert "hold" in (levels[2][1] or "")


def test_a_look_in_the_future(no_daemon):
    source = {
        "name": "s",
        "complete": True,
        "error": None,
        "failing_since": None,
        "last_poll_at": to_json(NOW + timedelta(hours=1)),
    }
    assert found(patient(sources=[source]), "clock") == [("fail", "the last look lies 1h in the future")]


def test_notifiers_are_tried_without_sending(no_daemon, monkeypatch, own_home):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("REAPER_NOTIFY", f"command:/bin/true,http://127.0.0.1:{port}/hook/s3cret")
        levels = found(Patient(environ=os.environ, now=NOW), "notifiers")
        assert [level for level, _ in levels] == ["ok", "ok"]
        assert "s3cret" not in str(levels)
    levels = found(Patient(environ=os.environ, now=NOW), "notifiers")
    assert [level for level, _ in levels] == ["ok", "fail"]
    assert "s3cret" not in str(levels)


def test_a_socket_that_everybody_may_use(daemon, reaper):
    daemon.socket.chmod(0o666)
    try:
        [(level, text)] = found(Patient(environ=os.environ, now=NOW), "socket")
    finally:
        daemon.socket.chmod(0o660)
    assert level == "fail"
    assert "0666" in text


def test_a_check_that_breaks_is_a_finding(monkeypatch, no_daemon):
    def _broken(_patient):
        raise ControlError("no idea")

    monkeypatch.setattr(diagnosis, "CHECKS", (_broken, *diagnosis.CHECKS[-2:]))
    first, *_rest = examine(Patient(environ=os.environ, now=NOW))
    assert (first.name, first.level, first.text) == ("broken", "fail", "could not be checked: no idea")


@pytest.mark.parametrize(
    ("told", "level"),
    [
        (
            "LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\nNRestarts=0\nUnitFileState=enabled",
            "ok",
        ),
        (
            "LoadState=loaded\nActiveState=inactive\nSubState=dead\nResult=success\nNRestarts=0\nUnitFileState=disabled",
            "warn",
        ),
        (
            "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nNRestarts=5\nUnitFileState=enabled",
            "fail",
        ),
        ("LoadState=not-found\nActiveState=inactive\nSubState=dead", None),
    ],
)
@pytest.mark.parametrize("unit", ["reaper", "reaper-host", "reaper-lifecycle"])
def test_the_units_state(monkeypatch, no_daemon, tmp_path, told, level, unit):
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    fake = bin_ / "systemctl"
    fake.write_text(
        '#!/bin/sh\ncase "$*" in *--user*) echo LoadState=not-found;; '
        f"*' {unit}.service '*) cat <<'E'\n{told}\nE\n;; *) echo LoadState=not-found;; esac\n"
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{bin_}:{os.environ['PATH']}")
    monkeypatch.setattr(diagnosis.installation, "_SYSTEMD", tmp_path)
    findings = found(Patient(environ=os.environ, now=NOW), "systemd")
    assert [one for one, _ in findings] == ([] if level is None else [level])
    assert all(f"{unit}.service is " in text for _, text in findings)


async def test_its_own_look_tells_nobody_that_a_reaper_is_here(tmp_path):
    """'reaper coverage' would believe in a heartbeat for three hours."""
    metadata = tmp_path / "resource-metadata.json"
    metadata.write_text("{}")
    environ = {
        "HOME": str(tmp_path),
        "REAPER_PRESET": "studio",
        "REAPER_STUDIO__METADATA_FILE": str(metadata),
    }
    _, studio = silent_providers(load_settings(environ), SystemClock())
    _, daemons, _ = loaded(load_settings(environ), SystemClock())
    assert studio._options.standing is None  # type: ignore[attr-defined]
    assert daemons[1]._options.standing is not None  # type: ignore[attr-defined]
    for provider in (studio, *daemons):
        await provider.close()
