"""What CloudWatch's answers about invocations prove, also those that no fake would give."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from reaper.clients.aws import Aws
from reaper.clients.sagemaker import Variant, last_invocations, recent
from reaper.errors import SourceMalformed

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
BLUE = Variant("llm", "blue")
MINUTES = timedelta(minutes=1)


class Answering:
    """Stands for `Aws`: gives these results, whatever is asked."""

    def __init__(self, results: list[Any] | None) -> None:
        self.results = results

    async def pages(self, *_: object, **__: object) -> list[Any] | None:
        return self.results


def last(*results: Any) -> datetime | str | None:
    aws = cast("Aws", Answering(list(results)))
    return asyncio.run(last_invocations(aws, "eu-west-1", [BLUE], recent(NOW)))[BLUE]


def result(*points: tuple[int, float], status: str = "Complete", query: str = "v0") -> dict[str, Any]:
    """Datapoints by minutes ago."""
    return {
        "Id": query,
        "StatusCode": status,
        "Timestamps": [NOW - ago * MINUTES for ago, _ in points],
        "Values": [value for _, value in points],
    }


def test_the_end_of_the_latest_period_counts() -> None:
    assert last(result((60, 3.0), (20, 1.0), (40, 2.0))) == NOW - 15 * MINUTES


def test_a_period_with_none_is_none() -> None:
    assert last(result((60, 3.0), (20, 0.0))) == NOW - 55 * MINUTES
    assert last(result()) is None


def test_pages_of_one_query_are_joined_and_the_last_says_whether_that_is_all() -> None:
    assert last(result((60, 3.0), status="PartialData"), result((20, 1.0))) == NOW - 15 * MINUTES
    assert "PartialData" in str(last(result((60, 3.0)), result((20, 1.0), status="PartialData")))


@pytest.mark.parametrize("status", ["PartialData", "InternalError", "Forbidden", ""])
def test_what_is_not_complete_proves_nothing(status: str) -> None:
    assert "not complete" in str(last(result((20, 1.0), status=status)))


def test_a_query_without_an_answer_proves_nothing() -> None:
    assert "lacks it" in str(last(result((20, 1.0), query="v7")))
    assert "lacks it" in str(last())


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {"StatusCode": "Complete"},
        {"Id": 7},
        {**result(), "Timestamps": [NOW]},
        {**result(), "Timestamps": ["yesterday"], "Values": [1.0]},
        result((20, float("nan"))),
        result((20, -1.0)),
        result((20, cast("float", "many"))),
    ],
)
def test_what_can_not_be_read_is_malformed(answer: Any) -> None:
    with pytest.raises(SourceMalformed):
        last(answer)


def test_nothing_is_asked_about_nobody() -> None:
    assert asyncio.run(last_invocations(cast("Aws", None), "eu-west-1", [], recent(NOW))) == {}
