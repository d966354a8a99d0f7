"""What exists in the fake, and how tests make it."""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from types import EllipsisType

from reaper.clock import Clock, SystemClock
from reaper.testing.studio.compute import JOB_KINDS, Endpoint, Job, NotebookInstance
from reaper.testing.studio.estate import ACTIVE, App, AppKey, Domain, Place, Space, UserProfile

__all__ = ["Inventory", "Owner", "Tagged"]

ACCOUNT = "123456789012"
REGION = "us-east-1"
IMAGE = "arn:aws:sagemaker:us-east-1:081325390199:image/datascience-1.0"
"""SageMaker's own Data Science image."""

Owner = UserProfile | Space
Tagged = Domain | UserProfile | Space | App | NotebookInstance | Endpoint | Job
NOTHING = timedelta(0)


class Inventory:
    """What an AWS account has of SageMaker.

    Args:
        clock: Where instants come from; the machine's own without one.
        account: The account that any credentials belong to, except those of `add_account`.
        region: Where things are made unless told otherwise.
        boots_in: How long an app that CreateApp made is Pending.
        deletes_in: How long something is Deleting or Stopping.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        account: str = ACCOUNT,
        region: str = REGION,
        boots_in: timedelta = timedelta(seconds=1),
        deletes_in: timedelta = timedelta(seconds=1),
    ) -> None:
        self.home = Place(account=account, region=region)
        self.boots_in = boots_in
        self.deletes_in = deletes_in
        self.unmodelled: set[str] = set()
        self.domains: list[Domain] = []
        self.users: list[UserProfile] = []
        self.spaces: list[Space] = []
        self.apps: list[App] = []
        self.notebook_instances: list[NotebookInstance] = []
        self.endpoints: list[Endpoint] = []
        self.jobs: list[Job] = []
        self._accounts: dict[str, str] = {}
        self._sessions: dict[str, str] = {}
        self._clock = clock or SystemClock()
        self._ahead = NOTHING

    def now(self) -> datetime:
        """Give the fake's instant, to the millisecond, as AWS writes it."""
        at = self._clock.now() + self._ahead
        return at.replace(microsecond=at.microsecond // 1000 * 1000)

    def advance(self, by: timedelta) -> datetime:
        """Let time pass for the fake alone: an own clock, or the machine's, goes on as it does."""
        self._ahead += by
        return self.now()

    def add_account(self, account: str, access_key: str) -> None:
        """Let an access key belong to another account."""
        self._accounts[access_key] = account

    def open_session(self, account: str, session: str) -> str:
        """Make an access key of a role's session in an account."""
        access_key = f"ASIAFAKESESSION{len(self._sessions):05}"
        self._accounts[access_key] = account
        self._sessions[access_key] = session
        return access_key

    def session_of(self, access_key: str) -> str:
        """Tell a role's session name by its access key."""
        return self._sessions.get(access_key, "SageMaker")

    def account_of(self, access_key: str) -> str:
        """Tell whose an access key is."""
        return self._accounts.get(access_key, self.home.account)

    def place(self, region: str | None = None, account: str | None = None) -> Place:
        """Name an account's region; the usual one without arguments."""
        return Place(account=account or self.home.account, region=region or self.home.region)

    def add_domain(
        self,
        domain_id: str | None = None,
        *,
        name: str = "studio",
        auth_mode: str = "IAM",
        region: str | None = None,
        account: str | None = None,
    ) -> Domain:
        """Make a domain."""
        number = len(self.domains) + 1
        domain = Domain(
            id=domain_id or f"d-fakestudio{number:02}",
            place=self.place(region, account),
            name=name,
            auth_mode=auth_mode,
            created_at=self.now(),
        )
        self.domains.append(domain)
        return domain

    def add_user(self, name: str, domain: Domain | None = None) -> UserProfile:
        """Make a user profile, in the first domain (made if there is none) unless told otherwise."""
        user = UserProfile(domain=domain or self._domain(), name=name, created_at=self.now())
        self.users.append(user)
        return user

    def add_space(
        self,
        name: str,
        owner: UserProfile | str,
        *,
        shared: bool = False,
        app_type: str | None = "JupyterLab",
    ) -> Space:
        """Make a space of a user profile."""
        user = self._user(owner)
        space = Space(
            domain=user.domain,
            name=name,
            owner=user.name,
            shared=shared,
            app_type=app_type,
            created_at=self.now(),
        )
        self.spaces.append(space)
        return space

    def add_app(
        self,
        owner: Owner | str,
        name: str | None = None,
        *,
        app_type: str = "KernelGateway",
        instance_type: str | None = None,
        image: str = IMAGE,
        created_at: datetime | None = None,
        boots_in: timedelta = NOTHING,
        deletes_in: timedelta | EllipsisType | None = ...,
        failure: str | None = None,
        lifecycle_config_arn: str | None = None,
    ) -> App:
        """Make an app; it is in service at once unless `boots_in` says otherwise.

        Args:
            owner: The user profile or space; a name is a user profile's, made if there is none.
            name: Its name; `default` where that is usual, made up for a KernelGateway.
            app_type: AppType.
            instance_type: `system` for a JupyterServer, else `ml.t3.medium`.
            image: SageMakerImageArn.
            created_at: When; now without it.
            boots_in: How long it is Pending.
            deletes_in: How long it will be Deleting; None: for ever; the studio's own without it.
            failure: Why it Failed, if it did.
            lifecycle_config_arn: The script it was started with.

        Raises:
            ValueError: An app of that name lives.
        """
        if isinstance(owner, str):
            owner = self._user(owner)
        instance = instance_type or ("system" if app_type == "JupyterServer" else "ml.t3.medium")
        app = App(
            owner=owner,
            type=app_type,
            name=name or self._app_name(app_type, image, instance),
            instance_type=instance,
            image_arn=image,
            lifecycle_config_arn=lifecycle_config_arn,
            created_at=created_at or self.now(),
            boots_in=boots_in,
            deletes_in=self.deletes_in if isinstance(deletes_in, EllipsisType) else deletes_in,
            failure=failure,
        )
        before = self.find_app(app.key)
        if before is not None:
            if before.status(self.now()) in ACTIVE:
                raise ValueError(f"{app.key} is {before.status(self.now())}: its name is taken")
            self.apps.remove(before)
        self.apps.append(app)
        return app

    def find_app(self, key: AppKey) -> App | None:
        """Find an app's latest life; None if it never was, or was too long ago."""
        return next((app for app in self.apps if app.key == key and app.is_listed(self.now())), None)

    def delete_app(self, app: App) -> None:
        """Begin to delete an app, as its owner does in the console."""
        app.deletion_at = self.now()

    def say_status(self, thing: App | NotebookInstance | Endpoint | Job, status: str | None) -> None:
        """Let something show a state whatever happened, even one that AWS' model does not know."""
        thing.said_status = status
        if status is not None:
            self.unmodelled.add(status)

    def add_notebook_instance(
        self,
        name: str,
        *,
        instance_type: str = "ml.t3.medium",
        created_at: datetime | None = None,
        region: str | None = None,
        account: str | None = None,
    ) -> NotebookInstance:
        """Make a notebook instance in service."""
        made = NotebookInstance(
            place=self.place(region, account),
            name=name,
            instance_type=instance_type,
            created_at=created_at or self.now(),
            stops_in=self.deletes_in,
        )
        self.notebook_instances.append(made)
        return made

    def add_endpoint(
        self,
        name: str,
        variants: Mapping[str, tuple[str | None, int]] | None = None,
        *,
        created_at: datetime | None = None,
        region: str | None = None,
        account: str | None = None,
    ) -> Endpoint:
        """Make an endpoint in service, by default with one variant on one ml.m5.large."""
        made = Endpoint(
            place=self.place(region, account),
            name=name,
            variants=dict(variants or {"AllTraffic": ("ml.m5.large", 1)}),
            created_at=created_at or self.now(),
            deletes_in=self.deletes_in,
        )
        self.endpoints.append(made)
        return made

    def add_job(
        self,
        kind: str,
        name: str,
        *,
        instance_type: str = "ml.m5.xlarge",
        instance_count: int = 1,
        created_at: datetime | None = None,
        completes_in: timedelta | None = None,
        region: str | None = None,
        account: str | None = None,
    ) -> Job:
        """Make a job: `training-job`, `processing-job` or `transform-job`."""
        if kind not in JOB_KINDS:
            raise ValueError(f"{kind!r} is none of {', '.join(JOB_KINDS)}")
        made = Job(
            kind=kind,
            place=self.place(region, account),
            name=name,
            instance_type=instance_type,
            instance_count=instance_count,
            created_at=created_at or self.now(),
            completes_in=completes_in,
            stops_in=self.deletes_in,
        )
        self.jobs.append(made)
        return made

    def tagged(self) -> Iterator[Tagged]:
        """Go through everything that can have tags."""
        yield from self.domains
        yield from self.users
        yield from self.spaces
        yield from self.apps
        yield from self.notebook_instances
        yield from self.endpoints
        yield from self.jobs

    def _domain(self) -> Domain:
        return self.domains[0] if self.domains else self.add_domain()

    def _user(self, user: UserProfile | str) -> UserProfile:
        if isinstance(user, UserProfile):
            return user
        return next((known for known in self.users if known.name == user), None) or self.add_user(user)

    def _app_name(self, app_type: str, image: str, instance_type: str) -> str:
        """Make a name up as Studio does: `datascience-1-0-ml-t3-medium-` and 28 digits; else `default`."""
        if app_type != "KernelGateway":
            return "default"
        stem = f"{image.partition(':image/')[2]}-{instance_type}".replace(".", "-").replace("/", "-")
        unique = hashlib.sha256(f"{stem}{len(self.apps)}{self.now()}".encode()).hexdigest()
        return f"{stem[:34].strip('-')}-{unique[:28]}"
