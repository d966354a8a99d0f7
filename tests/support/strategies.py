"""Hypothesis strategies: any value of any dataclass of core; worlds and rules as they can occur."""

import dataclasses
import types
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

TEXT = st.text(max_size=8)
INSTANTS = st.datetimes(
    min_value=datetime(1, 1, 2),  # noqa: DTZ001 - Hypothesis adds the zone
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001 - the same
    timezones=st.just(UTC),
)
DURATIONS = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=36500))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(0, 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    datetime: INSTANTS,
    timedelta: DURATIONS,
    time: st.times().map(lambda at: at.replace(tzinfo=None)),
    object: JSON,
    Any: JSON,
    types.NoneType: st.none(),
}


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Give a strategy for any annotated type that core's dataclasses use."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return st.one_of([values_of(one) for one in inner])
    if origin is tuple:
        if len(inner) == 2 and inner[1] is Ellipsis:
            return st.lists(values_of(inner[0]), max_size=3).map(tuple)
        return st.tuples(*(values_of(one) for one in inner))
    if origin is Sequence:
        return st.lists(values_of(inner[0]), max_size=3).map(tuple)
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(TEXT, values_of(inner[1]), max_size=3)
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    if issubclass(kind, tuple):
        return st.builds(kind, *(values_of(hint) for hint in get_type_hints(kind).values()))
    return any_of(kind)


def any_of(kind: type, **fixed: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Give a strategy for a dataclass, field by field; `fixed` replaces some."""
    hints = get_type_hints(kind)
    fields = [field.name for field in dataclasses.fields(kind) if field.init]
    return st.builds(
        kind, **{name: fixed[name] if name in fixed else values_of(hints[name]) for name in fields}
    )
