"""The settings of prices: what an hour costs, where that is not AWS's list price."""

import json
import math
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

from reaper.config.sections import Section, declared
from reaper.config.values import LowerText

__all__ = ["PriceTable", "PricesSettings"]

_NAME = re.compile(r"(spot/)?([a-z]{2,4}(-[a-z]+)+-\d/)?(ml\.)?[a-z][a-z0-9-]*\.[a-z0-9-]+")


def _read_overrides(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise ValueError(f'must be JSON, such as {{"g5.xlarge": 0.9}}: {error}') from None
    if not isinstance(value, dict):
        raise ValueError("must be a table of instance types with US dollars an hour: { 'g5.xlarge' = 0.9 }")
    return {_name(name): _amount(name, amount) for name, amount in value.items()}


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name[:60]!r} names no instance type: write g5.xlarge, eu-central-1/g5.xlarge, ml.g5.xlarge, or with "
            "spot/ before it; in TOML in quotes, for its dot"
        )
    return name


def _amount(name: str, amount: object) -> float:
    if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not 0 < amount < math.inf:
        raise ValueError(
            f"{name}: {str(amount)[:40]!r} is no price: write US dollars an hour, more than 0; leave an unknown one out"
        )
    return float(amount)


PriceTable = Annotated[
    dict[str, float],
    BeforeValidator(_read_overrides),
    WithJsonSchema(
        {"anyOf": [{"type": "object", "additionalProperties": {"type": "number", "exclusiveMinimum": 0}},
                   {"type": "string"}]}
    ),
]  # fmt: skip
"""US dollars an hour by instance type: a table, or JSON."""


class PricesSettings(Section):
    """What things cost an hour: for reports, budgets, `reaper check` and the rule `spend`."""

    overrides: PriceTable = declared(
        {},
        "US dollars an hour that you pay, by instance type: `g5.xlarge`, `eu-central-1/g5.xlarge`, `ml.g5.xlarge`; "
        "spot instances apart: `spot/g5.xlarge`. They beat every list price",
        shown="none",
        example='{"g5.xlarge": 0.9, "eu-central-1/g5.xlarge": 1.1}',
    )
    source: Annotated[Literal["auto", "shipped", "none"], LowerText] = declared(
        "auto",
        "`auto`: AWS's price list and spot prices where a policy is about EC2, else and until they answer a dated "
        "table that reaper ships; `shipped`: that table alone; `none`: only what is in `overrides`",
    )
