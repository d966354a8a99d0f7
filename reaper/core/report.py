"""What people and programs are shown: JSON documents made from the world and its decisions. Pure.

The daemon answers with them over HTTP; the command line makes the same ones from the journal when
there is no daemon. Fields are only ever added; unknown is null.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from reaper.core.codec import to_json
from reaper.core.decide import Decision
from reaper.core.durations import format_duration
from reaper.core.facts import LedgerEntry
from reaper.core.history import History
from reaper.core.model import Activity, Hold, ResourceKey, ResourceRef
from reaper.core.naming import qualified
from reaper.core.plan import Plan
from reaper.core.ruleset import Ruleset
from reaper.core.verdict import Reason, Verdict
from reaper.core.world import World

__all__ = [
    "PLAN_LIFETIME",
    "explain_document",
    "hold_document",
    "holds_document",
    "pause_document",
    "plan_document",
    "resource_document",
    "status_document",
    "status_head",
    "status_rows",
]

PLAN_LIFETIME = timedelta(hours=24)


def status_document(
    world: World,
    decisions: Mapping[ResourceKey, Decision],
    ruleset: Ruleset,
    now: datetime,
    extra: Mapping[str, object],
) -> dict[str, object]:
    """Give the status document of the contract.

    Args:
        world: Everything known.
        decisions: Newest decision by resource key.
        ruleset: The rules in force.
        now: The instant it speaks of.
        extra: What only the caller knows: `version`, `daemon`, `idle_timeout_s`, `overrides` ...
    """
    head = status_head(world, ruleset, now, extra)
    return {**head, "resources": list(status_rows(world, decisions, now))}


def status_rows(
    world: World, decisions: Mapping[ResourceKey, Decision], now: datetime
) -> Iterator[dict[str, object]]:
    """Give the resources of the status document one by one, so that a loop can breathe in between."""
    shown = [history for history in world.live.values() if history.ref.key in decisions]
    for history in sorted(shown, key=lambda one: _order(one, world)):
        yield resource_document(world, history, decisions[history.ref.key], now)


def status_head(
    world: World, ruleset: Ruleset, now: datetime, extra: Mapping[str, object]
) -> dict[str, object]:
    """Give the status document without its resources."""
    return {
        "schema": 1,
        "at": to_json(now),
        "mode": ruleset.mode.value,
        "paused": world.is_paused(now),
        "pause": pause_document(world, now)["pause"],
        "trips": [to_json(trip) for trip in world.tripped.values()],
        "polls": world.polls,
        **extra,
        "sources": [_source_document(world, name) for name in sorted(world.sources)],
    }


def resource_document(world: World, history: History, decision: Decision, now: datetime) -> dict[str, object]:
    """Give one resource as `status` shows it."""
    resource, ref = history.resource, history.ref
    return {
        "kind": ref.kind,
        "id": ref.id,
        "scope": ref.scope,
        "name": resource.name,
        "parent": resource.parent_key.id if resource.parent_key else None,
        "owner": resource.owner,
        "verdict": decision.verdict.value,
        "reason": decision.reason.value,
        "reason_text": reason_text(decision),
        "idle_since": to_json(idle_since(history, decision)),
        "due_at": to_json(decision.due_at),
        "action": decision.action,
        "policy": decision.policy,
        "hourly_cost": resource.hourly_cost,
        "holds": [hold_document(hold) for hold in world.holds_on(ref, now)],
        "vetoes": [to_json(veto) for veto in decision.vetoes],
        "blind": decision.blind,
        "enforced": decision.enforced,
        "incarnation": ref.incarnation,
        "started_at": to_json(resource.started_at),
        "first_seen_at": to_json(history.first_seen_at),
        "last_seen_at": to_json(history.last_seen_at),
        "aliases": list(resource.aliases),
        "attributes": to_json(resource.attributes),
        "decision_id": decision.id,
    }


def idle_since(history: History, decision: Decision) -> datetime | None:
    """Give since when it is idle; None while anything shows work, or where nothing is known. Pure."""
    evidence = decision.evidence
    working = any(one.activity is Activity.ACTIVE and one.current for one in evidence)
    if history.failing_since is not None or working:
        return None
    return max((one.active_at for one in evidence if one.active_at is not None), default=None)


def reason_text(decision: Decision) -> str:
    """Write a decision's reason in a line for people. Pure."""
    if decision.verdict is Verdict.REAP and decision.vetoes:
        veto = decision.vetoes[0]
        return f"{veto.reason.prose}: {veto.detail}" if veto.detail else veto.reason.prose
    spoken = next(
        (f for f in decision.findings if f.policy == decision.policy and f.reason is decision.reason), None
    )
    if (
        spoken is not None
        and spoken.detail
        and decision.reason not in (Reason.IDLE, Reason.IDLE_NOT_LONG_ENOUGH)
    ):
        return f"{decision.reason.prose} ({spoken.detail})"
    return decision.reason.prose


def explain_document(
    world: World,
    history: History,
    decision: Decision,
    now: datetime,
    ledger: Sequence[LedgerEntry] = (),
) -> dict[str, object]:
    """Give a decision with all that led to it and what would change it."""
    return {
        "schema": 1,
        "at": to_json(decision.at),
        "resource": resource_document(world, history, decision, now),
        "decision": decision_document(decision),
        "next": what_would_change(decision, history),
        "ledger": [to_json(entry) for entry in ledger],
        "gone": False,
    }


def decision_document(decision: Decision) -> dict[str, object]:
    """Give a decision as JSON, each signal with its age in seconds at the time."""
    document: dict[str, object] = to_json(decision)
    document["reason_text"] = reason_text(decision)
    document["blind"] = decision.blind
    document["evidence"] = [
        {**to_json(one), "age_s": round((decision.at - one.observed_at).total_seconds(), 3)}
        for one in decision.evidence
    ]
    document["findings"] = [{**to_json(one), "reason_text": one.reason.prose} for one in decision.findings]
    document["vetoes"] = [{**to_json(one), "reason_text": one.reason.prose} for one in decision.vetoes]
    return document


def what_would_change(decision: Decision, history: History) -> list[str]:
    """Say in lines what would change the verdict. Pure."""
    lines = []
    left = (
        f" in {format_duration(timedelta(seconds=round((decision.due_at - decision.at).total_seconds())))}"
        if decision.due_at
        else ""
    )
    if decision.verdict is Verdict.WAIT and decision.due_at:
        due = f"becomes due at {_to_the_second(decision.due_at)}{left}"
        rests = any(finding.evidence for finding in decision.findings)
        lines.append(f"without any activity it {due}; any activity moves that" if rests else f"it {due}")
    if decision.verdict is Verdict.WAIT and decision.reason in (Reason.ACTIVE, Reason.BUSY_WITHOUT_WORK):
        names = ", ".join(run.signal for run in history.current() if run.activity.value == "active")
        lines.append(f"its timeout runs from the moment that {names or 'every signal'} turns idle")
    if decision.verdict is Verdict.UNKNOWN:
        lines.append("a complete look at every required signal; until then it is never reaped")
    if decision.verdict is Verdict.KEEP:
        kept = next((one for one in decision.findings if one.verdict is Verdict.KEEP), None)
        lines.append(
            "a policy of its kind whose match includes it"
            if kept is None
            else f"that policy {kept.policy} no longer keeps it: {kept.detail or kept.reason.prose}"
        )
    if decision.verdict is Verdict.REAP and not decision.vetoes:
        if decision.enforced:
            lines.append(f"it is reaped now ({decision.action}) if a fresh look agrees")
        else:
            lines.append(
                "dry run: it would be reaped now; REAPER_MODE=enforce (and the policy's mode) makes it happen"
            )
    for veto in decision.vetoes:
        until = f", ends at {_to_the_second(veto.until)}" if veto.until else ", until that changes"
        lines.append(f"veto {veto.reason.value}: {veto.detail or veto.reason.prose}{until}")
    return lines


def plan_document(
    plan: Plan,
    world: World,
    ruleset: Ruleset,
    now: datetime,
    denied: Mapping[ResourceRef, str] | None = None,
) -> dict[str, object]:
    """Give what would be done now, as `plan --out` writes and `apply` reads it; `denied`: acts that would be."""
    lives, items = list(world.live.values()), []
    for item in plan.items:
        ref, history = item.decision.ref, world.live.get(item.decision.ref.key)
        if history is None:  # it has ended while permissions were asked for
            continue
        items.append(
            {
                **to_json(ref),
                "name": item.resource.name,
                "resource": qualified(ref.key, lives),
                "action": item.action,
                "policy": item.decision.policy,
                "reason": item.decision.reason.value,
                "idle_since": to_json(idle_since(history, item.decision)),
                "hourly_cost": item.resource.hourly_cost,
                "dry_run": item.dry_run,
                "would_be_denied": (denied or {}).get(ref),
                "decision_id": item.decision.id,
            }
        )
    costs = [item.resource.hourly_cost for item in plan.items]
    return {
        "schema": 1,
        "at": to_json(now),
        "expires_at": to_json(now + PLAN_LIFETIME),
        "mode": ruleset.mode.value,
        "paused": world.is_paused(now),
        "config_digest": ruleset.digest(),
        "items": items,
        "totals": {
            "items": len(items),
            "hourly_cost": round(sum(cost for cost in costs if cost is not None), 4),
            "unknown_costs": sum(cost is None for cost in costs),
        },
    }


def hold_document(hold: Hold) -> dict[str, object]:
    """Give a hold as JSON."""
    document: dict[str, object] = to_json(hold)
    return document


def holds_document(holds: Iterable[Hold], now: datetime) -> dict[str, object]:
    """Give the holds in force."""
    return {
        "schema": 1,
        "at": to_json(now),
        "holds": [hold_document(hold) for hold in holds if hold.in_force(now)],
    }


def pause_document(world: World, now: datetime) -> dict[str, object]:
    """Give the kill switch's state."""
    pause = world.paused if world.is_paused(now) else None
    return {"schema": 1, "at": to_json(now), "paused": pause is not None, "pause": to_json(pause)}


def _to_the_second(at: datetime) -> str:
    return f"{at.astimezone(UTC):%FT%TZ}"


def _source_document(world: World, name: str) -> dict[str, object]:
    state = world.sources[name]
    failing = state.since_complete[0].started_at if state.since_complete else None
    return {
        "name": name,
        "last_poll_at": to_json(state.last.started_at),
        "complete": state.last.complete,
        "error": state.last.error,
        "last_complete_poll_at": to_json(state.last_complete_at),
        "failing_since": to_json(failing),
    }


def _order(history: History, world: World) -> tuple[str, ...]:
    """Sort by scope, kind and name, and what lives in something right after it."""
    key = history.resource.parent_key or history.ref.key
    top = world.live.get(key)
    child = "" if key == history.ref.key else "child"
    name = key.id if top is None else top.resource.name
    return key.scope, key.kind, name, key.id, child, history.ref.kind, history.resource.name
