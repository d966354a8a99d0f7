"""Any value of any dataclass of core, as a Hypothesis strategy.

A value is drawn as one piece of bytes, which a maker spends field by field: a draw for each field takes ten times
as long, most of it spent by Hypothesis. Bytes that are used up go on as zeros: the simplest value there is.
"""

import dataclasses
import math
import struct
import types
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from enum import Enum
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

__all__ = ["BYTES", "Maker", "values_of"]

TEXTS = ("", "a", "idle", "é", "🜏 e\u0301", "\0\u2028", "'\"\\", "null", "2026-03-02T09:00:00Z", "\udcff")
MICROSECOND = timedelta(microseconds=1)
FIRST, LAST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
CENTURY = timedelta(days=36500)
MOST = 256
"""Bytes for one value; a decision with all its evidence may use them up."""


BYTES = st.binary(min_size=MOST, max_size=MOST)


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Give a strategy for any annotated type that core's dataclasses use."""
    return BYTES.map(lambda drawn: Maker(drawn).value(kind))


class Maker:
    """Makes values out of bytes."""

    def __init__(self, drawn: bytes) -> None:
        self._drawn = drawn
        self._at = 0

    def number(self, size: int) -> int:
        """Spend some bytes."""
        spent, self._at = self._drawn[self._at : self._at + size], self._at + size
        return int.from_bytes(spent)

    def value(self, kind: Any) -> Any:
        """Make a value of an annotated type."""
        plain = _PLAIN.get(kind)
        if plain is not None:
            return plain(self)
        origin, inner = _parts(kind)
        if origin in (Union, types.UnionType):
            return self.value(inner[self.number(1) % len(inner)])
        if origin is tuple and inner[-1] is not Ellipsis:
            return tuple(self.value(one) for one in inner)
        if origin in (tuple, Sequence):
            return tuple(self.value(inner[0]) for _ in range(self._few()))
        if origin is Mapping:
            return {self.text(): self.value(inner[1]) for _ in range(self._few())}
        if issubclass(kind, Enum):
            options = list(kind)
            return options[self.number(1) % len(options)]
        if issubclass(kind, tuple):  # a NamedTuple
            return kind(*(self.value(hint) for hint in get_type_hints(kind).values()))
        return self.made(kind)

    def made(self, kind: type, **fixed: Callable[["Maker"], Any]) -> Any:
        """Make a dataclass, field by field; `fixed` makes some in another way."""
        return kind(
            **{name: fixed[name](self) if name in fixed else self.value(hint) for name, hint in _fields(kind)}
        )

    def text(self) -> str:
        """Make a text."""
        return TEXTS[self.number(1) % len(TEXTS)]

    def instant(self) -> datetime:
        """Make an instant, to the microsecond."""
        return FIRST + self.number(8) % ((LAST - FIRST) // MICROSECOND) * MICROSECOND

    def duration(self) -> timedelta:
        """Make a duration, to the microsecond."""
        return self.number(7) % (CENTURY // MICROSECOND) * MICROSECOND

    def real(self) -> float:
        """Make any finite number."""
        (made,) = struct.unpack("d", self.number(8).to_bytes(8))
        return float(made) if math.isfinite(made) else 0.5

    def json(self, depth: int = 2) -> Any:
        """Make a value as JSON has them."""
        kind = self.number(1) % (7 if depth else 5)
        if kind == 0:
            return None
        if kind == 1:
            return bool(self.number(1) % 2)
        if kind == 2:
            return self.number(6) - 2**47
        if kind == 3:
            return self.real()
        if kind == 4:
            return self.text()
        if kind == 5:
            return [self.json(depth - 1) for _ in range(self._few())]
        return {self.text(): self.json(depth - 1) for _ in range(self._few())}

    def _few(self) -> int:
        return (0, 1, 2)[self.number(1) % 3]


_PLAIN: dict[Any, Callable[[Maker], Any]] = {
    str: Maker.text,
    int: lambda maker: maker.number(6),
    float: Maker.real,
    bool: lambda maker: maker.number(1) % 2 == 1,
    datetime: Maker.instant,
    timedelta: Maker.duration,
    time: lambda maker: (FIRST + maker.duration()).time(),
    object: Maker.json,
    Any: Maker.json,
    types.NoneType: lambda _: None,
}


@cache
def _parts(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    return get_origin(kind), get_args(kind)


@cache
def _fields(kind: type) -> tuple[tuple[str, Any], ...]:
    hints = get_type_hints(kind)
    return tuple((field.name, hints[field.name]) for field in dataclasses.fields(kind) if field.init)
