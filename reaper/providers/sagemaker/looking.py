"""What the sources of this provider have in common: how a look fails, how an act is not sent."""

from reaper.clients.studio import Said
from reaper.core.model import Collected, Observation, Poll, ResourceRef
from reaper.errors import ActionDenied, ActionUnavailable, CollectError, SourceDenied
from reaper.plugins import Look

__all__ = ["GONE", "failed", "not_sent", "observed"]

GONE = "it was gone already"


def failed(look: Look, source: str, error: str) -> Collected:
    """Give a look that brought nothing: then nothing is known. It took as long as it may. Pure."""
    poll = Poll(
        id=look.poll_id,
        source=source,
        started_at=look.at,
        finished_at=look.at,
        complete=False,
        error=error,
    )
    return Collected(poll=poll)


def not_sent(error: CollectError) -> ActionDenied | ActionUnavailable:
    """Turn a look that failed right before an act into an act that was not sent. Pure."""
    kind = ActionDenied if isinstance(error, SourceDenied) else ActionUnavailable
    return kind(f"not sent, since it could not be looked at: {error}")


def observed(ref: ResourceRef, signal: str, said: Said) -> Observation:
    """Make an observation of what a signal says. Pure."""
    return Observation(
        ref=ref, signal=signal, activity=said.activity, evidence_at=said.evidence_at, value=said.value
    )
