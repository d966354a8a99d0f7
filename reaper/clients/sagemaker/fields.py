"""Fields of SageMaker's answers, read without trusting them. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = ["instant", "text"]

_LONGEST = 2048
"""Characters; the longest ARN there is."""


def text(item: Mapping[str, Any], key: str) -> str:
    """Give a text; empty where there is none that can be shown."""
    value = item.get(key)
    fits = isinstance(value, str) and len(value) <= _LONGEST and value.isprintable()
    return value if fits and isinstance(value, str) else ""


def instant(item: Mapping[str, Any], key: str) -> datetime | None:
    """Give an instant in UTC; None where there is none."""
    value = item.get(key)
    return value.astimezone(UTC) if isinstance(value, datetime) and value.tzinfo is not None else None
