"""A daemon that is only a memory, for whoever talks to one: the HTTP API, clients, plugins."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reaper.core.codec import to_json
from reaper.core.durations import parse_duration
from reaper.errors import ConfigError, ControlError, UsageError
from reaper.plugins import Caller
from reaper.testing.clock import T0

__all__ = ["Asked", "FakeControl", "resource_row"]

_LONGEST_HOLD = timedelta(days=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request that a `FakeControl` was given.

    Attributes:
        name: The method.
        argument: What it was called with besides the caller.
        caller: Who asked; None for what only reads.
    """

    name: str
    argument: object = None
    caller: Caller | None = None


def resource_row(id: str, *, name: str = "", **changes: object) -> dict[str, object]:  # noqa: A002 - the document's own word
    """Make a resource as `status` shows it: an idle kernel, unless changed."""
    return {
        "kind": "jupyter.kernel",
        "id": id,
        "scope": "http://127.0.0.1:8888/",
        "name": name or id,
        "parent": None,
        "owner": None,
        "verdict": "wait",
        "reason": "idle_not_long_enough",
        "idle_since": "2026-11-22T21:00:00.000000Z",
        "due_at": "2026-11-22T23:00:00.000000Z",
        "action": "shutdown",
        "policy": "kernels",
        "hourly_cost": None,
        "holds": [],
        **changes,
    }


@dataclass(slots=True, kw_only=True)
class FakeControl:
    """Keeps holds, a pause and settings, and answers as the daemon does, refusals included.

    Attributes:
        at: The instant it lives in.
        resources: Rows of `status`: see `resource_row`.
        decisions: Documents by decision id.
        underlying: Settings that can be changed at run time, with their values; `*_timeout` ones are durations.
        is_alive: What `alive` says.
        missing: What `ready` says is missing; empty: ready.
        breaks: Raised by everything that is not `alive`, `ready` or `metrics`, once set.
        asked: Every request so far.
    """

    at: datetime = T0
    resources: list[dict[str, object]] = field(default_factory=list)
    decisions: dict[str, dict[str, object]] = field(default_factory=dict)
    underlying: dict[str, str] = field(default_factory=lambda: {"idle-timeout": "120m"})
    is_alive: bool = True
    missing: str = ""
    breaks: Exception | None = None
    asked: list[Asked] = field(default_factory=list)
    _holds: dict[str, dict[str, object]] = field(default_factory=dict)
    _pause: dict[str, object] | None = None
    _overrides: dict[str, dict[str, object]] = field(default_factory=dict)

    def alive(self) -> bool:
        """Say what was set."""
        return self.is_alive

    def ready(self) -> tuple[bool, str]:
        """Say what was set."""
        return not self.missing, self.missing

    async def status(self) -> dict[str, object]:
        """Give the status document."""
        self._note("status")
        timeout = self._overrides.get("idle-timeout", {}).get("value") or self.underlying["idle-timeout"]
        return {
            "schema": 1,
            "at": to_json(self.at),
            "mode": "enforce",
            "paused": self._pause is not None,
            "polls": 1,
            "idle_timeout_s": parse_duration(str(timeout)).total_seconds(),
            "resources": list(self.resources),
        }

    async def explain(self, resource: str) -> dict[str, object]:
        """Give a decision document of one resource."""
        self._note("explain", resource)
        return {"schema": 1, "at": to_json(self.at), "resource": self._one(resource), "gone": False}

    async def decision(self, decision_id: str) -> dict[str, object] | None:
        """Give one of `decisions`."""
        self._note("decision", decision_id)
        return self.decisions.get(decision_id)

    async def plan(self) -> dict[str, object]:
        """Give a plan of every resource to be reaped."""
        self._note("plan")
        items = [
            {**{key: row[key] for key in ("kind", "scope", "id", "action")}, "incarnation": "1"}
            for row in self.resources
            if row["verdict"] == "reap"
        ]
        return {
            "schema": 1,
            "at": to_json(self.at),
            "expires_at": to_json(self.at + timedelta(days=1)),
            "items": items,
        }

    async def report(self, request: Mapping[str, object]) -> dict[str, object]:
        """Give a report of nothing."""
        self._note("report", request)
        return {"schema": 1, "at": to_json(self.at), "by": request.get("by"), "rows": [], "groups": []}

    async def apply(self, document: Mapping[str, object], caller: Caller) -> dict[str, object]:
        """Reap what a plan says and is still here."""
        self._note("apply", dict(document), caller)
        items = document.get("items")
        if document.get("schema") != 1 or not isinstance(items, list):
            raise UsageError("this is no plan of 'reaper plan --out'")
        if str(document.get("expires_at")) <= str(to_json(self.at)):
            raise ControlError("the plan expired: make a new one with 'reaper plan --out'")
        outcomes = []
        for item in items:
            found = [row for row in self.resources if row["id"] == item["id"] and row["verdict"] == "reap"]
            self.resources = [row for row in self.resources if row not in found]
            outcomes.append({**item, "outcome": "succeeded" if found else "abandoned"})
        return {"schema": 1, "at": to_json(self.at), "by": caller.who, "items": outcomes}

    def holds(self) -> dict[str, object]:
        """Give the holds."""
        self._note("holds")
        return {"schema": 1, "at": to_json(self.at), "holds": list(self._holds.values())}

    async def place_hold(self, request: Mapping[str, object], caller: Caller) -> dict[str, object]:
        """Place a hold, or renew one."""
        self._note("place_hold", dict(request), caller)
        wanted = request["resource"]
        row = None if wanted is None else self._one(str(wanted))
        until = self.at + (self._lasts(request) or _LONGEST_HOLD)
        hold = {
            "id": request.get("id") or f"h{len(self._holds) + 1}",
            "matcher": {key: row and row[key] for key in ("kind", "scope", "id")},
            "who": caller.who,
            "why": request.get("why", ""),
            "starts_at": to_json(self.at),
            "expires_at": to_json(until),
        }
        self._holds[str(hold["id"])] = hold
        return {"schema": 1, "hold": hold}

    async def release_hold(self, hold_or_resource: str, caller: Caller) -> dict[str, object]:
        """Release a hold by its id, or those on one resource."""
        self._note("release_hold", hold_or_resource, caller)
        ids = [hold_or_resource] if hold_or_resource in self._holds else []
        if not ids:
            row = self._one(hold_or_resource)
            ids = [
                hold_id
                for hold_id, hold in self._holds.items()
                if isinstance(hold["matcher"], Mapping) and hold["matcher"]["id"] == row["id"]
            ]
        if not ids:
            raise UsageError(f"no hold is called {hold_or_resource!r} or is on just that")
        for hold_id in ids:
            del self._holds[hold_id]
        return {"schema": 1, "released": ids}

    def paused(self) -> dict[str, object]:
        """Give the pause."""
        self._note("paused")
        return {"schema": 1, "at": to_json(self.at), "paused": self._pause is not None, "pause": self._pause}

    async def pause(self, request: Mapping[str, object], caller: Caller) -> dict[str, object]:
        """Pause."""
        self._note("pause", dict(request), caller)
        lasts = self._lasts(request)
        self._pause = {
            "at": to_json(self.at),
            "who": caller.who,
            "why": request.get("why", ""),
            "until": to_json(self.at + lasts) if lasts else None,
        }
        return self.paused()

    async def resume(self, caller: Caller) -> dict[str, object]:
        """Resume."""
        self._note("resume", None, caller)
        self._pause = None
        return self.paused()

    def settings(self) -> dict[str, object]:
        """Give the settings."""
        self._note("settings")
        rows = [
            {"name": name, "value": self._overrides.get(name, {}).get("value", value)}
            for name, value in self.underlying.items()
        ]
        return {"schema": 1, "settings": rows}

    async def change_setting(self, request: Mapping[str, object], caller: Caller) -> dict[str, object]:
        """Override a setting, or end the override."""
        self._note("change_setting", dict(request), caller)
        name, value = str(request["name"]), request["value"]
        if name not in self.underlying:
            raise UsageError(f"{name!r} can't be set at run time; these can: {', '.join(self.underlying)}")
        if value is None:
            self._overrides.pop(name, None)
            return {"schema": 1, "name": name, "value": self.underlying[name]}
        if name.endswith("timeout"):
            try:
                parse_duration(str(value))
            except ValueError as error:
                raise ConfigError(f"{name}: {error}") from None
        self._overrides[name] = {"value": value, "who": caller.who}
        return {"schema": 1, "name": name, "value": value}

    def metrics(self) -> bytes:
        """Give one metric."""
        return b"# TYPE reaper_paused gauge\nreaper_paused %d\n" % (self._pause is not None)

    def requests(self, name: str) -> Iterable[Asked]:
        """Give what one method was asked, oldest first."""
        return [one for one in self.asked if one.name == name]

    def _note(self, name: str, argument: object = None, caller: Caller | None = None) -> None:
        self.asked.append(Asked(name=name, argument=argument, caller=caller))
        if self.breaks is not None:
            raise self.breaks

    def _one(self, wanted: str) -> dict[str, object]:
        exact = [row for row in self.resources if wanted in (row["id"], row["name"])]
        found = exact or [row for row in self.resources if str(row["id"]).startswith(wanted)]
        if len(found) == 1:
            return found[0]
        if found:
            ids = tuple(str(row["id"]) for row in found)
            error = UsageError(f"{wanted!r} could be any of: {', '.join(ids)}")
            error.candidates = ids
            raise error
        raise UsageError(f"nothing that is watched is called {wanted!r}; 'reaper status' lists what is")

    @staticmethod
    def _lasts(request: Mapping[str, object]) -> timedelta | None:
        seconds = request.get("for_s")
        return timedelta(seconds=seconds) if isinstance(seconds, (int, float)) else None
