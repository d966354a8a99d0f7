"""The daemon's metrics, for Prometheus. Their names are part of the outside contract (product.md)."""

import platform
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from reaper import __version__
from reaper.clock import Clock, SystemClock
from reaper.core.plan import Plan
from reaper.core.verdict import Verdict
from reaper.core.world import World

__all__ = ["LAG_BUCKETS_S", "Metrics"]

LAG_BUCKETS_S = (0.05, 0.1, 0.3, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0)
"""The promise is a median of 0.3 s and 1 s for 99 of 100; beyond a minute something was in the way."""


class Metrics(Collector):
    """What the daemon counts and measures, in a registry of its own.

    The values are plain numbers that turn into metric families when they are asked for: a source that
    ended is simply forgotten, an unknown value has no sample (never 0), and there are no `_created`
    series, which prometheus_client can only switch off for the whole process.

    Every label's values are bounded: kinds, verdicts, reasons, actions and outcomes by the code, sources
    by those that exist.

    Args:
        clock: For `reaper_seconds_to_next_deadline`, which is true only at the moment of asking.
    """

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._polls: Counter[tuple[str, ...]] = Counter()
        self._complete_at: dict[str, float] = {}
        self._resources: dict[tuple[str, ...], int] = {}
        self._kinds: set[str] = set()
        self._decisions: Counter[tuple[str, ...]] = Counter()
        self._actions: Counter[tuple[str, ...]] = Counter()
        self._lags = [0] * (len(LAG_BUCKETS_S) + 1)
        self._lag_sum = 0.0
        self._deadline: datetime | None = None
        self._costs: dict[str, float] = {}
        self._paused = False
        self._blind = 0
        self._pending = 0
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def poll(self, source: str, outcome: str, at: datetime) -> None:
        """Count a look at a source; the outcome `complete` dates its last complete one."""
        self._polls[source, outcome] += 1
        if outcome == "complete":
            self._complete_at[source] = at.timestamp()

    def forget_source(self, name: str) -> None:
        """Drop what is known of a source that ended."""
        for labels in [labels for labels in self._polls if labels[0] == name]:
            del self._polls[labels]
        self._complete_at.pop(name, None)

    def tick(self, the_plan: Plan, world: World) -> None:
        """Set what a tick found: resources by kind and verdict, what they cost, the next deadline."""
        counts: Counter[tuple[str, str]] = Counter()
        costs: dict[str, float] = {}
        for decision in the_plan.decisions:
            counts[decision.ref.kind, decision.verdict.value] += 1
            cost = world.live[decision.ref.key].resource.hourly_cost
            if cost is not None:
                costs[decision.ref.kind] = costs.get(decision.ref.kind, 0.0) + cost
        self.resources(counts)
        self.cost(costs)
        self.blind(sum(decision.blind for decision in the_plan.decisions))
        self.paused(world.is_paused(the_plan.at))
        dues = [decision.due_at for decision in the_plan.decisions if decision.due_at is not None]
        self.next_deadline(min(dues, default=None))

    def resources(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Set how many resources there are, by (kind, verdict): all of them; what is not named is none."""
        self._resources = dict(counts.items())
        self._kinds.update(kind for kind, _ in counts)

    def decided(self, reason: str, count: int = 1) -> None:
        """Count decisions by their reason."""
        self._decisions[(reason,)] += count

    def acted(self, kind: str, action: str, outcome: str) -> None:
        """Count an action that ended: succeeded, failed, abandoned, unknown."""
        self._actions[kind, action, outcome] += 1

    def lag(self, seconds: float) -> None:
        """Add a reap's lag: from the instant it was due to its request."""
        self._lags[bisect_left(LAG_BUCKETS_S, seconds)] += 1
        self._lag_sum += seconds

    def next_deadline(self, at: datetime | None) -> None:
        """Set when the next reap is due; None: nothing is."""
        self._deadline = at

    def cost(self, dollars_per_hour: Mapping[str, float]) -> None:
        """Set what is watched costs, by kind; a kind of unknown cost is not in it."""
        self._costs = dict(dollars_per_hour)

    def paused(self, paused: bool) -> None:  # noqa: FBT001 - one value, as in the other setters
        """Set whether the kill switch is on."""
        self._paused = paused

    def blind(self, count: int) -> None:
        """Set how many resources have been unknown or vetoed for over a day."""
        self._blind = count

    def pending(self, batches: int) -> None:
        """Set how many batches wait to be written to the journal."""
        self._pending = batches

    def render(self) -> bytes:
        """Write everything in Prometheus's text format (version 0.0.4)."""
        text: bytes = generate_latest(self._registry)
        return text

    def collect(self) -> Iterator[Metric]:
        """Give the metric families, as prometheus_client wants them."""
        yield InfoMetricFamily(
            "reaper_build",
            "The reaper that runs.",
            value={"version": __version__, "python": platform.python_version()},
        )
        yield _counter("reaper_polls", "Looks at a source.", ("source", "outcome"), self._polls)
        yield _gauge(
            "reaper_last_complete_poll_timestamp_seconds",
            "When a source was last seen completely.",
            ("source",),
            {(source,): at for source, at in self._complete_at.items()},
        )
        yield _gauge(
            "reaper_resources",
            "Resources that are watched.",
            ("kind", "verdict"),
            self._all_resources(),
        )
        yield _counter(
            "reaper_decisions", "Decisions that differ from the one before.", ("reason",), self._decisions
        )
        yield _counter("reaper_actions", "Actions that ended.", ("kind", "action", "outcome"), self._actions)
        yield self._lag_family()
        yield from self._deadline_families()
        yield _gauge(
            "reaper_cost_dollars_per_hour",
            "What is watched costs, where that is known.",
            ("kind",),
            {(kind,): cost for kind, cost in self._costs.items()},
        )
        yield GaugeMetricFamily("reaper_paused", "1 while no actions are taken.", value=int(self._paused))
        yield GaugeMetricFamily(
            "reaper_blind_resources", "Resources unknown or vetoed for over a day.", value=self._blind
        )
        yield GaugeMetricFamily(
            "reaper_journal_pending_batches", "Batches not yet in the journal.", value=self._pending
        )

    def _all_resources(self) -> dict[tuple[str, ...], float]:
        """Give every verdict of every kind ever seen, 0 included: a series that ends is no 0 to an alert."""
        counts: dict[tuple[str, ...], float] = {
            (kind, one.value): 0 for kind in self._kinds for one in Verdict
        }
        counts.update(self._resources)
        return counts

    def _lag_family(self) -> Metric:
        buckets, total = [], 0
        for bound, count in zip((*map(str, LAG_BUCKETS_S), "+Inf"), self._lags, strict=True):
            total += count
            buckets.append((bound, total))
        return HistogramMetricFamily(
            "reaper_reap_lag_seconds",
            "From the instant a reap was due to its request.",
            buckets=buckets,
            sum_value=self._lag_sum,
        )

    def _deadline_families(self) -> Iterator[Metric]:
        at: dict[tuple[str, ...], float] = {}
        left: dict[tuple[str, ...], float] = {}
        if self._deadline is not None:
            at = {(): self._deadline.timestamp()}
            left = {(): (self._deadline - self._clock.now()).total_seconds()}
        yield _gauge("reaper_next_deadline_timestamp_seconds", "When the next reap is due.", (), at)
        yield _gauge("reaper_seconds_to_next_deadline", "How long until the next reap is due.", (), left)


def _counter(
    name: str, documentation: str, labels: tuple[str, ...], counts: Mapping[tuple[str, ...], int]
) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=labels)
    for values, count in sorted(counts.items()):
        family.add_metric(_clean(values), count)
    return family


def _gauge(
    name: str, documentation: str, labels: tuple[str, ...], samples: Mapping[tuple[str, ...], float]
) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for values, sample in sorted(samples.items()):
        family.add_metric(_clean(values), sample)
    return family


def _clean(values: tuple[str, ...]) -> tuple[str, ...]:
    """Make label values that can be written as UTF-8: a path may hold bytes that are none."""
    return tuple(value.encode(errors="replace").decode() for value in values)
