"""Documents about SageMaker Studio."""

from reaper.cli.schemas.shapes import (
    COUNT,
    FLAG,
    INSTANT,
    NUMBER,
    TEXT,
    Schema,
    document,
    list_of,
    object_of,
    or_null,
    said,
)

__all__ = ["COVERAGE", "coverage"]

COVERAGE = ("uncovered", "unknown", "starting", "covered", "beyond", "idle")
"""Every `Coverage`, which is not imported: it would bring aiohttp with it. A test compares them."""


def coverage() -> Schema:
    """Who is covered."""
    kind: Schema = {"type": "string", "enum": list(COVERAGE)}
    app = object_of(
        {
            "type": said(TEXT, "SageMaker's AppType"),
            "name": TEXT,
            "status": TEXT,
            "instance_type": or_null(TEXT),
            "started_at": or_null(INSTANT),
            "coverage": said(or_null(kind), "null: it costs nothing, and needs no reaper"),
            "reason": TEXT,
        }
    )
    owner = object_of(
        {
            "scope": said(TEXT, "`ACCOUNT/REGION`"),
            "domain": TEXT,
            "domain_name": TEXT,
            "kind": {"type": "string", "enum": ["user", "space"]},
            "name": TEXT,
            "profile": said(or_null(TEXT), "the user profile that a space belongs to"),
            "shared": or_null(FLAG),
            "coverage": kind,
            "reason": TEXT,
            "version": said(or_null(TEXT), "of the reaper that last reported in"),
            "idle_timeout_s": said(or_null(NUMBER), "the limit in force there"),
            "mode": or_null(TEXT),
            "heartbeat_at": said(or_null(INSTANT), "when it did"),
            "apps": said(list_of(app), "those that are not gone"),
        }
    )
    totals = object_of({"owners": COUNT, **dict.fromkeys(COVERAGE, COUNT)})
    error = object_of({"where": said(TEXT, "a region, or a region and a domain"), "message": TEXT})
    return document(
        "reaper coverage --output json",
        {
            "at": INSTANT,
            "regions": said(list_of(TEXT), "those that were looked at"),
            "owners": said(list_of(owner), "every user profile and space"),
            "totals": totals,
            "errors": said(list_of(error), "what could not be seen"),
        },
    )
