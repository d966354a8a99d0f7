"""What is known of one AWS operation."""

from dataclasses import dataclass

__all__ = ["Operation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation of one service.

    Attributes:
        service: botocore's name of the service: `sagemaker`, `cloudwatch`.
        name: The operation as AWS calls it: `ListApps`.
        action: What IAM calls it: `sagemaker:ListApps`; empty where it needs no permission.
        resource: The type of resource that IAM lets the permission be limited to (Service Authorization
            Reference): `app`; `*` where it is all or nothing.
        used_for: What needs it: `studio`, `notebook-instance`, `coverage` ... (`reaper iam --for`).
        writes: It changes something: it is sent once, and its errors are `ActionError`s.
        carries_out: Which of `REAPER_ACTIONS` it carries out: `studio.delete`; empty where it is no such action. What
            may not be done is not granted either.
        items: Of one that answers in pages: the key of the list.
        page_size: How many items, or datapoints, a page asks for; 100 is the most that SageMaker's lists give. 0: it
            can't be asked for, or AWS's own choice is the best.
        absent: Error codes that mean that there is no such thing.
        absent_texts: Beginnings of messages that mean so too: of notebook instances, endpoints and training jobs
            SageMaker says it in a ValidationException, whatever the service model says.
    """

    service: str
    name: str
    action: str
    resource: str = "*"
    used_for: tuple[str, ...] = ()
    writes: bool = False
    carries_out: str = ""
    items: str = ""
    page_size: int = 100
    absent: frozenset[str] = frozenset()
    absent_texts: tuple[str, ...] = ()
