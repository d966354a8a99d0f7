import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, strategies as st

from reaper.core.codec import to_json
from reaper.core.decide import decide
from reaper.core.facts import fact_to_json
from reaper.journal import rows
from reaper.testing.journal_contract import RULES
from reaper.testing.journal_tale import START, told

INSTANTS = st.datetimes(
    min_value=datetime(1, 1, 3), max_value=datetime(9999, 12, 29), timezones=st.just(UTC)  # noqa: DTZ001
)  # fmt: skip


@given(INSTANTS)
def test_instants_come_back_to_the_microsecond(at):
    assert rows.instant(rows.micros(at)) == at


def test_instants_are_kept_in_utc():
    tokyo = timezone(timedelta(hours=9))
    assert (
        rows.instant(rows.micros(datetime(2026, 11, 22, 9, tzinfo=tokyo))).isoformat()
        == "2026-11-22T00:00:00+00:00"
    )


@given(INSTANTS, INSTANTS)
def test_what_was_ago_comes_back(at, first_at):
    ago = rows.ago(at, first_at)
    assert ago is not None
    assert rows.instant(rows.micros(first_at) - ago) == at
    assert rows.ago(None, first_at) is None


@given(st.text(alphabet=st.characters(codec=None, categories=None)))
def test_any_text_comes_back(text):
    assert rows.text_out(rows.text_in(text)) == text


def test_json_is_what_core_writes():
    batches, worlds = told(11, 60)
    for batch in batches:
        for fact in batch.facts:
            kind, values = fact_to_json(fact)
            assert json.loads(rows.body(fact)) == values
            assert rows.fact_from_row(kind, rows.body(fact), None) == fact
    for decision in decide(worlds[-1], RULES, START + timedelta(days=30)):
        assert json.loads(rows.body(decision)) == to_json(decision)


def test_decisions_come_back_and_are_small():
    worlds = told(11, 60)[1]
    decisions = list(decide(worlds[-1], RULES, START + timedelta(days=30)))
    assert decisions
    for decision in decisions:
        deflated = rows.decision_body(decision)
        assert rows.decision_from_body(deflated) == decision
        assert len(deflated) < len(rows.body(decision)) / 3


@pytest.mark.parametrize("damaged", [b"", b"x", b"\x78\x9c" + bytes(20)])
def test_a_damaged_decision_is_a_value_error(damaged):
    with pytest.raises(ValueError):  # noqa: PT011 - zlib's and json's own words
        rows.decision_from_body(damaged)


def test_what_decisions_have_in_common_never_changes():
    """It is part of the format: journals that are out there were written with it."""
    assert hashlib.sha256(rows._FAMILIAR).hexdigest()[:16] == "f0768d128791a21a"
