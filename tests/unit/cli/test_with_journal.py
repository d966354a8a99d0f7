"""The same commands where no daemon answers: they read the journal, and write what they are told into it."""

import asyncio
import json
import sqlite3
from datetime import timedelta

import pytest

from reaper.cli.offline import journal_file, missing, recall
from reaper.clock import SystemClock
from reaper.core.model import ResourceKey
from reaper.core.verdict import Reason
from reaper.journal import journal_at
from tests.unit.cli.stage import BUSY, FAR, GONE, NEW, OLD, SERVER
from tests.unit.cli.test_with_daemon import valid


def test_status_says_that_it_is_the_journals(reaper, journal):
    ran = reaper("status")
    assert ran.status == 0
    assert "no daemon answers" in ran.err
    assert f"the journal {journal} says; last look " in ran.err
    assert ran.out.startswith("mode enforce, idle timeout 2h, 4 polls, last look ")
    assert ran.out.splitlines()[0].endswith("no daemon")
    document = valid("status", reaper("status", "-o", "json").json)
    assert document["daemon"] is False
    assert document["journal"] == str(journal)
    assert document["last_look_at"] is not None
    assert document["idle_timeout_s"] == 7200
    assert {one["id"] for one in document["resources"]} == {BUSY, OLD, NEW, FAR, "1"}


def test_explain_and_plan(reaper, journal):
    assert valid("explain", reaper("explain", OLD, "-o", "json").json)["daemon"] is False
    assert valid("explain", reaper("explain", GONE[:4], "-o", "json").json)["gone"] is True
    plan = valid("plan", reaper("plan", "-o", "json").json)
    assert [one["id"] for one in plan["items"]] == [OLD]
    assert plan["daemon"] is False
    ran = reaper("explain", "6f1c")
    assert ran.status == 2
    assert OLD in ran.err
    ran = reaper("explain", "nothing-like-it")
    assert ran.status == 1
    assert "new.ipynb" in ran.err


def test_what_was_not_looked_at_for_long_is_not_to_be_reaped(reaper, no_daemon):
    """The journal of a daemon that ended an hour ago proves nothing about now."""
    from tests.unit.cli.stage import fill, ruleset

    async def write() -> None:
        made = journal_at(str(no_daemon))
        await made.open(write=True)
        await fill(made, SystemClock().now() - timedelta(hours=1), ruleset())
        await made.close()

    asyncio.run(write())
    assert reaper("plan", "-o", "json").json["items"] == []
    assert "last look 1h ago" in reaper("status").err
    [old] = [one for one in reaper("status", "-o", "json").json["resources"] if one["id"] == OLD]
    assert old["reason"] == Reason.STALE_EVIDENCE.value


def test_a_hold_is_written_for_the_next_start(reaper, journal):
    ran = reaper("hold", "old.ipynb", "--for", "2h", "--why", "w", "-o", "json")
    assert ran.status == 0
    assert "for the next start to see" in ran.err
    assert len(ran.err.splitlines()) == 1
    assert len(reaper("hold", "1").err.splitlines()) == 1, "also where it reads the name of what it holds"
    reaper("release", "1")
    placed = valid("hold", ran.json)
    assert placed["daemon"] is False

    async def held():
        made = journal_at(str(journal))
        await made.open(write=False)
        past = await recall(made, SystemClock().now())
        ref = past.world.live[ResourceKey("jupyter.kernel", SERVER, OLD)].ref
        found = past.world.holds_on(ref, past.now), past.decisions()[ref.key]
        await made.close()
        return found

    [hold], decision = asyncio.run(held())
    assert hold.id == placed["hold"]["id"]
    assert decision.vetoes[0].reason is Reason.HELD
    assert [one["id"] for one in valid("holds", reaper("hold", "--list", "-o", "json").json)["holds"]] == [
        hold.id
    ]
    assert valid("release", reaper("release", hold.id, "-o", "json").json)["released"] == [hold.id]
    assert "nothing is held" in reaper("hold", "--list").out


def test_names_are_resolved_for_writing_too(reaper, journal):
    ran = reaper("hold", "6f1c")
    assert ran.status == 2
    assert BUSY in ran.err
    for command in ("hold", "release"):
        ran = reaper(command, "nothing-like-it")
        assert ran.status == 1
        assert "work/train.ipynb" in ran.err


def test_pause_and_resume(reaper, journal):
    assert valid("pause", reaper("pause", "--for", "1h", "--why", "w", "-o", "json").json)["paused"] is True
    assert "PAUSED" in reaper("status").out
    assert reaper("plan", "-o", "json").json["items"] == []
    assert valid("pause", reaper("resume", "-o", "json").json)["paused"] is False
    assert "PAUSED" not in reaper("status").out


def test_set_checks_value_and_bounds_against_the_configuration(reaper, journal, monkeypatch):
    monkeypatch.setenv("REAPER_IDLE_TIMEOUT_MAX", "3h")
    document = valid("set", reaper("set", "idle-timeout", "90m", "-o", "json").json)
    assert document["value"] == "90m"
    status = reaper("status", "-o", "json").json
    assert status["idle_timeout_s"] == 5400
    ran = reaper("set", "idle-timeout", "4h")
    assert ran.status == 2
    assert "REAPER_IDLE_TIMEOUT_MAX" in ran.err
    monkeypatch.setenv("REAPER_IDLE_TIMEOUT", "later")
    ran = reaper("set", "idle-timeout", "1h")
    assert ran.status == 78, "the configuration itself can't be used"
    monkeypatch.delenv("REAPER_IDLE_TIMEOUT")
    assert "as configured" in reaper("set", "idle-timeout", "--unset").out


def test_a_journal_that_another_process_writes(reaper, journal, monkeypatch):
    monkeypatch.setattr("reaper.cli.offline._PATIENCE", 2)
    monkeypatch.setattr("reaper.cli.offline._PAUSE", 0.01)

    async def contend():
        made = journal_at(str(journal))
        await made.open(write=True)
        read = await asyncio.to_thread(reaper, "status")
        written = await asyncio.to_thread(reaper, "pause")
        await made.close()
        return read, written

    read, written = asyncio.run(contend())
    assert read.status == 0, "reading needs no lock"
    assert written.status == 1
    assert "REAPER_LISTEN" in written.err
    assert reaper("pause").status == 0


def test_journals_that_can_not_be_read(reaper, journal):
    journal.write_bytes(b"SQLite format 3\0" + b"garbage" * 1000)
    ran = reaper("status")
    assert ran.status == 1
    assert str(journal) in ran.err
    assert ran.out == ""
    journal.write_bytes(b"a text")
    assert reaper("explain", OLD).status == 1
    journal.unlink()
    sqlite3.connect(journal).execute("CREATE TABLE t (x)").connection.close()
    ran = reaper("pause")
    assert ran.status == 1
    assert "Traceback" not in ran.err


def test_neither_daemon_nor_journal(reaper, no_daemon):
    for arguments in (
        ("status",),
        ("explain", "x"),
        ("plan",),
        ("hold", "x"),
        ("hold", "--list"),
        ("pause",),
        ("resume",),
    ):
        ran = reaper(*arguments)
        assert ran.status == 1
        assert ran.out == ""
        assert str(no_daemon) in ran.err
        assert "none.sock" in ran.err
    assert not no_daemon.exists(), "looking makes nothing"
    error = json.loads(reaper("status", "--output", "json").err)
    assert str(no_daemon) in valid("error", error)["error"]


def test_a_named_journal_is_read_whatever_daemon_there_is(reaper, journal, daemon):
    assert reaper("status", "-o", "json").json["mode"] == "dry-run"
    ran = reaper("status", "--journal", str(journal), "-o", "json")
    assert ran.json["mode"] == "enforce"
    assert ran.json["daemon"] is False
    assert reaper("explain", OLD, "--journal", str(journal), "-o", "json").json["daemon"] is False
    ran = reaper("status", "--journal", str(journal.with_name("none.db")))
    assert ran.status == 1
    assert "none.db" in ran.err


def test_config_show_without_a_daemon_is_of_this_shell(reaper, no_daemon, monkeypatch):
    monkeypatch.setenv("REAPER_API_TOKEN", "s3cret-token")
    ran = reaper("config", "show", "-o", "json")
    assert ran.status == 0
    assert "settings of this shell" in ran.err
    assert valid("settings", ran.json)["daemon"] is False
    assert "s3cret" not in ran.out + reaper("config", "show").out


@pytest.mark.parametrize(
    ("place", "file"),
    [("/a/b.db", "/a/b.db"), ("sqlite:///a/b.db", "/a/b.db"), ("memory:", None), ("postgresql://h/x", None)],
)
def test_which_places_are_files(place, file):
    found = journal_file(place)
    assert (None if found is None else str(found)) == file
    assert (missing(place) is None) == (file is None)
