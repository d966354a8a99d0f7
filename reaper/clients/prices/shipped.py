"""Prices shipped with reaper, for when AWS is not asked or does not answer.

Written down by hand from AWS's public list of on-demand prices, Linux, shared tenancy, without discounts, as they stood
on the date below: common types of the regions used most. Prices change (in June 2025 those of P4 and P5
fell by a third and more), which is why each carries its date wherever it is shown. What is not in here is unknown.
"""

from datetime import date

from reaper.clients.prices.models import LINUX, Price, PriceKey

__all__ = ["SHIPPED_ON", "shipped"]

SHIPPED_ON = date(2025, 7, 1)

_SIZES = {
    "large": 1, "xlarge": 2, "2xlarge": 4, "4xlarge": 8, "8xlarge": 16, "9xlarge": 18, "12xlarge": 24, "16xlarge": 32,
    "18xlarge": 36, "24xlarge": 48, "32xlarge": 64, "48xlarge": 96,
}  # fmt: skip
"""How many times the price of `large` a size costs, in families whose price goes by size."""

_UP_TO_24 = ("large", "xlarge", "2xlarge", "4xlarge", "8xlarge", "12xlarge", "16xlarge", "24xlarge")
_UP_TO_16 = _UP_TO_24[:-1]
_UP_TO_32 = (*_UP_TO_24, "32xlarge")
_UP_TO_48 = (*_UP_TO_32, "48xlarge")
_C5 = ("large", "xlarge", "2xlarge", "4xlarge", "9xlarge", "12xlarge", "18xlarge", "24xlarge")
_INTEL_7 = (*_UP_TO_24, "48xlarge")

_FAMILIES = {
    "c5": _C5, "c6i": _UP_TO_32, "c6a": _UP_TO_48, "c6g": _UP_TO_16, "c7i": _INTEL_7,
    "m5": _UP_TO_24, "m6i": _UP_TO_32, "m6a": _UP_TO_48, "m6g": _UP_TO_16, "m7g": _UP_TO_16, "m7i": _INTEL_7,
    "r5": _UP_TO_24, "r6i": _UP_TO_32, "r6a": _UP_TO_48, "r6g": _UP_TO_16, "r7g": _UP_TO_16, "r7i": _INTEL_7,
}  # fmt: skip
"""Which sizes there are of a family whose price goes by size: of others nothing is said."""

_BURSTABLE = {
    "nano": 0.125, "micro": 0.25, "small": 0.5, "medium": 1, "large": 2, "xlarge": 4, "2xlarge": 8,
}  # fmt: skip
"""How many times the price of `medium` a size of T3, T3a and T4g costs."""

_UNITED_STATES = {
    "c5": 0.085, "c6i": 0.085, "c6a": 0.0765, "c6g": 0.068, "c7i": 0.08925,
    "m5": 0.096, "m6i": 0.096, "m6a": 0.0864, "m6g": 0.077, "m7g": 0.0816, "m7i": 0.1008,
    "r5": 0.126, "r6i": 0.126, "r6a": 0.1134, "r6g": 0.1008, "r7g": 0.1071, "r7i": 0.1323,
}  # fmt: skip

_LARGE: dict[str, dict[str, float]] = {
    "us-east-1": _UNITED_STATES,
    "us-east-2": _UNITED_STATES,
    "us-west-2": _UNITED_STATES,
    "eu-west-1": {"c5": 0.096, "m5": 0.107, "m6i": 0.107, "r5": 0.141, "r6i": 0.141},
    "eu-central-1": {"c5": 0.097, "c6i": 0.097, "m5": 0.115, "m6i": 0.115, "r5": 0.152, "r6i": 0.152},
    "ap-northeast-1": {"c5": 0.107, "c6i": 0.107, "m5": 0.124, "m6i": 0.124, "r5": 0.152, "r6i": 0.152},
}
"""What `large` costs, by region and family."""

_T_UNITED_STATES = {"t3": 0.0416, "t3a": 0.0376, "t4g": 0.0336}

_MEDIUM: dict[str, dict[str, float]] = {
    "us-east-1": _T_UNITED_STATES,
    "us-east-2": _T_UNITED_STATES,
    "us-west-2": _T_UNITED_STATES,
    "eu-west-1": {"t3": 0.0456},
    "eu-central-1": {"t3": 0.048},
    "ap-northeast-1": {"t3": 0.0544},
}
"""What `medium` costs, by region and family of those that burst."""

_ACCELERATED_UNITED_STATES = {
    "g4dn.xlarge": 0.526, "g4dn.2xlarge": 0.752, "g4dn.4xlarge": 1.204, "g4dn.8xlarge": 2.176,
    "g4dn.12xlarge": 3.912, "g4dn.16xlarge": 4.352, "g4dn.metal": 7.824,
    "g5.xlarge": 1.006, "g5.2xlarge": 1.212, "g5.4xlarge": 1.624, "g5.8xlarge": 2.448, "g5.12xlarge": 5.672,
    "g5.16xlarge": 4.096, "g5.24xlarge": 8.144, "g5.48xlarge": 16.288,
    "g6.xlarge": 0.8048, "g6.2xlarge": 0.9776, "g6.4xlarge": 1.3232, "g6.8xlarge": 2.0144, "g6.12xlarge": 4.6016,
    "g6.16xlarge": 3.3968, "g6.24xlarge": 6.6752, "g6.48xlarge": 13.3504,
    "g6e.xlarge": 1.861, "g6e.2xlarge": 2.24208, "g6e.4xlarge": 3.00424, "g6e.8xlarge": 4.52856,
    "g6e.12xlarge": 10.49264, "g6e.16xlarge": 7.57719, "g6e.24xlarge": 15.06559, "g6e.48xlarge": 30.13118,
    "p3.2xlarge": 3.06, "p3.8xlarge": 12.24, "p3.16xlarge": 24.48,
    "p4d.24xlarge": 21.957642, "p5.48xlarge": 55.04,
}  # fmt: skip

_EXACT: dict[str, dict[str, float]] = {
    "us-east-1": {
        **_ACCELERATED_UNITED_STATES, "p4de.24xlarge": 27.44705, "p5en.48xlarge": 63.296,
        "inf2.xlarge": 0.7582, "inf2.8xlarge": 1.96786, "inf2.24xlarge": 6.49063, "inf2.48xlarge": 12.98127,
        "trn1.2xlarge": 1.34375, "trn1.32xlarge": 21.5,
    },
    "us-east-2": {**_ACCELERATED_UNITED_STATES, "p5en.48xlarge": 63.296},
    "us-west-2": {**_ACCELERATED_UNITED_STATES, "p4de.24xlarge": 27.44705},
    "eu-west-1": {"g4dn.xlarge": 0.587, "g5.xlarge": 1.123, "p3.2xlarge": 3.305},
    "eu-central-1": {"g4dn.xlarge": 0.658, "g5.xlarge": 1.258, "p3.2xlarge": 3.823},
    "ap-northeast-1": {"g4dn.xlarge": 0.71, "g5.xlarge": 1.459, "p3.2xlarge": 4.194},
}  # fmt: skip
"""Prices that go by no rule, by region."""

_ML_UNITED_STATES = {
    "ml.t3.medium": 0.05, "ml.t3.large": 0.1, "ml.t3.xlarge": 0.2, "ml.t3.2xlarge": 0.399,
    "ml.m5.large": 0.115, "ml.m5.xlarge": 0.23, "ml.m5.2xlarge": 0.461, "ml.m5.4xlarge": 0.922,
    "ml.c5.large": 0.102, "ml.c5.xlarge": 0.204, "ml.c5.2xlarge": 0.408, "ml.c5.4xlarge": 0.816,
    "ml.r5.large": 0.151, "ml.r5.xlarge": 0.302, "ml.r5.2xlarge": 0.605, "ml.r5.4xlarge": 1.21,
    "ml.g4dn.xlarge": 0.7364, "ml.g4dn.2xlarge": 0.94, "ml.g4dn.4xlarge": 1.505, "ml.g4dn.8xlarge": 2.72,
    "ml.g4dn.12xlarge": 4.89, "ml.g4dn.16xlarge": 5.44,
    "ml.g5.xlarge": 1.408, "ml.g5.2xlarge": 1.515, "ml.g5.4xlarge": 2.03, "ml.g5.8xlarge": 3.06,
    "ml.g5.12xlarge": 7.09, "ml.g5.16xlarge": 5.12, "ml.g5.24xlarge": 10.18, "ml.g5.48xlarge": 20.36,
    "ml.p3.2xlarge": 3.825, "ml.p3.8xlarge": 14.688, "ml.p3.16xlarge": 28.152,
}  # fmt: skip

_ML = {"us-east-1": _ML_UNITED_STATES, "us-east-2": _ML_UNITED_STATES, "us-west-2": _ML_UNITED_STATES}
"""Of SageMaker, by region: the same for notebook instances, Studio's apps and endpoints."""


def shipped(key: PriceKey) -> Price | None:
    """Look a price up in the table; None where it is not in there, and for spot and every platform but Linux. Pure."""
    if key.spot or key.platform != LINUX:
        return None
    hourly = _hourly(key)
    return None if hourly is None else Price(hourly=hourly, source="shipped", date=SHIPPED_ON)


def _hourly(key: PriceKey) -> float | None:
    if key.component:
        return _ML.get(key.region, {}).get(key.instance_type)
    exact = _EXACT.get(key.region, {}).get(key.instance_type)
    if exact is not None:
        return exact
    family, _, size = key.instance_type.partition(".")
    large = _LARGE.get(key.region, {}).get(family)
    if large is not None and size in _FAMILIES[family]:
        return round(large * _SIZES[size], 6)
    medium = _MEDIUM.get(key.region, {}).get(family)
    if medium is not None and size in _BURSTABLE:
        return round(medium * _BURSTABLE[size], 6)
    return None
