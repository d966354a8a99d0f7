"""One server, one daemon, and most of the stories at once: each a kernel or a terminal that plays its part.

The play runs once; the tests then ask what became of whom. Idle timeout 12 s, poll interval 5 s, apply grace 1 s.
Who is who stands in `cast.py`.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import psutil

from reaper.core.history import History
from reaper.core.ruleset import Ruleset
from reaper.core.verdict import Finding
from reaper.daemon.rules import Setup
from reaper.policies.idle import IdleRule
from tests.stories.accounts import Account, Accountant
from tests.stories.cast import KERNELS_THAT_GO, POLICIES, TERMINALS_THAT_GO, Cast, has_zombies
from tests.stories.cells import install_kernels
from tests.stories.daemons import Reaper, command, environment, reaper_in_process
from tests.stories.stage import Stage
from tests.stories.swapping import SwappingJournal, Swaps
from tests.stories.waiting import patiently, true_within, utc_now
from tests.support.jupyter_server import JupyterServer, running_jupyter_async

__all__ = ["TIMEOUT", "House", "play_house"]

TIMEOUT = timedelta(seconds=12)


class RaisesForOne:
    """The rule `idle`, but for one notebook, of which it can't bear the sight."""

    timeout = TIMEOUT

    def __init__(self) -> None:
        self._idle = IdleRule(timeout=TIMEOUT)

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        if history.resource.name == "f19.ipynb":
            msg = "this one is beyond me"
            raise LookupError(msg)
        return self._idle.evaluate(history, now, policy)


@dataclass(slots=True)
class House:
    """What the play shows.

    Attributes:
        accounts: What became of everybody, by story (and part).
        cores: Use of the CPU, by story: of the busiest process of the tree, measured by psutil, not by reaper.
        zombies: Whether f20's kernel had a zombie child just before the daemon began.
        reborn: What state the server gave f4's second process just before the daemon began.
        silent_for: How long the server had seen nothing of the silent cell, in the end.
        kept_saving: How often w4's notebook was saved.
        command_status: Exit status and output of `reaper status`.
    """

    accounts: dict[str, Account] = field(default_factory=dict)
    cores: dict[str, float] = field(default_factory=dict)
    zombies: bool = False
    reborn: str = ""
    silent_for: timedelta = timedelta(0)
    kept_saving: int = 0
    command_status: tuple[int, str] = (0, "")


async def play_house(folder: Path, home: Path) -> House:
    """Play it.

    Args:
        folder: For the server and its notebooks.
        home: A short path, for the socket.
    """
    house = House()
    async with AsyncExitStack() as stack:
        settings = {
            "KernelRestarter.time_to_dead": 0.5,
            "AsyncMappingKernelManager.use_pending_kernels": True,
        }
        install_kernels(folder)
        listen = f"unix:{home}/reaper.sock"
        server = await stack.enter_async_context(
            running_jupyter_async(folder, settings=settings, environ={"REAPER_LISTEN": listen})
        )
        stage = Stage(server, house.accounts, stack, folder)
        cast = Cast(stage)
        await cast.enter()
        config = home / "reaper.toml"
        config.write_text(POLICIES)
        environ = environment(home, server, CONFIG=str(config))
        swaps = Swaps(stage)
        with swaps.before_the_fresh_look():
            reaper = await stack.enter_async_context(
                reaper_in_process(environ, journal=SwappingJournal(swaps), change=_with_a_rule_that_raises)
            )
            await _perform(house, cast, server, reaper)
    return house


def _with_a_rule_that_raises(setup: Setup) -> Setup:
    """Change that rule, and let a look take its time: those in which a terminal is swapped do."""
    build = setup.build_ruleset

    def changed(overrides: Mapping[str, str]) -> Ruleset:
        rules = build(overrides)
        policies = tuple(
            replace(policy, rule=RaisesForOne()) if policy.name == "raises" else policy
            for policy in rules.policies
        )
        return replace(rules, policies=policies)

    return replace(setup, build_ruleset=changed, look_deadline=60.0)


async def _perform(house: House, cast: Cast, server: JupyterServer, reaper: Reaper) -> None:
    """Let the daemon work, and see what becomes of everybody."""
    accounts = house.accounts
    house.reborn = (await server.kernel(accounts["f4"].id))["execution_state"]
    house.zombies = has_zombies(accounts["f20"].process)
    accountant = Accountant(server, reaper, accounts)
    try:
        await true_within(lambda: reaper.resource("f1.ipynb") is not None, what="the first look")
        await cast.hold()
        held_at = utc_now()
        measured = asyncio.create_task(_measure(house, ("w1", "f1")))
        await accountant.gone(KERNELS_THAT_GO | TERMINALS_THAT_GO)
        await measured
        await _seen_past_their_time(reaper, held_at + TIMEOUT)
        await patiently(lambda: _told(house, cast, reaper))
        house.command_status = await command({**reaper.environ, "COLUMNS": "200"}, "status")
        active_at = datetime.fromisoformat((await server.kernel(accounts["silent-cell"].id))["last_activity"])
        house.silent_for = utc_now() - active_at
    finally:
        house.kept_saving = cast.kept_saving
        await accountant.conclude()


async def _seen_past_their_time(reaper: Reaper, due: datetime) -> None:
    """Wait until whoever has done nothing since the holds were made was due, and was looked at twice after that."""
    await true_within(lambda: utc_now() > due, what="the time of all has come")
    polls = reaper.daemon.world.polls
    await true_within(lambda: reaper.daemon.world.polls >= polls + 2, what="two more looks")


async def _told(house: House, cast: Cast, reaper: Reaper) -> bool:
    """Say whether all has come that comes in the end, and stays."""

    def shows(name: str, reason: str) -> bool:
        one = reaper.resource(house.accounts[name].id) or {}
        return reason in f"{one.get('reason')} {one.get('reason_text')}"

    ledger = {(entry.ref.id, entry.state.value) for entry in await reaper.ledger()}
    return (
        all(shows(name, "output alone") for name in ("f3 watch", "f3 tail"))
        and all(shows(name, "held") for name in ("w6-self", "w6-command"))
        and {("w16look", "ABANDONED"), ("w16act", "SUCCEEDED")} <= ledger
        and cast.kept_saving > 10
    )


async def _measure(house: House, names: tuple[str, ...]) -> None:
    """Measure over 6 s what the busiest process of a kernel's tree uses of a core."""
    before = {name: _cpu(house.accounts[name].process) for name in names}
    began = time.monotonic()
    await asyncio.sleep(6)
    seconds = time.monotonic() - began
    for name in names:
        after = _cpu(house.accounts[name].process)
        rises = [after[pid] - used for pid, used in before[name].items() if pid in after]
        house.cores[name] = max(rises, default=0.0) / seconds


def _cpu(process: psutil.Process | None) -> dict[int, float]:
    used = {}
    with contextlib.suppress(psutil.Error):
        for one in [process, *process.children(recursive=True)] if process else []:
            times = one.cpu_times()
            used[one.pid] = times.user + times.system
    return used
