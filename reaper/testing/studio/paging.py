"""Pages, order and common filters of SageMaker's List operations."""

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from reaper.testing.aws_wire.cloudwatch import instant
from reaper.testing.aws_wire.faults import Refusal, Unsupported

__all__ = ["listed", "page"]

USUAL_PAGE = 10
"""MaxResults' default (SageMaker API reference, ListApps)."""

_KNOWN = frozenset(
    {
        "CreationTimeAfter",
        "CreationTimeBefore",
        "MaxResults",
        "NameContains",
        "NextToken",
        "SortBy",
        "SortOrder",
        "StatusEquals",
    }
)

T = TypeVar("T")


def page(
    parameters: Mapping[str, Any], things: Sequence[T], usual: int = USUAL_PAGE
) -> tuple[Sequence[T], dict[str, str]]:
    """Cut out the page that a request asks for; give it with the `NextToken` that leads on, if one does.

    A token belongs to the filters that it came with, as AWS' do.

    Raises:
        Refusal: The token is not one of ours, or of other filters.
    """
    filters = {
        name: str(value) for name, value in parameters.items() if name not in {"NextToken", "MaxResults"}
    }
    start = 0
    if (token := parameters.get("NextToken")) is not None:
        try:
            start, of = json.loads(base64.urlsafe_b64decode(token))
        except ValueError:
            of = None
        if of != filters:
            raise Refusal("ValidationException", "Invalid pagination token")
    end = start + parameters.get("MaxResults", usual)
    if end >= len(things):
        return things[start:], {}
    onward = json.dumps([end, filters], sort_keys=True).encode()
    return things[start:end], {"NextToken": base64.urlsafe_b64encode(onward).decode()}


def listed(
    parameters: Mapping[str, Any],
    things: Iterable[T],
    *,
    name: Callable[[T], str],
    status: Callable[[T], str],
    created_at: Callable[[T], datetime],
    sort_by: str = "CreationTime",
    newest_first: bool = False,
) -> list[T]:
    """Filter and sort what notebook instances, endpoints and jobs have in common.

    Raises:
        Unsupported: A filter that the fake does not have.
    """
    if strange := parameters.keys() - _KNOWN:
        raise Unsupported(f"the fake does not filter by {', '.join(sorted(strange))}")
    found = [
        thing
        for thing in things
        if parameters.get("NameContains", "") in name(thing)
        and parameters.get("StatusEquals", status(thing)) == status(thing)
        and _within(parameters, created_at(thing))
    ]
    keys: dict[str, Callable[[T], Any]] = {"Name": name, "Status": status, "CreationTime": created_at}
    usual = "Descending" if newest_first else "Ascending"
    descending = parameters.get("SortOrder", usual) == "Descending"
    return sorted(found, key=keys[parameters.get("SortBy", sort_by)], reverse=descending)


def _within(parameters: Mapping[str, Any], at: datetime) -> bool:
    after, before = parameters.get("CreationTimeAfter"), parameters.get("CreationTimeBefore")
    return (after is None or at > instant(after)) and (before is None or at < instant(before))
