"""Tell the log."""

from typing import Self

import structlog
from pydantic import SecretStr

from reaper.errors import ConfigError
from reaper.notifiers import plain_address
from reaper.plugins import Notice

__all__ = ["LogNotifier"]

log = structlog.get_logger("reaper.notice")

_BAD_NEWS = frozenset({"blind", "blocked", "failed", "unclear", "uncovered"})


class LogNotifier:
    """`log:` writes every notice as one log event.

    Nobody reads a log in time to hold what is about to be reaped: it does not count as delivery.
    """

    @classmethod
    def from_address(cls, address: SecretStr | str) -> Self:
        """Read `log:`.

        Raises:
            ConfigError: Something follows the colon.
        """
        if plain_address(address).lower() not in {"log", "log:"}:
            raise ConfigError(
                "REAPER_NOTIFY: the log's address is just 'log:'; REAPER_LOG_LEVEL and _FORMAT set it up"
            )
        return cls()

    @property
    def address(self) -> str:
        """`log:`, which has no secret."""
        return "log:"

    @property
    def counts_as_delivery(self) -> bool:
        """No: see the class."""
        return False

    async def notify(self, notice: Notice) -> None:
        """Write it: a warning where something is wrong with reaper itself, otherwise info."""
        body = notice.body()
        resource = notice.resource or {}
        write = log.warning if notice.topic in _BAD_NEWS else log.info
        write(
            "gave notice",
            topic=notice.topic,
            subject=notice.subject,
            text=notice.text,
            mode=notice.mode,
            kind=resource.get("kind"),
            id=resource.get("id"),
            scope=resource.get("scope"),
            due_at=body["due_at"],
            actions=[command for _, command in notice.actions],
        )

    async def close(self) -> None:
        """Nothing is open."""
