"""From what a server and this host say to resources and observations. Pure but for the kept lives it updates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from reaper.clients.host import Evidence, classify, usage
from reaper.clients.jupyter import KernelModel, SessionModel, TerminalModel
from reaper.core.codec import instant_to_text
from reaper.core.model import Activity, Observation, Resource, ResourceKey, ResourceRef
from reaper.providers.jupyter.lives import KeptLife, Samples
from reaper.providers.jupyter.options import JupyterOptions
from reaper.providers.jupyter.processes import HostView, Tree
from reaper.providers.jupyter.saves import Saved
from reaper.providers.jupyter.states import KNOWN_STATES, Said, kernel_state, saved, terminal_activity

__all__ = ["Assembly", "ServerSide"]

SAMPLING = timedelta(seconds=6)
"""How long the first interval of process evidence may take: 5 s between two looks, and the looks themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSide:
    """What the server said in one look, times corrected to our clock.

    Attributes:
        started: When the server started.
        kernels: Its kernels; None: that could not be read.
        sessions: Its sessions by the kernel they use.
        terminals: Its terminals in order of creation; None: that could not be read.
        saved: When each notebook path was last saved.
    """

    started: datetime
    kernels: Sequence[KernelModel] | None
    sessions: Mapping[str, Sequence[SessionModel]]
    terminals: Sequence[TerminalModel] | None
    saved: Saved


class Assembly:
    """Collects the resources and observations of one look."""

    def __init__(
        self,
        *,
        scope: str,
        server: ServerSide,
        host: HostView | None,
        samples: Samples,
        options: JupyterOptions,
        now: datetime,
    ) -> None:
        """Start with nothing; `host` is None for a server on another machine."""
        self.resources: list[Resource] = []
        self.observations: list[Observation] = []
        self.notes: list[str] = []
        self._scope = scope
        self._server = server
        self._host = host
        self._samples = samples
        self._options = options
        self._now = now

    def kernel(
        self, kernel: KernelModel, life: KeptLife, tree: Tree | None, *, home: ResourceKey | None = None
    ) -> None:
        """Add a kernel; `home` is what it lives in."""
        if kernel.execution_state not in KNOWN_STATES:
            self.notes.append(
                f"kernel state {kernel.execution_state!r} is unknown to this version; such kernels are never reaped"
            )
        ref = self._ref("jupyter.kernel", kernel.id, life)
        sessions = self._server.sessions.get(kernel.id, ())
        paths = tuple(dict.fromkeys(session.path for session in sessions if session.path))
        work = self._work(ref, [tree] if tree else [], wanted=1)
        began = life.process_began_at if tree else None
        said = kernel_state(kernel, now=self._now, process_began=began, work=work)
        self._observe(ref, "execution_state", said)
        self._saved(ref, sessions, paths)
        if not self._options.ignore_connections:
            self._observe(ref, "connections", _connections(kernel.connections))
        names = tuple(dict.fromkeys(session.name for session in sessions if session.name))
        self._add(
            ref,
            name=paths[0] if paths else kernel.name or kernel.id,
            aliases=tuple(dict.fromkeys((*paths, *names))),
            tree=tree,
            life=life,
            attributes={"kernel_name": kernel.name, "sessions": len(sessions)},
            home=home,
        )

    def terminal(
        self,
        terminal: TerminalModel,
        life: KeptLife,
        trees: Sequence[Tree],
        *,
        matched: bool,
        home: ResourceKey | None = None,
        follows: tuple[str, ...] = (),
    ) -> None:
        """Add a terminal with its shell, or with every shell that could be its own; `home` is what it lives in."""
        ref = self._ref("jupyter.terminal", terminal.name, life)
        tree = trees[0] if matched else None
        self._work(ref, trees, wanted=1 if matched else max(len(trees), len(self._server.terminals or ())))
        life.readable = life.readable or (bool(trees) and all(one.sample is not None for one in trees))
        said = terminal_activity(
            terminal,
            now=self._now,
            last_input=tree.last_input if tree else None,
            command=tree.command if tree else "not matched to a process",
            output_counts=self._options.terminal_output,
        )
        if said is not None:
            self._observe(ref, "last_activity", said)
        needs_processes = said is None
        self._add(
            ref,
            name=terminal.name,
            aliases=(),
            tree=tree,
            life=life,
            attributes={},
            needs_processes=needs_processes,
            doubtful=bool(trees),
            home=home,
            follows=follows,
        )

    def _ref(self, kind: str, name: str, life: KeptLife) -> ResourceRef:
        began = f"/{life.began_with}" if life.began_with else ""
        incarnation = f"{instant_to_text(self._server.started)}/{instant_to_text(life.first_seen_at)}{began}"
        return ResourceRef(kind=kind, scope=self._scope, id=name, incarnation=incarnation)

    def _observe(
        self, ref: ResourceRef, signal: str, said: Said, covers_from: datetime | None = None
    ) -> None:
        self.observations.append(
            Observation(
                ref=ref,
                signal=signal,
                activity=said.activity,
                evidence_at=said.evidence_at,
                value=said.value,
                covers_from=covers_from,
            )
        )

    def _add(
        self,
        ref: ResourceRef,
        *,
        name: str,
        aliases: tuple[str, ...],
        tree: Tree | None,
        life: KeptLife,
        attributes: dict[str, object],
        needs_processes: bool = False,
        doubtful: bool = False,
        home: ResourceKey | None = None,
        follows: tuple[str, ...] = (),
    ) -> None:
        readable = tree is not None and tree.sample is not None
        life.readable = life.readable or readable
        required = life.readable or needs_processes or self._options.require_process_evidence
        if self._host is None:
            evidence = "not applicable: the server is on another machine"
        elif tree is None:
            unsure = "which of several shells is its own can't be told: one at work keeps it"
            evidence = unsure if doubtful else "not applicable: its process is not visible here"
        else:
            evidence = "readable" if readable else "not readable: another user's process"
        attributes = {**attributes, "process_evidence": evidence}
        if tree is not None:
            attributes["pid"] = tree.root.pid
        self.resources.append(
            Resource(
                ref=ref,
                name=name,
                aliases=aliases,
                parent_key=home,
                follows=follows,
                started_at=life.process_began_at if tree else None,
                required_signals=("process",) if required else (),
                sample_interval_s=SAMPLING.total_seconds(),
                attributes=attributes,
            )
        )

    def _work(self, ref: ResourceRef, trees: Sequence[Tree], *, wanted: int) -> Activity | None:
        """Observe what processes do: of one tree, or the strongest of all that it could be.

        Rest is observed only when all `wanted` trees show it: there may be fewer shells to be seen than
        terminals. Of a tree that can't be read (another user's) nothing is observed, also not that it is
        unknown: unless it could be read once, or must be, process evidence does not apply to it.
        """
        least = timedelta(seconds=self._options.thresholds.min_interval)
        by_signal: dict[str, list[tuple[Evidence, datetime | None]]] = {}
        for tree in trees:
            if tree.sample is None:
                continue
            by_signal.setdefault("gpu", []).append((tree.gpu, None))
            by_signal.setdefault("peers", []).append((tree.peers, None))
            before = self._samples.baseline(tree.sample, least)
            if before is not None:
                seen = classify(usage(before, tree.sample), thresholds=self._options.thresholds)
                by_signal.setdefault("process", []).append((seen, before.at))
        strongest: dict[str, Activity] = {}
        for signal, parts in sorted(by_signal.items()):
            evidence, since = min(parts, key=lambda part: _STRONGEST.index(part[0].activity))
            activity = Activity(evidence.activity)
            if activity is Activity.IDLE and len(parts) < wanted:
                continue
            strongest[signal] = activity
            doubt = "" if wanted == 1 else " (one of several shells it could be)"
            self._observe(ref, signal, Said(activity, None, evidence.text + doubt), covers_from=since)
        if "process" not in strongest:
            return None
        return min(strongest.values(), key=lambda activity: _STRONGEST.index(activity.value))

    def _saved(self, ref: ResourceRef, sessions: Sequence[SessionModel], paths: Sequence[str]) -> None:
        problems = [session.problem for session in sessions if session.problem]
        if problems:  # whether its notebook was saved can't be told
            self._observe(
                ref,
                "saved",
                Said(Activity.UNKNOWN, None, f"a session of it is not understood: {problems[0]}"),
            )
            return
        for path in paths:
            at = self._server.saved.get(path)
            if at is not None:
                signal = f"saved:{path}" if len(paths) > 1 else "saved"
                self._observe(ref, signal, saved(path, at, now=self._now))


_STRONGEST = ("active", "unknown", "idle")


def _connections(count: int | None) -> Said:
    if count is None:
        return Said(Activity.UNKNOWN, None, "the server does not say how many connections it has")
    return Said(Activity.ACTIVE, None, "connected") if count else Said(Activity.IDLE, None, "no connections")
