"""`reaper run`: the daemon; and what needs one in this process (`run --once`, `apply` without a daemon)."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog

from reaper import log as logging
from reaper.cli.wiring import loaded, open_daemon
from reaper.config import Settings, load_settings, parse_listen
from reaper.config.values import duration_text
from reaper.daemon.control import DaemonControl
from reaper.daemon.loop import Daemon
from reaper.daemon.supervisor import supervise
from reaper.errors import ConfigError
from reaper.plugins import Caller

__all__ = ["apply_without_daemon", "run_command"]

log = structlog.get_logger("reaper.run")


def run_command(*, once: bool) -> int:
    """Run the daemon until a signal, or one round of it.

    Args:
        once: Look, decide, act on what is due, and end: for cron.

    Returns:
        Exit status: 0; with `once` 1 when something could not be looked at completely.

    Raises:
        ConfigError: The configuration can't be used.
        JournalError: The journal can't be used, or another daemon holds it.
    """
    settings = _settings()
    return asyncio.run(_run_once(settings) if once else _run(settings))


def apply_without_daemon(document: Mapping[str, Any]) -> dict[str, object]:
    """Carry out an approved plan in this process, since no daemon runs."""
    settings = _settings()
    return asyncio.run(_apply(settings, document))


def _settings() -> Settings:
    """Load the settings and set up the log by them, at the start and at a reload."""
    settings = load_settings(os.environ)
    logging.configure(settings.log_format, settings.log_level, secrets=settings.secret_values())
    for warning in settings.provenance.warnings:
        log.warning("configuration noted", warning=warning)
    return settings


async def _run(settings: Settings) -> int:
    async with open_daemon(settings) as daemon:
        log.info(
            "started",
            mode=settings.mode.value,
            journal=settings.state,
            idle_timeout=duration_text(settings.idle_timeout),
            polls=daemon.world.polls,
        )

        @asynccontextmanager
        async def serving(control: DaemonControl) -> AsyncIterator[None]:
            from reaper.web import make_app, serve

            app = make_app(control, api_token=settings.api_token)
            async with serve(app, [parse_listen(text) for text in settings.listen]):
                yield

        await supervise(daemon, serving=serving, load=lambda: loaded(_settings(), daemon.clock))
    log.info("stopped")
    return 0


async def _run_once(settings: Settings) -> int:
    async with open_daemon(settings) as daemon:
        whole = await daemon.run_once()
        _report(daemon)
    return 0 if whole else 1


def _report(daemon: Daemon) -> None:
    counts: dict[str, int] = {}
    for decision in daemon.decisions.values():
        counts[decision.verdict.value] = counts.get(decision.verdict.value, 0) + 1
    log.info("round complete", sources=len(daemon.looking.watches), **counts)
    if not daemon.looking.watches:
        log.warning(
            "no source found",
            hint="is a Jupyter server running as this user? 'reaper doctor' says where we look",
        )


async def _apply(settings: Settings, document: Mapping[str, Any]) -> dict[str, object]:
    async with open_daemon(settings) as daemon:
        return await daemon.after_one_look(lambda: DaemonControl(daemon).apply(document, Caller(who=_me())))


def _me() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError) as error:
        msg = f"who are you? uid {os.getuid()} has no name ({error})"
        raise ConfigError(msg) from error
