"""The operations that a fleet needs: EC2, its metrics and prices, and the way to other accounts.

Some are called by the daemon's own role alone, the hub: it assumes the roles of other accounts, asks which there
are, and for prices, which are the same in all of them. The others are called in every account, by the role that
was assumed there, the member. `reaper check` calls few of either, and a few of SageMaker's.
"""

from reaper.clients.aws.operation import Operation

__all__ = [
    "ASSUME_ROLE",
    "CANCEL_SPOT_REQUESTS",
    "CREATE_TAGS",
    "DESCRIBE_INSTANCES",
    "DESCRIBE_INSTANCE_ATTRIBUTE",
    "DESCRIBE_INSTANCE_TYPES",
    "DESCRIBE_REGIONS",
    "DESCRIBE_SPOT_PRICES",
    "DESCRIBE_SPOT_REQUESTS",
    "FLEET",
    "GET_PARAMETER",
    "GET_PRODUCTS",
    "HIBERNATE_INSTANCES",
    "LIST_ACCOUNTS",
    "LIST_ACCOUNTS_OF_PARENT",
    "LIST_CHILDREN",
    "LIST_METRICS",
    "LIST_NOTEBOOK_INSTANCES",
    "STOP_INSTANCES",
    "TERMINATE_INSTANCES",
]

_HUB = ("fleet", "fleet-hub")
_MEMBER = ("fleet", "fleet-member")
_CHECK = ("check",)

_NO_SUCH_INSTANCE = frozenset({"InvalidInstanceID.NotFound"})
_NO_SUCH_REQUEST = frozenset({"InvalidSpotInstanceRequestID.NotFound"})


def _ec2(
    name: str,
    *,
    resource: str = "*",
    carries_out: str = "",
    items: str = "",
    page_size: int = 100,
    absent: frozenset[str] = frozenset(),
    used_for: tuple[str, ...] = _MEMBER,
) -> Operation:
    return Operation(
        service="ec2",
        name=name,
        action=f"ec2:{name}",
        resource=resource,
        used_for=used_for,
        writes=not name.startswith("Describe"),
        carries_out=carries_out,
        items=items,
        page_size=page_size,
        absent=absent,
    )


def _hub(service: str, name: str, *, resource: str = "*", items: str = "", page_size: int = 0) -> Operation:
    return Operation(
        service=service,
        name=name,
        action=f"{service}:{name}",
        resource=resource,
        used_for=_HUB if service == "ssm" else _HUB + _CHECK,
        items=items,
        page_size=page_size,
        absent=frozenset({"ParameterNotFound"}) if service == "ssm" else frozenset(),
    )


DESCRIBE_INSTANCES = _ec2(
    "DescribeInstances",
    items="Reservations",
    page_size=1000,  # the most that it gives
    absent=_NO_SUCH_INSTANCE,
    used_for=_MEMBER + _CHECK,
)
DESCRIBE_INSTANCE_TYPES = _ec2("DescribeInstanceTypes", absent=frozenset({"InvalidInstanceType"}))
DESCRIBE_INSTANCE_ATTRIBUTE = _ec2("DescribeInstanceAttribute", absent=_NO_SUCH_INSTANCE)
DESCRIBE_REGIONS = _ec2("DescribeRegions", used_for=_MEMBER + _CHECK)
DESCRIBE_SPOT_PRICES = _ec2(
    "DescribeSpotPriceHistory", items="SpotPriceHistory", page_size=1000, used_for=_MEMBER + _CHECK
)
DESCRIBE_SPOT_REQUESTS = _ec2(
    "DescribeSpotInstanceRequests",
    items="SpotInstanceRequests",
    page_size=0,
    absent=_NO_SUCH_REQUEST,
    used_for=_MEMBER + _CHECK,
)
STOP_INSTANCES = _ec2("StopInstances", resource="instance", carries_out="ec2.stop", absent=_NO_SUCH_INSTANCE)
HIBERNATE_INSTANCES = _ec2(  # the same call with `Hibernate`: IAM can't tell the two apart
    "StopInstances", resource="instance", carries_out="ec2.hibernate", absent=_NO_SUCH_INSTANCE
)
TERMINATE_INSTANCES = _ec2(
    "TerminateInstances", resource="instance", carries_out="ec2.terminate", absent=_NO_SUCH_INSTANCE
)
CANCEL_SPOT_REQUESTS = _ec2(
    "CancelSpotInstanceRequests",
    resource="spot-instances-request",
    carries_out="ec2.terminate",  # a persistent request would start the instance anew
    absent=_NO_SUCH_REQUEST,
)
CREATE_TAGS = _ec2("CreateTags", resource="instance", absent=_NO_SUCH_INSTANCE)
LIST_METRICS = Operation(
    service="cloudwatch",
    name="ListMetrics",
    action="cloudwatch:ListMetrics",
    used_for=_MEMBER,
    items="Metrics",
    page_size=0,
)
LIST_NOTEBOOK_INSTANCES = Operation(
    service="sagemaker",
    name="ListNotebookInstances",
    action="sagemaker:ListNotebookInstances",
    used_for=_CHECK,
    items="NotebookInstances",
)
GET_PRODUCTS = _hub("pricing", "GetProducts", items="PriceList", page_size=100)
LIST_ACCOUNTS = _hub("organizations", "ListAccounts", items="Accounts")
LIST_ACCOUNTS_OF_PARENT = _hub("organizations", "ListAccountsForParent", items="Accounts")
LIST_CHILDREN = _hub("organizations", "ListChildren", items="Children")
ASSUME_ROLE = _hub("sts", "AssumeRole", resource="role")
GET_PARAMETER = _hub("ssm", "GetParameter", resource="parameter")

FLEET: tuple[Operation, ...] = (
    DESCRIBE_INSTANCES,
    DESCRIBE_INSTANCE_TYPES,
    DESCRIBE_INSTANCE_ATTRIBUTE,
    DESCRIBE_REGIONS,
    DESCRIBE_SPOT_PRICES,
    DESCRIBE_SPOT_REQUESTS,
    STOP_INSTANCES,
    HIBERNATE_INSTANCES,
    TERMINATE_INSTANCES,
    CANCEL_SPOT_REQUESTS,
    CREATE_TAGS,
    LIST_METRICS,
    LIST_NOTEBOOK_INSTANCES,
    GET_PRODUCTS,
    LIST_ACCOUNTS,
    LIST_ACCOUNTS_OF_PARENT,
    LIST_CHILDREN,
    ASSUME_ROLE,
    GET_PARAMETER,
)
