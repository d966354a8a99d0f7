"""The rules in force: settings, and what `reaper set` put over them, as the core decides with them."""

from collections.abc import Mapping
from datetime import timedelta

from reaper.config.model import Settings
from reaper.config.policies import PolicyError, build_policy, follows_idle_timeout, preset_policies
from reaper.config.presets import policy_tables
from reaper.config.values import duration_text
from reaper.core.durations import parse_duration
from reaper.core.ruleset import Budget, Guards, PolicySpec, Ruleset
from reaper.errors import ConfigError

__all__ = ["IDLE_TIMEOUT", "build_ruleset", "check_override", "in_force", "policies", "underlying"]

IDLE_TIMEOUT = "idle-timeout"
"""The one setting that `reaper set` can change."""

_LOOKS = 3
"""Evidence bridges the gap between two looks up to so many poll intervals (idleness.md)."""


def build_ruleset(settings: Settings, overrides: Mapping[str, str] | None = None) -> Ruleset:
    """Build the rules.

    Args:
        settings: The configuration.
        overrides: What `reaper set` changed, by name: `{"idle-timeout": "90m"}`.

    Raises:
        ConfigError: An override can't be used with this configuration.
    """
    return Ruleset(
        mode=settings.mode,
        policies=policies(settings, idle_timeout(settings, overrides or {})),
        guards=Guards(
            actions=settings.actions,
            start_grace=settings.start_grace,
            apply_grace=settings.apply_grace,
            max_gap=_LOOKS * settings.poll_interval,
            slow_gaps=_slow_gaps(settings),
            quiet_hours=settings.quiet_hours,
            mass_trip=settings.mass_trip,
        ),
        budgets=tuple(
            Budget(
                name=table.name,
                kind=table.kind,
                scope=table.scope,
                actions=table.actions,
                dollars_per_hour=table.dollars_per_hour,
                window=table.window,
            )
            for table in settings.budgets
        ),
    )


def _slow_gaps(settings: Settings) -> dict[str, timedelta]:
    """Give the gap that evidence of AWS bridges: AWS is asked more seldom than a server of this host."""
    gap = _LOOKS * max(settings.poll_interval, settings.aws.poll_interval)
    return {"ec2:": gap, "prices:": gap, "sagemaker:": gap, "studio:": gap}


def policies(settings: Settings, idle_timeout: timedelta) -> tuple[PolicySpec, ...]:
    """Build the policies: the file's, else the preset's.

    Raises:
        ConfigError: A policy can't be used; `load_settings` has found that before.
    """
    if settings.policies:
        return tuple(build_policy(table, settings, idle_timeout) for table in settings.policies)
    tables = policy_tables(settings.provenance.preset, keep_terminals=settings.keep_terminals)
    return preset_policies(tables, settings, idle_timeout)


def underlying(settings: Settings) -> dict[str, str]:
    """Give the configured value, as text, of each setting that `reaper set` can change. Pure."""
    return {IDLE_TIMEOUT: duration_text(settings.idle_timeout)}


def in_force(settings: Settings, overrides: Mapping[str, str]) -> dict[str, str]:
    """Give the value in force, as text, of each setting that `reaper set` can change. Pure."""
    return {name: overrides.get(name) or value for name, value in underlying(settings).items()}


def check_override(settings: Settings, name: str, value: str) -> None:
    """Check a value before `reaper set` puts it over the configuration.

    Raises:
        ConfigError: The setting can't be changed at run time, the value can't be used or is out of bounds, or no
            policy in force would heed it.
    """
    if name.replace("_", "-") != IDLE_TIMEOUT:
        raise ConfigError(f"{name!r} can't be set at run time; {IDLE_TIMEOUT} can")
    idle_timeout(settings, {IDLE_TIMEOUT: value})
    if settings.policies and not any(follows_idle_timeout(table) for table in settings.policies):
        raise ConfigError(
            f"{IDLE_TIMEOUT}: each policy in {settings.provenance.file} has a timeout of its own, so this would change "
            "nothing: change it there, or leave it out of the policies that are to follow this setting"
        )


def idle_timeout(settings: Settings, overrides: Mapping[str, str]) -> timedelta:
    """Give the idle timeout in force.

    Raises:
        ConfigError: The override is no duration, or out of bounds.
    """
    text = overrides.get(IDLE_TIMEOUT)
    if text is None:
        return settings.idle_timeout
    try:
        value = parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"{IDLE_TIMEOUT}: {error}") from None
    problem = bounds_problem(settings, value)
    if problem is not None:
        raise ConfigError(f"{IDLE_TIMEOUT}: {problem}")
    return value


def bounds_problem(settings: Settings, value: timedelta) -> str | None:
    """Say how an idle timeout is out of bounds; None: it is not. Pure."""
    low, high = settings.idle_timeout_min, settings.idle_timeout_max
    if value <= timedelta(0):
        return "must be more than 0s"
    if low is not None and value < low:
        return f"{duration_text(value)} is less than REAPER_IDLE_TIMEOUT_MIN, {duration_text(low)}"
    if high is not None and value > high:
        return f"{duration_text(value)} is more than REAPER_IDLE_TIMEOUT_MAX, {duration_text(high)}"
    return None


def policy_problem(settings: Settings, index: int) -> PolicyError | None:
    """Say what is wrong with one of the file's policies; None: nothing."""
    try:
        build_policy(settings.policies[index], settings, settings.idle_timeout)
    except PolicyError as error:
        return error
    return None
