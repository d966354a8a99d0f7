"""`reaper coverage`: who in SageMaker Studio has running apps that no reaper would end."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reaper.cli.app import new_app
from reaper.cli.exits import ExitHow, ExitStatusOption, Sight, counted
from reaper.cli.output import Column, Format, OutputOption, Page, Screen, ago, brief, emit_json, note
from reaper.errors import ConfigError, NotifyError

if TYPE_CHECKING:
    from reaper.clients.aws import Aws
    from reaper.clients.studio.survey import Survey
    from reaper.config import Settings
    from reaper.plugins import Notice, Notifier

__all__ = ["TOPIC", "app", "document_of", "notice_of", "page", "regions_of", "without_regions_off"]

app = new_app()

_ATTEMPTS = 6
"""How often a question is sent: many at once are throttled, and botocore waits longer each time."""

TOPIC = "uncovered"
"""Of the one message."""

_MOST_TOLD = 30
"""So many are named in a message; `reaper coverage` names all."""

_WORST_FIRST = ("uncovered", "unknown", "starting", "covered", "beyond", "idle")

_UNKNOWN_THERE = "does not know the credentials"
"""What AWS says in a region that an account has not turned on (`faults.source_error`)."""


@app.command()
def coverage(
    output: Annotated[Format, OutputOption] = Format.TABLE,
    exit_status: Annotated[ExitHow, ExitStatusOption] = ExitHow.COUNT,
    notify: Annotated[
        bool,
        typer.Option("--notify", help="Tell REAPER_NOTIFY, in one message, if anybody is not covered."),
    ] = False,
) -> int:
    """Tell whose Studio apps no reaper covers.

    Looks at every user profile and space of every domain in REAPER_AWS__REGIONS, with your AWS credentials. Somebody is
    uncovered who has a running app that costs something and no reaper that has reported in within three hours in
    enforce mode. 'reaper iam --for coverage' prints the permissions that this needs.

    \b
    Examples:
      reaper coverage
      REAPER_AWS__REGIONS=eu-west-1,us-east-1 reaper coverage --output json
      reaper coverage --notify --exit-status zero
    """  # noqa: D301 - click's mark for lines to leave alone
    from reaper import log
    from reaper.clock import SystemClock
    from reaper.config import load_settings

    settings = load_settings()
    notifiers = _notifiers(settings) if notify else ()
    if notifiers:
        log.configure(settings.log_format, settings.log_level, secrets=settings.secret_values())
    if settings.aws.roles:
        note("REAPER_AWS__ROLES is not used here: only the account of your own credentials is looked at")
    now = SystemClock().now()
    document = asyncio.run(_looked(settings, notifiers, now))
    if output is Format.JSON:
        emit_json(document)
    else:
        page(document, Screen.of(sys.stdout)).show()
    return counted(exit_status, document["totals"]["uncovered"], _sight(document))


async def _looked(settings: "Settings", notifiers: Sequence["Notifier"], now: datetime) -> dict[str, Any]:
    """Look, and tell whoever is to be told."""
    from reaper.clients.aws import Aws, AwsOptions
    from reaper.clients.studio.survey import look_around

    aws = Aws(AwsOptions(attempts=_ATTEMPTS))
    try:
        regions, everywhere = await regions_of(aws, settings)
        survey = await look_around(aws, regions)
    finally:
        await aws.close()
    document = document_of(without_regions_off(survey) if everywhere else survey, regions, now)
    notice = notice_of(document, now, settings.mode.value)
    for notifier in notifiers:
        try:
            if notice is not None:
                await notifier.notify(notice)
        except NotifyError as error:
            note(f"{notifier.address} was not told: {error}; 'reaper doctor' checks notifiers")
        finally:
            await notifier.close()
    return document


async def regions_of(aws: "Aws", settings: "Settings") -> tuple[Sequence[str], bool]:
    """Give the regions to look at, and whether they are simply all.

    Raises:
        ConfigError: Nothing names one.
    """
    from reaper.clients.aws.policy import partition_of

    if "all" in settings.aws.regions:
        return await aws.regions("sagemaker", partition_of(aws.region() or "")), True
    if settings.aws.regions:
        return settings.aws.regions, False
    own = aws.region()
    if own is None:
        raise ConfigError("no region is named: set REAPER_AWS__REGIONS (a list, or all), or AWS_REGION")
    return (own,), False


def without_regions_off(survey: "Survey") -> "Survey":
    """Leave out regions that the account has not turned on, if others answered. Pure."""
    from dataclasses import replace

    if not survey.regions:
        return survey
    return replace(survey, errors=tuple(one for one in survey.errors if _UNKNOWN_THERE not in one.message))


def _notifiers(settings: "Settings") -> tuple["Notifier", ...]:
    from reaper.config.values import scheme_of
    from reaper.plugins import load

    addresses = [address.get_secret_value() for address in settings.notify]
    if not addresses:
        raise ConfigError(
            "--notify has nobody to tell: REAPER_NOTIFY names no address (command:/path, https://...)"
        )
    return tuple(load("reaper.notifiers", scheme_of(one)).from_address(one) for one in addresses)


def document_of(survey: "Survey", regions: Sequence[str], now: datetime) -> dict[str, Any]:
    """Make the document of what was seen. Pure."""
    from reaper.clients.studio.coverage import Coverage, judge
    from reaper.core.codec import to_json

    owners = []
    for domain in survey.domains:
        for one in judge(domain, now):
            beat = one.heartbeat
            timeout = None if beat is None else beat.idle_timeout
            owners.append(
                {
                    "scope": domain.scope,
                    "domain": domain.id,
                    "domain_name": domain.name,
                    "kind": one.owner.kind,
                    "name": one.owner.name,
                    "profile": one.owner.profile,
                    "shared": one.owner.shared,
                    "coverage": one.coverage.value,
                    "reason": one.reason,
                    "version": None if beat is None else beat.version,
                    "idle_timeout_s": None if timeout is None else timeout.total_seconds(),
                    "mode": None if beat is None else beat.mode or None,
                    "heartbeat_at": None if beat is None else to_json(beat.at),
                    "apps": [
                        {
                            "type": covered.seen.app.app_type,
                            "name": covered.seen.app.name,
                            "status": covered.seen.app.status,
                            "instance_type": covered.seen.app.instance_type,
                            "started_at": to_json(covered.seen.app.created_at),
                            "coverage": None if covered.coverage is None else covered.coverage.value,
                            "reason": covered.reason,
                        }
                        for covered in one.apps
                    ],
                }
            )
    totals = {kind.value: sum(one["coverage"] == kind for one in owners) for kind in Coverage}
    return {
        "schema": 1,
        "at": to_json(now),
        "regions": list(regions),
        "owners": owners,
        "totals": {"owners": len(owners), **totals},
        "errors": [{"where": one.where, "message": one.message} for one in survey.errors],
    }


def _sight(document: Mapping[str, Any]) -> Sight:
    """Tell how much was seen: a region that fails is one error of its own name. Pure."""
    errors = document["errors"]
    if not errors:
        return Sight.WHOLE
    failed = {one["where"] for one in errors}
    return Sight.NOTHING if failed.issuperset(document["regions"]) and not document["owners"] else Sight.PART


def notice_of(document: Mapping[str, Any], now: datetime, mode: str) -> "Notice | None":
    """Make the one message; None where everybody is covered and everything was seen. Pure."""
    from reaper.plugins import Notice

    totals, errors = document["totals"], document["errors"]
    uncovered = [one for one in document["owners"] if one["coverage"] == "uncovered"]
    if not uncovered and not errors:
        return None
    parts = []
    if uncovered:
        parts.append(
            f"{len(uncovered)} of {totals['owners']} in Studio have running apps that no reaper covers"
        )
    if errors:
        parts.append("not everything could be seen" if uncovered else "Studio could not be seen wholly")
    subject = "; ".join(parts)
    lines = [
        f"{_owner(one)} in {one['domain']} ({one['scope']}): {_runs(one)}: {one['reason']}"
        for one in uncovered
    ]
    if len(lines) > _MOST_TOLD:
        lines[_MOST_TOLD:] = [f"and {len(lines) - _MOST_TOLD} more"]
    lines += [f"not seen: {one['where']}: {one['message']}" for one in errors[:_MOST_TOLD]]
    return Notice(
        topic=TOPIC,
        at=now,
        subject=subject,
        text="\n".join([f"{subject}:", *lines]),
        mode=mode,
        actions=(("see all of it", "reaper coverage"),),
    )


def page(document: Mapping[str, Any], screen: Screen) -> Page:
    """Draw the document."""
    shown, now = Page(screen), datetime.fromisoformat(document["at"])
    totals = document["totals"]
    facts = [f"{totals['owners']} user profiles and spaces"]
    facts += [
        f"{totals[kind]} {kind}" for kind in ("uncovered", "unknown", "starting", "covered") if totals[kind]
    ]
    shown.line(", ".join(facts) if document["owners"] else _nothing(document), style="bold")
    for error in document["errors"]:
        shown.line(f"not seen: {error['where']}: {error['message']}", hanging=2, style="reap")
    owners = sorted(document["owners"], key=lambda one: _WORST_FIRST.index(one["coverage"]))
    if owners and screen.width is None:
        shown.line()
        _table(shown, owners, now, placed=True)
        return shown
    for scope, domain, name in dict.fromkeys(
        (one["scope"], one["domain"], one["domain_name"]) for one in document["owners"]
    ):
        shown.line()
        shown.line(" ".join(filter(None, (domain, name, f"in {scope}"))), style="dim")
        here = [one for one in owners if (one["scope"], one["domain"]) == (scope, domain)]
        _table(shown, here, now, placed=False)
    return shown


def _nothing(document: Mapping[str, Any]) -> str:
    """Say why there is nobody to tell of."""
    if document["errors"]:
        return "nothing could be seen" if _sight(document) is Sight.NOTHING else "nobody could be seen"
    return f"there is nobody in a Studio domain of {', '.join(document['regions'])}"


def _table(shown: Page, owners: Sequence[Mapping[str, Any]], now: datetime, *, placed: bool) -> None:
    """Draw owners; a narrow terminal has no room for what their reapers are."""
    narrow = shown.screen.narrow
    columns = [
        Column(title="coverage", styled=True),
        Column(title="whose", wraps=True),
        Column(title="runs", wraps=True),
        Column(title="why", wraps=True),
        Column(title="reported"),
    ]
    columns += [] if narrow else [Column(title="reaper", wraps=True)]
    columns += [Column(title="domain"), Column(title="scope")] if placed else []
    rows = []
    for one in owners:
        row = [one["coverage"], _owner(one), _runs(one), one["reason"], ago(one["heartbeat_at"], now)]
        row += [] if narrow else [_reaper(one)]
        row += [one["domain"], one["scope"]] if placed else []
        rows.append(row)
    shown.table(columns, rows)


def _owner(one: Mapping[str, Any]) -> str:
    if one["kind"] == "user":
        return str(one["name"])
    of = f" of {one['profile']}" if one["profile"] else ""
    return f"{'shared ' if one['shared'] else ''}space {one['name']}{of}"


def _runs(one: Mapping[str, Any]) -> str:
    """Write what runs and costs something: `2 KernelGateway, Canvas`."""
    kinds = [app["type"] for app in one["apps"] if app["coverage"] is not None]
    counts = {kind: kinds.count(kind) for kind in sorted(kinds)}
    return ", ".join(kind if count == 1 else f"{count} {kind}" for kind, count in counts.items()) or "-"


def _reaper(one: Mapping[str, Any]) -> str:
    if one["version"] is None:
        return "-"
    timeout = one["idle_timeout_s"]
    parts = [one["version"], "" if timeout is None else brief(timedelta(seconds=timeout)), one["mode"] or ""]
    return ", ".join(filter(None, parts))
