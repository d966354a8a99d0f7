"""When this machine began to run."""

import re
from datetime import UTC, datetime
from pathlib import Path

from reaper.clients.host.procfs import OUR_PROC, read_all

__all__ = ["booted_at"]


def booted_at(proc: Path = Path(OUR_PROC)) -> datetime | None:
    """Read when this machine booted, good to a second; None where that can't be read.

    It is the wall clock's instant less the time since boot, so it moves when the clock is set: read it once.
    """
    found = re.search(rb"^btime (\d+)$", read_all(f"{proc}/stat"), re.MULTILINE)
    return None if found is None else datetime.fromtimestamp(int(found[1]), UTC)
