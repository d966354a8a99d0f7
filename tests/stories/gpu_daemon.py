"""`reaper`, but device nodes are where STORY_DEVICES says: a process of its own, see `gpus.py`."""

import functools
import os
from pathlib import Path

from reaper.cli.app import main
from reaper.clients.host import ProcessTable

snapshot = ProcessTable.snapshot
ProcessTable.snapshot = functools.partial(snapshot, devices=Path(os.environ["STORY_DEVICES"]))  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
