"""`reaper hold`: protect something for a while, or while a command runs."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reaper.cli.app import Command, new_app
from reaper.cli.durations import duration
from reaper.cli.options import WhyOption, complete_resource
from reaper.cli.output import Column, Format, OutputOption, Page, brief, emit_json, left, note
from reaper.clock import SystemClock
from reaper.errors import UsageError

if TYPE_CHECKING:
    from typer._click.core import Context

__all__ = ["app"]

app = new_app()

_DEFAULT = "2h"
"""A hold without --for: long enough for a meeting, short enough that nobody pays for it for days."""

_COMMAND = "reaper.cli.hold.command"
"""Key in the context's `meta`: what stood after `--`."""


class _HoldCommand(Command):
    """Keeps what stands after `--` apart: it is a command, and none of its words is ours."""

    def collect_usage_pieces(self, ctx: "Context") -> list[str]:
        """Name the command in the usage line."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        """Take the command off, then read the rest as ever."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[_COMMAND] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)


@app.command(cls=_HoldCommand, options_metavar="[OPTIONS]")
def hold(
    context: typer.Context,
    resource: Annotated[
        str | None,
        typer.Argument(
            metavar="RESOURCE",
            help="What to protect: an id, a name, a notebook's path, 'self'; 'host' is everything on this machine.",
            autocompletion=complete_resource,
            show_default=False,
        ),
    ] = None,
    lasts: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="How long.", show_default=_DEFAULT)
    ] = None,
    why: Annotated[str, WhyOption] = "",
    listed: Annotated[bool, typer.Option("--list", help="List the holds in force instead.")] = False,
    output: Annotated[Format, OutputOption] = Format.TABLE,
) -> int | None:
    """Protect something for a while, or while a command runs.

    With a COMMAND the hold lasts as long as that: it is short and renewed, so that it ends soon after us whatever
    happens. Without RESOURCE it then protects the kernel or terminal this runs in, or everything where it runs in
    neither. Exit status: the command's own, 126 or 127 if it can't be started, 128+n if signal n ended it.

    \b
    Examples:
      reaper hold train.ipynb --for 8h --why "epoch 40 of 90"
      reaper hold self
      reaper hold -- python train.py
      reaper hold --list
    """  # noqa: D301 - click's mark for lines to leave alone
    from reaper.cli.reach import names_of, open_reach

    command: list[str] | None = context.meta.get(_COMMAND)
    if listed:
        if resource is not None or command is not None:
            raise UsageError("--list goes alone")
        reach = open_reach()
        _show_holds(reach.holds(), output, lambda: names_of(reach))
        return None
    if command is not None:
        return _while_it_runs(resource, command, lasts, why, output)
    if resource is None:
        raise UsageError("say what to hold: 'reaper hold RESOURCE --for 2h', or 'reaper hold -- COMMAND'")
    _place(resource, lasts or _DEFAULT, why, output)
    return None


def _place(resource: str, lasts: str, why: str, output: Format) -> None:
    from reaper.cli.reach import named, names_of, naming, open_reach

    asked = duration("--for", lasts)
    seconds = asked.total_seconds()
    reach = open_reach()
    with naming(reach):
        document = reach.place_hold({"resource": named(reach, resource), "for_s": seconds, "why": why})
    if output is Format.JSON:
        emit_json(document)
        return
    placed, shown = document["hold"], Page()
    now = SystemClock().now()
    given = datetime.fromisoformat(placed["expires_at"]) - datetime.fromisoformat(placed["starts_at"])
    if given < asked:
        note(f"no hold is longer than {brief(given)}")
    shown.line(f"{held(placed, names_of(reach))} is held for {left(placed['expires_at'], now)}")
    shown.line(f"end it sooner with: reaper release {placed['id']}")
    shown.show()


def held(placed: Mapping[str, Any], names: Mapping[tuple[str, str, str], str]) -> str:
    """Write what a hold protects.

    Args:
        placed: The hold.
        names: Of what is watched, by kind, scope and id.
    """
    from reaper.cli.reach import label

    kind, scope, id_ = (placed["matcher"].get(part) for part in ("kind", "scope", "id"))
    what = label(names.get((kind, scope, id_)), kind, id_) if id_ else kind or "everything"
    return f"{what} at {scope}" if scope else what


def _show_holds(
    document: Mapping[str, Any], output: Format, names: Callable[[], Mapping[tuple[str, str, str], str]]
) -> None:
    if output is Format.JSON:
        emit_json(document)
        return
    shown, now = Page(), datetime.fromisoformat(document["at"])
    if not document["holds"]:
        shown.line("nothing is held")
        shown.show()
        return
    columns = [
        Column(title="hold"),
        Column(title="on", wraps=True),
        Column(title="by"),
        Column(title="left", right=True),
        Column(title="why", wraps=True),
    ]
    rows, known = [], names()
    for one in document["holds"]:
        ends = left(one["expires_at"], now) if one["expires_at"] else "until released"
        rows.append([one["id"], held(one, known), one["who"], ends, one["why"] or "-"])
    shown.table(columns, rows)
    shown.show()


def _while_it_runs(
    resource: str | None, command: list[str], lasts: str | None, why: str, output: Format
) -> int:
    from reaper.cli.holding import run_held

    if not command:
        raise UsageError("there is no command after '--'")
    if lasts is not None:
        raise UsageError("--for does not go with a command: the hold lasts as long as the command runs")
    if output is not Format.TABLE:
        raise UsageError("--output does not go with a command: stdout is the command's")
    return run_held(resource, command, why)
