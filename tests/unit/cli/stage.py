"""A world for the command line to look at: real rules, real decisions, a real control behind a real socket."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reaper.clock import SystemClock
from reaper.core.batch import fold_facts, fold_look
from reaper.core.decide import newly_applied
from reaper.core.facts import ActionState, ConfigLoaded, LedgerEntry
from reaper.core.model import Activity, Collected, Observation, Poll, Resource, ResourceRef
from reaper.core.ruleset import Mode, PolicySpec, Ruleset, Step
from reaper.core.world import World
from reaper.daemon.control import DaemonControl
from reaper.daemon.loop import Daemon
from reaper.daemon.rules import Setup
from reaper.plugins import Journal, build_rule

SERVER = "http://127.0.0.1:8888/"
OTHER = "http://127.0.0.1:9999/"
BUSY = "6f1c2d3e-0000-4000-8000-000000000001"
OLD = "6f1caaaa-0000-4000-8000-000000000002"
NEW = "9b2e0000-0000-4000-8000-000000000003"
FAR = "c3d40000-0000-4000-8000-000000000004"
STARTED = datetime(2026, 1, 1, tzinfo=UTC)
GONE = "d00d0000-0000-4000-8000-000000000005"


def ruleset(mode: Mode = Mode.DRY_RUN, timeout: float = 7200.0) -> Ruleset:
    def policy(name: str, kind: str) -> PolicySpec:
        params = {"timeout": timeout}
        return PolicySpec(
            name=name,
            kind=kind,
            rule_name="idle",
            params=params,
            rule=build_rule("idle", params),
            steps=(Step(action="shutdown"),),
        )

    return Ruleset(
        mode=mode, policies=(policy("kernels", "jupyter.kernel"), policy("terminals", "jupyter.terminal"))
    )


def kernel(id_: str, name: str, scope: str = SERVER) -> Resource:
    return Resource(
        ref=ResourceRef(kind="jupyter.kernel", scope=scope, id=id_, incarnation="1"),
        name=name,
        aliases=(name, name.rpartition("/")[2]),
        started_at=STARTED,
        attributes={"kernel_name": "python3", "sessions": 1, "process_evidence": "readable", "pid": 4242},
    )


def terminal(name: str, pid: int) -> Resource:
    return Resource(
        ref=ResourceRef(kind="jupyter.terminal", scope=SERVER, id=name, incarnation="1"),
        name=name,
        started_at=STARTED,
        attributes={"process_evidence": "readable", "pid": pid},
    )


def _says(resource: Resource, activity: Activity, value: str, at: datetime | None = None) -> Observation:
    signal = "execution_state" if resource.ref.kind == "jupyter.kernel" else "last_activity"
    return Observation(ref=resource.ref, signal=signal, activity=activity, evidence_at=at, value=value)


def looks(now: datetime, terminal_pid: int = 1) -> list[Collected]:
    """What two servers show: one look half an hour ago, one just now."""
    busy, old, new = kernel(BUSY, "work/train.ipynb"), kernel(OLD, "work/old.ipynb"), kernel(NEW, "new.ipynb")
    shell, far = terminal("1", terminal_pid), kernel(FAR, "far.ipynb", OTHER)
    made = []
    for number, at in enumerate((now - timedelta(minutes=1), now - timedelta(seconds=12))):
        poll = Poll(
            id=2 * number + 1, source=f"jupyter:{SERVER}", started_at=at, finished_at=at, complete=True
        )
        seen = (
            _says(busy, Activity.ACTIVE, "busy"),
            _says(old, Activity.IDLE, "idle", now - timedelta(hours=3)),
            _says(new, Activity.IDLE, "idle", now - timedelta(minutes=20, seconds=10)),
            _says(shell, Activity.IDLE, "", now - timedelta(minutes=30)),
        )
        made.append(Collected(poll=poll, resources=(busy, old, new, shell), observations=seen))
        there = number == 0
        poll = Poll(
            id=2 * number + 2,
            source=f"jupyter:{OTHER}",
            started_at=at,
            finished_at=at,
            complete=there,
            error=None if there else "no answer within 5 s",
        )
        seen_far = (_says(far, Activity.IDLE, "idle", now - timedelta(hours=5)),) if there else ()
        made.append(Collected(poll=poll, resources=(far,) if there else (), observations=seen_far))
    return made


def past_actions(now: datetime) -> tuple[LedgerEntry, ...]:
    """The ledger of a kernel that was reaped an hour ago."""
    ref = ResourceRef(kind="jupyter.kernel", scope=SERVER, id=GONE, incarnation="1")
    started = LedgerEntry(
        at=now - timedelta(hours=1),
        action_id="a1",
        state=ActionState.STARTED,
        ref=ref,
        action="shutdown",
        policy="kernels",
        decision_id="d1",
        outcome="no signal has shown activity for the whole timeout",
        due_at=now - timedelta(hours=1),
    )
    ended = LedgerEntry(
        at=now - timedelta(hours=1),
        action_id="a1",
        state=ActionState.SUCCEEDED,
        ref=ref,
        action="shutdown",
        policy="kernels",
        decision_id="d1",
        outcome="204",
    )
    return started, ended


async def fill(journal: Journal, now: datetime, rules: Ruleset, terminal_pid: int = 1) -> World:
    """Write all that into an open journal; gives the world it describes."""
    image = await journal.load()
    world = World.restore(image, max_gap=timedelta(minutes=3))
    begin = ConfigLoaded(at=now - timedelta(hours=4), digest=rules.digest(), body=rules.body())
    await journal.write(fold_facts(world, (begin, *past_actions(now))))
    for collected in looks(now, terminal_pid):
        await journal.write(fold_look(world, collected))
    applied = newly_applied(world, rules, now - timedelta(hours=2))
    await journal.write(fold_facts(world, tuple(applied)))
    return world


def setup_for(rules: Ruleset) -> Setup:
    def build(overrides: object) -> Ruleset:
        return rules

    def check(name: str, value: str) -> None:
        from reaper.core.durations import parse_duration
        from reaper.errors import ConfigError

        if parse_duration(value) > timedelta(hours=24):
            raise ConfigError(f"{name}: {value} is more than REAPER_IDLE_TIMEOUT_MAX, 24h")

    def show(overrides: object) -> dict[str, object]:
        from reaper.config import Settings, show as show_settings

        return show_settings(Settings())

    return Setup(
        build_ruleset=build,
        check_override=check,
        underlying={"idle-timeout": "120m"},
        poll_interval=timedelta(minutes=1),
        show=show,
    )


class Stage:
    """A daemon that looks at nothing, over a filled journal, behind a socket, in a thread of its own."""

    def __init__(
        self, socket: Path, journal: Journal, *, mode: Mode = Mode.DRY_RUN, terminal_pid: int = 1
    ) -> None:
        self.socket = socket
        self.daemon: Daemon | None = None
        self._journal = journal
        self._rules = ruleset(mode)
        self._terminal_pid = terminal_pid
        self._up = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._failure: BaseException | None = None

    @contextmanager
    def serving(self) -> Iterator["Stage"]:
        thread = threading.Thread(target=self._serve, name="stage")
        thread.start()
        self._up.wait(30)
        if self._failure is not None:
            thread.join()
            raise self._failure
        try:
            yield self
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            thread.join(30)

    def _serve(self) -> None:
        try:
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(self._main())
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._up.set()
            self._loop.close()

    async def _main(self) -> None:
        from reaper.config.places import ListenAddress
        from reaper.web import make_app, serve

        clock = SystemClock()
        await self._journal.open(write=True)
        world = await fill(self._journal, clock.now(), self._rules, self._terminal_pid)
        self.daemon = Daemon(
            setup=setup_for(self._rules),
            journal=self._journal,
            providers=(),
            notifiers=(),
            clock=clock,
            world=world,
        )
        await self.daemon.decide_now()
        app = make_app(DaemonControl(self.daemon), api_token=None)
        async with serve(app, [ListenAddress(path=self.socket)]):
            self._up.set()
            while not self._stop.is_set():
                try:
                    async with asyncio.timeout(0.1):
                        await self._stop.wait()
                except TimeoutError:
                    await self.daemon.decide_now()
        await self._journal.close()
