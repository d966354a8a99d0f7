"""What exists in the fake: domains, user profiles, spaces, apps. States follow from instants alone."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

__all__ = ["ACTIVE", "App", "AppKey", "Domain", "Place", "Space", "UserProfile"]

ACTIVE = frozenset({"Pending", "InService", "Deleting"})
"""States in which an app's name is taken."""

AppKey = tuple[str, bool, str, str, str]
"""What only one living app can be: domain, in a space, owner, type, name."""

LISTED_AFTER_DELETION = timedelta(hours=24)
"""How long ListApps goes on showing a deleted app (SageMaker Developer Guide, "Shut down resources")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An account's region.

    Attributes:
        account: Its twelve digits.
        region: Its name.
    """

    account: str
    region: str

    def arn(self, resource: str) -> str:
        """Name a resource of SageMaker here."""
        return f"arn:aws:sagemaker:{self.region}:{self.account}:{resource}"


@dataclass(slots=True, kw_only=True)
class Domain:
    """A Studio domain.

    Attributes:
        id: `d-...`.
        place: Where it is.
        name: For people.
        auth_mode: `IAM` or `SSO`.
        created_at: When it was made.
        tags: Its tags.
    """

    id: str
    place: Place
    name: str
    auth_mode: str
    created_at: datetime
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        """Its ARN."""
        return self.place.arn(f"domain/{self.id}")


@dataclass(slots=True, kw_only=True)
class UserProfile:
    """A user of a domain.

    Attributes:
        domain: Of which domain.
        name: Its name.
        created_at: When it was made.
        tags: Its tags.
    """

    domain: Domain
    name: str
    created_at: datetime
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        """Its ARN."""
        return self.domain.place.arn(f"user-profile/{self.domain.id}/{self.name}")


@dataclass(slots=True, kw_only=True)
class Space:
    """A space of a domain.

    Attributes:
        domain: Of which domain.
        name: Its name.
        owner: The user profile that owns it.
        shared: Whether others use it too.
        app_type: The only type of app in it; None for the shared spaces of Studio Classic.
        created_at: When it was made.
        tags: Its tags.
    """

    domain: Domain
    name: str
    owner: str
    shared: bool
    app_type: str | None
    created_at: datetime
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def arn(self) -> str:
        """Its ARN."""
        return self.domain.place.arn(f"space/{self.domain.id}/{self.name}")


@dataclass(slots=True, kw_only=True)
class App:
    """One life of an app.

    Attributes:
        owner: The user profile or space whose app it is.
        type: `KernelGateway`, `JupyterLab`, ...
        name: Its name; free to be used again once this life is over.
        instance_type: What it runs on.
        image_arn: What it runs.
        lifecycle_config_arn: The script it was started with.
        created_at: When it was made.
        boots_in: How long it is Pending.
        deletes_in: How long it is Deleting; None: for ever.
        deletion_at: When its deletion was asked for.
        failure: Why it Failed, if it did.
        said_status: A state that it shows whatever happened, known to AWS or not.
        hidden: The server's own endpoint does not list it, though it is in service.
        tags: Its tags.
    """

    owner: UserProfile | Space
    type: str
    name: str
    instance_type: str
    image_arn: str
    lifecycle_config_arn: str | None = None
    created_at: datetime
    boots_in: timedelta
    deletes_in: timedelta | None
    deletion_at: datetime | None = None
    failure: str | None = None
    said_status: str | None = None
    hidden: bool = False
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def domain(self) -> Domain:
        """The domain it is in."""
        return self.owner.domain

    @property
    def key(self) -> AppKey:
        """What only one living app can be: domain, in a space, owner, type, name."""
        return (self.domain.id, isinstance(self.owner, Space), self.owner.name, self.type, self.name)

    @property
    def arn(self) -> str:
        """Its ARN as DescribeApp and CreateApp write it: the type in lower case."""
        return self.domain.place.arn(
            f"app/{self.domain.id}/{self.owner.name}/{self.type.lower()}/{self.name}"
        )

    @property
    def metadata_arn(self) -> str:
        """Its ARN as resource-metadata.json has it: the type as it is."""
        return self.domain.place.arn(f"app/{self.domain.id}/{self.owner.name}/{self.type}/{self.name}")

    @property
    def image_name(self) -> str:
        """The last part of its image's ARN."""
        return self.image_arn.partition(":image/")[2].split("/")[0]

    @property
    def environment(self) -> tuple[str, str]:
        """What ties an image terminal's name to it: image and instance type."""
        return (self.image_arn, self.instance_type)

    def status(self, now: datetime) -> str:
        """Tell its state: Pending, InService, Deleting, Deleted or Failed (DescribeApp)."""
        if self.said_status is not None:
            return self.said_status
        if self.deletion_at is not None and now >= self.deletion_at:
            return "Deleted" if self.is_gone(now) else "Deleting"
        if self.failure is not None:
            return "Failed"
        return "Pending" if now < self.created_at + self.boots_in else "InService"

    def is_gone(self, now: datetime) -> bool:
        """Tell whether its deletion is done."""
        if self.deletion_at is None or self.deletes_in is None:
            return False
        return now >= self.deletion_at + self.deletes_in

    def is_listed(self, now: datetime) -> bool:
        """Tell whether ListApps still shows it."""
        if self.deletion_at is None or self.deletes_in is None:
            return True
        return now < self.deletion_at + self.deletes_in + LISTED_AFTER_DELETION
