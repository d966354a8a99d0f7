"""JSON Schema (2020-12) of every JSON document that reaper prints or serves.

Written by hand: they are the promise, and tests hold real documents against them. Fields are only ever
added, so nothing forbids further ones; what is always there is `required`, and unknown is null.
"""

from collections.abc import Callable

from reaper.cli.schemas import controls, savings, studio, watched
from reaper.cli.schemas.shapes import Schema

__all__ = ["SCHEMAS", "schema"]

SCHEMAS: dict[str, Callable[[], Schema]] = {
    "status": watched.status,
    "explain": watched.explain,
    "decision": watched.decision,
    "plan": watched.plan,
    "apply": watched.apply,
    "holds": controls.holds,
    "hold": controls.hold,
    "release": controls.release,
    "pause": controls.pause,
    "resume": controls.pause,
    "set": controls.set_,
    "settings": controls.settings,
    "config-show": controls.settings,
    "config-policies": controls.config_policies,
    "config-check": controls.config_check,
    "doctor": controls.doctor,
    "check": watched.check,
    "coverage": studio.coverage,
    "report": savings.report,
    "uninstall": controls.uninstall,
    "notice": controls.notice,
    "error": controls.error,
}
"""Every schema by its name."""


def schema(name: str) -> Schema:
    """Give a schema by its name."""
    return SCHEMAS[name]()
