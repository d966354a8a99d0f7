"""What every journal must do, as tests: for ours, and for those of plugin authors.

Subclass `JournalContract` in a test module under a name that pytest collects, say how to make a journal,
and the tests come along (they are coroutines: pytest-asyncio in auto mode)::

    class TestPostgresJournal(JournalContract):
        @pytest.fixture
        async def journal(self, database):
            journal = PostgresJournal.from_address(database.url)
            await journal.open(write=True)
            yield journal
            await journal.close()

The journal is empty, open for writing, and may be closed and opened again by a test. The heart of it:
whatever was looked at and happened, `World.restore(await journal.load(seq=k))` is the world as it stood
when batch k was folded, field by field. `reaper.testing.journal_tale.Tale` makes up what happens.
"""

# ruff: noqa: S101, PLR2004 - a suite of tests that is shipped: assert is its tool, numbers are what it compares

import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from reaper.core.batch import Batch, fold_facts, fold_look
from reaper.core.decide import Decision, decide
from reaper.core.facts import ConfigLoaded, Fact, HoldPlaced, LedgerEntry, Paused, SettingChanged
from reaper.core.history import History
from reaper.core.image import Image
from reaper.core.model import (
    Activity,
    Collected,
    Hold,
    HoldMatcher,
    Observation,
    Poll,
    Resource,
    ResourceRef,
)
from reaper.core.ruleset import PolicySpec, Ruleset, Step
from reaper.core.verdict import Finding, Reason, Verdict
from reaper.core.world import World
from reaper.errors import JournalError
from reaper.plugins import Journal, LedgerQuery
from reaper.testing.journal_lives import LivesContract
from reaper.testing.journal_tale import MAX_GAP, START, told
from reaper.testing.worlds import differences, lasting

__all__ = ["JournalContract"]


@dataclass(frozen=True)
class _Patient:
    """A rule that waits for ever."""

    timeout: timedelta = timedelta(hours=2)

    def evaluate(self, history: History, now: datetime, policy: str) -> Finding:
        return Finding(
            policy=policy, verdict=Verdict.WAIT, reason=Reason.IDLE_NOT_LONG_ENOUGH, since=START, detail="é"
        )


RULES = Ruleset(
    policies=(
        PolicySpec(
            name="idle",
            kind="jupyter.kernel",
            rule_name="idle",
            rule=_Patient(),
            steps=(Step(action="stop"),),
        ),
    )
)
"""What the tests decide by."""


class JournalContract(LivesContract):
    """The tests."""

    @pytest.fixture
    def journal(self) -> AsyncIterator[Journal]:
        """Give an empty journal, open for writing; close it afterwards. To be overridden."""
        raise NotImplementedError

    # --- the state ----------------------------------------------------------------------------------------

    async def test_an_empty_journal_describes_an_empty_world(self, journal: Journal) -> None:
        """Nothing was written: nothing is known, at whatever batch or instant."""
        assert await journal.load() == Image()
        assert await journal.load(seq=7) == Image()
        assert await journal.load(at=START) == Image()

    @pytest.mark.parametrize("seed", range(8))
    async def test_the_world_comes_back_as_of_every_batch(self, journal: Journal, seed: int) -> None:
        """A restart and a replay of the past see what the daemon saw: timers, failures, holds, actions, evidence.

        The batches are written after the whole tale was folded: what a batch says must not depend on when it is
        written, since histories go on changing.
        """
        batches, worlds = told(seed)
        for batch in batches:
            await journal.write(batch)
        for seq, world in enumerate(worlds):
            restored = World.restore(await journal.load(seq=seq), MAX_GAP)
            assert differences(restored, world) == []
        assert World.restore(await journal.load(), MAX_GAP) == worlds[-1]
        assert World.restore(await journal.load(seq=len(batches) + 100), MAX_GAP) == worlds[-1]

    @pytest.mark.parametrize("seed", range(100, 103))
    async def test_a_restart_changes_nothing(self, journal: Journal, seed: int) -> None:
        """Closed and opened again between any two batches, also in the middle of a run, it goes on as before."""
        batches, worlds = told(seed)
        for batch in batches:
            await journal.write(batch)
            if batch.seq % 3 == 0:
                await journal.close()
                await journal.open(write=True)
        for seq, world in enumerate(worlds):
            assert differences(World.restore(await journal.load(seq=seq), MAX_GAP), world) == []

    async def test_an_instant_means_the_last_batch_not_after_it(self, journal: Journal) -> None:
        """The state at an instant is what had been folded by then: a look counts from its end."""
        world = World(max_gap=MAX_GAP)
        look = fold_look(world, a_look(1, START, took=timedelta(seconds=2)))
        fact = fold_facts(world, (Paused(at=START + timedelta(minutes=1), who="ana", why="", until=None),))
        for batch in (look, fact):
            await journal.write(batch)
        for seconds, seq in ((1.9, 0), (2, 1), (59, 1), (60, 2), (9999, 2)):
            assert (await journal.load(at=START + timedelta(seconds=seconds))).seq == seq

    async def test_memos_are_given_back(self, journal: Journal) -> None:
        """Of each source the latest; a look without one leaves it."""
        world = World(max_gap=MAX_GAP)
        for number, memo in enumerate(({"cpu": [1.5, 2]}, {"cpu": [3.25, None], "é": {}}, None), start=1):
            look = replace(a_look(number, START + number * timedelta(minutes=1)), memo=memo)
            await journal.write(fold_look(world, look))
        assert (await journal.load()).memos == {"jupyter:test": {"cpu": [3.25, None], "é": {}}}

    async def test_any_text_comes_back(self, journal: Journal) -> None:
        """Servers send what they like: lone surrogates, NUL, the empty text, a megabyte."""
        world, texts = (
            World(max_gap=MAX_GAP),
            ("", "\0", "\ud800 \udcff", "🜏 e\u0301", "'; --", "x" * 1_000_000),
        )
        for number, text in enumerate(texts, start=1):
            ref = ResourceRef(kind=text, scope=text, id=text, incarnation=text)
            resource = Resource(
                ref=ref, name=text, tags={text: text}, attributes={text: [text, None, 1.5, {}]}
            )
            seen = Observation(ref=ref, signal=text, activity=Activity.IDLE, value=text, evidence_at=START)
            poll = Poll(
                id=number,
                source=f"{text} {number}",
                started_at=START,
                finished_at=START,
                complete=False,
                error=text,
                targets=(text,),
                failed_kinds=("x", text),
            )
            await journal.write(
                fold_look(world, Collected(poll=poll, resources=(resource,), observations=(seen,)))
            )
            assert differences(World.restore(await journal.load(), MAX_GAP), world) == []

    # --- writing ------------------------------------------------------------------------------------------

    async def test_the_same_batch_twice_is_written_once(self, journal: Journal) -> None:
        """A caller that does not know whether its batch was written writes it again."""
        batches, worlds = told(1)
        for batch in batches:
            await journal.write(batch)
            await journal.write(batch)
            await journal.write(batches[0])
        assert World.restore(await journal.load(), MAX_GAP) == worlds[-1]
        told_facts = [fact for batch in batches for fact in batch.facts]
        assert await journal.facts(LedgerQuery()) == told_facts

    async def test_a_gap_between_batches_is_refused(self, journal: Journal) -> None:
        """What rests on a batch that is missing can't be right: maker and journal disagree, which is a defect."""
        batches, _ = told(2, 3)
        with pytest.raises(RuntimeError):
            await journal.write(batches[1])
        await journal.write(batches[0])
        with pytest.raises(RuntimeError):
            await journal.write(batches[2])
        assert (await journal.load()).seq == 1

    # --- facts and decisions --------------------------------------------------------------------------------

    async def test_facts_are_read_back_in_order(self, journal: Journal) -> None:
        """By type, time, life; the newest so many, oldest first."""
        batches, _ = told(3, 60)
        for batch in batches:
            await journal.write(batch)
        everything = [fact for batch in batches for fact in batch.facts]
        assert await journal.facts(LedgerQuery(limit=100_000)) == everything
        assert await journal.facts(LedgerQuery(limit=5)) == everything[-5:]
        assert await journal.facts(LedgerQuery(limit=0)) == []
        some = [fact for fact in everything if isinstance(fact, (LedgerEntry, ConfigLoaded))]
        assert await journal.facts(LedgerQuery(types=("LedgerEntry", "ConfigLoaded"))) == some
        middle = everything[len(everything) // 2].at
        assert await journal.facts(LedgerQuery(since=middle)) == [
            fact for fact in everything if fact.at >= middle
        ]
        assert await journal.facts(LedgerQuery(until=middle)) == [
            fact for fact in everything if fact.at <= middle
        ]
        ref = next(fact.ref for fact in everything if isinstance(fact, LedgerEntry))
        about = [fact for fact in everything if getattr(fact, "ref", None) == ref]
        assert await journal.facts(LedgerQuery(ref=ref)) == about
        assert await journal.facts(LedgerQuery(ref=replace(ref, incarnation="no such life"))) == []

    async def test_decisions_are_read_back(self, journal: Journal) -> None:
        """By life, by id or the beginning of one; the newest so many, oldest first."""
        world, decisions = World(max_gap=MAX_GAP), list[Decision]()
        for number in range(4):
            at = START + number * timedelta(minutes=1)
            await journal.write(fold_look(world, a_look(number + 1, at)))
            made = tuple(decide(world, RULES, at))
            decisions += made
            await journal.write(fold_facts(world, (), made))
        assert len(decisions) == 8
        assert await journal.decisions() == decisions
        assert await journal.decisions(limit=3) == decisions[-3:]
        of_one = [decision for decision in decisions if decision.ref == decisions[0].ref]
        assert await journal.decisions(ref=decisions[0].ref) == of_one
        assert await journal.decisions(ref=decisions[0].ref, limit=1) == of_one[-1:]
        one = decisions[5]
        assert await journal.decisions(decision_id=one.id) == [one]
        assert one in await journal.decisions(decision_id=one.id[:6])
        assert await journal.decisions(decision_id="no such decision") == []
        assert World.restore(await journal.load(), MAX_GAP) == world

    async def test_rules_are_found_by_digest(self, journal: Journal) -> None:
        """Each that was in force; the newest body of a digest."""
        world = World(max_gap=MAX_GAP)
        for digest in ("a", "b"):
            body = {"mode": digest, "policies": [{"params": {"timeout": 1.5}}]}
            await journal.write(fold_facts(world, (ConfigLoaded(at=START, digest=digest, body=body),)))
        assert await journal.config("a") == {"mode": "a", "policies": [{"params": {"timeout": 1.5}}]}
        assert (await journal.config("b") or {})["mode"] == "b"
        assert await journal.config("c") is None

    # --- pruning --------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("seed", range(200, 208))
    async def test_pruning_drops_only_what_nothing_needs(self, journal: Journal, seed: int) -> None:
        """Every batch from the one before the instant on can still be loaded; older ones are refused, never wrong."""
        batches, worlds = told(seed, 60)
        chance, before = random.Random(seed), START  # noqa: S311
        for batch in batches:
            await journal.write(batch)
            if batch.seq in {20, 35, 50}:
                before = max(before, worlds_at(batches)[chance.randrange(batch.seq)])
                assert await journal.prune(before) >= 0
            if batch.seq == 40:
                await journal.close()
                await journal.open(write=True)
        kept = 0
        for seq, world in enumerate(worlds):
            try:
                restored = World.restore(await journal.load(seq=seq), MAX_GAP)
            except JournalError:
                assert not kept, "a batch was refused though an older one was not"
                continue
            kept += 1
            assert differences(lasting(restored, before), lasting(world, before)) == []
        assert kept > sum(at >= before for at in worlds_at(batches))

    async def test_pruning_forgets(self, journal: Journal) -> None:
        """What is over and old goes: evidence, decisions, facts, rules. What is in force stays, however old."""
        world, old = World(max_gap=MAX_GAP), START + timedelta(minutes=5)
        held = Hold(id="h", matcher=HoldMatcher(), who="ana", why="", starts_at=START, expires_at=None)
        over = replace(
            held, id="over", matcher=HoldMatcher(id="nothing has it"), expires_at=START + timedelta(minutes=1)
        )
        facts: tuple[Fact, ...] = (
            HoldPlaced(at=START, hold=held),
            HoldPlaced(at=START, hold=over),
            ConfigLoaded(at=START, digest="a", body={}),
            ConfigLoaded(at=START, digest="b", body={}),
            SettingChanged(
                at=START, name="idle-timeout", value="90m", previous="", underlying="", until=None, who="ana"
            ),
        )
        await journal.write(fold_facts(world, facts))
        for number in range(20):
            at = START + number * timedelta(minutes=1)
            await journal.write(fold_look(world, a_look(number + 1, at, value=str(number))))
            await journal.write(fold_facts(world, (), tuple(decide(world, RULES, at))))
        assert await journal.prune(START) == 0
        assert await journal.prune(old) > 10
        assert await journal.prune(old) == 0
        assert await journal.facts(LedgerQuery()) == [facts[0], facts[3], facts[4]]
        assert all(decision.at >= old for decision in await journal.decisions())
        assert await journal.config("a") is None
        assert await journal.config("b") is not None
        assert set((await journal.load()).memos) == set()
        with pytest.raises(JournalError):
            await journal.load(seq=3)
        with pytest.raises(JournalError):
            await journal.load(at=START)
        world.holds.pop("over")
        assert differences(World.restore(await journal.load(), MAX_GAP), world) == []

    async def test_pruning_everything_keeps_what_lives(self, journal: Journal) -> None:
        """Nothing was looked at since, but what was alive then is all that is known."""
        batches, worlds = told(5)
        for batch in batches:
            await journal.write(batch)
        future = START + timedelta(days=365)
        await journal.prune(future)
        restored = World.restore(await journal.load(), MAX_GAP)
        assert differences(lasting(restored, future), lasting(worlds[-1], future)) == []

    # --- opening --------------------------------------------------------------------------------------------

    async def test_it_is_opened_once(self, journal: Journal) -> None:
        """One object is one opening."""
        with pytest.raises(JournalError):
            await journal.open(write=True)

    async def test_a_closed_journal_refuses(self, journal: Journal) -> None:
        """Closing twice is closing; nothing can be asked of it afterwards."""
        batches, _ = told(6, 1)
        await journal.close()
        await journal.close()
        with pytest.raises(JournalError):
            await journal.load()
        with pytest.raises(JournalError):
            await journal.write(batches[0])

    async def test_a_reader_does_not_write(self, journal: Journal) -> None:
        """Opened for reading it gives what there is, and refuses the rest."""
        batches, worlds = told(7, 5)
        for batch in batches[:4]:
            await journal.write(batch)
        await journal.close()
        await journal.open(write=False)
        assert World.restore(await journal.load(), MAX_GAP) == worlds[4]
        with pytest.raises(JournalError):
            await journal.write(batches[4])
        with pytest.raises(JournalError):
            await journal.prune(START + timedelta(days=1))


def worlds_at(batches: Sequence[Batch]) -> list[datetime]:
    """Give the instant of each batch of a tale."""
    instants: list[datetime] = []
    for batch in batches:
        own = [batch.poll.finished_at] if batch.poll is not None else []
        instants.append(max([*own, *(fact.at for fact in batch.facts)]))
    return instants


def a_look(number: int, at: datetime, *, took: timedelta = timedelta(0), value: str = "idle") -> Collected:
    """Make a complete look at two kernels."""
    resources = tuple(
        Resource(ref=ResourceRef(kind="jupyter.kernel", scope="s", id=name, incarnation="1"), name=name)
        for name in ("k1", "k2")
    )
    observations = tuple(
        Observation(
            ref=one.ref, signal="execution_state", activity=Activity.IDLE, evidence_at=START, value=value
        )
        for one in resources
    )
    poll = Poll(id=number, source="jupyter:test", started_at=at, finished_at=at + took, complete=True)
    return Collected(poll=poll, resources=resources, observations=observations)
