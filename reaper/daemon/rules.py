"""The rules in force: what the configuration says, with the overrides of `reaper set` on top."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from reaper.core.facts import ConfigLoaded, SettingChanged
from reaper.core.ruleset import Ruleset
from reaper.core.world import World
from reaper.errors import ConfigError
from reaper.plugins import Switch

__all__ = ["Rules", "Setup"]

log = structlog.get_logger("reaper.rules")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the daemon takes from the configuration; made anew at a reload.

    Attributes:
        build_ruleset: Builds the rules under overrides by setting name (`idle-timeout`: `90m`).
        check_override: Raises ConfigError when an override's value can't be used.
        underlying: The configured value, as text, of each setting that can be overridden.
        poll_interval: The longest between looks at a source.
        look_deadline: How long one look may take, in seconds.
        action_deadline: How long one action may take, in seconds.
        drain_grace: How long actions under way may go on after the first signal, in seconds.
        retention: How long evidence is kept.
        keep_terminals: For the status document.
        show: Gives the settings document under the overrides in force.
        switches: Kill switches outside of reaper.
    """

    build_ruleset: Callable[[Mapping[str, str]], Ruleset]
    check_override: Callable[[str, str], None]
    underlying: Mapping[str, str]
    poll_interval: timedelta
    look_deadline: float = 10.0
    action_deadline: float = 30.0
    drain_grace: float = 40.0
    retention: timedelta = timedelta(days=30)
    keep_terminals: bool = False
    show: Callable[[Mapping[str, SettingChanged]], dict[str, object]] = lambda _: {}
    switches: tuple[Switch, ...] = ()


class Rules:
    """Keeps the rules up to date with the configuration and the overrides in force."""

    def __init__(self, setup: Setup) -> None:
        """Start with a configuration; `refresh` must come before `ruleset` is read."""
        self.setup = setup
        self.ruleset = Ruleset()
        self.digest = ""
        self._built_for: tuple[Setup, tuple[tuple[str, str], ...]] | None = None

    def refresh(self, world: World, now: datetime) -> ConfigLoaded | None:
        """Rebuild the rules if anything under them changed.

        Returns:
            The fact to journal when the rules differ from those the world knows.
        """
        wanted = {name: override.value or "" for name, override in self.overrides(world, now).items()}
        built_for = (self.setup, tuple(sorted(wanted.items())))
        if built_for != self._built_for:
            self.ruleset = self._build(wanted)
            self.digest = self.ruleset.digest()
            self._built_for = built_for
        if world.config is not None and world.config.digest == self.digest:
            return None
        return ConfigLoaded(at=now, digest=self.digest, body=self.ruleset.body())

    def outdated(self, world: World, now: datetime) -> list[SettingChanged]:
        """Give the ends, to journal, of overrides whose configured value is another now.

        Written down, since an override must not come back when the configuration does.
        """
        return [
            SettingChanged(
                at=now,
                name=name,
                value=None,
                previous=override.value or "",
                underlying=self.setup.underlying.get(name, ""),
                until=None,
                who="configuration",
            )
            for name, override in sorted(world.settings.items())
            if override.underlying != self.setup.underlying.get(name)
        ]

    def _build(self, overrides: dict[str, str]) -> Ruleset:
        """Build the rules; an override that a reloaded configuration no longer allows is left out, and said."""
        try:
            return self.setup.build_ruleset(overrides)
        except ConfigError as error:
            log.warning("override left out", overrides=overrides, error=str(error))
            return self.setup.build_ruleset({})

    def overrides(self, world: World, now: datetime) -> dict[str, SettingChanged]:
        """Give the overrides in force by setting name."""
        found = {}
        for name, underlying in self.setup.underlying.items():
            override = world.setting(name, underlying, now)
            if override is not None:
                found[name] = override
        return found
