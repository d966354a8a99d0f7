"""`reaper set`: change a setting at run time."""

from datetime import datetime
from typing import Annotated

import typer

from reaper.cli.app import new_app
from reaper.cli.durations import duration
from reaper.cli.output import Format, OutputOption, Page, brief, emit_json, instant
from reaper.clock import SystemClock
from reaper.errors import UsageError

__all__ = ["app"]

app = new_app()

_SETTINGS = ("idle-timeout",)
"""What can be set at run time; the daemon has the last word."""


def _settings(incomplete: str) -> list[str]:
    return [name for name in _SETTINGS if name.startswith(incomplete)]


@app.command("set")
def set_(
    name: Annotated[
        str,
        typer.Argument(metavar="SETTING", help="idle-timeout", autocompletion=_settings, show_default=False),
    ],
    value: Annotated[
        str | None, typer.Argument(metavar="VALUE", help="The new value, such as 90m.", show_default=False)
    ] = None,
    lasts: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="DURATION", help="Go back by itself (8h).", show_default="until --unset"
        ),
    ] = None,
    unset: Annotated[bool, typer.Option("--unset", help="Go back to the configured value.")] = False,
    output: Annotated[Format, OutputOption] = Format.TABLE,
) -> None:
    """Change a setting of the running daemon.

    It beats environment and file until --for ends, --unset, or the configured value itself changes. Who did it and
    when is kept in the journal; REAPER_IDLE_TIMEOUT_MIN and REAPER_IDLE_TIMEOUT_MAX bound it.

    \b
    Examples:
      reaper set idle-timeout 90m
      reaper set idle-timeout 4h --for 8h
      reaper set idle-timeout --unset
    """  # noqa: D301 - click's mark for lines to leave alone
    from reaper.cli.reach import open_reach

    name = name.lower().removeprefix("reaper_").replace("_", "-")  # as 'config show' has it is good too
    if unset == (value is not None):
        raise UsageError(f"give a value or --unset: 'reaper set {name} 90m', 'reaper set {name} --unset'")
    if unset and lasts is not None:
        raise UsageError("--for goes with a value, not with --unset")
    if value is not None and name == "idle-timeout":
        duration(name, value)
    seconds = duration("--for", lasts).total_seconds() if lasts is not None else None
    document = open_reach().change_setting({"name": name, "value": value, "for_s": seconds})
    if output is Format.JSON:
        emit_json(document)
        return
    shown = Page()
    shown.line(_said(document, SystemClock().now(), unset=unset))
    shown.show()


def _said(document: dict[str, object], now: datetime, *, unset: bool) -> str:
    until = instant(document.get("until"))
    ends = f" for {brief(until - now)}" if until is not None else ""
    back = " (as configured)" if unset else ""
    return f"{document['name']} is {document['value']}{back}{ends}; it was {document['previous']}"
