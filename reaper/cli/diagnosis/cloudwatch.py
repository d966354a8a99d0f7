"""What asking CloudWatch costs, estimated from what is watched."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from reaper.cli.diagnosis.patient import Finding, Patient
from reaper.cli.output import instant

__all__ = ["cloudwatch", "metrics_a_month"]

_DOLLARS_A_METRIC = 0.01 / 1000
"""GetMetricData, in most regions (Amazon CloudWatch pricing)."""
_MONTH = timedelta(days=30)
_QUIET = 5
"""Metrics of an instance whose CPU is quiet: CPU, network in and out, EBS reads and writes; and one a GPU."""
_DEAR = 20.0
"""Dollars a month from which on it is worth a look."""


def cloudwatch(patient: Patient) -> Iterator[Finding]:
    """What CloudWatch is asked, and what that costs a month, as things are now."""
    running = [
        one
        for one in patient.resources
        if one["kind"] == "ec2.instance" and one["attributes"].get("state") == "running"
    ]
    after = None if patient.settings is None or not running else _ask_after(patient.settings)
    if after is None:
        return
    poll = patient.settings.aws.poll_interval
    metrics = sum(metrics_a_month(one, patient, after, poll) for one in running)
    dollars = metrics * _DOLLARS_A_METRIC
    text = f"about {metrics:,.0f} metrics a month for {len(running)} running instances, ${dollars:,.2f}"
    advice = (
        "instances that are due and kept by a veto or by a dry run are asked about at every look: a longer "
        "REAPER_AWS__POLL_INTERVAL or timeout, or a narrower match, costs less"
    )
    dear = dollars >= _DEAR
    yield Finding(
        name="cloudwatch", level="warn" if dear else "ok", text=text, advice=advice if dear else None
    )


def metrics_a_month(
    resource: Mapping[str, Any], patient: Patient, after: timedelta, poll: timedelta
) -> float:
    """Estimate how many metrics a month are asked for an instance, if it goes on as it is.

    Before it can be due it is asked about once a timeout: its CPU alone while that works. After that everything is
    asked at every look.
    """
    idle = instant(resource.get("idle_since"))
    quiet = _QUIET + int(resource["attributes"].get("gpus") or 0)
    if idle is not None and patient.now - idle >= after:
        return quiet * (_MONTH / poll)
    return _MONTH / max(after, poll)


def _ask_after(settings: Any) -> timedelta | None:
    """Give the shortest time after which a policy wants to know; None: none reads activity."""
    from reaper.cli.fleets import reads_activity
    from reaper.config import build_ruleset

    found = [
        reads_activity(policy.rule_name, policy.rule)
        for policy in build_ruleset(settings, {}).policies
        if policy.kind == "ec2.instance"
    ]
    return min((one for one in found if one is not None), default=None)
