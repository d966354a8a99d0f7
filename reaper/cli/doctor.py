"""`reaper doctor`: does everything work, and what to do where it does not."""

import os
from typing import Annotated

from reaper import __version__
from reaper.cli.app import new_app
from reaper.cli.output import Column, Format, OutputOption, Page, emit_json
from reaper.clock import SystemClock

__all__ = ["app"]

app = new_app()


@app.command()
def doctor(output: Annotated[Format, OutputOption] = Format.TABLE) -> int:
    """Check that everything works, and say what to do if not.

    Nothing is changed and nothing is sent. Exit status 1 if anything fails; warnings alone are 0.
    """
    from reaper.cli.diagnosis import Patient, examine
    from reaper.core.codec import to_json

    now = SystemClock().now()
    found = list(examine(Patient(environ=os.environ, now=now)))
    failed = [one for one in found if one.level == "fail"]
    if output is Format.JSON:
        emit_json(
            {
                "schema": 1,
                "at": to_json(now),
                "version": __version__,
                "ok": not failed,
                "checks": [to_json(one) for one in found],
            }
        )
        return 1 if failed else 0
    shown = Page()
    columns = [Column(title="level", styled=True), Column(title="check"), Column(title="found", wraps=True)]
    shown.table(columns, [[one.level, one.name, one.text] for one in found])
    advised = [one for one in found if one.advice and one.level in ("warn", "fail")]
    if advised:
        shown.line()
        shown.line("What to do", style="bold")
    for one in advised:
        shown.line(f"{one.name}: {one.advice}", indent=2, hanging=2)
    shown.line()
    warned = sum(one.level == "warn" for one in found)
    warnings = f"{warned} warning{'' if warned == 1 else 's'}"
    shown.line(f"{len(failed)} failed, {warnings}" if failed or warned else "all is well", style="bold")
    shown.show()
    return 1 if failed else 0
