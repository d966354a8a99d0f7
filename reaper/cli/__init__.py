"""The command line: one file a command, and the only place that wires things together.

A command imports what it needs when it runs: `--help` and `status` start in a fraction of a second because
neither the daemon's libraries nor the configuration's are imported for them. They talk to the daemon over
its socket, and read its journal when there is none.
"""

import gc

gc.set_threshold(50_000, 10, 10)  # imports make what stays: looking for garbage took a sixth of each start
