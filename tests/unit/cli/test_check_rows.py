"""What `reaper check` says of what runs: levels, costs, commands, the page and the document."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any, Self

import jsonschema  # type: ignore[import-untyped]
import pytest

from reaper.cli import check
from reaper.cli.checking.page import Seen, ordered, page, written
from reaper.cli.checking.rows import Limits, Row, Tally, end_command, exempt, matches
from reaper.cli.output import Screen
from reaper.cli.schemas import schema
from reaper.clients.prices import Price
from reaper.config import Settings
from reaper.testing import T0, hours

LIMITS = Limits(warning_after=hours(2), critical_after=hours(6))
SCOPE = "123456789012/us-east-1"
MAIL = Screen(width=None, color=False)
PRICE = Price(hourly=1.006, source="shipped", date=T0.date())
BOX = Row(
    kind="ec2.instance",
    id="i-0abc",
    scope=SCOPE,
    name="trainer",
    owner="ann",
    instance_type="g5.xlarge",
    spot=False,
    runtime_s=72 * 3600.0,
    exempt=None,
    end=("ec2", "stop-instances", "--instance-ids"),
    price=PRICE,
)


def shown(*rows: Row, screen: Screen = MAIL, **seen: Any) -> str:
    tally = tallied(*rows)
    given = Seen(**{"rows": ordered(rows, LIMITS), "scopes": [SCOPE], "errors": [], **seen})
    return "".join(page(given, LIMITS, tally, screen))


def document(*rows: Row, **seen: Any) -> dict[str, Any]:
    given = Seen(**{"rows": ordered(rows, LIMITS), "scopes": [SCOPE], "errors": [], **seen})
    found: dict[str, Any] = json.loads("".join(written(given, LIMITS, tallied(*rows))))
    jsonschema.validate(found, schema("check"))
    return found


def tallied(*rows: Row) -> Tally:
    tally = Tally(LIMITS)
    for row in rows:
        tally.add(row)
    return tally


@pytest.mark.parametrize(
    ("runtime", "exempted", "level"),
    [
        (hours(2) - timedelta(seconds=1), None, "ok"),
        (hours(2), None, "warning"),
        (hours(6), None, "critical"),
        (hours(99), "protected", "ok"),
        (hours(99), "held", "ok"),
        (None, None, "warning"),
    ],
)
def test_levels(runtime: timedelta | None, exempted: str | None, level: str) -> None:
    seconds = None if runtime is None else runtime.total_seconds()
    assert replace(BOX, runtime_s=seconds, exempt=exempted).level(LIMITS) == level


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, None),
        ({"reaper:protect": ""}, "protected"),
        ({"Reaper:Protect": "no"}, "protected"),
        ({"reaper:hold-until": "2099-01-01T00:00:00Z"}, "held"),
        ({"reaper:hold-until": "2001-01-01T00:00:00Z"}, None),
        ({"reaper:hold-until": "tomorrow"}, "held"),
        ({"reaper:owner": "ann"}, None),
    ],
)
def test_tags_that_exempt(tags: dict[str, str], expected: str | None) -> None:
    assert exempt(tags, T0) == expected


def test_the_report_of_the_box_that_ran_for_three_days() -> None:
    text = shown(BOX)
    assert "1 running in 123456789012/us-east-1: 1 critical" in text
    (line,) = [line for line in text.splitlines() if "i-0abc" in line and "aws" not in line]
    for part in ("!!", "critical", "g5.xlarge", "trainer", "ann", "3d", "1.006", "$72.43"):
        assert part in line
    assert "  aws ec2 stop-instances --instance-ids i-0abc --region us-east-1\n" in text
    assert "\x1b" not in text


def test_the_worst_come_first_and_only_they_get_a_command() -> None:
    young = replace(BOX, id="i-young", runtime_s=60.0)
    warned = replace(BOX, id="i-warned", runtime_s=3 * 3600.0)
    text = shown(young, warned, BOX)
    assert text.index("i-0abc") < text.index("i-warned") < text.index("i-young")
    assert (text.count("aws ec2"), "i-young --region" in text) == (2, False)
    assert "!! " in text


def test_what_is_exempt_is_listed_and_not_counted() -> None:
    kept = replace(BOX, exempt="protected")
    assert tallied(kept).attention == 0
    assert "ok, protected" in shown(kept)
    assert "to end them" not in shown(kept)
    (row,) = document(kept)["resources"]
    assert (row["level"], row["exempt"]) == ("ok", "protected")


def test_totals_say_at_least_where_a_price_is_unknown() -> None:
    unpriced = replace(BOX, id="i-odd", price=None)
    assert "; at least $1.01 an hour, at least $72.43 so far (1 without a known price)" in shown(
        BOX, unpriced
    )
    assert "at least" not in shown(BOX)
    found = document(BOX, unpriced)
    assert [(one["hourly_cost"], one["cost"], one["currency"]) for one in found["resources"]] == [
        (1.006, 72.432, "USD"),
        (None, None, None),
    ]
    assert found["totals"]["unknown_prices"] == 1


def test_nothing_runs() -> None:
    assert "none found: nothing is running in 123456789012/us-east-1" in shown()
    assert document() == {
        "schema": 1,
        "resources": [],
        "totals": tallied().document(),
        "scopes": [SCOPE],
        "errors": [],
        "left_out": [],
    }


def test_what_could_not_be_seen() -> None:
    text = shown(BOX, errors=[("222222222222/eu-west-1", "AccessDenied")], left_out=[("3", "excluded")])
    assert "not seen: 222222222222/eu-west-1: AccessDenied" in text
    assert "left out: 3: excluded" in text
    assert "nothing could be seen" in shown(scopes=[], errors=[("1/eu-west-1", "no")])


def test_many_places_are_counted() -> None:
    scopes = [f"{account}/{region}" for account in ("1", "2") for region in ("a", "b", "c")]
    assert "3 regions of 2 accounts" in shown(BOX, scopes=scopes)


@pytest.mark.parametrize("width", [60, 100, 200])
def test_a_terminal(width: int) -> None:
    text = shown(BOX, screen=Screen(width=width, color=True))
    assert "aws ec2 stop-instances --instance-ids i-0abc --region us-east-1\n" in text
    assert "\x1b[31m" in text  # critical


def test_names_cant_move_the_cursor_or_inject_a_command() -> None:
    end = ("sagemaker", "delete-endpoint", "--endpoint-name", "a; rm -rf /")
    odd = replace(BOX, kind="sagemaker.endpoint", name="a\x1b[2Jb", end=end)
    text = shown(odd)
    assert "\x1b" not in text
    assert (
        end_command(odd) == "aws sagemaker delete-endpoint --endpoint-name 'a; rm -rf /' --region us-east-1"
    )


@pytest.mark.parametrize(
    ("globs", "expected"), [((), True), (("train*",), True), (("i-0*",), True), (("db-*",), False)]
)
def test_match(globs: tuple[str, ...], expected: bool) -> None:
    assert matches(globs, "trainer", "i-0abc") is expected


def test_a_document_of_many_comes_in_pieces() -> None:
    rows = [replace(BOX, id=f"i-{number}") for number in range(1234)]
    seen = Seen(rows=rows, scopes=[SCOPE], errors=[])
    pieces = list(written(seen, LIMITS, tallied(*rows)))
    assert len(pieces) > 3
    assert len(json.loads("".join(pieces))["resources"]) == 1234


class _Counted(list[Row]):
    """Rows that count how often they are written out."""

    written = 0

    def __repr__(self) -> str:
        _Counted.written += 1
        return "rows"


async def test_what_was_seen_is_no_result_of_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio.run writes out the task that it ran, with its result: of 50,000 rows that is 60 MB."""

    class Looks:
        def __init__(self, _settings: object) -> None:
            pass

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

        async def look(self, *_: object) -> tuple[Seen, Tally]:
            return Seen(rows=_Counted(), scopes=["1/eu"], errors=[]), Tally(LIMITS)

    monkeypatch.setattr("reaper.cli.checking.fleet.Fleet", Looks)
    kept: list[tuple[Seen, Tally]] = []
    asked = check._Asked(LIMITS, (), ())
    task = asyncio.get_running_loop().create_task(check._once(Settings(), asked, kept))
    await task
    repr(task)
    assert len(kept) == 1
    assert _Counted.written == 0
