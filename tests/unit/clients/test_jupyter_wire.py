"""What a Jupyter server may answer, read without trusting it."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, strategies as st

from reaper.clients.jupyter import wire
from reaper.errors import SourceMalformed

WHERE = "GET /base/api/kernels"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KERNEL: dict[str, Any] = {
    "id": "0b4ad3c2-8e6b-4a7e-9d3c-5d2f3f4c1a00",
    "name": "python3",
    "last_activity": "2026-11-22T11:59:00.123456Z",
    "execution_state": "idle",
    "connections": 1,
}


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-22T11:59:00.123456Z", datetime(2026, 11, 22, 11, 59, 0, 123456, UTC)),
        ("2026-11-22T11:59:00Z", datetime(2026, 11, 22, 11, 59, tzinfo=UTC)),  # Jupyter drops ".000000"
        ("2026-11-22T11:59:00+00:00", datetime(2026, 11, 22, 11, 59, tzinfo=UTC)),
        ("2026-11-22T20:59:00.5+09:00", datetime(2026, 11, 22, 11, 59, 0, 500000, UTC)),
        ("2026-11-22T06:59:00-05:00", datetime(2026, 11, 22, 11, 59, tzinfo=UTC)),
        ("2026-11-22T12:04:59Z", NOW + timedelta(minutes=4, seconds=59)),  # clocks differ a little
    ],
)
def test_timestamps(text: str, instant: datetime) -> None:
    read = wire.parse_timestamp(text, server_now=NOW)
    assert read == instant
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (None, "is missing"),
        ("", "is no timestamp"),
        ("yesterday", "is no timestamp: 'yesterday'"),
        ("2026-13-22T11:59:00Z", "is no timestamp"),
        ("2026-11-22T11:59:00", "has no time zone"),
        ("2026-11-22", "has no time zone"),
        ("0001-01-01T00:00:00+14:00", "is out of range"),
        ("9999-12-31T23:59:59-14:00", "is out of range"),
        ("2026-11-22T12:05:01Z", "is in the server's own future"),
        (1795385439, "is a number, not a timestamp"),
        (True, "is a truth value, not a timestamp"),
        ({}, "is an object, not a timestamp"),
        ("x" * 500, "is no timestamp: '" + "x" * 60 + "...'"),
    ],
)
def test_timestamps_that_are_none(value: object, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(why)}"):
        wire.parse_timestamp(value, server_now=NOW)


def test_without_the_servers_instant_nothing_is_in_its_future() -> None:
    assert wire.parse_timestamp("2999-01-01T00:00:00Z").year == 2999


def test_a_kernel() -> None:
    kernel = wire.parse_kernel({**KERNEL, "reason": "autorestarting", "path": "/x"}, server_now=NOW)
    assert kernel.problem is None
    assert kernel.id == KERNEL["id"]
    assert kernel.execution_state == "idle"
    assert kernel.last_activity == datetime(2026, 11, 22, 11, 59, 0, 123456, UTC)
    assert kernel.connections == 1
    assert kernel.reason == "autorestarting"
    assert kernel.extras == {"path": "/x"}
    assert hash(kernel)  # frozen, extras and all


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": None}, "id is missing"),
        ({"id": 7}, "id is a number, not text"),
        ({"id": ""}, "id is missing"),
        ({"name": ["x"]}, "name is a list, not text"),
        ({"last_activity": None}, "last_activity is missing"),
        ({"last_activity": "2026-11-22T11:59:00"}, "last_activity has no time zone"),
        ({"last_activity": 12}, "last_activity is a number"),
        ({"execution_state": 5}, "execution_state is a number"),
        ({"execution_state": {"a": 1}}, "execution_state is an object"),
        ({"connections": "three"}, "connections is no count: 'three'"),
        ({"connections": -1}, "connections is no count"),
        ({"connections": True}, "connections is no count"),
        ({"connections": 1.5}, "connections is no count"),
        ({"reason": 1}, "reason is a number"),
    ],
)
def test_one_bad_kernel_does_not_hide_the_others(change: dict[str, Any], problem: str) -> None:
    bad, good = wire.parse_kernels([{**KERNEL, **change}, {**KERNEL, "id": "good"}], WHERE)
    assert good.problem is None
    assert good.last_activity is not None
    assert bad.problem is not None
    assert bad.problem.startswith(problem)


@pytest.mark.parametrize("item", [None, 7, "kernel", [], True])
def test_a_kernel_that_is_no_object(item: object) -> None:
    bad, good = wire.parse_kernels([item, KERNEL], WHERE)
    assert (bad.id, bad.last_activity) == ("", None)
    assert bad.problem is not None
    assert good.problem is None


def test_a_state_that_cannot_be_read_is_never_none() -> None:
    """None means "starting", which may count as idle."""
    for item in ({**KERNEL, "execution_state": 5}, {**KERNEL, "execution_state": []}, "kernel"):
        assert wire.parse_kernel(item).execution_state is not None
    without = {key: value for key, value in KERNEL.items() if key != "execution_state"}
    assert wire.parse_kernel(without).execution_state == "<nothing>"
    told = wire.parse_kernel({**KERNEL, "execution_state": None})
    assert (told.execution_state, told.problem) == (None, None)


def test_a_state_of_any_length_is_kept_short() -> None:
    """It goes into the journal at each look."""
    state = wire.parse_kernel({**KERNEL, "execution_state": "x" * 100_000}).execution_state
    assert state == "x" * 60 + "..."


def test_an_id_that_is_listed_twice_is_believed_in_neither_place() -> None:
    kernels = wire.parse_kernels(
        [KERNEL, {**KERNEL, "execution_state": "busy"}, {**KERNEL, "id": "other"}], WHERE
    )
    assert [kernel.last_activity is None for kernel in kernels] == [True, True, False]
    assert [kernel.problem is None for kernel in kernels] == [False, False, True]
    terminal = {"name": "1", "last_activity": "2026-11-22T11:59:00Z"}
    terminals = wire.parse_terminals([terminal, terminal], WHERE)
    assert [one.last_activity for one in terminals] == [None, None]


@pytest.mark.parametrize("payload", [None, {}, "x", 3, {"message": "Forbidden"}])
def test_a_list_that_is_none(payload: object) -> None:
    for parse in (wire.parse_kernels, wire.parse_sessions, wire.parse_terminals):
        with pytest.raises(SourceMalformed, match="GET /base/api/kernels: expected a list"):
            parse(payload, WHERE)


def test_sessions() -> None:
    payload = [
        {
            "id": "s1",
            "path": "a/b.ipynb",
            "name": "",
            "type": "notebook",
            "kernel": {**KERNEL, "app_name": "app-1"},
        },
        {"id": "s2", "path": "c.ipynb", "type": "pending", "kernel": None},
        {"id": "s3", "notebook": {"path": "old.ipynb", "name": "old"}, "kernel": KERNEL},
        {"id": "s4", "path": "d.ipynb", "kernel": "k"},
        {"id": "s5", "path": 4, "kernel": {"id": None}},
        "no session",
    ]
    one, two, three, four, five, six = wire.parse_sessions(payload, WHERE)
    assert (one.path, one.kernel_id, one.app_name, one.kernel_name) == (
        "a/b.ipynb",
        KERNEL["id"],
        "app-1",
        "python3",
    )
    assert (two.kernel_id, two.type, two.problem) == (None, "pending", None)
    assert (three.path, three.type, three.kernel_id, three.problem) == (
        "old.ipynb",
        "notebook",
        KERNEL["id"],
        None,
    )
    assert (four.kernel_id, four.problem) == (None, "kernel is text, not an object")
    assert (five.path, five.kernel_id) == ("", None)
    assert five.problem == "path is a number, not text; kernel: id is missing"
    assert six.problem == "is text, not an object"


def test_terminals_keep_their_order() -> None:
    payload = [
        {"name": "3", "last_activity": "2026-11-22T11:59:00Z"},
        {"name": "1", "last_activity": "garbage"},
        {"last_activity": "2026-11-22T11:59:00Z"},
        None,
    ]
    terminals = wire.parse_terminals(payload, WHERE, server_now=NOW)
    assert [terminal.name for terminal in terminals] == ["3", "1", "", ""]
    assert [terminal.problem is None for terminal in terminals] == [True, False, False, False]


def test_status() -> None:
    payload = {
        "started": "2026-11-22T10:00:00Z",
        "last_activity": "2026-11-22T11:00:00.5Z",
        "kernels": 2,
        "connections": 0,
    }
    status = wire.parse_status(payload, WHERE)
    assert (status.kernels, status.connections) == (2, 0)
    assert status.last_activity - status.started == timedelta(hours=1, seconds=0.5)
    for key in ("started", "last_activity"):
        with pytest.raises(SourceMalformed, match=f"{key} is missing"):
            wire.parse_status({**payload, key: None}, WHERE)
    with pytest.raises(SourceMalformed, match="expected an object, got a list"):
        wire.parse_status([payload], WHERE)


def test_saved_at() -> None:
    model = {"type": "notebook", "last_modified": "2026-11-22T11:00:00Z"}
    assert wire.parse_saved_at(model, WHERE) == datetime(2026, 11, 22, 11, tzinfo=UTC)
    assert wire.parse_saved_at({**model, "type": "directory"}, WHERE) is None
    assert wire.parse_saved_at({**model, "last_modified": None}, WHERE) is None
    broken: object
    for broken in ({}, {"last_modified": "soon"}, []):
        with pytest.raises(SourceMalformed):
            wire.parse_saved_at(broken, WHERE)


def test_remaining() -> None:
    assert wire.parse_remaining({"remaining": 0}, WHERE) == 0
    assert wire.parse_remaining({"remaining": 3599}, WHERE) == 3599
    for remaining in (None, "1", True, -1, float("nan"), float("inf"), 10**400):
        with pytest.raises(SourceMalformed, match="remaining"):
            wire.parse_remaining({"remaining": remaining}, WHERE)


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        (b"<html><title>Sign in</title>", "text/html; charset=UTF-8", "28 bytes of text/html"),
        (b'[{"id": "x"', "application/json", "11 bytes of application/json"),
        (b"", "application/json", "an empty body"),
        (b"\xff\xfe\x00", "", "no content type"),
        (b"[" * 200_000, "application/json", "RecursionError"),
        (b"9" * 5000, "application/json", "ValueError"),
    ],
)
def test_what_is_no_json(body: bytes, content_type: str, said: str) -> None:
    with pytest.raises(SourceMalformed) as error:
        wire.decode(body, content_type, WHERE)
    assert str(error.value).startswith(f"{WHERE}: expected JSON, got ")
    assert said in str(error.value)


def test_messages_are_printable_and_short() -> None:
    assert wire.clip("a\x1b[31m\nb") == "a [31m b"
    assert len(wire.clip("x" * 1000)) == 63
    assert wire.error_message(b'{"message": "gone", "reason": null}') == "gone"
    for body in (b"", b"gone", b"[]", b'{"message": 4}', b'{"reason": "x"}', b"[" * 200_000):
        assert wire.error_message(body) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [
    *KERNEL,
    "reason",
    "path",
    "type",
    "kernel",
    "notebook",
    "started",
    "kernels",
    "last_modified",
    "remaining",
]


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), JSON) | JSON, max_size=4) | JSON)
def test_nothing_but_malformed_is_ever_raised(payload: object) -> None:
    for parse in (
        wire.parse_kernels,
        wire.parse_sessions,
        wire.parse_terminals,
        wire.parse_status,
        wire.parse_saved_at,
        wire.parse_remaining,
    ):
        try:
            parse(payload, WHERE)
        except SourceMalformed as error:
            assert str(error).startswith(WHERE)  # noqa: PT017  # what it says is half of the promise


@given(st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_a_kernel_that_can_be_idle_has_an_activity_that_was_sent(item: dict[str, Any]) -> None:
    kernel = wire.parse_kernel(json.loads(json.dumps(item)), server_now=NOW)
    if kernel.execution_state in {None, "idle", "starting"} and kernel.last_activity is not None:
        assert item["execution_state"] == kernel.execution_state
        assert datetime.fromisoformat(item["last_activity"]) == kernel.last_activity


def test_half_a_surrogate_pair_is_written_out_and_is_a_problem() -> None:
    (terminal,) = wire.parse_terminals([{"name": "\ud800", "last_activity": "2026-11-22T12:00:00Z"}], "GET x")
    terminal.name.encode()
    assert terminal.problem is not None
    assert "Unicode" in terminal.problem


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_instants_that_could_not_be_corrected_are_out_of_range(text: str) -> None:
    with pytest.raises(ValueError, match="out of range"):
        wire.parse_timestamp(text)
