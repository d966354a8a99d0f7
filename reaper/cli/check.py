"""`reaper check`: what runs in AWS, for how long, at what cost, and what needs attention. Needs no daemon."""

import asyncio
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from reaper.cli.app import new_app
from reaper.cli.exits import ExitHow, ExitStatusOption, Sight, counted
from reaper.cli.output import Format, OutputOption, Screen, emit
from reaper.errors import UsageError

if TYPE_CHECKING:
    from datetime import timedelta

    from reaper.cli.checking.page import Seen
    from reaper.cli.checking.rows import Limits, Tally
    from reaper.config import Settings

__all__ = ["app"]

app = new_app()


@app.command()
def check(
    output: Annotated[Format, OutputOption] = Format.TABLE,
    exit_status: Annotated[ExitHow, ExitStatusOption] = ExitHow.COUNT,
    match: Annotated[
        str,
        typer.Option(
            "--match",
            metavar="GLOBS",
            help="Only what has such a name or id; several with commas. Else REAPER_CHECK__MATCH.",
            show_default=False,
        ),
    ] = "",
    kind: Annotated[
        str,
        typer.Option(
            "--kind",
            metavar="KINDS",
            help="Only these: ec2.instance, studio.app, sagemaker.notebook_instance, sagemaker.endpoint.",
            show_default=False,
        ),
    ] = "",
    warning_after: Annotated[
        str,
        typer.Option(
            "--warning-after",
            metavar="DURATION",
            help="Running for longer is a warning. Else REAPER_CHECK__WARNING_AFTER.",
            show_default=False,
        ),
    ] = "",
    critical_after: Annotated[
        str,
        typer.Option(
            "--critical-after",
            metavar="DURATION",
            help="Running for longer is critical. Else REAPER_CHECK__CRITICAL_AFTER.",
            show_default=False,
        ),
    ] = "",
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again every REAPER_POLL_INTERVAL, until Ctrl-C.")
    ] = False,
) -> int:
    """Tell what runs in AWS for too long, and what it has cost.

    Looks once, with your AWS credentials, at EC2 instances, SageMaker apps, notebook instances and endpoints of
    REAPER_AWS__REGIONS and the accounts of REAPER_AWS__ROLES. It needs no daemon and changes nothing. What has a tag
    reaper:protect or reaper:hold-until is listed and never counted. 'reaper iam --for check' prints the
    permissions that this needs.

    \b
    Examples:
      reaper check
      reaper check --warning-after 8h --critical-after 24h --match 'train-*'
      reaper check --output json --exit-status zero
      0 * * * *  reaper check --exit-status zero | mail -E -s AWS you@example.org
    """  # noqa: D301 - click's mark for lines to leave alone
    from reaper.config import load_settings

    settings = load_settings()
    limits = _limits(settings, warning_after, critical_after)
    asked = _Asked(limits, _items(match) or settings.check.match, _kinds(kind))
    if watch:
        if output is Format.JSON or not sys.stdout.isatty():
            raise UsageError(
                "--watch draws on a terminal: leave it out in a pipe, from cron and with --output json"
            )
        return asyncio.run(_watch(settings, asked))
    kept: list[tuple[Seen, Tally]] = []
    asyncio.run(_once(settings, asked, kept))
    seen, tally = kept.pop()
    for piece in _pieces(seen, limits, tally, output):
        emit(piece)
    return counted(exit_status, tally.attention, _sight(seen), critical=tally.levels["critical"])


class _Asked(NamedTuple):
    """What is asked for: from when on something needs attention, and only these names and kinds."""

    limits: "Limits"
    globs: tuple[str, ...]
    kinds: tuple[str, ...]


def _items(text: str) -> tuple[str, ...]:
    return tuple(one.strip() for one in text.split(",") if one.strip())


def _kinds(text: str) -> tuple[str, ...]:
    from reaper.cli.checking.fleet import READERS

    kinds = _items(text)
    for one in kinds:
        if one not in READERS:
            raise UsageError(f"--kind: {one!r} is not looked at here; there are: {', '.join(READERS)}")
    return kinds


def _limits(settings: "Settings", warning_after: str, critical_after: str) -> "Limits":
    from reaper.cli.checking.rows import Limits

    limits = Limits(
        warning_after=_duration(warning_after, "--warning-after", settings.check.warning_after),
        critical_after=_duration(critical_after, "--critical-after", settings.check.critical_after),
    )
    if limits.warning_after > limits.critical_after:
        raise UsageError("--warning-after must not be more than --critical-after")
    return limits


def _duration(text: str, option: str, otherwise: "timedelta") -> "timedelta":
    from reaper.cli.durations import duration

    return duration(option, text) if text else otherwise


async def _once(settings: "Settings", asked: _Asked, kept: "list[tuple[Seen, Tally]]") -> None:
    """Look once, and keep what was seen.

    It is not returned: asyncio.run takes its signal handler back in the end, for which Python writes out the task with
    its result, and with 50,000 rows that costs 60 MB.
    """
    from reaper.cli.checking.fleet import Fleet

    async with Fleet(settings) as fleet:
        kept.append(await fleet.look(*asked))


async def _watch(settings: "Settings", asked: _Asked) -> int:
    """Look again and again, and draw what was seen in place of what was there."""
    from reaper.cli.checking.fleet import Fleet

    async with Fleet(settings) as fleet:
        while True:
            seen, tally = await fleet.look(*asked, shows_progress=True)
            screen = Screen.of(sys.stdout)
            emit("\x1b[H\x1b[2J")
            for piece in _pieces(seen, asked.limits, tally, Format.TABLE, screen):
                emit(piece)
            await asyncio.sleep(settings.poll_interval.total_seconds())


def _pieces(
    seen: "Seen", limits: "Limits", tally: "Tally", output: Format, screen: Screen | None = None
) -> Iterator[str]:
    from reaper.cli.checking.page import page, written

    if output is Format.JSON:
        return written(seen, limits, tally)
    return page(seen, limits, tally, screen or Screen.of(sys.stdout))


def _sight(seen: "Seen") -> Sight:
    """Tell how much was seen."""
    if not seen.errors:
        return Sight.WHOLE
    return Sight.PART if seen.scopes or seen.rows else Sight.NOTHING
