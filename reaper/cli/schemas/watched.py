"""Documents about what is watched: what it is, what is thought of it, what would be and was done."""

from reaper.cli.schemas.shapes import (
    COUNT,
    DAEMON,
    DECISION,
    FLAG,
    INSTANT,
    LEDGER_ENTRY,
    MAP,
    NUMBER,
    OVERRIDE,
    PAUSE,
    REF,
    RESOURCE,
    SOURCE,
    TEXT,
    TRIP,
    Schema,
    document,
    list_of,
    object_of,
    one_of,
    or_null,
    said,
)
from reaper.core.ruleset import Mode
from reaper.core.verdict import Reason


def status() -> Schema:
    """Every thing that is watched."""
    return document(
        "reaper status --output json",
        {
            "at": INSTANT,
            "mode": one_of(Mode),
            "paused": FLAG,
            "polls": COUNT,
            "idle_timeout_s": or_null(NUMBER),
            "sources": list_of(SOURCE),
            "resources": list_of(RESOURCE),
            **DAEMON,
        },
        optional={
            "pause": or_null(PAUSE),
            "trips": said(
                list_of(TRIP), "where most became due at once: nothing is reaped there until `reaper resume`"
            ),
            "version": TEXT,
            "keep_terminals": or_null(FLAG),
            "overrides": list_of(OVERRIDE),
            "ready": FLAG,
            "journal": said(TEXT, "without a daemon: the journal that was read"),
            "journal_error": or_null(TEXT),
            "last_look_at": said(or_null(INSTANT), "without a daemon: how old all this is"),
            "problems": list_of(TEXT),
            "notes": list_of(TEXT),
        },
    )


def explain() -> Schema:
    """A decision with all that led to it."""
    return document(
        "reaper explain RESOURCE --output json",
        {
            "at": INSTANT,
            "resource": object_of({"kind": TEXT, "id": TEXT, "scope": TEXT, "name": TEXT}),
            "decision": said(or_null(DECISION), "null: gone, and no longer in the journal"),
            "next": said(list_of(TEXT), "what would change the verdict"),
            "ledger": list_of(LEDGER_ENTRY),
            "gone": FLAG,
            **DAEMON,
        },
    )


def decision() -> Schema:
    """One decision."""
    return document("GET /api/v1/decisions/{id}", {"decision": DECISION})


def plan() -> Schema:
    """What would be done now."""
    item = object_of(
        {
            **REF,
            "name": TEXT,
            "resource": said(TEXT, "the shortest RESOURCE that names just this one"),
            "action": TEXT,
            "policy": or_null(TEXT),
            "reason": one_of(Reason),
            "idle_since": or_null(INSTANT),
            "hourly_cost": or_null(NUMBER),
            "dry_run": FLAG,
            "would_be_denied": said(
                or_null(TEXT), "why its source would not let it be done; null: it would, or can't tell"
            ),
            "decision_id": TEXT,
        }
    )
    totals = object_of({"items": COUNT, "hourly_cost": NUMBER, "unknown_costs": COUNT})
    return document(
        "reaper plan --output json, and what --out writes",
        {
            "at": INSTANT,
            "expires_at": INSTANT,
            "mode": one_of(Mode),
            "paused": said(FLAG, "the kill switch is on, so that nothing is to be done"),
            "config_digest": TEXT,
            "items": list_of(item),
            "totals": totals,
        },
        optional=DAEMON,
    )


def apply() -> Schema:
    """What was done of a plan."""
    outcome = {"type": "string", "enum": ["succeeded", "failed", "unknown", "abandoned"]}
    item = object_of({**REF, "action": TEXT, "outcome": outcome, "detail": TEXT})
    return document(
        "reaper apply FILE --output json",
        {"at": INSTANT, "items": list_of(item)},
        optional={"by": TEXT, **DAEMON},
    )


def check() -> Schema:
    """What runs for too long."""
    resource = object_of(
        {
            "kind": TEXT,
            "id": TEXT,
            "scope": TEXT,
            "name": TEXT,
            "owner": or_null(TEXT),
            "instance_type": or_null(TEXT),
            "spot": or_null(FLAG),
            "runtime_s": or_null(NUMBER),
            "hourly_cost": or_null(NUMBER),
            "cost": or_null(NUMBER),
            "currency": or_null(TEXT),
            "price_source": or_null(TEXT),
            "level": {"type": "string", "enum": ["ok", "warning", "critical"]},
            "exempt": {"enum": [None, "protected", "held"]},
            "end_command": or_null(TEXT),
        }
    )
    place = object_of({"where": said(TEXT, "an account, or `ACCOUNT/REGION`"), "message": TEXT})
    return document(
        "reaper check --output json",
        {
            "resources": said(list_of(resource), "everything that runs, once; the worst first"),
            "totals": said(
                MAP,
                "`resources`, `attention`, `critical`, `warning`, `ok`, `exempt`, `unknown_prices`; `hourly_cost` and "
                "`cost` of those whose price is known",
            ),
            "errors": said(list_of(place), "what could not be seen"),
        },
        optional={
            "scopes": said(list_of(TEXT), "what was looked at: `ACCOUNT/REGION`"),
            "left_out": said(list_of(place), "what is not looked at on purpose"),
        },
    )
