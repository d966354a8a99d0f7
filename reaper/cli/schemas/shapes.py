"""What schemas are built of: the shapes that several documents hold."""

from typing import Any

from reaper.core.facts import ActionState
from reaper.core.model import Activity
from reaper.core.verdict import Reason, Verdict

Schema = dict[str, Any]
"""A JSON Schema, or a part of one."""

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}
INSTANT: Schema = {"type": "string", "format": "date-time", "description": "RFC 3339, UTC"}
MAP: Schema = {"type": "object"}


def or_null(one: Schema) -> Schema:
    """Let it be null: unknown."""
    return {"anyOf": [one, {"type": "null"}]}


def list_of(item: Schema) -> Schema:
    """Make a list of it."""
    return {"type": "array", "items": item}


def one_of(values: Any) -> Schema:
    """Make a text that is one of an enumeration's values."""
    return {"type": "string", "enum": [str(value.value) for value in values]}


def said(one: Schema, description: str) -> Schema:
    """Say what it means."""
    return {**one, "description": description}


def object_of(fields: Schema, *, optional: Schema | None = None) -> Schema:
    """Make an object: what is always in it, and what may be."""
    return {"type": "object", "properties": {**fields, **(optional or {})}, "required": list(fields)}


def document(title: str, fields: Schema, *, optional: Schema | None = None) -> Schema:
    """Make a whole document, with its `"schema": 1`."""
    shape = object_of({"schema": {"const": 1}, **fields}, optional=optional)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **shape}


REF = {"kind": TEXT, "scope": TEXT, "id": TEXT, "incarnation": TEXT}

MATCHER = object_of(
    {name: or_null(TEXT) for name in ("kind", "scope", "id", "incarnation")},
)

HOLD = object_of(
    {
        "id": said(TEXT, "names it for 'reaper release'"),
        "matcher": said(MATCHER, "what it protects: every field that is not null must match"),
        "who": TEXT,
        "why": TEXT,
        "starts_at": INSTANT,
        "expires_at": said(or_null(INSTANT), "null: until released"),
        "source": TEXT,
    }
)

VETO = object_of(
    {"guard": TEXT, "reason": one_of(Reason), "until": or_null(INSTANT), "detail": TEXT},
    optional={"reason_text": TEXT},
)

FINDING = object_of(
    {
        "policy": TEXT,
        "verdict": one_of(Verdict),
        "reason": one_of(Reason),
        "since": or_null(INSTANT),
        "due_at": or_null(INSTANT),
        "evidence": said(list_of(TEXT), "names of the signals that decided it"),
        "detail": TEXT,
        "reason_text": TEXT,
    }
)

EVIDENCE = object_of(
    {
        "signal": TEXT,
        "activity": one_of(Activity),
        "value": TEXT,
        "evidence_at": said(or_null(INSTANT), "the source's own time of the last activity"),
        "observed_at": said(INSTANT, "the last look that saw it say so"),
        "active_at": said(or_null(INSTANT), "the latest activity it ever showed"),
        "covers_from": said(or_null(INSTANT), "sampled signals: since when the interval runs"),
        "current": said(FLAG, "the latest look saw it"),
        "age_s": said(NUMBER, "seconds since observed_at, when the decision was made"),
    }
)

DECISION = object_of(
    {
        "id": TEXT,
        "at": INSTANT,
        "basis": said(COUNT, "number of the last journal batch it rests on"),
        "ref": object_of(REF),
        "verdict": one_of(Verdict),
        "reason": one_of(Reason),
        "reason_text": TEXT,
        "policy": or_null(TEXT),
        "action": or_null(TEXT),
        "since": or_null(INSTANT),
        "due_at": said(or_null(INSTANT), "in the future, or null"),
        "wake_at": or_null(INSTANT),
        "enforced": FLAG,
        "notify": FLAG,
        "blind": FLAG,
        "blind_since": or_null(INSTANT),
        "findings": list_of(FINDING),
        "vetoes": list_of(VETO),
        "evidence": list_of(EVIDENCE),
        "config_digest": TEXT,
    }
)

LEDGER_ENTRY = object_of(
    {
        "at": INSTANT,
        "action_id": TEXT,
        "state": one_of(ActionState),
        "ref": object_of(REF),
        "action": TEXT,
        "policy": TEXT,
        "decision_id": TEXT,
        "outcome": TEXT,
        "due_at": or_null(INSTANT),
        "hourly_cost": or_null(NUMBER),
    }
)

RESOURCE = object_of(
    {
        "kind": TEXT,
        "id": TEXT,
        "scope": TEXT,
        "name": TEXT,
        "parent": or_null(TEXT),
        "owner": or_null(TEXT),
        "verdict": one_of(Verdict),
        "reason": one_of(Reason),
        "idle_since": said(or_null(INSTANT), "null: at work, or nothing is known"),
        "due_at": said(or_null(INSTANT), "when it would be reaped if nothing happens"),
        "action": or_null(TEXT),
        "policy": or_null(TEXT),
        "hourly_cost": said(or_null(NUMBER), "US dollars"),
        "holds": list_of(HOLD),
    },
    optional={
        "reason_text": TEXT,
        "vetoes": list_of(VETO),
        "blind": said(FLAG, "unknown or vetoed for more than a day"),
        "enforced": said(FLAG, "false: the verdict is only shown (dry run)"),
        "incarnation": TEXT,
        "started_at": or_null(INSTANT),
        "first_seen_at": INSTANT,
        "last_seen_at": INSTANT,
        "aliases": list_of(TEXT),
        "attributes": MAP,
        "decision_id": TEXT,
    },
)

PAUSE = object_of({"at": INSTANT, "who": TEXT, "why": TEXT, "until": or_null(INSTANT)})

TRIP = object_of(
    {"at": INSTANT, "kind": TEXT, "scope": TEXT, "newly": COUNT, "total": COUNT, "policies": list_of(TEXT)}
)

SOURCE = object_of(
    {
        "name": TEXT,
        "last_poll_at": INSTANT,
        "complete": FLAG,
        "error": or_null(TEXT),
        "last_complete_poll_at": or_null(INSTANT),
        "failing_since": or_null(INSTANT),
    }
)

OVERRIDE = object_of(
    {
        "at": INSTANT,
        "name": TEXT,
        "value": or_null(TEXT),
        "previous": TEXT,
        "underlying": TEXT,
        "until": or_null(INSTANT),
        "who": TEXT,
    }
)

DAEMON = {"daemon": said(FLAG, "false: read from the journal, no daemon answered")}
