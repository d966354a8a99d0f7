"""`reaper resume`: end a pause."""

from typing import Annotated

from reaper.cli.app import new_app
from reaper.cli.output import Format, OutputOption, Page, emit_json

__all__ = ["app"]

app = new_app()


@app.command()
def resume(output: Annotated[Format, OutputOption] = Format.TABLE) -> None:
    """Allow actions again after a pause.

    What became due meanwhile is reaped after a fresh look, and after its warning where one is asked for.
    """
    from reaper.cli.reach import open_reach

    reach = open_reach()
    was_paused = reach.paused()["paused"]
    document = reach.resume()
    if output is Format.JSON:
        emit_json(document)
        return
    shown = Page()
    shown.line("resumed: actions are allowed again" if was_paused else "it was not paused")
    shown.show()
