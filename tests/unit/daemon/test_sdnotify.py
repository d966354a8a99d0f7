"""Telling systemd: a datagram, never a wait."""

import contextlib
import os
import socket
import time

import pytest

from reaper.daemon.sdnotify import notify, watchdog_seconds


@pytest.fixture
def systemd(own_home, monkeypatch):
    path = own_home / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(path))
        listening.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield listening


def test_a_state_arrives_as_it_is(systemd):
    assert notify("READY=1\nSTATUS=watching 3")
    assert systemd.recv(100) == b"READY=1\nSTATUS=watching 3"


def test_an_abstract_address_works_too(monkeypatch):
    name = f"reaper-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        assert notify("WATCHDOG=1")
        assert listening.recv(100) == b"WATCHDOG=1"


def test_a_supervisor_that_does_not_read_holds_nothing_up(systemd):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filling:
        filling.setblocking(False)
        filling.connect(systemd.getsockname())
        with contextlib.suppress(BlockingIOError):
            while filling.send(b"x"):
                pass
    begun = time.monotonic()
    assert not notify("WATCHDOG=1")
    assert time.monotonic() - begun < 2


def test_without_a_supervisor_it_says_so(monkeypatch, own_home):
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(own_home / "nobody"))
    assert not notify("READY=1")


@pytest.mark.parametrize(
    ("micros", "pid", "seconds"),
    [
        ("20000000", "", 10.0),
        ("20000000", "own", 10.0),
        ("20000000", "1", None),
        ("", "", None),
        ("x", "", None),
    ],
)
def test_how_often_the_watchdog_wants_to_hear(monkeypatch, micros, pid, seconds):
    monkeypatch.setenv("WATCHDOG_USEC", micros)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)
    assert watchdog_seconds() == seconds
