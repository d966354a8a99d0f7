"""The arithmetic of what a tree used between two looks, on made-up counters."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from reaper.clients.host import ProcessCounters, ProcessKey, TreeSample, TreeUsage, sample_tree, usage
from tests.support.host import FakeProc

T0 = datetime(2026, 11, 1, 6, 0, 0, tzinfo=UTC)
ROOT = ProcessKey(pid=50, start_ticks=1000, boot_id="boot", created_at=T0)
FIRST_LOOK_TICKS = 360_000


def row(
    pid: int = 50,
    *,
    start: int = 1000,
    parent: int = 50,
    own: int = 0,
    waited: int = 0,
    characters: int | None = 0,
    readable: bool = True,
) -> ProcessCounters:
    return ProcessCounters(pid, start, parent, "python", own, waited, characters, readable)


def sample(*rows: ProcessCounters, seconds: float = 0, monotonic: float | None = None) -> TreeSample:
    return TreeSample(
        at=T0 + timedelta(seconds=seconds),
        monotonic=monotonic,
        root=ROOT,
        newest_ticks=FIRST_LOOK_TICKS,
        processes=rows,
    )


def used(before: TreeSample, after: TreeSample) -> TreeUsage:
    found = usage(before, after)
    assert found is not None
    return found


def test_cpu_and_characters_come_as_rates():
    use = used(
        sample(row(own=100, waited=50, characters=1000)),
        sample(row(own=400, waited=150, characters=61_000), seconds=10),
    )
    assert use.seconds == 10
    assert use.max_core == use.tree_core == pytest.approx(0.4)
    assert use.io_bytes_per_second == 6000


def test_one_process_and_the_tree_are_told_apart():
    use = used(
        sample(row(), row(51), row(52)),
        sample(row(own=10), row(51, own=20), row(52, own=30), seconds=10),
    )
    assert use.max_core == pytest.approx(0.03)
    assert use.tree_core == pytest.approx(0.06)


def test_rates_are_taken_over_time_awake():
    """w14: nine hours asleep do not make a minute of work look like nothing."""
    asleep = 9 * 3600
    use = used(
        sample(row(), monotonic=100.0),
        sample(row(own=1000), seconds=asleep + 60, monotonic=160.0),
    )
    assert use.seconds == 60
    assert use.max_core == pytest.approx(10 / 60)


def test_a_clock_that_was_set_back_does_not_matter():
    use = used(sample(row(), monotonic=100.0), sample(row(own=1000), seconds=-3600, monotonic=110.0))
    assert use.seconds == 10


def test_without_a_monotonic_clock_the_wall_clock_counts():
    assert used(sample(row(), monotonic=5.0), sample(row(), seconds=30)).seconds == 30
    assert used(sample(row(), monotonic=500.0), sample(row(), seconds=30, monotonic=2.0)).seconds == 30


@pytest.mark.parametrize("seconds", [0, -5])
def test_no_time_passed_can_not_be_compared(seconds: float):
    assert usage(sample(row()), sample(row(), seconds=seconds)) is None


def test_another_root_or_boot_can_not_be_compared():
    after = sample(row(), seconds=10)
    assert usage(replace(after, at=T0, root=replace(ROOT, boot_id="other")), after) is None
    assert usage(replace(after, at=T0, root=replace(ROOT, start_ticks=7)), after) is None


def test_a_new_process_counts_from_its_birth():
    use = used(
        sample(row()),
        sample(row(), row(60, start=FIRST_LOOK_TICKS + 1, own=200, characters=10_000), seconds=10),
    )
    assert use.max_core == pytest.approx(0.2)
    assert use.io_bytes_per_second == 1000


def test_a_pid_used_again_is_a_new_process():
    use = used(
        sample(row(), row(60, start=2000, own=5000)),
        sample(row(), row(60, start=FIRST_LOOK_TICKS + 500, own=100), seconds=10),
    )
    assert use.tree_core == pytest.approx(0.1)


def test_an_old_process_that_joins_the_tree_leaves_doubt():
    """Its earlier counters are unknown: an hour of them must not look like work, nor like rest."""
    use = used(sample(row()), sample(row(), row(60, start=2000, own=360_000), seconds=10))
    assert use.max_core == 0
    assert use.uses[1].cores_at_most == 360


def test_children_that_came_and_went_are_seen_through_their_parent():
    use = used(
        sample(row(waited=1000, characters=5000)), sample(row(waited=1500, characters=55_000), seconds=10)
    )
    assert use.max_core == pytest.approx(0.5)
    assert use.io_bytes_per_second == 5000


def test_a_child_that_computed_an_hour_ago_and_is_waited_for_now_did_nothing():
    use = used(
        sample(row(characters=100), row(60, own=360_000, characters=10**9)),
        sample(row(waited=360_003, characters=10**9 + 200), seconds=10),
    )
    assert use.max_core == pytest.approx(0.003)
    assert use.io_bytes_per_second == 10
    assert use.uses[0].cores_at_most == use.uses[0].cores


def test_a_grandchild_that_ended_is_taken_off_the_ancestor_that_is_left():
    use = used(
        sample(row(), row(60, own=7000), row(61, parent=60, own=9000)),
        sample(row(waited=16_100), seconds=10),
    )
    assert use.max_core == pytest.approx(0.1)


def test_a_grandchild_waited_for_by_its_parent_is_taken_off_there():
    use = used(
        sample(row(), row(60), row(61, parent=60, own=9000)),
        sample(row(), row(60, waited=9050), seconds=10),
    )
    assert [u.cores for u in use.uses] == [0, pytest.approx(0.05)]


def test_a_child_that_nobody_waited_for_hides_nothing():
    """Its parent ignores SIGCHLD, or process 1 had adopted it: more ended than came in."""
    use = used(
        sample(row(), row(60, own=360_000), row(61, own=100)),
        sample(row(waited=1100), seconds=10),
    )
    assert use.max_core == pytest.approx(1.0)


def test_more_ended_than_came_in_leaves_doubt():
    use = used(
        sample(row(), row(60, own=800), row(61, own=900)),
        sample(row(waited=1000), seconds=10),
    )
    assert use.max_core == 0
    assert use.uses[0].cores_at_most == 1


def test_an_ended_child_whose_characters_were_unknown_leaves_doubt():
    use = used(
        sample(row(), row(60, own=5, characters=None)),
        sample(row(waited=5, characters=10**7), seconds=10),
    )
    assert use.io_bytes_per_second == 0
    assert use.uses[0].characters_per_second_at_most == 10**6


def test_a_defunct_child_is_counted_once():
    """It ends at the first look, stays defunct over the second, and is waited for before the third."""
    first = sample(row(), row(60, own=5000))
    second = sample(row(), row(60, own=5020), seconds=10)
    third = sample(row(waited=5020), seconds=20)
    assert used(first, second).tree_core == pytest.approx(0.02)
    assert used(second, third).tree_core == 0


def test_what_cannot_be_read_is_named():
    use = used(
        sample(row(), row(60, characters=None, readable=False)),
        sample(row(), row(60, own=100, characters=None, readable=False), seconds=10),
    )
    assert use.unreadable == ((60, "python"),)
    assert use.max_core == pytest.approx(0.1)


# Samples


def test_a_sample_survives_being_written_down(tmp_path: Path):
    proc = FakeProc(tmp_path)
    proc.add(50, own=10, waited=5, characters=77, command="py (x)")
    proc.add(51, parent=50, characters=None)
    proc.add(52, parent=50, state="Z")
    table = proc.snapshot(monotonic=12.5)
    root = table.key(50)
    assert root is not None
    taken = sample_tree(table, root)
    assert taken is not None
    assert [(p.pid, p.ticks, p.characters, p.readable) for p in taken.processes] == [
        (50, 15, 77, True),
        (51, 0, None, False),
        (52, 0, 0, True),
    ]
    text = taken.to_json()
    assert "\n" not in text
    back = TreeSample.from_json(text)
    assert back == taken
    assert back is not None
    assert back.root.created_at == root.created_at


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", '{"format":2}', '{"format":1}', '{"format":1,"root":[1],"monotonic":null}'],
)
def test_what_is_no_sample_is_none(text: str):
    assert TreeSample.from_json(text) is None


def test_a_sample_with_odd_rows_is_none():
    text = sample(row()).to_json()
    assert TreeSample.from_json(text) is not None
    assert TreeSample.from_json(text.replace('"python"', '"python",1')) is None
    assert TreeSample.from_json(text.replace("[50,", '["x",')) is None


def test_a_root_that_is_gone_or_unreadable_has_no_sample(tmp_path: Path):
    proc = FakeProc(tmp_path)
    proc.add(50)
    proc.add(60, characters=None)
    table = proc.snapshot()
    gone, unreadable = table.key(50), table.key(60)
    assert gone is not None
    assert unreadable is not None
    assert sample_tree(table, unreadable) is None
    proc.add(50, start=99_999)
    assert sample_tree(proc.snapshot(), gone) is None


def test_an_incomplete_table_gives_no_sample(tmp_path: Path):
    """What could not be read of the host may be the child that works."""
    proc = FakeProc(tmp_path)
    proc.add(50)
    root = proc.snapshot().key(50)
    assert root is not None
    assert sample_tree(proc.snapshot(), root) is not None
    proc.add(51, parent=50)
    (proc.proc / "51/stat").write_text("")
    assert sample_tree(proc.snapshot(), root) is None


def test_where_no_such_accounts_are_kept_nothing_is_readable(tmp_path: Path):
    """A kernel without CONFIG_TASK_IO_ACCOUNTING, a sandbox."""
    proc = FakeProc(tmp_path)
    proc.add(50)
    (proc.proc / "50/io").unlink()
    table = proc.snapshot()
    root = table.key(50)
    assert root is not None
    assert sample_tree(table, root) is None


# A machine that forks, works, ends and waits as it likes


@dataclass
class Simulated:
    """A process whose counters rise as the operating system's would."""

    pid: int
    parent: "Simulated | None"
    start: int
    own: int = 0
    waited: int = 0
    characters: int = 0
    defunct: bool = False
    children: list["Simulated"] = field(default_factory=list)

    def everyone(self) -> list["Simulated"]:
        return [self, *(below for child in self.children for below in child.everyone())]

    def look(self, newest: int, seconds: float) -> TreeSample:
        rows = tuple(
            row(
                p.pid,
                start=p.start,
                parent=p.parent.pid if p.parent else 1,
                own=p.own,
                waited=p.waited,
                characters=p.characters,
            )
            for p in self.everyone()
        )
        return replace(sample(*rows, seconds=seconds), newest_ticks=newest)


Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["fork", "work", "work", "read", "end", "wait", "wait", "vanish"]),
        st.integers(0, 30),
        st.integers(0, 1000),
    ),
    max_size=40,
)


class Machine:
    """Carries out steps on a tree, and keeps account of what is used."""

    def __init__(self) -> None:
        self.root = Simulated(50, None, 1000)
        self.newest = 1000
        self.worked = 0
        self.read = 0
        self.tidy = True

    def do(self, step: str, whom: int, amount: int) -> None:
        alive = [p for p in self.root.everyone() if not p.defunct]
        process = alive[whom % len(alive)]
        if step == "fork":
            self.newest += 100
            pid = 51 + (self.newest // 100) % 8  # pids are used again
            if pid not in {p.pid for p in self.root.everyone()}:
                process.children.append(Simulated(pid, process, self.newest))
        elif step == "work":
            process.own += amount
            self.worked += amount
        elif step == "read":
            process.characters += amount
            self.read += amount
        elif step == "end" and process is not self.root:
            if process.children:
                self.tidy = False  # process 1 adopts them: they leave the tree
            process.children.clear()
            process.defunct = True
        elif step == "wait":
            for child in [c for c in process.children if c.defunct]:
                process.children.remove(child)
                process.waited += child.own + child.waited
                process.characters += child.characters
        elif step == "vanish" and process.parent is not None:
            process.parent.children.remove(process)  # its parent ignores SIGCHLD
            self.tidy = False


@given(before=STEPS, after=STEPS)
def test_never_negative_and_nothing_from_before_the_first_look(before: list[Step], after: list[Step]):
    machine = Machine()
    for step in before:
        machine.do(*step)
    first = machine.root.look(machine.newest, 0)
    machine.worked = machine.read = 0
    machine.tidy = True
    for step in after:
        machine.do(*step)
    use = used(first, machine.root.look(machine.newest, 10))
    assert all(0 <= u.cores <= u.cores_at_most for u in use.uses)
    assert all(0 <= u.characters_per_second <= u.characters_per_second_at_most for u in use.uses)
    assert round(use.tree_core * 1000) <= machine.worked
    assert round(sum(u.characters_per_second for u in use.uses) * 10) <= machine.read
    if machine.tidy:  # every child was waited for: nothing is lost, and there is no doubt
        assert round(use.tree_core * 1000) == machine.worked
        assert round(sum(u.cores_at_most for u in use.uses) * 1000) == machine.worked
        assert round(sum(u.characters_per_second for u in use.uses) * 10) == machine.read
