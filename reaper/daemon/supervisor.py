"""Run the daemon as a service: signals, the watchdog, readiness, reload and an orderly end.

First SIGTERM or SIGINT: drain, no new actions. After the grace: cancel. Second signal: its default.
SIGHUP: reload the configuration; one that can't be used is refused and the old one stays.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from datetime import timedelta

import structlog

from reaper.core.durations import format_duration
from reaper.daemon.control import DaemonControl
from reaper.daemon.loop import Daemon
from reaper.daemon.memory import settle
from reaper.daemon.rules import Setup
from reaper.daemon.sdnotify import notify, watchdog_seconds
from reaper.errors import ConfigError
from reaper.plugins import Notifier, Provider

__all__ = ["Loaded", "supervise"]

_STATUS_EVERY = 10.0

Loaded = tuple[Setup, tuple[Provider, ...], tuple[Notifier, ...]]
"""What is made from the configuration, at the start and at a reload."""

log = structlog.get_logger("reaper.supervisor")


async def supervise(
    daemon: Daemon,
    *,
    serving: Callable[[DaemonControl], AbstractAsyncContextManager[object]],
    load: Callable[[], Loaded],
) -> None:
    """Run until a signal ends it.

    Args:
        daemon: Ready to run; the caller closes it.
        serving: Gives the HTTP API while its context is open.
        load: Reads the configuration anew, for SIGHUP.

    Raises:
        ExceptionGroup: Something that is no ReaperError broke: the process should end.
    """
    stop = asyncio.Event()
    control = DaemonControl(daemon)
    settle()
    with _signals(stop, lambda: daemon.spawn(_reload(daemon, load))):
        async with serving(control), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(daemon.run(), name="daemon")
            others = [
                tasks.create_task(_keep_systemd_informed(daemon, control), name="systemd"),
                tasks.create_task(stop.wait(), name="signals"),
            ]
            await asyncio.wait({running, others[1]}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                notify("STOPPING=1\nSTATUS=no new actions; waiting for those under way")
                log.info("stopping", under_way=daemon.acting.under_way)
                await daemon.drain(daemon.rules.setup.drain_grace)
                running.cancel()
            for task in others:
                task.cancel()


@contextmanager
def _signals(stop: asyncio.Event, reload: Callable[[], object]) -> Iterator[None]:
    """Handle signals while open: the first that ends us drains, the next has its default."""
    loop = asyncio.get_running_loop()
    ending = (signal.SIGTERM, signal.SIGINT)

    def first(number: signal.Signals) -> None:
        log.info("signal received", signal=number.name)
        stop.set()
        for one in ending:
            loop.remove_signal_handler(one)
            signal.signal(one, signal.SIG_DFL)

    for one in ending:
        loop.add_signal_handler(one, first, one)
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        for one in (*ending, signal.SIGHUP):
            loop.remove_signal_handler(one)


async def _reload(daemon: Daemon, load: Callable[[], Loaded]) -> None:
    notify("RELOADING=1")
    try:
        setup, providers, notifiers = load()
    except ConfigError as error:
        log.error("new configuration refused; the old one stays", error=str(error))  # noqa: TRY400 - one line
    else:
        await daemon.reload(setup, providers, notifiers)
        log.info("configuration reloaded")
    notify("READY=1")


async def _keep_systemd_informed(daemon: Daemon, control: DaemonControl) -> None:
    """Say READY after the first tick, then feed the watchdog as long as the loop goes round."""
    await daemon.ticked.wait()
    notify("READY=1")
    pause = min(watchdog_seconds() or _STATUS_EVERY, _STATUS_EVERY)
    while True:
        beat = "WATCHDOG=1\n" if control.alive() else ""
        notify(f"{beat}STATUS={_status_line(daemon)}")
        await asyncio.sleep(pause)


def _status_line(daemon: Daemon) -> str:
    now = daemon.clock.now()
    dues = [decision.due_at for decision in daemon.decisions.values() if decision.due_at is not None]
    left = (
        f", next due in {format_duration(timedelta(seconds=round((min(dues) - now).total_seconds())))}"
        if dues
        else ""
    )
    paused = " PAUSED" if daemon.world.is_paused(now) else ""
    return f"{daemon.rules.ruleset.mode.value}{paused}: watching {len(daemon.world.live)}{left}"
