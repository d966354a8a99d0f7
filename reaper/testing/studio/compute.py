"""What else SageMaker bills by the hour: notebook instances, endpoints, jobs."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from reaper.testing.studio.estate import Place

__all__ = ["JOB_KINDS", "Endpoint", "Job", "NotebookInstance"]

JOB_KINDS = ("training-job", "processing-job", "transform-job")


@dataclass(slots=True, kw_only=True)
class NotebookInstance:
    """A notebook instance.

    Attributes:
        place: Where it is.
        name: Its name.
        instance_type: What it runs on.
        created_at: When it was made.
        stops_in: How long it is Stopping.
        stop_at: When its stop was asked for.
        said_status: A state that it shows whatever happened.
        tags: Its tags.
    """

    place: Place
    name: str
    instance_type: str
    created_at: datetime
    stops_in: timedelta
    stop_at: datetime | None = None
    said_status: str | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        """Its ARN; names are in lower case there."""
        return self.place.arn(f"notebook-instance/{self.name.lower()}")

    @property
    def metadata(self) -> dict[str, str]:
        """What /opt/ml/metadata/resource-metadata.json says on it."""
        return {"ResourceArn": self.arn, "ResourceName": self.name}

    @property
    def modified_at(self) -> datetime:
        """When its state was last changed by a call: all that SageMaker tells of its activity."""
        return self.created_at if self.stop_at is None else self.stop_at

    def status(self, now: datetime) -> str:
        """Tell its state: InService, Stopping, Stopped."""
        if self.said_status is not None:
            return self.said_status
        if self.stop_at is None:
            return "InService"
        return "Stopping" if now < self.stop_at + self.stops_in else "Stopped"


@dataclass(slots=True, kw_only=True)
class Endpoint:
    """An inference endpoint with its configuration, which has the same name.

    Attributes:
        place: Where it is.
        name: Its name.
        variants: Instance type and count of each variant; type None: serverless.
        created_at: When it was made.
        deletes_in: How long it is Deleting.
        deletion_at: When its deletion was asked for.
        updated_at: When it was last changed otherwise.
        asynchronous: It answers by a queue.
        components: Names of inference components that it hosts.
        said_status: A state that it shows whatever happened.
        tags: Its tags.
    """

    place: Place
    name: str
    variants: dict[str, tuple[str | None, int]]
    created_at: datetime
    deletes_in: timedelta
    deletion_at: datetime | None = None
    updated_at: datetime | None = None
    asynchronous: bool = False
    components: list[str] = field(default_factory=list)
    said_status: str | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        """Its ARN."""
        return self.place.arn(f"endpoint/{self.name.lower()}")

    @property
    def config_arn(self) -> str:
        """The ARN of its configuration."""
        return self.place.arn(f"endpoint-config/{self.name.lower()}")

    @property
    def modified_at(self) -> datetime:
        """When it was last changed."""
        return self.deletion_at or self.updated_at or self.created_at

    def status(self, now: datetime) -> str:
        """Tell its state: InService, Deleting."""
        return self.said_status or ("InService" if self.deletion_at is None else "Deleting")

    def is_gone(self, now: datetime) -> bool:
        """Tell whether its deletion is done: nothing shows it any more."""
        return self.deletion_at is not None and now >= self.deletion_at + self.deletes_in


@dataclass(slots=True, kw_only=True)
class Job:
    """A training, processing or transform job.

    Attributes:
        kind: One of `JOB_KINDS`.
        place: Where it runs.
        name: Its name.
        instance_type: What it runs on.
        instance_count: On how many.
        created_at: When it was made.
        completes_in: How long it works; None: until it is stopped.
        stops_in: How long it is Stopping (StopTrainingJob: 120 seconds after SIGTERM at most).
        stop_at: When its stop was asked for.
        said_status: A state that it shows whatever happened.
        tags: Its tags.
    """

    kind: str
    place: Place
    name: str
    instance_type: str
    instance_count: int
    created_at: datetime
    completes_in: timedelta | None
    stops_in: timedelta
    stop_at: datetime | None = None
    said_status: str | None = None
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        """Its ARN."""
        return self.place.arn(f"{self.kind}/{self.name.lower()}")

    def status(self, now: datetime) -> str:
        """Tell its state: InProgress, Completed, Stopping, Stopped."""
        if self.said_status is not None:
            return self.said_status
        if self.stop_at is not None:
            return "Stopping" if now < self.stop_at + self.stops_in else "Stopped"
        if self.completes_in is not None and now >= self.created_at + self.completes_in:
            return "Completed"
        return "InProgress"

    def ended_at(self, now: datetime) -> datetime | None:
        """Tell when it ended, if it has."""
        match self.status(now):
            case "Stopped" if self.stop_at is not None:
                return self.stop_at + self.stops_in
            case "Completed" if self.completes_in is not None:
                return self.created_at + self.completes_in
            case _:
                return None
