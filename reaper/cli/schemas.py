"""JSON Schema (2020-12) of every JSON document that reaper prints or serves.

Written by hand: they are the promise, and tests hold real documents against them. Fields are only ever
added, so nothing forbids further ones; what is always there is `required`, and unknown is null.
"""

from collections.abc import Callable
from typing import Any

from reaper.core.facts import ActionState
from reaper.core.model import Activity
from reaper.core.ruleset import Mode
from reaper.core.verdict import Reason, Verdict

__all__ = ["SCHEMAS", "schema"]

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_INSTANT: Schema = {"type": "string", "format": "date-time", "description": "RFC 3339, UTC"}
_MAP: Schema = {"type": "object"}


def _or_null(one: Schema) -> Schema:
    return {"anyOf": [one, {"type": "null"}]}


def _list(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _one_of(values: Any) -> Schema:
    return {"type": "string", "enum": [str(value.value) for value in values]}


def _said(one: Schema, description: str) -> Schema:
    return {**one, "description": description}


def _object(fields: Schema, *, optional: Schema | None = None) -> Schema:
    return {"type": "object", "properties": {**fields, **(optional or {})}, "required": list(fields)}


def _document(title: str, fields: Schema, *, optional: Schema | None = None) -> Schema:
    shape = _object({"schema": {"const": 1}, **fields}, optional=optional)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title, **shape}


_REF = {"kind": _TEXT, "scope": _TEXT, "id": _TEXT, "incarnation": _TEXT}

_MATCHER = _object(
    {name: _or_null(_TEXT) for name in ("kind", "scope", "id", "incarnation")},
)

_HOLD = _object(
    {
        "id": _said(_TEXT, "names it for 'reaper release'"),
        "matcher": _said(_MATCHER, "what it protects: every field that is not null must match"),
        "who": _TEXT,
        "why": _TEXT,
        "starts_at": _INSTANT,
        "expires_at": _said(_or_null(_INSTANT), "null: until released"),
        "source": _TEXT,
    }
)

_VETO = _object(
    {"guard": _TEXT, "reason": _one_of(Reason), "until": _or_null(_INSTANT), "detail": _TEXT},
    optional={"reason_text": _TEXT},
)

_FINDING = _object(
    {
        "policy": _TEXT,
        "verdict": _one_of(Verdict),
        "reason": _one_of(Reason),
        "since": _or_null(_INSTANT),
        "due_at": _or_null(_INSTANT),
        "evidence": _said(_list(_TEXT), "names of the signals that decided it"),
        "detail": _TEXT,
        "reason_text": _TEXT,
    }
)

_EVIDENCE = _object(
    {
        "signal": _TEXT,
        "activity": _one_of(Activity),
        "value": _TEXT,
        "evidence_at": _said(_or_null(_INSTANT), "the source's own time of the last activity"),
        "observed_at": _said(_INSTANT, "the last look that saw it say so"),
        "active_at": _said(_or_null(_INSTANT), "the latest activity it ever showed"),
        "covers_from": _said(_or_null(_INSTANT), "sampled signals: since when the interval runs"),
        "current": _said(_FLAG, "the latest look saw it"),
        "age_s": _said(_NUMBER, "seconds since observed_at, when the decision was made"),
    }
)

_DECISION = _object(
    {
        "id": _TEXT,
        "at": _INSTANT,
        "basis": _said(_COUNT, "number of the last journal batch it rests on"),
        "ref": _object(_REF),
        "verdict": _one_of(Verdict),
        "reason": _one_of(Reason),
        "reason_text": _TEXT,
        "policy": _or_null(_TEXT),
        "action": _or_null(_TEXT),
        "since": _or_null(_INSTANT),
        "due_at": _said(_or_null(_INSTANT), "in the future, or null"),
        "wake_at": _or_null(_INSTANT),
        "enforced": _FLAG,
        "notify": _FLAG,
        "blind": _FLAG,
        "blind_since": _or_null(_INSTANT),
        "findings": _list(_FINDING),
        "vetoes": _list(_VETO),
        "evidence": _list(_EVIDENCE),
        "config_digest": _TEXT,
    }
)

_LEDGER_ENTRY = _object(
    {
        "at": _INSTANT,
        "action_id": _TEXT,
        "state": _one_of(ActionState),
        "ref": _object(_REF),
        "action": _TEXT,
        "policy": _TEXT,
        "decision_id": _TEXT,
        "outcome": _TEXT,
        "due_at": _or_null(_INSTANT),
        "hourly_cost": _or_null(_NUMBER),
    }
)

_RESOURCE = _object(
    {
        "kind": _TEXT,
        "id": _TEXT,
        "scope": _TEXT,
        "name": _TEXT,
        "parent": _or_null(_TEXT),
        "owner": _or_null(_TEXT),
        "verdict": _one_of(Verdict),
        "reason": _one_of(Reason),
        "idle_since": _said(_or_null(_INSTANT), "null: at work, or nothing is known"),
        "due_at": _said(_or_null(_INSTANT), "when it would be reaped if nothing happens"),
        "action": _or_null(_TEXT),
        "policy": _or_null(_TEXT),
        "hourly_cost": _said(_or_null(_NUMBER), "US dollars"),
        "holds": _list(_HOLD),
    },
    optional={
        "reason_text": _TEXT,
        "vetoes": _list(_VETO),
        "blind": _said(_FLAG, "unknown or vetoed for more than a day"),
        "enforced": _said(_FLAG, "false: the verdict is only shown (dry run)"),
        "incarnation": _TEXT,
        "started_at": _or_null(_INSTANT),
        "first_seen_at": _INSTANT,
        "last_seen_at": _INSTANT,
        "aliases": _list(_TEXT),
        "attributes": _MAP,
        "decision_id": _TEXT,
    },
)

_PAUSE = _object({"at": _INSTANT, "who": _TEXT, "why": _TEXT, "until": _or_null(_INSTANT)})

_SOURCE = _object(
    {
        "name": _TEXT,
        "last_poll_at": _INSTANT,
        "complete": _FLAG,
        "error": _or_null(_TEXT),
        "last_complete_poll_at": _or_null(_INSTANT),
        "failing_since": _or_null(_INSTANT),
    }
)

_OVERRIDE = _object(
    {
        "at": _INSTANT,
        "name": _TEXT,
        "value": _or_null(_TEXT),
        "previous": _TEXT,
        "underlying": _TEXT,
        "until": _or_null(_INSTANT),
        "who": _TEXT,
    }
)

_DAEMON = {"daemon": _said(_FLAG, "false: read from the journal, no daemon answered")}


def _status() -> Schema:
    return _document(
        "reaper status --output json",
        {
            "at": _INSTANT,
            "mode": _one_of(Mode),
            "paused": _FLAG,
            "polls": _COUNT,
            "idle_timeout_s": _or_null(_NUMBER),
            "sources": _list(_SOURCE),
            "resources": _list(_RESOURCE),
            **_DAEMON,
        },
        optional={
            "pause": _or_null(_PAUSE),
            "version": _TEXT,
            "keep_terminals": _or_null(_FLAG),
            "overrides": _list(_OVERRIDE),
            "ready": _FLAG,
            "journal": _said(_TEXT, "without a daemon: the journal that was read"),
            "journal_error": _or_null(_TEXT),
            "last_look_at": _said(_or_null(_INSTANT), "without a daemon: how old all this is"),
            "problems": _list(_TEXT),
            "notes": _list(_TEXT),
        },
    )


def _explain() -> Schema:
    return _document(
        "reaper explain RESOURCE --output json",
        {
            "at": _INSTANT,
            "resource": _object({"kind": _TEXT, "id": _TEXT, "scope": _TEXT, "name": _TEXT}),
            "decision": _said(_or_null(_DECISION), "null: gone, and no longer in the journal"),
            "next": _said(_list(_TEXT), "what would change the verdict"),
            "ledger": _list(_LEDGER_ENTRY),
            "gone": _FLAG,
            **_DAEMON,
        },
    )


def _decision() -> Schema:
    return _document("GET /api/v1/decisions/{id}", {"decision": _DECISION})


def _plan() -> Schema:
    item = _object(
        {
            **_REF,
            "name": _TEXT,
            "resource": _said(_TEXT, "the shortest RESOURCE that names just this one"),
            "action": _TEXT,
            "policy": _or_null(_TEXT),
            "reason": _one_of(Reason),
            "idle_since": _or_null(_INSTANT),
            "hourly_cost": _or_null(_NUMBER),
            "dry_run": _FLAG,
            "decision_id": _TEXT,
        }
    )
    totals = _object({"items": _COUNT, "hourly_cost": _NUMBER, "unknown_costs": _COUNT})
    return _document(
        "reaper plan --output json, and what --out writes",
        {
            "at": _INSTANT,
            "expires_at": _INSTANT,
            "mode": _one_of(Mode),
            "config_digest": _TEXT,
            "items": _list(item),
            "totals": totals,
        },
        optional=_DAEMON,
    )


def _apply() -> Schema:
    outcome = {"type": "string", "enum": ["succeeded", "failed", "unknown", "abandoned"]}
    item = _object({**_REF, "action": _TEXT, "outcome": outcome, "detail": _TEXT})
    return _document(
        "reaper apply FILE --output json",
        {"at": _INSTANT, "items": _list(item)},
        optional={"by": _TEXT, **_DAEMON},
    )


def _holds() -> Schema:
    return _document(
        "reaper hold --list --output json", {"at": _INSTANT, "holds": _list(_HOLD)}, optional=_DAEMON
    )


def _hold() -> Schema:
    return _document("reaper hold RESOURCE --output json", {"hold": _HOLD}, optional=_DAEMON)


def _release() -> Schema:
    return _document("reaper release --output json", {"released": _list(_TEXT)}, optional=_DAEMON)


def _pause() -> Schema:
    return _document(
        "reaper pause, resume --output json",
        {"at": _INSTANT, "paused": _FLAG, "pause": _or_null(_PAUSE)},
        optional=_DAEMON,
    )


def _set() -> Schema:
    return _document(
        "reaper set --output json",
        {"name": _TEXT, "value": _TEXT, "previous": _TEXT, "until": _or_null(_INSTANT)},
        optional=_DAEMON,
    )


def _settings() -> Schema:
    setting = _object(
        {
            "name": _said(_TEXT, "as in the file: `jupyter.busy_timeout`"),
            "variable": _TEXT,
            "value": _said({}, "as it could be written in the file; a secret is masked"),
            "source": _said(
                _TEXT, "`default`, `env NAME`, `file PATH:KEY`, `credential NAME`, `override by WHO ...`"
            ),
        }
    )
    policy = _object(
        {
            "name": _TEXT,
            "kind": _TEXT,
            "match": _MAP,
            "rule": _TEXT,
            "parameters": _MAP,
            "steps": _list(_object({"action": _TEXT, "after": _TEXT})),
            "mode": _one_of(Mode),
            "enforced": _FLAG,
            "warn_before": _TEXT,
            "minimum_age": _TEXT,
        }
    )
    return _document(
        "reaper config show --output json",
        {
            "version": _TEXT,
            "file": _or_null(_TEXT),
            "mode": _one_of(Mode),
            "preset": _TEXT,
            "settings": _list(setting),
            "policies": _list(policy),
            "warnings": _list(_TEXT),
        },
        optional=_DAEMON,
    )


def _config_check() -> Schema:
    return _document(
        "reaper config check --output json",
        {
            "ok": _FLAG,
            "file": _or_null(_TEXT),
            "errors": _list(_object({"where": _TEXT, "message": _TEXT})),
            "warnings": _list(_TEXT),
        },
    )


def _notice() -> Schema:
    action = _object({"label": _TEXT, "command": _TEXT})
    return _document(
        "what a command: or https: notifier is given",
        {
            "topic": _said(_TEXT, "`warning`, `reaped`, `failed`, `blind`, `blocked`, `recovered` ..."),
            "at": _INSTANT,
            "subject": _TEXT,
            "text": _TEXT,
            "mode": _one_of(Mode),
            "resource": _or_null(_MAP),
            "due_at": _or_null(_INSTANT),
            "actions": _list(action),
        },
    )


def _doctor() -> Schema:
    level = {"type": "string", "enum": ["ok", "warn", "fail", "skip"]}
    check = _object(
        {
            "name": _TEXT,
            "level": level,
            "text": _said(_TEXT, "what was found"),
            "advice": _said(_or_null(_TEXT), "what to do about it"),
        }
    )
    return _document(
        "reaper doctor --output json",
        {"at": _INSTANT, "version": _TEXT, "ok": _said(_FLAG, "no check failed"), "checks": _list(check)},
    )


def _check() -> Schema:
    resource = _object(
        {
            "kind": _TEXT,
            "id": _TEXT,
            "scope": _TEXT,
            "name": _TEXT,
            "owner": _or_null(_TEXT),
            "instance_type": _or_null(_TEXT),
            "spot": _or_null(_FLAG),
            "runtime_s": _or_null(_NUMBER),
            "hourly_cost": _or_null(_NUMBER),
            "cost": _or_null(_NUMBER),
            "currency": _or_null(_TEXT),
            "price_source": _or_null(_TEXT),
            "level": {"type": "string", "enum": ["ok", "warning", "critical"]},
            "exempt": {"enum": [None, "protected", "held"]},
            "end_command": _or_null(_TEXT),
        }
    )
    return _document(
        "reaper check --output json",
        {"resources": _list(resource), "totals": _MAP, "errors": _list({})},
    )


def _uninstall() -> Schema:
    item = _object(
        {
            "path": _TEXT,
            "what": _TEXT,
            "state": {"type": "string", "enum": ["found", "removed", "failed", "kept"]},
            "detail": _or_null(_TEXT),
        }
    )
    return _document(
        "reaper uninstall --output json",
        {"dry_run": _FLAG, "items": _list(item), "package_command": _TEXT},
    )


def _error() -> Schema:
    return _document(
        "stderr of a command that failed with --output json",
        {
            "error": _TEXT,
            "exit_status": {"type": "integer"},
            "candidates": _said(_list(_TEXT), "an ambiguous RESOURCE: what it could be"),
        },
    )


SCHEMAS: dict[str, Callable[[], Schema]] = {
    "status": _status,
    "explain": _explain,
    "decision": _decision,
    "plan": _plan,
    "apply": _apply,
    "holds": _holds,
    "hold": _hold,
    "release": _release,
    "pause": _pause,
    "set": _set,
    "settings": _settings,
    "config-show": _settings,
    "config-check": _config_check,
    "doctor": _doctor,
    "check": _check,
    "uninstall": _uninstall,
    "notice": _notice,
    "error": _error,
}
"""Every schema by its name."""


def schema(name: str) -> Schema:
    """Give a schema by its name."""
    return SCHEMAS[name]()
