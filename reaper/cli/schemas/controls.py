"""Documents about reaper itself: holds, the kill switch, settings, checks, notices, errors."""

from reaper.cli.schemas.shapes import (
    DAEMON,
    FLAG,
    HOLD,
    INSTANT,
    MAP,
    PAUSE,
    TEXT,
    Schema,
    document,
    list_of,
    object_of,
    one_of,
    or_null,
    said,
)
from reaper.core.ruleset import Mode


def holds() -> Schema:
    """The holds in force."""
    return document(
        "reaper hold --list --output json", {"at": INSTANT, "holds": list_of(HOLD)}, optional=DAEMON
    )


def hold() -> Schema:
    """A hold that was placed."""
    return document("reaper hold RESOURCE --output json", {"hold": HOLD}, optional=DAEMON)


def release() -> Schema:
    """Holds that were released."""
    return document("reaper release --output json", {"released": list_of(TEXT)}, optional=DAEMON)


def pause() -> Schema:
    """The state of the kill switch."""
    return document(
        "reaper pause, resume --output json",
        {"at": INSTANT, "paused": FLAG, "pause": or_null(PAUSE)},
        optional=DAEMON,
    )


def set_() -> Schema:
    """A setting that was changed."""
    return document(
        "reaper set --output json",
        {"name": TEXT, "value": TEXT, "previous": TEXT, "until": or_null(INSTANT)},
        optional=DAEMON,
    )


_POLICY = object_of(
    {
        "name": TEXT,
        "kind": TEXT,
        "match": MAP,
        "rule": TEXT,
        "parameters": MAP,
        "steps": list_of(object_of({"action": TEXT, "after": TEXT})),
        "mode": one_of(Mode),
        "enforced": FLAG,
        "warn_before": TEXT,
        "minimum_age": TEXT,
    },
    optional={
        "served": said(FLAG, "false: this version does not look at that kind"),
        "where": said(or_null(TEXT), "a condition in CEL that must hold besides the rule"),
    },
)


def settings() -> Schema:
    """Every setting in force."""
    setting = object_of(
        {
            "name": said(TEXT, "as in the file: `jupyter.busy_timeout`"),
            "variable": TEXT,
            "value": said({}, "as it could be written in the file; a secret is masked"),
            "source": said(
                TEXT, "`default`, `env NAME`, `file PATH:KEY`, `credential NAME`, `override by WHO ...`"
            ),
        },
        optional={"default": said(TEXT, "what holds where nothing is set, in words")},
    )
    return document(
        "reaper config show --output json",
        {
            "version": TEXT,
            "file": or_null(TEXT),
            "mode": one_of(Mode),
            "preset": TEXT,
            "settings": list_of(setting),
            "policies": list_of(_POLICY),
            "warnings": list_of(TEXT),
        },
        optional=DAEMON,
    )


def config_policies() -> Schema:
    """The policies in force."""
    return document(
        "reaper config show --policies --output json", {"policies": list_of(_POLICY)}, optional=DAEMON
    )


def config_check() -> Schema:
    """What is wrong with the configuration."""
    return document(
        "reaper config check --output json",
        {
            "ok": FLAG,
            "file": or_null(TEXT),
            "errors": list_of(object_of({"where": TEXT, "message": TEXT})),
            "warnings": list_of(TEXT),
        },
    )


def doctor() -> Schema:
    """What every check found."""
    level = {"type": "string", "enum": ["ok", "warn", "fail", "skip"]}
    check = object_of(
        {
            "name": TEXT,
            "level": level,
            "text": said(TEXT, "what was found"),
            "advice": said(or_null(TEXT), "what to do about it"),
        }
    )
    return document(
        "reaper doctor --output json",
        {"at": INSTANT, "version": TEXT, "ok": said(FLAG, "no check failed"), "checks": list_of(check)},
    )


def uninstall() -> Schema:
    """What reaper made, and what became of it."""
    item = object_of(
        {
            "path": TEXT,
            "what": TEXT,
            "state": {"type": "string", "enum": ["found", "removed", "failed", "kept"]},
            "detail": or_null(TEXT),
        }
    )
    return document(
        "reaper uninstall --output json",
        {"dry_run": FLAG, "items": list_of(item), "package_command": TEXT},
    )


def notice() -> Schema:
    """What people are told."""
    action = object_of({"label": TEXT, "command": TEXT})
    return document(
        "what a command: or https: notifier is given",
        {
            "topic": said(TEXT, "`warning`, `reaped`, `failed`, `unclear`, `blind`, `blocked`, `uncovered`"),
            "at": INSTANT,
            "subject": TEXT,
            "text": TEXT,
            "mode": one_of(Mode),
            "resource": or_null(MAP),
            "due_at": or_null(INSTANT),
            "actions": list_of(action),
        },
    )


def error() -> Schema:
    """What went wrong."""
    return document(
        "stderr of a command that failed with --output json",
        {
            "error": TEXT,
            "exit_status": {"type": "integer"},
            "candidates": said(list_of(TEXT), "an ambiguous RESOURCE: what it could be"),
        },
    )
