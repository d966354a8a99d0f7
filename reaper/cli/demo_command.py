"""`reaper demo`: the command; `demo.py` is the play."""

from pathlib import Path
from typing import Annotated

import typer

from reaper.cli.app import new_app

__all__ = ["app"]

app = new_app()


@app.command()
def demo(
    journal: Annotated[
        Path,
        typer.Option("--journal", metavar="FILE", help="Where its journal goes; an earlier one is replaced."),
    ] = Path(".demo/journal.db"),
) -> int:
    """Watch a real Jupyter server be tidied up, in a minute.

    Kernels and terminals of every sort, idle and at work, and the daemon in enforce mode with a short timeout. Exit
    status 1 if anything that worked died or anything idle stayed. Needs what 'pip install idle-reaper[demo]' brings.

    \b
    Afterwards:
      REAPER_STATE=.demo/journal.db reaper status
    """  # noqa: D301 - click's mark for lines to leave alone
    try:
        from reaper.cli.demo import play
    except ImportError as error:
        from reaper.errors import ControlError

        raise ControlError(f"the demo needs 'pip install idle-reaper[demo]' ({error})") from error
    return play(journal)
