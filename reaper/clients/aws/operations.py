"""Every AWS operation that reaper calls, each once: nothing else can be called.

Three things are made from this: the trimmed service models (`trimmed.py`) hold these operations alone, the IAM
policies of `reaper iam` allow these actions alone, and `Aws` takes nothing but an `Operation`. So none of
them can fall behind the code.
"""

from dataclasses import dataclass

from reaper.clients.aws.fleet import FLEET
from reaper.clients.aws.operation import Operation

__all__ = [
    "ADD_TAGS",
    "DELETE_APP",
    "DELETE_ENDPOINT",
    "DESCRIBE_APP",
    "DESCRIBE_ENDPOINT",
    "DESCRIBE_ENDPOINT_CONFIG",
    "DESCRIBE_NOTEBOOK_INSTANCE",
    "GET_CALLER_IDENTITY",
    "GET_METRIC_DATA",
    "JOBS",
    "LIST_APPS",
    "LIST_DOMAINS",
    "LIST_ENDPOINTS",
    "LIST_ENDPOINT_TAGS",
    "LIST_INFERENCE_COMPONENTS",
    "LIST_NOTEBOOK_INSTANCE_TAGS",
    "LIST_SPACES",
    "LIST_TAGS",
    "LIST_USER_PROFILES",
    "OPERATIONS",
    "STOP_NOTEBOOK_INSTANCE",
    "JobOperations",
    "Operation",
]


_NO_SUCH_APP = frozenset({"ResourceNotFound", "ResourceNotFoundException"})

LIST_APPS = Operation(
    service="sagemaker",
    name="ListApps",
    action="sagemaker:ListApps",
    used_for=("studio", "coverage", "check"),
    items="Apps",
)
DESCRIBE_APP = Operation(
    service="sagemaker",
    name="DescribeApp",
    action="sagemaker:DescribeApp",
    resource="app",
    used_for=("studio",),
    absent=_NO_SUCH_APP,
)
DELETE_APP = Operation(
    service="sagemaker",
    name="DeleteApp",
    action="sagemaker:DeleteApp",
    resource="app",
    used_for=("studio",),
    writes=True,
    carries_out="studio.delete",
    absent=_NO_SUCH_APP,
)
LIST_TAGS = Operation(
    service="sagemaker",
    name="ListTags",
    action="sagemaker:ListTags",
    resource="app",
    used_for=("studio", "coverage", "check"),
    items="Tags",
    absent=_NO_SUCH_APP,
)
ADD_TAGS = Operation(
    service="sagemaker",
    name="AddTags",
    action="sagemaker:AddTags",
    resource="app",
    used_for=("studio",),  # a reaper reports itself: docs/adr/0007-heartbeat-is-a-tag.md
    writes=True,
)
LIST_DOMAINS = Operation(
    service="sagemaker",
    name="ListDomains",
    action="sagemaker:ListDomains",
    used_for=("coverage", "check"),
    items="Domains",
)
LIST_USER_PROFILES = Operation(
    service="sagemaker",
    name="ListUserProfiles",
    action="sagemaker:ListUserProfiles",
    used_for=("coverage",),
    items="UserProfiles",
)
LIST_SPACES = Operation(
    service="sagemaker",
    name="ListSpaces",
    action="sagemaker:ListSpaces",
    used_for=("coverage",),
    items="Spaces",
)
GET_METRIC_DATA = Operation(
    service="cloudwatch",
    name="GetMetricData",
    action="cloudwatch:GetMetricData",
    used_for=("studio", "endpoints", "fleet", "fleet-member"),
    items="MetricDataResults",
    page_size=100_800,  # the most: each page is paid for
)
GET_CALLER_IDENTITY = Operation(
    service="sts",
    name="GetCallerIdentity",
    action="",  # allowed to everybody, even where a policy denies it (STS API Reference)
    used_for=("studio", "endpoints", "jobs", "fleet", "fleet-hub", "fleet-member", "check"),
)

_NO_SUCH_INSTANCE = ("RecordNotFound",)

DESCRIBE_NOTEBOOK_INSTANCE = Operation(
    service="sagemaker",
    name="DescribeNotebookInstance",
    action="sagemaker:DescribeNotebookInstance",
    resource="notebook-instance",
    used_for=("notebook-instance",),
    absent_texts=_NO_SUCH_INSTANCE,
)
STOP_NOTEBOOK_INSTANCE = Operation(
    service="sagemaker",
    name="StopNotebookInstance",
    action="sagemaker:StopNotebookInstance",
    resource="notebook-instance",
    used_for=("notebook-instance",),
    writes=True,
    carries_out="sagemaker.stop",
    absent_texts=_NO_SUCH_INSTANCE,
)
LIST_NOTEBOOK_INSTANCE_TAGS = Operation(
    service="sagemaker",
    name="ListTags",
    action="sagemaker:ListTags",
    resource="notebook-instance",
    used_for=("notebook-instance", "check"),
    items="Tags",
)

_NO_SUCH_ENDPOINT = ("Could not find endpoint",)

LIST_ENDPOINTS = Operation(
    service="sagemaker",
    name="ListEndpoints",
    action="sagemaker:ListEndpoints",
    used_for=("endpoints", "check"),
    items="Endpoints",
)
LIST_INFERENCE_COMPONENTS = Operation(
    service="sagemaker",
    name="ListInferenceComponents",
    action="sagemaker:ListInferenceComponents",
    used_for=("endpoints",),
    items="InferenceComponents",
)
DESCRIBE_ENDPOINT = Operation(
    service="sagemaker",
    name="DescribeEndpoint",
    action="sagemaker:DescribeEndpoint",
    resource="endpoint",
    used_for=("endpoints",),
    absent_texts=_NO_SUCH_ENDPOINT,
)
DESCRIBE_ENDPOINT_CONFIG = Operation(
    service="sagemaker",
    name="DescribeEndpointConfig",
    action="sagemaker:DescribeEndpointConfig",
    resource="endpoint-config",
    used_for=("endpoints",),  # what an endpoint runs on stands there alone
    absent_texts=("Could not find endpoint configuration",),
)
DELETE_ENDPOINT = Operation(
    service="sagemaker",
    name="DeleteEndpoint",
    action="sagemaker:DeleteEndpoint",
    resource="endpoint",
    used_for=("endpoints",),
    writes=True,
    carries_out="sagemaker.delete",
    absent_texts=_NO_SUCH_ENDPOINT,
)
LIST_ENDPOINT_TAGS = Operation(
    service="sagemaker",
    name="ListTags",
    action="sagemaker:ListTags",
    resource="endpoint",
    used_for=("endpoints", "check"),
    items="Tags",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOperations:
    """What can be asked and done about one type of job.

    Attributes:
        word: The API's name of it: `TrainingJob`.
        list: ListTrainingJobs ... A job is looked at by it too: its description is a third of SageMaker's model.
        stop: StopTrainingJob ...
        tags: ListTags of such a job.
    """

    word: str
    list: Operation
    stop: Operation
    tags: Operation


def _job_operations(kind: str) -> JobOperations:
    """Register a type of job: `training-job`. Only training jobs that are not there are told by a message."""
    word = kind.title().replace("-", "")

    def operation(name: str, *, writes: bool = False, items: str = "", resource: str = kind) -> Operation:
        return Operation(
            service="sagemaker",
            name=name,
            action=f"sagemaker:{name}",
            resource=resource,
            used_for=("jobs",),
            writes=writes,
            carries_out="sagemaker.stop" if writes else "",
            items=items,
            absent=frozenset() if items else _NO_SUCH_APP,
            absent_texts=() if items else ("Requested resource not found",),
        )

    return JobOperations(
        word=word,
        list=operation(f"List{word}s", items=f"{word}Summaries", resource="*"),
        stop=operation(f"Stop{word}", writes=True),
        tags=operation("ListTags", items="Tags"),
    )


JOBS: dict[str, JobOperations] = {
    kind: _job_operations(kind) for kind in ("training-job", "processing-job", "transform-job")
}
"""By the type's name in ARNs."""

OPERATIONS: tuple[Operation, ...] = (
    LIST_APPS,
    DESCRIBE_APP,
    DELETE_APP,
    LIST_TAGS,
    ADD_TAGS,
    LIST_DOMAINS,
    LIST_USER_PROFILES,
    LIST_SPACES,
    GET_METRIC_DATA,
    GET_CALLER_IDENTITY,
    DESCRIBE_NOTEBOOK_INSTANCE,
    STOP_NOTEBOOK_INSTANCE,
    LIST_NOTEBOOK_INSTANCE_TAGS,
    LIST_ENDPOINTS,
    LIST_INFERENCE_COMPONENTS,
    DESCRIBE_ENDPOINT,
    DESCRIBE_ENDPOINT_CONFIG,
    DELETE_ENDPOINT,
    LIST_ENDPOINT_TAGS,
    *(operation for job in JOBS.values() for operation in (job.list, job.stop, job.tags)),
    *FLEET,
)
"""All of them. Add yours here: a new one makes a new copy of the trimmed models at the next start."""
