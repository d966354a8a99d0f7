"""The document about what was saved."""

from reaper.cli.schemas.shapes import (
    COUNT,
    DAEMON,
    FLAG,
    INSTANT,
    NUMBER,
    REF,
    TEXT,
    Schema,
    document,
    list_of,
    object_of,
    one_of,
    or_null,
    said,
)
from reaper.core.savings import GROUPS, Ended

_TOTALS = {
    "reaps": COUNT,
    "saved": said(NUMBER, "US dollars, of what has a known price"),
    "hours": said(NUMBER, "of all that costs something by itself"),
    "hourly_cost": said(NUMBER, "US dollars an hour of those that still count"),
    "unknown_prices": said(COUNT, "reaps of an unknown price, which add nothing"),
    "at_least": said(FLAG, "a price is unknown, so that more was saved"),
}


def report() -> Schema:
    """What was saved."""
    row = object_of(
        {
            **REF,
            "at": said(INSTANT, "when the act succeeded"),
            "action_id": TEXT,
            "name": TEXT,
            "owner": or_null(TEXT),
            "policy": TEXT,
            "action": TEXT,
            "hourly_cost": said(or_null(NUMBER), "US dollars, as known then"),
            "price_source": said(or_null(TEXT), "and of when the price is: pricing-api 2025-11-01"),
            "until": said(INSTANT, "until when it counts"),
            "ended": said(or_null(one_of(Ended)), "why it counts no longer; null: it still does"),
            "hours": NUMBER,
            "saved": said(or_null(NUMBER), "US dollars"),
        }
    )
    group = object_of({"name": said(or_null(TEXT), "null: unknown"), **_TOTALS})
    return document(
        "reaper report --output json",
        {
            "at": INSTANT,
            "since": said(INSTANT, "reaps from then on"),
            "currency": said({"const": "USD", "type": "string"}, "always US dollars"),
            "by": or_null({"type": "string", "enum": list(GROUPS)}),
            "rows": list_of(row),
            "groups": said(list_of(group), "empty without --by"),
            "totals": object_of(dict(_TOTALS)),
            **DAEMON,
        },
    )
