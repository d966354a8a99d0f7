"""What every journal must tell of lives, as a test: part of `JournalContract`."""

# ruff: noqa: S101 - a test that is shipped: assert is its tool

from datetime import timedelta

from reaper.core.batch import fold_look
from reaper.core.model import Collected, Poll, Resource, ResourceKey, ResourceRef
from reaper.core.world import World
from reaper.plugins import Journal
from reaper.testing.journal_tale import MAX_GAP, START

__all__ = ["LivesContract"]


class LivesContract:
    """The test."""

    async def test_lives_are_found_by_key(self, journal: Journal) -> None:
        """All lives of a thing that were there since an instant, as last seen, in the order of their first looks."""
        world = World(max_gap=MAX_GAP)
        key = ResourceKey("ec2.instance", "é/\0", "i-1")

        async def look(minute: int, incarnation: str, *, owner: str | None = None) -> None:
            at = START + minute * timedelta(minutes=1)
            ref = ResourceRef(kind=key.kind, scope=key.scope, id=key.id, incarnation=incarnation)
            other = ResourceRef(kind=key.kind, scope=key.scope, id="i-2", incarnation=incarnation)
            seen = (
                Resource(ref=ref, name="box", owner=owner, hourly_cost=1.5),
                Resource(ref=other, name="other"),
            )
            poll = Poll(id=minute + 1, source="ec2:é", started_at=at, finished_at=at, complete=True)
            await journal.write(fold_look(world, Collected(poll=poll, resources=seen)))

        await look(0, "1")
        await look(1, "1", owner="ana")
        await look(5, "2")
        await look(9, "3")
        for opened in (True, False):
            found = await journal.lives([key], since=START)
            assert [one.resource.ref.incarnation for one in found] == ["1", "2", "3"]
            assert {one.resource.ref.key for one in found} == {key}
            assert [one.first_seen_at for one in found] == [
                START + timedelta(minutes=minute) for minute in (0, 5, 9)
            ]
            assert [one.ended_at for one in found] == [
                START + timedelta(minutes=5),
                START + timedelta(minutes=9),
                None,
            ]
            assert (found[0].resource.owner, found[0].resource.hourly_cost) == ("ana", 1.5)
            later = await journal.lives([key], since=START + timedelta(minutes=6))
            assert [one.resource.ref.incarnation for one in later] == ["2", "3"]
            both = await journal.lives([key, key._replace(id="i-2")], since=START + timedelta(minutes=10))
            assert [one.resource.ref.id for one in both] == ["i-1", "i-2"]
            assert await journal.lives([key._replace(kind="host")], since=START) == []
            assert await journal.lives([], since=START) == []
            if opened:
                await journal.close()
                await journal.open(write=False)
