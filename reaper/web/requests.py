"""Count requests, for `/metrics`. There is no access log."""

from collections import Counter
from collections.abc import Iterator

from aiohttp import web
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

__all__ = ["RequestCounts"]

_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


class RequestCounts(Collector):
    """How many requests were answered; its labels come from our routes, never from the request's text."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, str]] = Counter()

    def add(self, request: web.Request, status: int) -> None:
        """Count one."""
        method = request.method if request.method in _METHODS else "other"
        self._counts[method, route_of(request), str(status)] += 1

    def collect(self) -> Iterator[Metric]:
        """Give the counts as prometheus_client wants them."""
        family = CounterMetricFamily(
            "reaper_http_requests", "Requests answered by the API.", labels=("method", "route", "status")
        )
        for labels, count in sorted(self._counts.items()):
            family.add_metric(labels, count)
        yield family

    def render(self) -> bytes:
        """Write them in Prometheus's text format."""
        text: bytes = generate_latest(self)
        return text


def route_of(request: web.Request) -> str:
    """Name the route as it was declared: `/api/v1/decisions/{id}`; `other` for what there is not."""
    resource = request.match_info.route.resource
    return "other" if resource is None else resource.canonical
