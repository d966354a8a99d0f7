"""When endpoints were last invoked, by CloudWatch.

AWS/SageMaker `Invocations` is counted by endpoint and variant, and only when there is one: a variant that nobody
invokes has no datapoints at all (SageMaker Developer Guide, "Monitor with CloudWatch"). So that there are none says
something where CloudWatch answered completely, and nothing of the last minutes, which it may not have counted yet.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from reaper.clients.aws import Aws, Metric, Series, read_metrics

__all__ = ["Variant", "Window", "last_invocations", "recent", "whole_past"]

_AHEAD = timedelta(minutes=5)
"""How far ahead of our clock CloudWatch's may be."""


class Variant(NamedTuple):
    """A production variant of an endpoint."""

    endpoint: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What time is asked about, and how finely.

    Attributes:
        start: From when.
        end: Until when.
        period: Of one datapoint.
    """

    start: datetime
    end: datetime
    period: timedelta


def recent(now: datetime) -> Window:
    """Ask about the last three hours, by five minutes. Pure."""
    return Window(start=_hour(now) - timedelta(hours=3), end=now + _AHEAD, period=timedelta(minutes=5))


def whole_past(now: datetime, days: int = 63) -> Window:
    """Ask about the time before `recent`, by the hour. Pure."""
    end = recent(now).start
    return Window(start=end - timedelta(days=days), end=end, period=timedelta(hours=1))


async def last_invocations(
    aws: Aws, region: str, variants: Iterable[Variant], window: Window
) -> dict[Variant, datetime | str | None]:
    """Ask when each variant was last invoked in a window.

    Returns:
        The end of the last period with an invocation; None: there is none; a text: why that is not known.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.pages`.
    """
    wanted = {variant: _metric(variant) for variant in variants}
    answers = await read_metrics(
        aws, region, wanted, start=window.start, end=window.end, period=window.period
    )
    return {variant: _last(series, window.period) for variant, series in answers.items()}


def _metric(variant: Variant) -> Metric:
    dimensions = (("EndpointName", variant.endpoint), ("VariantName", variant.name))
    return Metric("AWS/SageMaker", "Invocations", dimensions, "Sum")


def _last(series: Series | str, period: timedelta) -> datetime | str | None:
    if isinstance(series, str):
        return series
    return max((at + period for at, value in series.items() if value > 0), default=None)


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
