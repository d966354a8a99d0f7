"""When the garbage collector runs: not while a tick decides, and never again over what lives from the start on."""

import gc
import subprocess
import sys
from datetime import datetime, timedelta

import pytest

from reaper.core.history import History
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.daemon.memory import undisturbed
from reaper.testing import active, policy, rules
from tests.unit.daemon.rig import Rig


def test_undisturbed_holds_it_back_and_lets_it_go_again() -> None:
    assert gc.isenabled()
    with undisturbed():
        assert not gc.isenabled()
        with undisturbed():
            pass
        assert not gc.isenabled(), "the inner one found it held back and left it so"
    assert gc.isenabled()


def test_undisturbed_lets_it_go_after_a_failure() -> None:
    with pytest.raises(KeyError), undisturbed():
        raise KeyError
    assert gc.isenabled()


class _Watching:
    """A rule that notes whether the collector may run while it is asked."""

    timeout = timedelta(hours=1)

    def __init__(self) -> None:
        self.enabled: list[bool] = []

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        self.enabled.append(gc.isenabled())
        return Finding(policy=policy, verdict=Verdict.WAIT, reason=Reason.ACTIVE)


@pytest.mark.looptime
async def test_a_tick_decides_undisturbed() -> None:
    rule = _Watching()
    rig = Rig(ruleset=rules(policy(rule=rule)))
    rig.scene.add("k1", {"execution_state": active()})
    await (await rig.open()).run_once()
    await rig.daemon.close()
    assert rule.enabled
    assert not any(rule.enabled)
    assert gc.isenabled()


def test_settle_leaves_out_what_is_there_already() -> None:
    """In a process of its own: what is frozen stays so."""
    code = (
        "import gc; from reaper.daemon.memory import settle; many = [[n] for n in range(50_000)]; settle();"
        "assert gc.get_freeze_count() > 50_000 and gc.isenabled();"
        "loop = []; loop.append(loop); del loop; assert gc.collect() == 1; print(gc.get_threshold()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "10000\n"), done.stderr
