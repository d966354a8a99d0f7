"""`reaper pause`: the kill switch."""

from datetime import datetime
from typing import Annotated

import typer

from reaper.cli.app import new_app
from reaper.cli.durations import duration
from reaper.cli.options import WhyOption
from reaper.cli.output import Format, OutputOption, Page, emit_json, left

__all__ = ["app"]

app = new_app()


@app.command()
def pause(
    why: Annotated[str, WhyOption] = "",
    lasts: Annotated[
        str | None,
        typer.Option(
            "--for",
            metavar="DURATION",
            help="End it by itself (2h, 3d).",
            show_default="until 'reaper resume'",
        ),
    ] = None,
    output: Annotated[Format, OutputOption] = Format.TABLE,
) -> None:
    """Stop all actions; looking goes on.

    Everything shows it until it ends: status, metrics, explain.

    \b
    Examples:
      reaper pause --for 2h --why "demo for the board"
      reaper pause --why "something looks wrong"
    """  # noqa: D301 - click's mark for lines to leave alone
    from reaper.cli.reach import open_reach

    seconds = duration("--for", lasts).total_seconds() if lasts is not None else None
    document = open_reach().pause({"for_s": seconds, "why": why})
    if output is Format.JSON:
        emit_json(document)
        return
    shown, state = Page(), document["pause"] or {}
    now = datetime.fromisoformat(document["at"])
    until = f"for {left(state.get('until'), now)}" if state.get("until") else "until 'reaper resume'"
    shown.line(f"paused {until}: nothing is reaped, looking goes on")
    shown.show()
