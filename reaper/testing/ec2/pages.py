"""Pages of DescribeInstances over thousands of instances: texts, not structures, and kept."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from reaper.testing.aws_wire import wire, xml
from reaper.testing.aws_wire.contract import contract
from reaper.testing.aws_wire.front import Call
from reaper.testing.ec2.describe import described, reservation
from reaper.testing.ec2.filters import are_of_templates, meets, page_size, token, token_start
from reaper.testing.ec2.instance import Instance
from reaper.testing.ec2.shard import Shard
from reaper.testing.ec2.synthetic import Rows

__all__ = ["PageCache", "listed"]

_Key = tuple[int, int, int, str]
_MARK = b"<!-- -->"


class PageCache:
    """Pages that were sent, as long as they fit.

    Args:
        most: Bytes in all.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._pages: OrderedDict[_Key, bytes] = OrderedDict()

    def get(self, key: _Key) -> bytes | None:
        """Give a page that is kept."""
        if key in self._pages:
            self._pages.move_to_end(key)
        return self._pages.get(key)

    def put(self, key: _Key, page: bytes) -> None:
        """Keep a page, and let go of those that were longest not asked for."""
        self._pages[key] = page
        self._size += len(page)
        while self._size > self._most and self._pages:
            self._size -= len(self._pages.popitem(last=False)[1])


def listed(cache: PageCache, shard: Shard, rows: Rows, call: Call) -> wire.Answer:
    """Answer DescribeInstances without ids."""
    parameters = call.parameters
    filters = parameters.get("Filters", [])
    size, start = page_size(parameters, 1000), token_start(parameters)
    found = _positions(shard, rows, filters, start, size + 1)
    shown, more = found[:size], found[size:]
    plain = not any(position >= rows.count or position in shard.taken for position in shown)
    key = (id(rows), start, size, repr(filters))
    body = cache.get(key) if plain else None
    if body is None:
        own = shard.own()
        texts = rows.texts(shown) if plain else (_text(shard, rows, own, position) for position in shown)
        body = "".join(texts).encode()
        if plain:
            cache.put(key, body)
    onward = f"<nextToken>{token(parameters, more[0])}</nextToken>" if more else ""
    envelope = xml.ec2_envelope(contract("ec2").operation("DescribeInstances"), _MARK.decode(), call.id)
    before, after = envelope.split(_MARK)
    parts = (before, b"<reservationSet>", body, b"</reservationSet>", onward.encode(), after)
    return wire.written(wire.EC2, b"".join(parts), call.id)


def _positions(
    shard: Shard, rows: Rows, filters: list[Mapping[str, Any]], start: int, most: int
) -> list[int]:
    """Find who meets the filters, from a position on: rows by their number, then the shard's own instances."""
    shared = are_of_templates(filters)
    alike = rows.matching(lambda one: meets(one, filters)) if shared else frozenset[int]()
    found: list[int] = []
    for number in _candidates(rows, filters, start):
        if len(found) == most:
            return found
        if number in shard.taken:
            taken = shard.taken[number]
            fits = taken.id in shard.instances and meets(taken, filters)
        else:
            fits = rows.kinds[number] in alike if shared else meets(rows.make(number), filters)
        if fits:
            found.append(number)
    for position, one in enumerate(shard.own(), rows.count):
        if position >= start and len(found) < most and meets(one, filters):
            found.append(position)
    return found


def _candidates(rows: Rows, filters: list[Mapping[str, Any]], start: int) -> Sequence[int]:
    """Give the rows that may meet the filters: few where ids are named, else all."""
    for one in filters:
        if one["Name"] == "instance-id" and not any("*" in id_ or "?" in id_ for id_ in one["Values"]):
            numbers = {rows.number(id_) for id_ in one["Values"]}
            return sorted(number for number in numbers if number is not None and number >= start)
    return range(start, rows.count)


def _text(shard: Shard, rows: Rows, own: list[Instance], position: int) -> str:
    """Write an instance that may have been touched."""
    if position < rows.count and position not in shard.taken:
        return next(rows.texts([position]))
    one = shard.taken[position] if position < rows.count else own[position - rows.count]
    shape: Any = contract("ec2").model.shape_for("DescribeInstancesResult")
    text = xml.ec2_body(shape, {"Reservations": [reservation([described(one)], one)]})
    return text.removeprefix("<reservationSet>").removesuffix("</reservationSet>")
