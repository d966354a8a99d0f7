"""What AWS accepts and answers, by botocore's own service models: the fake can't drift from them.

Models are loaded at the first request and kept for the life of the process (SageMaker's takes 0.2 s).
botocore's `ParamValidator` checks names, types and what is required; what it leaves to the service is
checked here: enumerations, patterns and upper bounds.
"""

import functools
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

__all__ = ["COMMON_ERRORS", "EC2_ERRORS", "Contract", "contract"]

COMMON_ERRORS = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InternalFailure",
        "InternalServerError",
        "InternalServiceError",
        "InvalidClientTokenId",
        "MissingAuthenticationTokenException",
        "RequestExpired",
        "RequestLimitExceeded",
        "ServiceUnavailable",
        "SignatureDoesNotMatch",
        "Throttling",
        "ThrottlingException",
        "UnknownOperationException",
        "UnrecognizedClientException",
        "ValidationError",
        "ValidationException",
    }
)
"""Errors that any operation may answer, beside those of its model (AWS API reference, Common Errors)."""

EC2_ERRORS = frozenset(
    {
        "AuthFailure",
        "Blocked",
        "DryRunOperation",
        "IncorrectInstanceState",
        "InsufficientInstanceCapacity",
        "InternalError",
        "InvalidAttributeValue",
        "InvalidInstanceAttributeValue",
        "InvalidInstanceID.Malformed",
        "InvalidInstanceID.NotFound",
        "InvalidInstanceType",
        "InvalidNextToken",
        "InvalidParameterCombination",
        "InvalidParameterValue",
        "InvalidSpotInstanceRequestID.NotFound",
        "InvalidVolume.NotFound",
        "MissingParameter",
        "OperationNotPermitted",
        "OptInRequired",
        "PendingVerification",
        "RequestExpired",
        "TagLimitExceeded",
        "Unavailable",
        "UnauthorizedOperation",
        "UnsupportedHibernationConfiguration",
        "UnsupportedOperation",
    }
)
"""EC2's model names no errors at all: these are of its list (Amazon EC2 API Reference, Error codes)."""

_SHOWN = 20
"""How many values of an enumeration a message names: there are a thousand instance types."""

_CLASSES = {r"\p{L}": "A-Za-z\u00c0-\uffdc", r"\p{Z}": " ", r"\p{N}": "0-9"}
"""Java's character classes in AWS' patterns, as near as `re` comes to them."""


class Contract:
    """One service as botocore knows it.

    Args:
        service: botocore's name of it: `sagemaker`.
    """

    def __init__(self, service: str) -> None:
        loader = import_module("botocore.loaders").Loader()
        raw = loader.load_service_model(service, "service-2")
        self.service = service
        self.model: Any = import_module("botocore.model").ServiceModel(raw, service)
        self._validator: Any = import_module("botocore.validate").ParamValidator()

    def operation(self, name: str) -> Any | None:
        """Give botocore's model of an operation; None if AWS has none of that name."""
        return self.model.operation_model(name) if name in self.model.operation_names else None

    def misfits(self, shape: Any | None, value: object) -> list[str]:
        """Tell where a value does not fit a shape: names, types, what is required. Pure."""
        if shape is None:
            return ["nothing is expected here"] if value else []
        report = self._validator.validate(value, shape)
        return report.generate_report().splitlines() if report.has_errors() else []

    def breaches(
        self, shape: Any | None, value: object, tolerated: frozenset[str] = frozenset()
    ) -> list[str]:
        """Tell where a value that fits breaks a constraint: enumeration, pattern, length, size. Pure.

        Args:
            shape: Of which shape.
            value: A value without misfits.
            tolerated: Strings that no enumeration needs to hold: AWS adds values before botocore knows them.
        """
        return [] if shape is None else list(_breaches(shape, value, "input", tolerated))

    def errors(self, operation: str) -> frozenset[str]:
        """Name the errors that an operation may answer."""
        model = self.operation(operation)
        own = () if model is None else (shape.error_code for shape in model.error_shapes)
        return COMMON_ERRORS.union(own, EC2_ERRORS if self.service == "ec2" else ())


@functools.cache
def contract(service: str) -> Contract:
    """Load a service's model, once."""
    return Contract(service)


def _breaches(shape: Any, value: Any, where: str, tolerated: frozenset[str]) -> Iterator[str]:
    match shape.type_name:
        case "structure":
            for name, part in value.items():
                yield from _breaches(shape.members[name], part, f"{where}.{name}", tolerated)
        case "list":
            for number, part in enumerate(value):
                yield from _breaches(shape.member, part, f"{where}[{number}]", tolerated)
            yield from _over(shape, len(value), where)
        case "map":
            for key, part in value.items():
                yield from _breaches(shape.key, key, f"{where} (key)", tolerated)
                yield from _breaches(shape.value, part, f"{where}.{key}", tolerated)
        case "string":
            yield from _bad_text(shape, value, where, tolerated)
        case "integer" | "long" | "float" | "double":
            yield from _over(shape, value, where)
        case _:
            return


def _bad_text(shape: Any, value: str, where: str, tolerated: frozenset[str]) -> Iterator[str]:
    if shape.enum:
        if value not in shape.enum and value not in tolerated:
            known = ", ".join(shape.enum[:_SHOWN]) + (" ..." if len(shape.enum) > _SHOWN else "")
            yield f"{where} = {value!r} is none of {known}"
        return
    pattern = shape.metadata.get("pattern")
    if pattern and (compiled := _compiled(pattern)) is not None and not compiled.fullmatch(value):
        yield f"{where} = {value!r} does not match {pattern}"
    yield from _over(shape, len(value), where)


def _over(shape: Any, size: float, where: str) -> Iterator[str]:
    most = shape.metadata.get("max")
    if most is not None and size > most:
        yield f"{where}: {size} is more than {most}"


@functools.cache
def _compiled(pattern: str) -> re.Pattern[str] | None:
    """Compile one of AWS' patterns; None for one that `re` has no words for."""
    for theirs, ours in _CLASSES.items():
        pattern = pattern.replace(theirs, ours)
    try:
        return re.compile(pattern)
    except re.error:
        return None
