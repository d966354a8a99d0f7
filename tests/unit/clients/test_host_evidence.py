"""From what was used to active, idle or unknown."""

import json

import pytest
from hypothesis import given, strategies as st

from reaper.clients.host import Evidence, ProcessUse, Thresholds, TreeUsage, classify, quantise

KIB = 1024.0


def use(
    pid: int,
    cores: float = 0.0,
    kib: float = 0.0,
    *,
    cores_at_most: float | None = None,
    kib_at_most: float | None = None,
) -> ProcessUse:
    return ProcessUse(
        pid=pid,
        command="python",
        cores=cores,
        characters_per_second=kib * KIB,
        cores_at_most=cores if cores_at_most is None else cores_at_most,
        characters_per_second_at_most=(kib if kib_at_most is None else kib_at_most) * KIB,
    )


def tree(*uses: ProcessUse, seconds: float = 60.0, unreadable: tuple[tuple[int, str], ...] = ()) -> TreeUsage:
    return TreeUsage(seconds=seconds, uses=uses, unreadable=unreadable)


@pytest.mark.parametrize(
    ("why", "usage", "activity"),
    [
        ("an idle kernel (f1)", tree(use(50, 0.0002, 0.03)), "idle"),
        (
            "an idle Dask cluster of six (f2)",
            tree(use(50, 0.01), *(use(51 + n, 0.04) for n in range(5)), use(60, 0.073)),
            "idle",
        ),
        ("an upload at 2 MB/s (w1)", tree(use(50, 0.001, 2000)), "active"),
        ("one process at the threshold", tree(use(50), use(51, 0.10)), "active"),
        ("one process just below", tree(use(50), use(51, 0.0999)), "idle"),
        ("many small ones together", tree(*(use(50 + n, 0.09) for n in range(6))), "active"),
        ("characters at the threshold", tree(use(50, kib=64)), "active"),
        ("characters just below", tree(use(50, kib=63.9)), "idle"),
        ("characters of two do not add up", tree(use(50, kib=40), use(51, kib=40)), "idle"),
        ("looks too close together", tree(use(50, 1.0), seconds=4.9), "unknown"),
        ("looks just far enough apart", tree(use(50), seconds=5.0), "idle"),
        ("another user's process in the tree", tree(use(50), unreadable=((51, "sudo"),)), "unknown"),
        ("the same, but at work", tree(use(50, 0.5), unreadable=((51, "sudo"),)), "active"),
        ("doubt that could be work", tree(use(50, 0.0, cores_at_most=0.2)), "unknown"),
        ("doubt about the tree", tree(*(use(50 + n, 0, cores_at_most=0.09) for n in range(6))), "unknown"),
        ("doubt about characters", tree(use(50, kib_at_most=100)), "unknown"),
        ("doubt that could not be work", tree(use(50, 0.01, cores_at_most=0.05, kib_at_most=1)), "idle"),
        ("doubt beside work", tree(use(50, 0.3, cores_at_most=5)), "active"),
        ("no earlier look", None, "unknown"),
    ],
)
def test_thresholds(why: str, usage: TreeUsage | None, activity: str):
    assert classify(usage).activity == activity, why


def test_thresholds_can_be_set():
    strict = Thresholds(core_per_process=0.01, core_per_tree=0.02, io_bytes_per_second=10, min_interval=1)
    assert classify(tree(use(50, 0.01), seconds=1), thresholds=strict).activity == "active"
    assert classify(tree(use(50, kib=0.01), seconds=1), thresholds=strict).activity == "active"


@pytest.mark.parametrize(
    ("processes", "gpu", "peers", "together"),
    [
        ("idle", "idle", "idle", "idle"),
        ("idle", "active", "unknown", "active"),
        ("idle", "unknown", "idle", "unknown"),
        ("idle", "idle", "unknown", "unknown"),
        ("active", "unknown", "unknown", "active"),
        ("idle", None, None, "idle"),
        ("unknown", "active", "idle", "active"),
        ("unknown", "idle", "idle", "unknown"),
    ],
)
def test_work_seen_beats_what_cannot_be_seen_beats_rest(
    processes: str, gpu: str | None, peers: str | None, together: str
):
    usage = {"idle": tree(use(50)), "active": tree(use(50, 1.0)), "unknown": None}[processes]
    parts = [None if a is None else Evidence(activity=a, text=f"it is {a}") for a in (gpu, peers)]  # type: ignore[arg-type]
    seen = classify(usage, gpu=parts[0], peers=parts[1])
    assert seen.activity == together
    assert f"it is {together}" in seen.text or together == processes


def test_the_busiest_is_named():
    seen = classify(tree(use(50, 0.02), use(51, 0.97, kib=300)))
    assert seen.text == "python (pid 51) uses 1.0 core, python (pid 51) reads and writes 200.0 KiB/s"
    assert seen.value == {
        "cores": 1.0,
        "tree_cores": 1.0,
        "kib_per_second": 200.0,
        "busiest": "python",
        "busiest_pid": 51,
        "busiest_io": "python",
        "busiest_io_pid": 51,
    }
    assert json.loads(json.dumps(seen.value)) == seen.value


def test_what_is_idle_says_how_little_it_did():
    assert classify(tree(use(50, 0.0002))).text == "its processes are quiet: under 0.01 core, under 1 KiB/s"
    assert classify(tree(use(50, 0.06, kib=20))).text == "its processes are quiet: 0.05 core, 20.0 KiB/s"


def test_equal_evidence_stays_equal_between_looks():
    """Eight data loaders that take turns in being the busiest are one row of a journal, not eight."""
    looks = [
        tree(*(use(50 + n, 0.9 + (n * k % 7) / 50, kib=1900 + k) for n in range(8))) for k in range(1, 6)
    ]
    assert len({json.dumps(classify(look).value) for look in looks}) == 1
    assert len({classify(look).text for look in looks}) == 1


@pytest.mark.parametrize(
    ("amount", "nearest", "below"),
    [
        (0.0, 0, 0),
        (0.009, 0, 0),
        (0.01, 0.01, 0.01),
        (0.073, 0.1, 0.05),
        (0.0999, 0.1, 0.05),
        (0.1, 0.1, 0.1),
        (0.95, 1, 0.5),
        (1.02, 1, 1),
        (2.0, 2, 2),
        (7.9, 10, 5),
        (1953.0, 2000, 1000),
    ],
)
def test_quantise(amount: float, nearest: float, below: float):
    assert quantise(amount, least=0.01) == nearest
    assert quantise(amount, least=0.01, down=True) == below


@given(st.floats(0, 1e9, allow_nan=False))
def test_quantise_down_never_rounds_up(amount: float):
    assert 0 <= quantise(amount, least=0.01, down=True) <= amount * (1 + 1e-6)
