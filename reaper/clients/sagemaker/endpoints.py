"""Inference endpoints, by SageMaker's API."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reaper.clients.aws import (
    DELETE_ENDPOINT,
    DESCRIBE_ENDPOINT,
    DESCRIBE_ENDPOINT_CONFIG,
    LIST_ENDPOINTS,
    LIST_INFERENCE_COMPONENTS,
    Aws,
)
from reaper.clients.sagemaker.fields import instant, text
from reaper.errors import SourceMalformed

__all__ = [
    "EndpointModel",
    "delete_endpoint",
    "describe_endpoint",
    "describe_types",
    "list_endpoints",
    "list_hosts_of_components",
    "parse_endpoint",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointModel:
    """An endpoint.

    Attributes:
        name: Its name; free to be used again once it is deleted.
        status: As SageMaker says: `InService` ...; empty where that can't be read.
        arn: Its ARN; empty likewise.
        created_at: CreationTime; None likewise.
        modified_at: LastModifiedTime; None likewise.
        variants: Names of its production variants, where it was described.
        counts: How many instances each runs on now, where it was described; None: that is not told (serverless).
        shadowed: It has variants that get copies of requests, and cost too, where it was described.
        config: Name of its configuration, where it was described.
        asynchronous: It answers by a queue, where it was described.
    """

    name: str
    status: str = ""
    arn: str = ""
    created_at: datetime | None = None
    modified_at: datetime | None = None
    variants: tuple[str, ...] = ()
    counts: tuple[int | None, ...] = ()
    shadowed: bool = False
    config: str = ""
    asynchronous: bool = False


def parse_endpoint(answer: Mapping[str, Any]) -> EndpointModel:
    """Read an item of ListEndpoints, or the answer to DescribeEndpoint. Pure."""
    variants = answer.get("ProductionVariants")
    told = [one for one in variants if isinstance(one, Mapping)] if variants else []
    named = [text(one, "VariantName") for one in told]
    return EndpointModel(
        name=text(answer, "EndpointName"),
        status=text(answer, "EndpointStatus"),
        arn=text(answer, "EndpointArn"),
        created_at=instant(answer, "CreationTime"),
        modified_at=instant(answer, "LastModifiedTime"),
        variants=tuple(named) if all(named) else (),
        counts=tuple(map(_count, told)) if all(named) else (),
        shadowed=bool(answer.get("ShadowProductionVariants")),
        config=text(answer, "EndpointConfigName"),
        asynchronous=bool(answer.get("AsyncInferenceConfig")),
    )


def _count(variant: Mapping[str, Any]) -> int | None:
    count = variant.get("CurrentInstanceCount")
    return count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None


async def list_endpoints(aws: Aws, region: str) -> list[EndpointModel]:
    """List the endpoints of a region, of every state.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.pages`; one without a name or CreationTime is
            malformed: then nothing can be said to be gone.
    """
    found = []
    for item in await aws.pages(LIST_ENDPOINTS, region=region) or ():
        endpoint = parse_endpoint(item) if isinstance(item, Mapping) else EndpointModel(name="")
        if not endpoint.name or endpoint.created_at is None:
            raise SourceMalformed(f"ListEndpoints in {region}: one endpoint has no name or no CreationTime")
        found.append(endpoint)
    return found


async def list_hosts_of_components(aws: Aws, region: str) -> frozenset[str]:
    """Name the endpoints of a region that host inference components.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.pages`; one without an endpoint is malformed.
    """
    found = set()
    for item in await aws.pages(LIST_INFERENCE_COMPONENTS, region=region) or ():
        name = text(item, "EndpointName") if isinstance(item, Mapping) else ""
        if not name:
            raise SourceMalformed(f"ListInferenceComponents in {region}: one names no endpoint")
        found.add(name)
    return frozenset(found)


async def describe_endpoint(aws: Aws, name: str, region: str) -> EndpointModel | None:
    """Look at one by name; None: there is no such endpoint.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.read`.
    """
    answer = await aws.read(DESCRIBE_ENDPOINT, region=region, EndpointName=name)
    return None if answer is None else parse_endpoint(answer)


async def describe_types(aws: Aws, config: str, region: str) -> dict[str, str] | None:
    """Tell what each variant of an endpoint configuration runs on; None: there is no such configuration (any more).

    A configuration is never changed. One without an instance type (serverless) is left out.

    Raises:
        SourceUnavailable, SourceDenied, SourceMalformed: As `Aws.read`.
    """
    answer = await aws.read(DESCRIBE_ENDPOINT_CONFIG, region=region, EndpointConfigName=config)
    if answer is None:
        return None
    variants = [one for one in answer.get("ProductionVariants") or () if isinstance(one, Mapping)]
    types = {text(one, "VariantName"): text(one, "InstanceType") for one in variants}
    return {name: instance_type for name, instance_type in types.items() if name and instance_type}


async def delete_endpoint(aws: Aws, name: str, region: str) -> bool:
    """Ask for the deletion of one; its configuration and models stay.

    Returns:
        Whether there is such an endpoint.

    Raises:
        ActionDenied, ActionUnavailable, OutcomeUnknown: As `Aws.act`.
    """
    return await aws.act(DELETE_ENDPOINT, region=region, EndpointName=name) is not None
