"""One Jupyter server as a source: a look is four requests at once and one sample of this host's processes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import TypeVar

from reaper.clients.host import GpuLook
from reaper.clients.jupyter import (
    Deletion,
    JupyterClient,
    KernelModel,
    ServerAddress,
    SessionModel,
    TerminalModel,
)
from reaper.clock import Clock
from reaper.core.model import Collected, Hold, HoldMatcher, Poll, Resource, ResourceRef
from reaper.errors import ActionDenied, ActionUnavailable, CollectError, SourceUnavailable
from reaper.plugins import ActOutcome, Look
from reaper.providers.jupyter.assemble import Assembly, ServerSide
from reaper.providers.jupyter.homes import Homes, app_name_of, find_homes
from reaper.providers.jupyter.lives import Lives, Samples, process_text
from reaper.providers.jupyter.marker import Marker
from reaper.providers.jupyter.options import JupyterOptions
from reaper.providers.jupyter.processes import HostShare, HostView, look_at_host
from reaper.providers.jupyter.saves import Saves

__all__ = ["JupyterSource"]

_CLOCKS_AGREE = timedelta(seconds=2)
"""Up to here a difference is the `Date` header's own coarseness and the way there and back."""
_PROC_DEADLINE_S = 3.0
_LONGEST_KEEPALIVE_S = 30 * 86400.0
"""Somebody who asks for ever gets a month at a time; each look asks again."""

_id_of, _name_of = attrgetter("id"), attrgetter("name")

T = TypeVar("T")
M = TypeVar("M", KernelModel, TerminalModel)


class JupyterSource:
    """One Jupyter server."""

    interval = None

    def __init__(
        self,
        address: ServerAddress,
        options: JupyterOptions,
        host: HostShare,
        clock: Clock,
        memo: object = None,
    ) -> None:
        """Take a server's address, and what earlier looks left."""
        self.address = address
        self.name = f"jupyter:{address.url}"
        self._options = options
        self._host = host
        self._clock = clock
        self._client = JupyterClient(address, clock=clock.now)
        self._open = False
        self._offset: timedelta | None = None
        self._started = ""
        self._kernels, self._terminals, self._samples = Lives(), Lives(), Samples()
        self._saves = Saves(address, self._client)
        self._marker = Marker(address.url)
        self._sampled_at: datetime | None = None
        self._seen: dict[str, dict[str, ResourceRef]] = {}
        self._app_names: dict[str, str] = {}
        if isinstance(memo, dict):
            self._started = str(memo.get("started", ""))
            self._kernels.restore(memo.get("kernels"))
            self._terminals.restore(memo.get("terminals"))
            self._samples.restore(memo.get("samples"))

    async def collect(self, look: Look) -> Collected:
        """Look once; what can't be read makes the look incomplete, for its kind or for all."""
        if not self._open:
            await self._client.__aenter__()
            self._open = True
        try:
            async with asyncio.timeout(look.deadline):
                return await self._collect(look)
        except TimeoutError:
            return self._failed(look, f"no complete answer within {look.deadline:g} s")
        except CollectError as error:
            return self._failed(look, str(error))

    async def act(self, resource: Resource, action: str) -> ActOutcome:
        """Shut down a kernel or close a terminal; gone already is success."""
        ref = resource.ref
        if action != "shutdown":
            msg = f"{ref.kind} knows no action {action!r}, only shutdown"
            raise ActionDenied(msg)
        if await self._has_ended(ref):  # who has its name now is somebody else
            done = Deletion.GONE
        elif ref.kind == "jupyter.kernel":
            done = await self._client.shutdown_kernel(ref.id)
        else:
            done = await self._client.delete_terminal(ref.id)
        return ActOutcome(
            gone=True, detail="shut down" if done is Deletion.DELETED else "it was gone already"
        )

    async def _has_ended(self, ref: ResourceRef) -> bool:
        """Tell whether a life has ended: by the latest look at it, or by its process since then.

        Names of terminals are used again at once, and a kernel that is restarted keeps its id.
        """
        seen = self._seen.get(ref.kind)
        if seen is None:
            msg = "the server has not been looked at since its address changed"
            raise ActionUnavailable(msg)
        if seen.get(ref.id) != ref:
            return True
        lives = self._kernels if ref.kind == "jupyter.kernel" else self._terminals
        process = lives.process(ref.id)
        if not process:
            return False
        work = partial(self._is_another, ref, process, self._clock.monotonic())
        try:
            return await self._host.aside.call(work, _PROC_DEADLINE_S)
        except SourceUnavailable as error:
            raise ActionUnavailable(str(error)) from error

    def _is_another(self, ref: ResourceRef, process: str, since: float) -> bool:
        table = self._host.table(since)
        key = table.key(int(process.partition(":")[0]))
        if not table.supported or (key is not None and process_text(key) == process):
            return False
        return ref.kind != "jupyter.kernel" or table.find_kernel(ref.id) is not None

    async def close(self) -> None:
        """Close connections."""
        self._marker.close()
        if self._open:
            self._open = False
            await self._client.aclose()

    async def _collect(self, look: Look) -> Collected:
        since = self._clock.monotonic()
        status, kernels, sessions, terminals, remaining, homes = await asyncio.gather(
            _or_error(self._client.status()),
            _or_error(self._client.kernels()),
            _or_error(self._client.sessions()),
            _or_error(self._client.terminals()),
            _or_error(self._client.keepalive()),
            find_homes(self._client, self._options.metadata_file, self.address.url),
        )
        if isinstance(status, CollectError):
            raise status
        offset = self._clock_offset()
        by_kernel, problems = _by_kernel(() if isinstance(sessions, CollectError) else sessions)
        answers = (kernels, sessions, terminals, remaining)
        errors = [str(answer) for answer in answers if isinstance(answer, CollectError)] + problems
        all_held = isinstance(remaining, CollectError)  # whether somebody holds all of it can't be told
        server = ServerSide(
            started=status.started,
            kernels=None
            if isinstance(kernels, CollectError) or isinstance(sessions, CollectError) or problems or all_held
            else _shifted(kernels, offset),
            sessions=by_kernel,
            terminals=None
            if isinstance(terminals, CollectError) or all_held
            else _shifted(terminals or (), offset),
            saved={},
        )
        host = await self._look_at_host(server, look, since) if self.address.local else None
        server = replace(server, saved=await self._saves.when(_paths(by_kernel), offset))
        held = remaining if isinstance(remaining, float) else None
        return self._assemble(look, server, host, homes, held, errors)

    def _assemble(
        self,
        look: Look,
        server: ServerSide,
        host: HostView | None,
        homes: Homes,
        remaining: float | None,
        errors: list[str],
    ) -> Collected:
        if self._started != server.started.isoformat():
            self._started = server.started.isoformat()
            self._kernels, self._terminals = Lives(), Lives()
        assembly = Assembly(
            scope=self.address.url,
            server=server,
            host=host,
            samples=self._samples,
            options=self._options,
            now=look.at,
        )
        failed: list[str] = []
        kernels = _each_once(server.kernels, _id_of, "jupyter.kernel", failed, errors)
        if "jupyter.kernel" not in failed:
            ids = {kernel.id for kernel in kernels}
            self._kernels.forget_all_but(ids)
            self._app_names = {one: app for one, app in self._app_names.items() if one in ids}
        for kernel in kernels:
            tree = host.kernels.get(kernel.id) if host else None
            life = self._kernels.see(kernel.id, tree.root if tree else None, look.at)
            assembly.kernel(kernel, life, tree, home=homes.of_kernel(self._app_name(kernel.id, server)))
        terminals = _each_once(server.terminals, _name_of, "jupyter.terminal", failed, errors)
        if "jupyter.terminal" not in failed:
            self._terminals.forget_all_but({terminal.name for terminal in terminals})
        terminals = [one for one in terminals if not homes.belongs_to_system(one.name)]
        self._assemble_terminals(assembly, terminals, host, homes, look.at)
        self._note_seen(assembly.resources, failed)
        self._keep_samples(host, complete=not failed)
        poll = Poll(
            id=look.poll_id,
            source=self.name,
            started_at=look.at,
            finished_at=self._clock.now(),
            complete=not failed,
            error="; ".join(dict.fromkeys(errors)) or None if failed else None,
            failed_kinds=tuple(failed),
        )
        return Collected(
            poll=poll,
            resources=tuple(assembly.resources),
            observations=tuple(assembly.observations),
            holds=self._keepalive(remaining, look.at),
            memo={
                "started": self._started,
                "kernels": self._kernels.memo(),
                "terminals": self._terminals.memo(),
                "samples": self._samples.memo(),
            },
            notes=(*dict.fromkeys(assembly.notes), *self._marker.notes()),
        )

    def _app_name(self, kernel_id: str, server: ServerSide) -> str | None:
        """Give the app that a kernel's session names, or named: a kernel outlives its sessions, and moves nowhere."""
        named = app_name_of(server.sessions.get(kernel_id, ()))
        if named is not None:
            self._app_names[kernel_id] = named
        return self._app_names.get(kernel_id)

    def _assemble_terminals(
        self,
        assembly: Assembly,
        terminals: Sequence[TerminalModel],
        host: HostView | None,
        homes: Homes,
        at: datetime,
    ) -> None:
        """Pair terminals with shells, both in order of creation, only when their numbers agree.

        The shells of Studio Classic's image terminals are in other containers.
        """
        shells = host.shells if host and not homes.classic else ()
        matched = len(shells) == len(terminals)
        for index, terminal in enumerate(terminals):
            trees = shells[index : index + 1] if matched else shells
            process = shells[index].root if matched else None
            life = self._terminals.see(terminal.name, process, at)
            home = homes.of_terminal(terminal.name)
            follows = ("jupyter.kernel",) if homes.classic else ()
            assembly.terminal(terminal, life, trees, matched=matched, home=home, follows=follows)

    def _keep_samples(self, host: HostView | None, *, complete: bool) -> None:
        """Keep what the next look is compared with; a look that did not see all ends no tree."""
        if host is None:
            return
        trees = [*host.kernels.values(), *host.shells]
        for tree in trees:
            if tree.sample is not None:
                self._samples.keep(tree.sample, timedelta(seconds=self._options.thresholds.min_interval))
        if complete:
            self._samples.forget_all_but(tree.root for tree in trees)

    def _note_seen(self, resources: Sequence[Resource], failed: Sequence[str]) -> None:
        """Remember which lives the latest look found; where it could not tell, the one before still holds."""
        for kind in ("jupyter.kernel", "jupyter.terminal"):
            if kind not in failed:
                self._seen[kind] = {r.ref.id: r.ref for r in resources if r.ref.kind == kind}

    async def _look_at_host(self, server: ServerSide, look: Look, since: float) -> HostView:
        sampled_at = self._sampled_at or look.at - timedelta(minutes=1)
        self._sampled_at = look.at
        kernel_ids = [kernel.id for kernel in server.kernels or ()]
        gpus = _once(lambda: self._host.gpus.look(since=sampled_at))

        def sample() -> HostView:
            return look_at_host(self.address, table=self._host.table(since), kernel_ids=kernel_ids, gpus=gpus)

        return await self._host.aside.call(sample, look.deadline)

    def _clock_offset(self) -> timedelta:
        """Correct a remote server's clock, measured once; where a later measure contradicts it, nothing gets older.

        Both corrections date activity; the smaller offset dates it later.
        """
        if self.address.local:
            return timedelta(0)
        present = timedelta(seconds=self._client.server_offset or 0.0)
        kept = self._offset
        if kept is not None and abs(present - kept) <= _CLOCKS_AGREE:
            return kept
        self._offset = present if abs(present) > _CLOCKS_AGREE else timedelta(0)
        return self._offset if kept is None else min(kept, self._offset)

    def _keepalive(self, remaining: float | None, at: datetime) -> tuple[Hold, ...]:
        """The jupyter-keepalive extension's promise is a hold on all of its server."""
        if not remaining or remaining <= 0:
            return ()
        hold = Hold(
            id=f"{self.name}#keepalive",
            matcher=HoldMatcher(scope=self.address.url),
            who="jupyter-keepalive",
            why="somebody asked the server to stay up",
            starts_at=at,
            expires_at=at + timedelta(seconds=min(remaining, _LONGEST_KEEPALIVE_S)),
            source="keepalive",
        )
        return (hold,)

    def _failed(self, look: Look, error: str) -> Collected:
        poll = Poll(
            id=look.poll_id,
            source=self.name,
            started_at=look.at,
            finished_at=self._clock.now(),
            complete=False,
            error=error,
        )
        return Collected(poll=poll)


async def _or_error(answer: Awaitable[T]) -> T | CollectError:
    try:
        return await answer
    except CollectError as error:
        return error


def _once(ask: Callable[[], GpuLook]) -> Callable[[], GpuLook]:
    """Ask at most once."""
    answers: list[GpuLook] = []

    def look() -> GpuLook:
        if not answers:
            answers.append(ask())
        return answers[0]

    return look


def _each_once(
    models: Sequence[M] | None, name: Callable[[M], str], kind: str, failed: list[str], errors: list[str]
) -> list[M]:
    """Give what has a name, each once; one without a name means that not everything was understood."""
    if models is None:
        failed.append(kind)
        return []
    named = {name(model): model for model in models if name(model)}
    if any(not name(model) for model in models):
        failed.append(kind)
        errors.append(f"one {kind} has no id")
    return list(named.values())


def _by_kernel(sessions: Sequence[SessionModel]) -> tuple[dict[str, list[SessionModel]], list[str]]:
    """Group sessions by their kernels; a problem is one whose kernel can't be told: it could be any."""
    by_kernel: dict[str, list[SessionModel]] = {}
    problems = []
    for session in sessions:
        if session.kernel_id is not None:
            by_kernel.setdefault(session.kernel_id, []).append(session)
        elif session.problem is not None:
            problems.append(session.problem)
    return by_kernel, problems


def _shifted(models: Sequence[M], offset: timedelta) -> tuple[M, ...]:
    """Turn times of the server's clock into ours."""
    if not offset:
        return tuple(models)
    return tuple(
        m if m.last_activity is None else replace(m, last_activity=m.last_activity - offset) for m in models
    )


def _paths(by_kernel: Mapping[str, Sequence[SessionModel]]) -> list[str]:
    sessions = (session for sessions in by_kernel.values() for session in sessions)
    return list(dict.fromkeys(session.path for session in sessions if session.path))
