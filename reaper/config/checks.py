"""What contradicts itself: settings that are fine each, but not together.

Each check is a small function over settings that are valid one by one. It names the settings that it reads: where
one of those could not be used, the check is left out, because it would blame the wrong one.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

from reaper.config.catalog import setting, suggest
from reaper.config.kinds import NOTIFY, actions_of, families, kinds, served
from reaper.config.locate import line_of
from reaper.config.model import Settings
from reaper.config.places import parse_listen
from reaper.config.presets import require
from reaper.config.problems import Problem
from reaper.config.rules import bounds_problem, policy_problem
from reaper.config.values import duration_text, safe_url, scheme_of
from reaper.core.ruleset import LONGEST_WINDOW, Mode
from reaper.errors import ConfigError

__all__ = ["contradictions", "where"]

_SHORTEST_RETENTION = timedelta(hours=1)
_SHORTEST_POLL = timedelta(milliseconds=250)

Finding = tuple[str, str]
"""The name of the setting to blame, and what is wrong; a warning's name begins with `~`."""


@dataclass(frozen=True, slots=True)
class _Check:
    reads: tuple[str, ...]
    find: Callable[[Settings], Iterable[Finding]]


def contradictions(settings: Settings, bad: Iterable[str]) -> tuple[list[Problem], list[str]]:
    """Find what contradicts itself.

    Args:
        settings: Valid one by one.
        bad: Dotted names of settings that could not be used, and now have their defaults.

    Returns:
        Errors, and warnings.
    """
    skipped = set(bad)
    problems: list[Problem] = []
    warnings: list[str] = []
    for check in _CHECKS:
        if skipped.isdisjoint(check.reads):
            for name, message in check.find(settings):
                if name.startswith("~"):
                    warnings.append(f"{where(settings, name[1:])}: {message}")
                else:
                    problems.append(Problem(where=where(settings, name), message=message))
    if "policies" not in skipped:
        found, more = _policies(settings, skipped)
        problems += found
        warnings += more
    return problems, warnings


def where(settings: Settings, name: str) -> str:
    """Say where a setting stands: its variable, `PATH:LINE: key`, its credential; a default's variable."""
    origin = settings.provenance.origins.get(name)
    return origin.where if origin is not None else setting(name).variable


def _bounds(settings: Settings) -> Iterator[Finding]:
    low, high = settings.idle_timeout_min, settings.idle_timeout_max
    if low is not None and high is not None and low > high:
        yield (
            "idle_timeout_min",
            f"{duration_text(low)} is more than REAPER_IDLE_TIMEOUT_MAX, {duration_text(high)}",
        )
        return
    problem = bounds_problem(settings, settings.idle_timeout)
    if problem is not None:
        yield "idle_timeout", problem


def _warning_without_notifier(settings: Settings) -> Iterator[Finding]:
    if settings.warn_before and settings.mode is Mode.ENFORCE and not _somebody_is_told(settings):
        yield "warn_before", _nobody_is_told(settings, f"{duration_text(settings.warn_before)} of notice")
    if settings.warn_before >= settings.idle_timeout:
        message = f"{duration_text(settings.warn_before)} is not shorter than the idle timeout, "
        yield (
            "~warn_before",
            message + f"{duration_text(settings.idle_timeout)}: notice goes out as soon as a thing is idle",
        )


def _somebody_is_told(settings: Settings) -> bool:
    return any(scheme_of(address.get_secret_value()) != "log" for address in settings.notify)


def _nobody_is_told(settings: Settings, what: str) -> str:
    only = "only the log is told" if settings.notify else "nobody is told"
    hint = "set REAPER_NOTIFY to command:/path or https://..., or ask for no notice"
    return f"{what} in enforce mode, but {only}: {hint}"


def _notifiers(settings: Settings) -> Iterator[Finding]:
    if not settings.notify:
        return
    from reaper.plugins import names

    known = names("reaper.notifiers")
    for scheme in {scheme_of(address.get_secret_value()): None for address in settings.notify}:
        if scheme not in known:
            near = suggest(scheme, known)
            yield (
                "notify",
                f"no notifier is called {scheme!r}; "
                + (
                    f"did you mean {near}:?"
                    if near
                    else f"there are: {', '.join(f'{name}:' for name in known)}"
                ),
            )


def _listening(settings: Settings) -> Iterator[Finding]:
    if settings.api_token is not None:
        return
    for text in settings.listen:
        if not parse_listen(text).loopback:
            yield (
                "listen",
                f"{text} can be reached from other hosts: set REAPER_API_TOKEN, or listen on 127.0.0.1",
            )


def _two_tokens(settings: Settings) -> Iterator[Finding]:
    if settings.jupyter.token is None:
        return
    for url in settings.jupyter.url:
        if "token" in parse_qs(urlsplit(url.get_secret_value()).query):
            yield (
                "jupyter.url",
                f"{safe_url(url.get_secret_value())} holds a token, and REAPER_JUPYTER__TOKEN is set too: keep one",
            )


def _token_without_url(settings: Settings) -> Iterator[Finding]:
    if settings.jupyter.token is not None and not settings.jupyter.url:
        yield (
            "~jupyter.token",
            "it is for the servers in REAPER_JUPYTER__URL, and none is named: servers that are found have their own",
        )


def _tls(settings: Settings) -> Iterator[Finding]:
    ca_file = settings.jupyter.ca_file
    if ca_file is None:
        return
    if not settings.jupyter.verify:
        yield (
            "jupyter.ca_file",
            "certificates are not checked at all (jupyter.verify = false): keep one of the two",
        )
    try:
        with ca_file.open("rb") as stream:
            stream.read(1)
    except OSError as error:
        yield "jupyter.ca_file", f"{ca_file} can't be read: {error.strerror or error}"


def _preset(settings: Settings) -> Iterator[Finding]:
    if settings.preset != "auto":
        try:
            require(settings.preset, settings.studio.metadata_file)
        except ConfigError as error:
            yield "preset", str(error)


def _journal(settings: Settings) -> Iterator[Finding]:
    scheme, rest = settings.journal
    if not settings.state:
        yield "state", "is empty"
        return
    if scheme == "sqlite":
        if not rest.startswith("/"):
            yield "state", "must be an absolute path: sqlite:///var/lib/reaper/journal.db"
        return
    from reaper.plugins import names

    known = names("reaper.journals")
    if scheme not in known:
        there_are = ", ".join(f"{name}:" for name in known)
        yield "state", f"no journal is called {scheme!r}; write a file's path, or one of: {there_are}"


def _intervals(settings: Settings) -> Iterator[Finding]:
    if settings.retention < _SHORTEST_RETENTION:
        yield "retention", f"{duration_text(settings.retention)} is less than 1h"
    if settings.poll_interval < _SHORTEST_POLL:
        yield "poll_interval", f"{duration_text(settings.poll_interval)} is less than 250ms"


def _thresholds(settings: Settings) -> Iterator[Finding]:
    warning, critical = settings.check.warning_after, settings.check.critical_after
    if warning >= critical:
        message = f"{duration_text(warning)} is not before check.critical_after, {duration_text(critical)}"
        yield "check.warning_after", message


def _actions(settings: Settings) -> Iterator[Finding]:
    if not settings.actions:
        return
    known = families(kinds())
    every = sorted(f"{family}.{action}" for family, actions in known.items() for action in actions)
    for item in settings.actions:
        if item != "*" and item not in every and item not in {f"{family}.*" for family in known}:
            near = suggest(item, every)
            yield (
                "actions",
                f"{item!r} is no action; "
                + (f"did you mean {near}?" if near else f"there are: {', '.join(every)}"),
            )


def _budget_names(settings: Settings) -> Iterator[Finding]:
    names = [budget.name for budget in settings.budgets]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield "budgets", f"two budgets are called {name!r}"
    for budget in settings.budgets:
        if budget.actions is None and budget.dollars_per_hour is None:
            yield "budgets", f"{budget.name!r} limits nothing: give it actions or dollars_per_hour"
        if budget.window > LONGEST_WINDOW:
            yield (
                "budgets",
                f"{budget.name!r}: a window is a day at most; what was started is remembered so long",
            )


_CHECKS = (
    _Check(("idle_timeout", "idle_timeout_min", "idle_timeout_max"), _bounds),
    _Check(("mode", "warn_before", "notify", "idle_timeout"), _warning_without_notifier),
    _Check(("notify",), _notifiers),
    _Check(("listen", "api_token"), _listening),
    _Check(("jupyter.url", "jupyter.token"), _two_tokens),
    _Check(("jupyter.url", "jupyter.token"), _token_without_url),
    _Check(("jupyter.ca_file", "jupyter.verify"), _tls),
    _Check(("preset", "studio.metadata_file"), _preset),
    _Check(("state",), _journal),
    _Check(("retention", "poll_interval"), _intervals),
    _Check(("check.warning_after", "check.critical_after"), _thresholds),
    _Check(("actions",), _actions),
    _Check(("budgets",), _budget_names),
)


# Policies


Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class _Fault:
    """What is wrong with a policy, at which of its keys."""

    path: Path
    message: str
    warning: bool = False


def _policies(settings: Settings, skipped: set[str]) -> tuple[list[Problem], list[str]]:
    problems: list[Problem] = []
    warnings: list[str] = []
    names = [table.name for table in settings.policies]
    for index, table in enumerate(settings.policies):
        faults = list(_policy(settings, index, skipped))
        if table.name in names[:index]:
            faults.append(_Fault(("name",), "another policy before it has this name"))
        for fault in faults:
            place = _place(settings, index, fault.path)
            if fault.warning:
                warnings.append(f"{place}: {fault.message}")
            else:
                problems.append(Problem(where=place, message=fault.message))
    return problems, warnings


def _place(settings: Settings, index: int, path: Path) -> str:
    provenance = settings.provenance
    numbers = provenance.policy_numbers
    number = numbers[index] if index < len(numbers) else index
    line = line_of(provenance.lines, ("policies", number, *path))
    key = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    name = settings.policies[index].name
    return f"{provenance.file}{f':{line}' if line else ''}: policy {name!r}" + (f", {key}" if key else "")


def _policy(settings: Settings, index: int, skipped: set[str]) -> Iterator[_Fault]:
    table = settings.policies[index]
    error = policy_problem(settings, index)
    if error is not None:
        yield _Fault(error.path, str(error))
        return
    if settings.keep_terminals and table.kind == "jupyter.terminal":
        other = where(settings, "keep_terminals")
        yield _Fault(
            ("kind",), f"it shuts terminals down, but keep_terminals is true ({other}): keep one of them"
        )
    enforced = settings.mode is Mode.ENFORCE and table.mode is Mode.ENFORCE
    wants_notice = bool(table.warn_before) or NOTIFY in {step.action for step in table.steps or ()}
    if (
        enforced
        and wants_notice
        and skipped.isdisjoint({"mode", "notify"})
        and not _somebody_is_told(settings)
    ):
        key = "warn_before" if table.warn_before else "steps"
        yield _Fault((key,), _nobody_is_told(settings, "it gives notice"))
    if not served(table.kind):
        yield _Fault(
            ("kind",), f"this version does not look at {table.kind}: the policy does nothing", warning=True
        )
    elif "actions" not in skipped:
        from reaper.core.guards import allowed

        action = table.steps[-1].action if table.steps else table.action or actions_of(table.kind)[0]
        if not allowed(table.kind, action, settings.actions):
            named = f"{table.kind.partition('.')[0]}.{action}"
            yield _Fault((), f"it can never act: REAPER_ACTIONS does not allow {named}", warning=True)
