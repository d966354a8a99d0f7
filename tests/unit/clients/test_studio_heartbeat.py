"""The heartbeat as a tag's value: written, read back, and what is no heartbeat."""

import re
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given, strategies as st

from reaper.clients.studio import Identity
from reaper.clients.studio.heartbeat import Heartbeat, app_arn, read_heartbeat, tag_of, write_heartbeat
from reaper.testing import T0, hours

NAIVE = T0.replace(year=1970, tzinfo=None)
ALLOWED = re.compile(r"[A-Za-z0-9_.:/=+\-@ ]{0,256}")
"""The service model's pattern of a tag's value, without letters of other scripts."""

BEAT = Heartbeat(version="0.3.0", idle_timeout=hours(2), at=T0, mode="enforce", door="server")


def test_as_it_is_written():
    assert write_heartbeat(BEAT) == f"0.3.0 7200 {T0:%Y-%m-%dT%H:%M:%SZ} enforce server"


@given(
    version=st.text(max_size=300),
    timeout=st.none() | st.integers(0, 10**8).map(lambda seconds: timedelta(seconds=seconds)),
    at=st.datetimes(min_value=NAIVE, max_value=NAIVE.replace(year=9999)),
    mode=st.sampled_from(["", "dry-run", "enforce"]),
    door=st.sampled_from(["", "server", "api"]),
)
def test_whatever_is_written_is_a_tag_and_reads_back(version, timeout, at, mode, door):
    at = at.replace(microsecond=0, tzinfo=T0.tzinfo)
    value = write_heartbeat(Heartbeat(version=version, idle_timeout=timeout, at=at, mode=mode, door=door))
    assert ALLOWED.fullmatch(value)
    read = read_heartbeat(value)
    assert (read.idle_timeout, read.at, read.mode, read.door) == (timeout, at, mode, door)
    assert read.version


def test_words_of_later_versions_are_passed_over():
    assert read_heartbeat(write_heartbeat(BEAT) + " paused 17") == BEAT


def test_of_the_first_version_mode_and_door_are_unknown():
    read = read_heartbeat("0.3.0 - 2026-11-22T00:00:00Z")
    assert (read.idle_timeout, read.mode, read.door) == (None, "", "")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "is no heartbeat"),
        ("yes", "is no heartbeat"),
        ("0.3.0 2h 2026-11-22T00:00:00Z", "'2h' is no number of seconds"),
        ("0.3.0 -5 2026-11-22T00:00:00Z", "is no number of seconds"),
        ("0.3.0 9999999999 2026-11-22T00:00:00Z", "is no number of seconds"),
        ("0.3.0 7200 yesterday", "'yesterday' is no instant"),
        ("0.3.0 7200 2026-11-22T00:00:00", "names no zone"),
    ],
)
def test_what_is_none(value, why):
    with pytest.raises(ValueError, match=why):
        read_heartbeat(value)


@given(st.text(max_size=300))
def test_garbage_is_a_value_error_at_most(value):
    with suppress(ValueError):
        read_heartbeat(value)


def test_its_tag_is_found_however_its_key_is_written():
    assert tag_of({"Owner": "x", "Reaper:Heartbeat": "v"}) == "v"
    assert tag_of({"reaper:heartbeats": "v"}) is None


@pytest.mark.parametrize(
    ("of", "tail"),
    [
        ({"user": "ann", "app_type": "JupyterServer"}, "app/d-abc/ann/jupyterserver/default"),
        ({"space": "lab", "app_type": "CodeEditor"}, "app/d-abc/lab/codeeditor/default"),
    ],
)
def test_the_app_it_is_on(of, tail):
    identity = Identity(
        account="123456789012",
        region="cn-north-1",
        partition="aws-cn",
        domain="d-abc",
        app_name="default",
        **of,
    )
    assert app_arn(identity) == f"arn:aws-cn:sagemaker:cn-north-1:123456789012:{tail}"
