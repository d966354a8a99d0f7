"""One Jupyter server as a source: a look is four requests at once and one sample of this host's processes."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar

from reaper.clients.aside import Aside
from reaper.clients.host import GpuLook, GpuReader, HostCache, ProcessTable
from reaper.clients.jupyter import (
    Deletion,
    JupyterClient,
    KernelModel,
    ServerAddress,
    SessionModel,
    TerminalModel,
    saved_on_disk,
)
from reaper.clock import Clock
from reaper.core.model import Collected, Hold, HoldMatcher, Poll, Resource
from reaper.errors import ActionDenied, ActionUnavailable, CollectError, SourceUnavailable
from reaper.plugins import ActOutcome, Look
from reaper.providers.jupyter.assemble import Assembly, ServerSide
from reaper.providers.jupyter.lives import Lives, Samples, process_text
from reaper.providers.jupyter.marker import Marker
from reaper.providers.jupyter.options import JupyterOptions
from reaper.providers.jupyter.processes import HostView, look_at_host

__all__ = ["HostShare", "JupyterSource"]

_CLOCKS_AGREE = timedelta(seconds=2)
"""Up to here a difference is the `Date` header's own coarseness and the way there and back."""
_SAVED_AT_ONCE = 4
_DISK_DEADLINE_S = 3.0
_LONGEST_KEEPALIVE_S = 30 * 86400.0
"""Somebody who asks for ever gets a month at a time; each look asks again."""

T = TypeVar("T")
M = TypeVar("M", KernelModel, TerminalModel)


class HostShare:
    """What the sources of one host share: one look at its processes at a time."""

    def __init__(self) -> None:
        """Start with nothing cached."""
        self.cache = HostCache()
        self.gpus = GpuReader()
        self.aside = Aside("this host's /proc")


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
        self._disk = Aside(f"the file system of {address.root_dir}")
        self._marker = Marker(address.url)
        self._sampled_at: datetime | None = None
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
        if action != "shutdown":
            msg = f"{resource.ref.kind} knows no action {action!r}, only shutdown"
            raise ActionDenied(msg)
        if resource.ref.kind == "jupyter.kernel":
            done = await self._client.shutdown_kernel(resource.ref.id)
        elif await self._shell_ended(resource.ref.id):  # who has its name now is somebody else
            done = Deletion.GONE
        else:
            done = await self._client.delete_terminal(resource.ref.id)
        return ActOutcome(
            gone=True, detail="shut down" if done is Deletion.DELETED else "it was gone already"
        )

    async def _shell_ended(self, name: str) -> bool:
        """Tell whether a terminal's shell has ended since the latest look: names are used again at once."""
        process = self._terminals.process(name)
        if not process:
            return False
        snapshot = partial(ProcessTable.snapshot, now=self._clock.now(), monotonic=self._clock.monotonic())
        try:
            table = await self._host.aside.call(snapshot, _DISK_DEADLINE_S)
        except SourceUnavailable as error:
            raise ActionUnavailable(str(error)) from error
        key = table.key(int(process.partition(":")[0]))
        return table.supported and (key is None or process_text(key) != process)

    async def close(self) -> None:
        """Close connections."""
        self._marker.close()
        if self._open:
            self._open = False
            await self._client.aclose()

    async def _collect(self, look: Look) -> Collected:
        status, kernels, sessions, terminals, remaining = await asyncio.gather(
            self._client.status(),
            _or_error(self._client.kernels()),
            _or_error(self._client.sessions()),
            _or_error(self._client.terminals()),
            _or_error(self._client.keepalive()),
        )
        offset = self._clock_offset()
        unread = isinstance(kernels, CollectError) or isinstance(sessions, CollectError)
        server = ServerSide(
            started=status.started,
            kernels=None if isinstance(kernels, CollectError) or unread else _shifted(kernels, offset),
            sessions=() if isinstance(sessions, CollectError) else sessions,
            terminals=None if isinstance(terminals, CollectError) else _shifted(terminals or (), offset),
            saved={},
        )
        host = await self._look_at_host(server, look) if self.address.local else None
        server = replace(server, saved=await self._saved(server, offset))
        errors = [
            str(answer)
            for answer in (kernels, sessions, terminals, remaining)
            if isinstance(answer, CollectError)
        ]
        if any(session.problem for session in server.sessions):  # whose notebook it is can't be told
            server = replace(server, kernels=None)
            errors += [session.problem for session in server.sessions if session.problem]
        if isinstance(remaining, CollectError):  # whether somebody holds all of it can't be told
            server = replace(server, kernels=None, terminals=None)
        return self._assemble(look, server, host, remaining if isinstance(remaining, float) else None, errors)

    def _assemble(
        self,
        look: Look,
        server: ServerSide,
        host: HostView | None,
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
        if server.kernels is None:
            failed.append("jupyter.kernel")
        else:
            self._kernels.forget_all_but({kernel.id for kernel in server.kernels})
            for kernel in _each_once(
                server.kernels, lambda kernel: kernel.id, "jupyter.kernel", failed, errors
            ):
                tree = host.kernels.get(kernel.id) if host else None
                assembly.kernel(
                    kernel, self._kernels.see(kernel.id, tree.root if tree else None, look.at), tree
                )
        if server.terminals is None:
            failed.append("jupyter.terminal")
        else:
            self._terminals.forget_all_but({terminal.name for terminal in server.terminals})
            terminals = _each_once(server.terminals, lambda one: one.name, "jupyter.terminal", failed, errors)
            self._assemble_terminals(assembly, terminals, host, look.at)
        self._keep_samples(host)
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

    def _assemble_terminals(
        self, assembly: Assembly, terminals: Sequence[TerminalModel], host: HostView | None, at: datetime
    ) -> None:
        """Pair terminals with shells, both in order of creation, only when their numbers agree."""
        shells = host.shells if host else ()
        matched = len(shells) == len(terminals)
        for index, terminal in enumerate(terminals):
            trees = shells[index : index + 1] if matched else shells
            process = shells[index].root if matched else None
            assembly.terminal(
                terminal, self._terminals.see(terminal.name, process, at), trees, matched=matched
            )

    def _keep_samples(self, host: HostView | None) -> None:
        if host is None:
            return
        trees = [*host.kernels.values(), *host.shells]
        for tree in trees:
            if tree.sample is not None:
                self._samples.keep(tree.sample, timedelta(seconds=self._options.thresholds.min_interval))
        self._samples.forget_all_but(tree.root for tree in trees)

    async def _look_at_host(self, server: ServerSide, look: Look) -> HostView:
        since = self._sampled_at or look.at - timedelta(minutes=1)
        self._sampled_at = look.at
        sample = partial(
            look_at_host,
            self.address,
            kernel_ids=[kernel.id for kernel in server.kernels or ()],
            cache=self._host.cache,
            gpus=_once(lambda: self._host.gpus.look(since=since)),
            now=self._clock.now(),
            monotonic=self._clock.monotonic(),
        )
        return await self._host.aside.call(sample, look.deadline)

    async def _saved(self, server: ServerSide, offset: timedelta) -> dict[str, datetime | str | None]:
        """Find out when notebooks were saved: on disk where the server is here, else from the server.

        The server is asked too where the disk knows no such file: contents may be kept elsewhere.
        """
        paths = _paths(server.sessions)
        known = await self._saved_on_disk(paths)
        at_once = asyncio.Semaphore(_SAVED_AT_ONCE)

        async def ask(path: str) -> datetime | str | None:
            async with at_once:
                answer = await _or_error(self._client.notebook_saved_at(path))
            if isinstance(answer, CollectError):
                return str(answer)
            return None if answer is None else answer - offset

        unknown = [path for path in paths if known.get(path) is None]
        return {**known, **dict(zip(unknown, await asyncio.gather(*map(ask, unknown)), strict=True))}

    async def _saved_on_disk(self, paths: list[str]) -> dict[str, datetime | str | None]:
        if not self.address.local or self.address.root_dir is None or not paths:
            return {}
        try:
            return await self._disk.call(partial(_stat_all, self.address, paths), _DISK_DEADLINE_S)
        except SourceUnavailable as error:
            return dict.fromkeys(paths, str(error))

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
    models: Sequence[M], name: Callable[[M], str], kind: str, failed: list[str], errors: list[str]
) -> list[M]:
    """Give what has a name, each once; one without a name means that not everything was understood."""
    named = {name(model): model for model in models if name(model)}
    if any(not name(model) for model in models):
        failed.append(kind)
        errors.append(f"one {kind} has no id")
    return list(named.values())


def _shifted(models: Sequence[M], offset: timedelta) -> tuple[M, ...]:
    """Turn times of the server's clock into ours."""
    if not offset:
        return tuple(models)
    return tuple(
        m if m.last_activity is None else replace(m, last_activity=m.last_activity - offset) for m in models
    )


def _stat_all(address: ServerAddress, paths: list[str]) -> dict[str, datetime | str | None]:
    saved: dict[str, datetime | str | None] = {}
    for path in paths:
        try:
            saved[path] = saved_on_disk(address, path)
        except (SourceUnavailable, ValueError) as error:
            saved[path] = str(error)
    return saved


def _paths(sessions: Sequence[SessionModel]) -> list[str]:
    return list(dict.fromkeys(session.path for session in sessions if session.path))
