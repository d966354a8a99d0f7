"""`make bench`: measure speed and size, print the tables, and write docs/benchmarks.md.

`python -m tests.bench [PART ...]` measures some parts only (and writes nothing): lag footprint studio
ticks startup core journal fleet.
"""

import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil

from tests.bench import core, fleet, footprint, journal, lag, studio

Rows = Sequence[Mapping[str, object]]


def core_tick() -> dict[str, object]:
    """Measure both halves of a tick, in seconds."""
    fold, decide = core.fold_ten_thousand(), core.decide_ten_thousand()
    return {"fold s": round(fold, 3), "decide s": round(decide, 3), "both s": round(fold + decide, 3)}


ABOUT = {
    "lag": """
Last activity + timeout to the end, 20 real kernels on each of three real servers, in one run, poll interval 60 s.
Target: DELETE sent after a median of 0.3 s at most, p99 1 s.
""",
    "footprint": """
Beside 50 real kernels at the default interval; windows of 120 s in which nothing is due and in which everything is
overdue and vetoed (paused) alternate, three each. Targets: RSS 75 MB, CPU 0.2 % of a core, and no more when overdue.
""",
    "studio": """
On the fake of SageMaker with real kernels. Target: RSS 95 MB.
""",
    "ticks": """
Looks and decisions a minute apart in virtual time, on a real journal. Target: no growth beyond 2 MB.
""",
    "startup": """
Whole processes, medians. Targets: `--help` 0.25 s, `status` 0.5 s.
""",
    "core": """
Fold and decide, five signals each. Target: 1 s.
""",
    "fleet": """
Whole processes on the fake of EC2 (4 KB an instance, 20 ms an answer): reaper lists, decides and reports (`reaper
check`), boto3 lists, cloud-custodian runs a policy with `--dryrun`. Targets at 50,000: boto3 takes 8 times as long,
cloud-custodian 12 times; RSS 150 MB; the event loop late by 60 ms (p99).
""",
    "journal": """
Targets: a tick's write (200 resources) 5 ms; rebuilding the state of 10,000 resources with a day of minute-by-minute
history 15 s; 30 days of 200 resources 500 MB.
""",
}

PARTS: dict[str, tuple[str, Callable[[], Rows]]] = {
    "lag": ("Reap lag", lag.reap_lag),
    "footprint": ("The daemon", lambda: [footprint.daemon_cost()]),
    "studio": ("The agent in a Studio app", studio.agent_cost),
    "ticks": ("10,000 ticks", lambda: [footprint.ten_thousand_ticks()]),
    "startup": ("Commands", lambda: [footprint.start_up()]),
    "core": ("A tick over 10,000 resources", lambda: [core_tick()]),
    "fleet": ("A fleet", lambda: [*fleet.listing(), *fleet.stalls(), *fleet.evidence(), *fleet.sweep()]),
    "journal": (
        "The journal",
        lambda: [journal.write_tick(), journal.rebuild_state(), journal.thirty_days()],
    ),
}


def main(arguments: list[str]) -> int:
    """Measure the parts that are named, or all, and print them; all of them are also written down."""
    unknown = [name for name in arguments if name not in PARTS]
    if unknown:
        print(f"no such part: {', '.join(unknown)}; there are: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    pages = []
    for name in arguments or PARTS:
        title, measure = PARTS[name]
        page = f"## {title}\n{ABOUT[name]}\n{_tables(measure())}"
        print(page, flush=True)
        pages.append(page)
    if not arguments:
        Path("docs/benchmarks.md").write_text("\n".join([_heading(), *pages]), encoding="utf-8")
    return 0


def _heading() -> str:
    memory = psutil.virtual_memory().total >> 30
    machine = (
        f"{psutil.cpu_count()} cores, {memory} GiB, {platform.system()}, Python {platform.python_version()}"
    )
    return f"""# Benchmarks

Made by `make bench`, which runs for about half an hour and rewrites this page. Figures of one run on
{datetime.now(UTC):%Y-%m-%d}: {machine}. A machine that does other work at the same time shows other figures:
compare rows of one run.
"""


def _tables(rows: Rows) -> str:
    """Write rows as tables: those with the same columns in one."""
    text, columns = [], None
    for row in rows:
        if list(row) != columns:
            columns = list(row)
            text += ["", "| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
        text.append("| " + " | ".join(str(value) for value in row.values()) + " |")
    return "\n".join(text).strip() + "\n"


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
