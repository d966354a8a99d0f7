"""`reaper explain`: one decision with all that led to it, and what would change it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from reaper.cli.app import new_app
from reaper.cli.options import JournalOption, ResourceArgument
from reaper.cli.output import Column, Format, OutputOption, Page, ago, brief, emit_json, instant, left

__all__ = ["app", "page"]

app = new_app()


@app.command()
def explain(
    resource: Annotated[str, ResourceArgument],
    output: Annotated[Format, OutputOption] = Format.TABLE,
    journal: Annotated[str | None, JournalOption] = None,
) -> None:
    """Say why something is kept or goes, and what would change it.

    It shows each signal with its value and age, what each policy finds, each veto, and what was done to it
    before. What is gone is explained from the journal.

    \b
    Examples:
      reaper explain train.ipynb
      reaper explain 6f1c
      reaper explain self
    """  # noqa: D301 - click's mark for lines to leave alone
    from reaper.cli.reach import named, naming, open_reach

    reach = open_reach(journal)
    with naming(reach):
        document = reach.explain(named(reach, resource))
    if output is Format.JSON:
        emit_json(document)
    else:
        page(document, Page()).show()


def page(document: Mapping[str, Any], shown: Page) -> Page:
    """Draw an explain document."""
    now = datetime.fromisoformat(document["at"])
    resource, decision = document["resource"], document["decision"]
    shown.line(_title(resource), style="bold")
    if document["gone"]:
        shown.line("it is gone; this is what the journal kept", indent=2)
    if decision is None:
        shown.line("the decision behind it is no longer in the journal", indent=2)
    else:
        _verdict(shown, document, now)
        _signals(shown, decision, now)
        _findings(shown, decision, now)
        _vetoes(shown, decision, now)
    _section(shown, "What would change it", document["next"] or ["nothing that is known"])
    _ledger(shown, document["ledger"])
    return shown


def _title(resource: Mapping[str, Any]) -> str:
    name = f" ({resource['name']})" if resource.get("name") not in (None, resource["id"]) else ""
    return f"{resource['kind']} {resource['id']}{name} at {resource['scope']}"


def _verdict(shown: Page, document: Mapping[str, Any], now: datetime) -> None:
    resource, decision = document["resource"], document["decision"]
    verdict = str(decision["verdict"])
    said = "It would be reaped, but not now" if verdict == "reap" and decision["vetoes"] else _SAID[verdict]
    if document["gone"]:
        done = any(one["state"] == "SUCCEEDED" for one in document["ledger"])
        said = "It was reaped" if done else _SAID_OF_GONE[verdict]
    shown.line(f"{said}: {decision['reason_text']}", indent=2, hanging=2, style=verdict)
    facts = [f"verdict {verdict}", f"reason {decision['reason']}"]
    if decision["policy"]:
        facts.append(f"policy {decision['policy']}")
    if decision["action"]:
        facts.append(f"action {decision['action']}" + ("" if decision["enforced"] else " (dry run)"))
    shown.line(", ".join(facts), indent=2, hanging=2)
    if resource.get("idle_since"):
        shown.line(
            f"idle for {_span(resource['idle_since'], now)}, since {_second(resource['idle_since'])}",
            indent=2,
        )
    if decision["due_at"]:
        shown.line(f"due in {left(decision['due_at'], now)}, at {_second(decision['due_at'])}", indent=2)
    if decision.get("blind"):
        since = decision.get("blind_since")
        shown.line(
            f"blind for {_span(since, now)}: unknown or vetoed for more than a day", indent=2, style="unknown"
        )
    shown.line(f"decision {decision['id']}, {_second(decision['at'])}", indent=2, style="dim")


_SAID = {
    "keep": "It is kept",
    "wait": "It is waited for",
    "reap": "It is due",
    "unknown": "It is unknown, so it is left alone",
}


_ALL_SIGNALS = ("idle", "idle_not_long_enough")
"""Reasons that rest on every signal alike."""

_SAID_OF_GONE = {
    "keep": "It was kept",
    "wait": "It was waited for",
    "reap": "It was due",
    "unknown": "It was unknown, so it was left alone",
}


def _signals(shown: Page, decision: Mapping[str, Any], now: datetime) -> None:
    shown.line()
    shown.line("Signals", style="bold")
    evidence: Sequence[Mapping[str, Any]] = decision["evidence"]
    if not evidence:
        shown.line("none was ever seen", indent=2)
        return
    columns = [
        Column(title="signal"),
        Column(title="says", styled=True),
        Column(title="value", wraps=True),
        Column(title="last active", right=True),
        Column(title="seen", right=True),
        Column(title="of the time", wraps=True),
    ]
    rows = [
        [
            str(one["signal"]),
            str(one["activity"]),
            str(one["value"]) or "-",
            "now" if one["activity"] == "active" else ago(one["active_at"], now),
            ago(one["observed_at"], now),
            _coverage(one, now),
        ]
        for one in evidence
    ]
    if shown.screen.narrow:
        for row in rows:
            row[2] = "; ".join(filter(None, (row[2], row[-1])))
            row[-1] = ""
    if all(row[-1] == "" for row in rows):
        columns.pop()
        rows = [row[:-1] for row in rows]
    shown.table(columns, rows, indent=2)


def _coverage(one: Mapping[str, Any], now: datetime) -> str:
    parts = []
    if one["covers_from"]:
        parts.append(f"sampled since {ago(one['covers_from'], now)}")
    if not one["current"]:
        parts.append("the last look did not see it")
    return "; ".join(parts)


def _findings(shown: Page, decision: Mapping[str, Any], now: datetime) -> None:
    shown.line()
    shown.line("Policies", style="bold")
    if not decision["findings"]:
        shown.line("none applies to it", indent=2)
        return
    columns = [
        Column(title="policy"),
        Column(title="finds", styled=True),
        Column(title="because", wraps=True),
        Column(title="due in", right=True),
    ]
    rows = []
    for one in decision["findings"]:
        detail = f": {one['detail']}" if one["detail"] and not _stands_above(one, decision) else ""
        since = f" (since {ago(one['since'], now)})" if one["since"] else ""
        due = instant(one["due_at"])
        when = "-" if due is None else "now" if due <= now else brief(due - now)
        rows.append([one["policy"], one["verdict"], f"{one['reason_text']}{detail}{since}", when])
    shown.table(columns, rows, indent=2)


def _stands_above(finding: Mapping[str, Any], decision: Mapping[str, Any]) -> bool:
    """Tell whether a finding's detail is every signal of an idle thing with its value: the table above has them."""
    values = {one["signal"]: one["value"] for one in decision["evidence"]}
    said = "; ".join(f"{signal}: {values.get(signal)}" for signal in finding["evidence"])
    return finding["reason"] in _ALL_SIGNALS and finding["detail"] == said


def _vetoes(shown: Page, decision: Mapping[str, Any], now: datetime) -> None:
    lines = []
    for one in decision["vetoes"]:
        detail = f": {one['detail']}" if one["detail"] else ""
        until = f"; ends in {left(one['until'], now)}" if one["until"] else "; until that changes"
        lines.append(f"{one['reason']}: {one['reason_text']}{detail}{until}")
    _section(shown, "Vetoes", lines or ["none"])


def _ledger(shown: Page, ledger: Sequence[Mapping[str, Any]]) -> None:
    shown.line()
    shown.line("Past actions", style="bold")
    if not ledger:
        shown.line("none", indent=2)
        return
    columns = [
        Column(title="at"),
        Column(title="action"),
        Column(title="state"),
        Column(title="policy"),
        Column(title="outcome", wraps=True),
    ]
    rows = [
        [_second(one["at"]), one["action"], one["state"].lower(), one["policy"], one["outcome"] or "-"]
        for one in ledger
    ]
    shown.table(columns, rows, indent=2)


def _section(shown: Page, title: str, lines: Sequence[str]) -> None:
    shown.line()
    shown.line(title, style="bold")
    for line in lines:
        shown.line(f"- {line}", indent=2, hanging=2)


def _second(text: str) -> str:
    """Write an instant to the second: `2026-11-22T21:51:00Z`."""
    return datetime.fromisoformat(text).strftime("%Y-%m-%dT%H:%M:%SZ")


def _span(text: object, now: datetime) -> str:
    at = instant(text)
    return "-" if at is None else brief(now - at)
