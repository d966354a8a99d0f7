"""Apps as both doors tell of them, read without trusting either. Pure.

Through the API an app has a state and a CreationTime. Through the JupyterServer's own endpoint it has neither: what is
listed there is in service.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, TypeGuard

from reaper.errors import SourceMalformed

__all__ = [
    "SYSTEM",
    "AppModel",
    "app_of_terminal",
    "image_terminal",
    "parse_api_app",
    "parse_api_apps",
    "parse_door_apps",
]

SYSTEM = "system"
"""The instance type of what SageMaker runs for itself: it costs nothing and is never touched."""

_LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class AppModel:
    """One app.

    Attributes:
        name: Its name; names are used again.
        app_type: SageMaker's AppType.
        status: As SageMaker says; None where the door tells none.
        created_at: CreationTime, aware UTC; None likewise.
        instance_type: What it runs on; None is unknown.
        environment: The image's ARN, which image terminals carry in their names.
        image: What the image is called.
        arn: Its ARN, where that was asked for.
        problem: What could not be read; None when all could.
    """

    name: str
    app_type: str = "KernelGateway"
    status: str | None = None
    created_at: datetime | None = None
    instance_type: str | None = None
    environment: str | None = None
    image: str | None = None
    arn: str | None = None
    problem: str | None = None


def parse_door_apps(payload: object, where: str) -> tuple[AppModel, ...]:
    """Read what the JupyterServer's own endpoint lists.

    Raises:
        SourceMalformed: It is no list, or one of its apps has no name: then nothing can be said to be gone.
    """
    if not isinstance(payload, list):
        raise SourceMalformed(f"{where}: expected a list of apps, got {type(payload).__name__}")
    apps = []
    for item in payload:
        name = item.get("app_name") if isinstance(item, dict) else None
        if not _is_text(name):
            raise SourceMalformed(f"{where}: one app has no app_name")
        apps.append(
            AppModel(
                name=name,
                instance_type=_optional(item, "instance_type"),
                environment=_optional(item, "environment_arn"),
                image=_optional(item, "environment_name") or _optional(item, "image_name"),
            )
        )
    return _once(apps)


def parse_api_apps(items: Sequence[object], where: str) -> tuple[AppModel, ...]:
    """Read ListApps' AppDetails.

    Raises:
        SourceMalformed: One of them names no app.
    """
    apps = []
    for item in items:
        name = item.get("AppName") if isinstance(item, dict) else None
        if not isinstance(item, dict) or not _is_text(name):
            raise SourceMalformed(f"{where}: one app has no AppName")
        apps.append(parse_api_app(item))
    return tuple(apps)


def parse_api_app(item: Mapping[str, Any]) -> AppModel:
    """Read one AppDetails, or the answer to DescribeApp; what can't be read ends up in its `problem`."""
    problems = [field for field in ("AppName", "AppType", "Status") if not _is_text(item.get(field))]
    created_at = item.get("CreationTime")
    if not isinstance(created_at, datetime) or created_at.tzinfo is None:
        problems.append("CreationTime")
        created_at = None
    spec = item.get("ResourceSpec")
    spec = spec if isinstance(spec, dict) else {}
    environment = _optional(spec, "SageMakerImageArn")
    return AppModel(
        name=str(item.get("AppName", "")),
        app_type=_optional(item, "AppType") or "",
        status=_optional(item, "Status") or "",
        created_at=None if created_at is None else created_at.astimezone(UTC),
        instance_type=_optional(spec, "InstanceType"),
        environment=environment,
        image=None if environment is None else environment.partition(":image/")[2].partition("/")[0] or None,
        arn=_optional(item, "AppArn"),
        problem=f"{', '.join(problems)} can't be read" if problems else None,
    )


def image_terminal(name: str) -> tuple[str, str] | None:
    """Tell image terminals of Studio Classic from the system's, which are never touched.

    Returns:
        Image ARN and instance type, from `<image arn>__<number>__<instance type>`; None for a system terminal.
    """
    environment, separator, rest = name.partition("__")
    _, second, instance_type = rest.partition("__")
    if not environment.startswith("arn:") or not separator or not second or not instance_type:
        return None
    return environment, instance_type.partition("__")[0]


def app_of_terminal(name: str, apps: Sequence[AppModel]) -> AppModel | None:
    """Find the app that an image terminal lives in: there is one for an image on an instance type.

    Returns:
        The app; None for a system terminal, and where none or several could be it.
    """
    said = image_terminal(name)
    found = [app for app in apps if (app.environment, app.instance_type) == said] if said else []
    return found[0] if len(found) == 1 else None


def _once(apps: Sequence[AppModel]) -> tuple[AppModel, ...]:
    """Give each name once: what is listed twice can't be told apart."""
    times = Counter(app.name for app in apps)
    unique = {app.name: app for app in apps}
    return tuple(
        replace(app, problem="it is listed twice") if times[name] > 1 else app for name, app in unique.items()
    )


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST and value.isprintable()


def _optional(item: Mapping[str, Any], key: str) -> str | None:
    value = item.get(key)
    return value if isinstance(value, str) and _is_text(value) else None
