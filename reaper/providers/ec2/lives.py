"""What is remembered of each instance's life from look to look, and after a restart."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta

from reaper.clients.ec2 import InstanceModel, TypeModel
from reaper.core.model import Activity
from reaper.providers.ec2.evidence import Known, Said, kept, restored
from reaper.providers.ec2.options import Thresholds, Timeouts

__all__ = ["Life", "Lives", "Subject"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An instance whose activity matters.

    Attributes:
        instance: As it was just seen.
        launched_at: When this life began.
        kind: Its type; None: it can't be described.
        timeouts: When its activity matters.
        spared: Why it is never acted on, whatever it does; empty: it may be.
    """

    instance: InstanceModel
    launched_at: datetime
    kind: TypeModel | None
    timeouts: Timeouts
    spared: str = ""

    @property
    def vcpus(self) -> int | None:
        """How many CPUs its percents are of."""
        return self.instance.vcpus or (None if self.kind is None else self.kind.vcpus)


@dataclass(slots=True, kw_only=True)
class Life:
    """What is known of one life of an instance.

    Attributes:
        launched_at: When it began.
        known: What is counted of each signal.
        said: What each signal said when it was asked about last.
        lag: How far CloudWatch was behind at most.
        gpus: Those that once showed more than 0, by index.
    """

    launched_at: datetime
    known: dict[str, Known] = field(default_factory=dict)
    said: dict[str, Said] = field(default_factory=dict)
    lag: timedelta = timedelta(0)
    gpus: set[str] = field(default_factory=set)

    def active_at(self) -> datetime:
        """Give the latest activity that is known: to be launched is one."""
        said = [one.evidence_at for one in self.said.values() if one.evidence_at is not None]
        return max([self.launched_at, *said, *[one.active_at for one in self.known.values()]])

    def remembered(self, now: datetime, asked: Iterable[str]) -> dict[str, Said]:
        """Say again what was said of idleness, of signals that were not asked about now.

        It dates activity, no more; whether there was some since is asked before it matters.
        """
        left = {name: said for name, said in self.said.items() if said.activity is Activity.IDLE}
        for name, known in self.known.items():
            if name not in self.said and known.seen:  # after a restart
                left[name] = Said(
                    Activity.IDLE, min(known.active_at, now), "at work last then, by CloudWatch"
                )
        return {name: said for name, said in left.items() if name not in set(asked)}

    def unasked(self, now: datetime, signal: str, why: str) -> dict[str, Said]:
        """Say what is known, and that no more is asked: of a signal at least, dated by the launch if need be."""
        least = {signal: Said(Activity.IDLE, min(self.launched_at, now), "")}
        known = least | self.remembered(now, ())
        value = f"not asked of CloudWatch, for nothing acts on it: {why}"
        return {name: said._replace(value=value) for name, said in known.items()}


class Lives:
    """The lives of one shard's instances.

    Args:
        memo: What `memo` gave before a restart.
        thresholds: From when on something is work: what was learnt with others is forgotten, for what was no work
            then may be work now.
    """

    def __init__(
        self, memo: Mapping[str, object] | None = None, thresholds: Thresholds | None = None
    ) -> None:
        self._lives: dict[str, Life] = {}
        self._thresholds = asdict(thresholds or Thresholds())
        learnt = memo or {}
        stored = learnt.get("lives") if learnt.get("thresholds") == self._thresholds else None
        for name, one in stored.items() if isinstance(stored, Mapping) else ():
            life = _restored(one)
            if life is not None:
                self._lives[str(name)] = life

    def of(self, subject: Subject) -> Life:
        """Give what is known of a life; nothing of another life of the same id."""
        name = subject.instance.id
        life = self._lives.get(name)
        if life is None or life.launched_at != subject.launched_at.replace(microsecond=0):
            life = self._lives[name] = Life(launched_at=subject.launched_at.replace(microsecond=0))
        return life

    def known(self, name: str) -> Life | None:
        """Give what is known by id, if anything is."""
        return self._lives.get(name)

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget what is no more."""
        there = set(names)
        self._lives = {name: life for name, life in self._lives.items() if name in there}

    def memo(self) -> dict[str, object]:
        """Give what is to be kept, as JSON."""
        return {
            "thresholds": self._thresholds,
            "lives": {
                name: {
                    "at": int(life.launched_at.timestamp()),
                    "lag": int(life.lag.total_seconds()),
                    "known": {signal: kept(known) for signal, known in life.known.items()},
                    **({"gpus": sorted(life.gpus)} if life.gpus else {}),
                }
                for name, life in self._lives.items()
                if life.known
            },
        }


def _restored(one: object) -> Life | None:
    """Read a life back; None: it can't be read, and everything is asked about anew."""
    try:
        if not isinstance(one, Mapping):
            return None
        found = {str(signal): restored(known) for signal, known in one["known"].items()}
        return Life(
            launched_at=datetime.fromtimestamp(one["at"], UTC),
            lag=timedelta(seconds=one["lag"]),
            known={signal: known for signal, known in found.items() if known is not None},
            gpus={str(index) for index in one.get("gpus", ())},
        )
    except (AttributeError, KeyError, OSError, OverflowError, TypeError, ValueError):
        return None
