"""`reaper status`: what is watched, the verdict on it, and when it is due."""

import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from reaper.cli.app import new_app
from reaper.cli.options import JournalOption
from reaper.cli.output import (
    Column,
    Format,
    OutputOption,
    Page,
    Screen,
    ago,
    brief,
    emit,
    emit_json,
    instant,
    left,
    paused_line,
)

__all__ = ["app", "page"]

app = new_app()


@app.command()
def status(
    output: Annotated[Format, OutputOption] = Format.TABLE,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it again and again, until Ctrl-C.")
    ] = False,
    every: Annotated[str, typer.Option("--every", metavar="DURATION", help="How often with --watch.")] = "2s",
    journal: Annotated[str | None, JournalOption] = None,
) -> None:
    """Show what is watched: verdict, reason, when it is due.

    VERDICT is keep (no policy would ever reap it), wait (until it has been idle for the timeout), reap (due now)
    or unknown (something can't be read; unknown is never idle). 'blind' marks what has been unknown or vetoed
    for more than a day. 'reaper explain RESOURCE' tells more.
    """
    from reaper.cli.durations import duration
    from reaper.cli.reach import open_reach

    pause = duration("--every", every)
    while True:
        document = open_reach(journal).status()
        if output is Format.JSON:
            emit_json(document)
        else:
            screen = Screen.of(sys.stdout)
            text = page(document, screen).text()
            emit(f"\x1b[H\x1b[2J{text}" if watch and screen.width is not None else text)
        if not watch:
            return
        _wait(pause)


def _wait(pause: timedelta) -> None:
    import time

    time.sleep(max(0.2, pause.total_seconds()))


def page(document: Mapping[str, Any], screen: Screen) -> Page:
    """Draw a status document."""
    shown, now = Page(screen), datetime.fromisoformat(document["at"])
    _header(shown, document, now)
    resources = document["resources"]
    if not resources:
        shown.line(_nothing(document))
        return shown
    scopes = list(dict.fromkeys(one["scope"] for one in resources))
    if screen.width is None:
        _table(shown, resources, now, scoped=True)
    else:
        for scope in scopes:
            shown.line()
            shown.line(scope, style="dim")
            _table(shown, [one for one in resources if one["scope"] == scope], now, scoped=False)
    return shown


def _nothing(document: Mapping[str, Any]) -> str:
    """Say why nothing is shown."""
    if not document.get("sources"):
        return "no server was found: 'reaper doctor' says where it looks"
    return "nothing to watch: nothing is open on what was looked at"


def _header(shown: Page, document: Mapping[str, Any], now: datetime) -> None:
    timeout = document.get("idle_timeout_s")
    facts = [
        f"mode {document['mode']}",
        f"idle timeout {brief(timedelta(seconds=timeout))}"
        if timeout is not None
        else "idle timeout unknown",
        f"{document['polls']} poll{'' if document['polls'] == 1 else 's'}",
    ]
    looked = max(
        (one["last_poll_at"] for one in document.get("sources", ()) if one["last_poll_at"]), default=None
    )
    if looked is not None:
        facts.append(f"last look {ago(looked, now)}")
    if not document.get("daemon", True):
        facts.append("no daemon")
    shown.line(", ".join(facts), style="bold")
    pause = document.get("pause")
    if document.get("paused"):
        shown.line(paused_line(pause or {}, now), style="reap")
    for trip in document.get("trips") or ():
        shown.line(
            f"{trip['newly']} of {trip['total']} {trip['kind']} in {trip['scope']} became due at once "
            f"{ago(trip['at'], now)}: none is reaped until 'reaper resume'",
            style="reap",
        )
    for override in document.get("overrides") or ():
        until = f" for {left(override['until'], now)} more" if override.get("until") else ""
        shown.line(
            f"{override['name']} was set to {override['value']} by {override['who']}{until}", style="wait"
        )
    failing = [one for one in document.get("sources", ()) if not one["complete"]]
    if failing:
        shown.line(f"{len(failing)} of {len(document['sources'])} sources failing:", style="reap")
    for one in failing:
        since = f" for {brief(now - at)}" if (at := instant(one.get("failing_since"))) else ""
        shown.line(f"{one['name']}{since}: {one['error']}", indent=2, hanging=2)
    if document.get("journal_error"):
        shown.line(
            f"the journal can't be written, so nothing is reaped: {document['journal_error']}", style="reap"
        )
    for problem in (*(document.get("problems") or ()), *(document.get("notes") or ())):
        shown.line(f"note: {problem}", hanging=2, style="wait")
    blind = sum(bool(one.get("blind")) for one in document["resources"])
    if blind:
        shown.line(
            f"{blind} blind: unknown or vetoed for more than a day; 'reaper explain' says why",
            style="unknown",
        )


def _table(shown: Page, resources: list[Mapping[str, Any]], now: datetime, *, scoped: bool) -> None:
    narrow = shown.screen.narrow
    families = {one["kind"].partition(".")[0] for one in resources}
    any_holds = any(one["holds"] for one in resources)
    columns = [
        Column(title="kind"),
        Column(title="name", wraps=True),
        Column(title="verdict", styled=True, wraps=narrow),
        Column(title="why", wraps=True),
        Column(title="idle for", right=True),
        Column(title="due in", right=True),
    ]
    holds = any_holds or not narrow
    if holds:
        columns.append(Column(title="holds", wraps=narrow))
    if scoped:
        columns += [Column(title="id"), Column(title="scope")]
    rows = []
    for one in resources:
        kind = one["kind"].partition(".")[2] or one["kind"] if narrow and len(families) == 1 else one["kind"]
        row = [kind, _name(one), _verdict(one), _why(one), _idle_for(one, now), _due_in(one, now)]
        if holds:
            row.append(_holds(one["holds"], now))
        if scoped:
            row += [one["id"], one["scope"]]
        rows.append(row)
    shown.table(columns, rows)


def _name(one: Mapping[str, Any]) -> str:
    name = str(one["name"])
    return f"  {name}" if one.get("parent") else name


def _verdict(one: Mapping[str, Any]) -> str:
    return f"{one['verdict']}, blind" if one.get("blind") else str(one["verdict"])


def _why(one: Mapping[str, Any]) -> str:
    why = str(one.get("reason_text") or one["reason"])
    if one["verdict"] == "reap" and not one.get("enforced", True) and not one.get("vetoes"):
        return f"{why} (dry run: nothing is done)"
    return why


def _idle_for(one: Mapping[str, Any], now: datetime) -> str:
    since = instant(one["idle_since"])
    return "-" if since is None else brief(now - since)


def _due_in(one: Mapping[str, Any], now: datetime) -> str:
    if one["due_at"] is not None:
        return left(one["due_at"], now)
    return "now" if one["verdict"] == "reap" and not one.get("vetoes") else "-"


def _holds(holds: list[Mapping[str, Any]], now: datetime) -> str:
    if not holds:
        return "-"
    ends = [hold["expires_at"] for hold in holds]
    longest = "until released" if None in ends else f"{left(max(ends), now)} left"
    return longest if len(holds) == 1 else f"{len(holds)}, {longest}"
