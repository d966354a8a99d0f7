"""Put the EC2 provider together: which policies read an instance's activity, and when it can matter."""

import re
import socket
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from reaper.clients.aws.scopes import OrganizationOptions, ScopeOptions
from reaper.clients.prices import PriceBook
from reaper.clock import Clock
from reaper.config import Settings
from reaper.core.model import Resource
from reaper.core.ruleset import PolicySpec, Ruleset
from reaper.providers.ec2.options import Ec2Options, Thresholds, Timeouts

__all__ = ["Activity", "ec2_options", "reads_activity", "scope_options"]

_AT_ONCE = timedelta(0)
_REST = timedelta(minutes=5)
"""How long a rule that only wants rest waits for at most, unless it says so."""

_OF_TIME = frozenset({"age", "schedule"})
"""Rules that read activity only with `only_if_idle`."""

_OF_OTHER_THINGS = frozenset({"deadline", "spend", "untagged", "where"})
"""Rules that never read it."""

_LEAST_LOOK_BACK = timedelta(days=1)


class Moment(NamedTuple):
    """When a rule of time is asked whether its term is near.

    Attributes:
        started: When the resource's life began.
        now: The instant.
        ahead: How long before its rest must begin it is near: a look, and a warning if there is one.
    """

    started: datetime
    now: datetime
    ahead: timedelta


def reads_activity(name: str, rule: Any, moment: Moment | None = None) -> timedelta | None:
    """Tell how long after an activity a rule can say anything else than before; None: it reads no activity. Pure.

    A plugin's rule may read anything, so it is always shown what there is; a condition in CEL sees no signal.

    Args:
        name: Its entry point.
        rule: The rule itself.
        moment: Leave out rules of time whose term is not near then: before it activity does not matter.
    """
    if name in _OF_OTHER_THINGS:
        return None
    if name in _OF_TIME:
        if not getattr(rule, "only_if_idle", None):
            return None
        given = getattr(rule, "idle_for", None)
        rest = given if isinstance(given, timedelta) else min(_REST, rule.timeout / 10)
        return rest if moment is None or _near(name, rule, rest, moment) else None
    if name in ("all", "any"):
        parts = [reads_activity(part.name, part.rule, moment) for part in rule.rules]
        return min((part for part in parts if part is not None), default=None)
    waits: timedelta = rule.timeout if name == "idle" else _AT_ONCE
    return waits


def _near(name: str, rule: Any, rest: timedelta, moment: Moment) -> bool:
    due = moment.started + rule.timeout if name == "age" else rule.due(moment.started, moment.now)
    return due is not None and due - rest - moment.ahead <= moment.now


class Activity:
    """Tells of a resource when its activity matters, by the policies in force.

    Args:
        clock: Tells whether a term is near.
        interval: Between looks.
    """

    def __init__(self, clock: Clock, interval: timedelta) -> None:
        self._clock = clock
        self._interval = interval
        self._readers: tuple[tuple[PolicySpec, timedelta], ...] = ()

    def heed(self, ruleset: Ruleset) -> None:
        """Take the policies that are in force from now on."""
        found = [(policy, reads_activity(policy.rule_name, policy.rule)) for policy in ruleset.policies]
        self._readers = tuple((policy, after) for policy, after in found if after is not None)

    def timeouts(self, resource: Resource) -> Timeouts | None:
        """Say when the activity of a resource matters; None: no policy reads it."""
        found = [(policy, after) for policy, after in self._readers if policy.applies_to(resource)]
        if not found:
            return None
        longest = max(policy.rule.timeout for policy, _ in found)
        near = [after for policy, _ in found if (after := self._now_reads(policy, resource)) is not None]
        return Timeouts(
            ask_after=min(near or [after for _, after in found]),
            asks=bool(near),
            look_back=max(_LEAST_LOOK_BACK, 2 * longest),
        )

    def _now_reads(self, policy: PolicySpec, resource: Resource) -> timedelta | None:
        if resource.started_at is None:
            return reads_activity(policy.rule_name, policy.rule)
        ahead = self._interval + policy.notice_lead
        moment = Moment(resource.started_at, self._clock.now(), ahead)
        return reads_activity(policy.rule_name, policy.rule, moment)


def scope_options(settings: Settings) -> ScopeOptions:
    """Tell which accounts and regions are to be looked at."""
    aws, organization = settings.aws, settings.aws.organization
    host = re.sub(r"[^\w+=,.@-]", "-", socket.gethostname())
    return ScopeOptions(
        regions=aws.regions,
        roles=aws.roles,
        external_id=aws.external_id,
        session_name=aws.session_name or f"reaper-{host}"[:64],
        organization=OrganizationOptions(
            role=organization.role,
            units=organization.units,
            excluded=organization.excluded,
            expect_denied=organization.expect_denied,
        ),
    )


def ec2_options(
    settings: Settings,
    timeouts: Callable[[Resource], Timeouts | None],
    prices: PriceBook | None,
    *,
    hibernates: bool,
) -> Ec2Options:
    """Make the provider's options of the settings.

    Args:
        settings: The configuration.
        timeouts: Tells when an instance's activity matters.
        prices: What things cost.
        hibernates: Whether a policy may hibernate.
    """
    ec2 = settings.ec2
    return Ec2Options(
        thresholds=Thresholds(
            cpu_cores=ec2.cpu_cores, gpu_percent=ec2.gpu_percent, bytes_per_hour=ec2.bytes_per_hour
        ),
        managed_tags=ec2.managed_tags,
        allow=frozenset(ec2.allow),
        hibernates=hibernates,
        hibernate_fallback=ec2.hibernate_fallback,
        scopes=scope_options(settings),
        prices=prices,
        interval=settings.aws.poll_interval,
        timeouts=timeouts,
    )
