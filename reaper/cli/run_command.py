"""`reaper run`: the command; `run.py` is the daemon."""

import sys
from typing import Annotated

import typer

from reaper.cli.app import new_app

__all__ = ["app"]

app = new_app()


@app.command()
def run(
    once: Annotated[
        bool, typer.Option("--once", help="Look, decide, act on what is due, and end: for cron.")
    ] = False,
) -> int:
    """Watch, decide and (in enforce mode) reap, until stopped.

    Everything is set by REAPER_* variables or the configuration file; without any it is a dry run over the Jupyter
    servers of this user. SIGTERM ends it after actions under way, SIGHUP reads the configuration again. With --once
    the exit status is 1 if something could not be looked at completely.

    \b
    Examples:
      reaper run
      REAPER_MODE=enforce REAPER_IDLE_TIMEOUT=90m reaper run
      */10 * * * *  REAPER_MODE=enforce reaper run --once     (in a crontab)
    """  # noqa: D301 - click's mark for lines to leave alone
    _plain_structlog()
    from reaper.cli.run import run_command

    return run_command(once=once)


def _plain_structlog() -> None:
    """Import structlog without rich, which it takes for colourful tracebacks wherever it is installed.

    The command line brings rich, and the daemon's log never uses it: its tracebacks would show the values of
    variables. A twelfth of the start, and megabytes for as long as it runs.
    """
    hidden = "rich" not in sys.modules
    if hidden:
        sys.modules["rich"] = None  # type: ignore[assignment]  # what `import` takes for "there is none"
    try:
        import structlog  # noqa: F401 - it looks for rich once, now
    finally:
        if hidden:
            del sys.modules["rich"]
