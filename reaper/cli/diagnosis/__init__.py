"""What `reaper doctor` looks at: one function a check, in the order in which one thing rests on another."""

from collections.abc import Iterator

from reaper.cli.diagnosis import cloudwatch, installation, surroundings
from reaper.cli.diagnosis.installation import holder
from reaper.cli.diagnosis.patient import Check, Finding, Patient
from reaper.errors import ReaperError

__all__ = ["CHECKS", "Finding", "Patient", "examine", "holder"]


def examine(patient: Patient) -> Iterator[Finding]:
    """Carry out every check; one that breaks is a finding, and the others go on."""
    for check in CHECKS:
        name = check.__name__.strip("_").replace("_", " ")
        try:
            yield from check(patient)
        except (ReaperError, OSError) as error:
            yield Finding(name=name, level="fail", text=f"could not be checked: {error}")


CHECKS: tuple[Check, ...] = (
    installation.configuration,
    installation.journal,
    installation.daemon,
    surroundings.sources,
    surroundings.blind,
    surroundings.two_reapers,
    surroundings.process_evidence,
    surroundings.gpu,
    cloudwatch.cloudwatch,
    surroundings.notifiers,
    installation.socket,
    installation.clock,
    installation.systemd,
)
"""In this order: what comes later rests on what comes first."""
