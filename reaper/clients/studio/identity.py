"""Where we run, by SageMaker's own word: a Studio app, a notebook instance, or neither.

Every Studio app and notebook instance finds /opt/ml/metadata/resource-metadata.json (SageMaker Developer Guide,
"Get app metadata"). Seen there: ARNs whose AppType is in lower case; `ResourceArnCaseSensitive`, which may be
empty; both a space and the user profile that owns it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reaper.core.model import ResourceKey
from reaper.errors import SourceMalformed, SourceUnavailable

__all__ = [
    "APP_TYPES",
    "Identity",
    "app_key",
    "known_identity",
    "own_identity",
    "own_key",
    "parse_identity",
    "read_identity",
]

APP_TYPES = (
    "Canvas",
    "CodeEditor",
    "DetailedProfiler",
    "JupyterLab",
    "JupyterServer",
    "KernelGateway",
    "RSessionGateway",
    "RStudioServerPro",
    "TensorBoard",
)
"""SageMaker's AppType."""

_BY_LOWER = {name.lower(): name for name in APP_TYPES}
_LARGEST = 64 * 1024
"""Bytes; the file has 300 to 2,000."""

_ARN = re.compile(r"arn:(aws[a-z-]*):sagemaker:([a-z0-9-]+):(\d{12}):([a-z-]+)/(.+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
"""Of domains, user profiles, spaces, apps and notebook instances (SageMaker API Reference)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What the metadata file says of the place we run in.

    Attributes:
        account: Twelve digits; empty where the file names no ARN.
        region: As in the ARN; empty likewise.
        partition: `aws`, `aws-cn` ...
        domain: The Studio domain; empty in a notebook instance.
        user: The user profile whose app it is; None in a space.
        space: The space whose app it is; None for a user profile's.
        app_type: SageMaker's AppType; empty in a notebook instance.
        app_name: The app's name.
        notebook_instance: Its name; empty in a Studio app.
    """

    account: str = ""
    region: str = ""
    partition: str = "aws"
    domain: str = ""
    user: str | None = None
    space: str | None = None
    app_type: str = ""
    app_name: str = ""
    notebook_instance: str = ""

    @property
    def owner(self) -> str:
        """The user profile or space."""
        return self.space or self.user or ""

    @property
    def scope(self) -> str:
        """Account and region, as a resource's scope."""
        return f"{self.account}/{self.region}"

    @property
    def owner_parameters(self) -> dict[str, str]:
        """How SageMaker wants the owner named: by one of two parameters, never both."""
        return {"SpaceName": self.space} if self.space else {"UserProfileName": self.user or ""}


_read: dict[Path, Identity] = {}
"""What this process has read of each metadata file; see `own_identity`."""


def own_identity(file: Path) -> Identity | None:
    """Tell where this process runs: what was once read of the metadata file holds until the process ends.

    A container never becomes another app, but its file may go, or be half written, while somebody looks. Providers
    must agree on it at every instant: a kernel names the app that it lives in, and an app that no kernel names
    looks empty.

    Returns:
        What the file says or said; None where there is none, and never was.

    Raises:
        SourceUnavailable, SourceMalformed: As `read_identity`, while it was never read.
    """
    if file not in _read:
        found = read_identity(file)
        if found is None:
            return None
        _read.setdefault(file, found)
    return _read[file]


def known_identity(file: Path) -> Identity | None:
    """Give what `own_identity` has read so far in this process, without reading."""
    return _read.get(file)


def read_identity(file: Path) -> Identity | None:
    """Read the metadata file, as it is now.

    Returns:
        What it says; None where there is no such file: then this is neither.

    Raises:
        SourceUnavailable: It can't be read.
        SourceMalformed: It can't be understood; the message says what is wrong.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise SourceUnavailable(f"{file} can't be read: {error.strerror or error}") from error
    if len(content) > _LARGEST:
        raise SourceMalformed(f"{file} is longer than {_LARGEST} bytes")
    try:
        payload = json.loads(content)
    except (ValueError, RecursionError):
        raise SourceMalformed(f"{file} holds no JSON (half written?)") from None
    try:
        return parse_identity(payload)
    except ValueError as error:
        raise SourceMalformed(f"{file} {error}") from None


def parse_identity(payload: object) -> Identity:
    """Read what the metadata file holds. Pure.

    Raises:
        ValueError: It is not that; says why.
    """
    if not isinstance(payload, dict):
        raise ValueError("holds no JSON object")
    arn = _text(payload, "ResourceArnCaseSensitive") or _text(payload, "ResourceArn")
    match = _ARN.fullmatch(arn)
    if arn and match is None:
        raise ValueError(f"has an ARN that is none of SageMaker's: {arn[:120]!r}")
    partition, region, account, kind, tail = match.groups() if match else ("aws", "", "", "", "")
    if kind == "notebook-instance":
        return Identity(
            account=account,
            region=region,
            partition=partition,
            notebook_instance=_name(_text(payload, "ResourceName") or tail, "ResourceName"),
        )
    if kind not in {"", "app", "space"}:
        raise ValueError(f"is of neither a Studio app nor a notebook instance: {arn[:120]!r}")
    parts = tail.split("/") if kind == "app" else []
    domain, arn_owner, arn_type, arn_name = parts if len(parts) == 4 else ("", "", "", "")  # noqa: PLR2004
    user, space = _owner(payload, arn_owner)
    return Identity(
        account=account,
        region=region,
        partition=partition,
        domain=_name(_text(payload, "DomainId") or domain, "DomainId"),
        user=user,
        space=space,
        app_type=_app_type(_text(payload, "AppType") or arn_type),
        app_name=_name(_text(payload, "ResourceName") or arn_name, "ResourceName"),
    )


def app_key(
    identity: Identity | None, app_name: str, *, app_type: str = "KernelGateway", server_url: str = ""
) -> ResourceKey:
    """Name an app of the owner that we run for. Pure.

    Args:
        identity: Where we run; None where no metadata file says so.
        app_name: The app's name.
        app_type: Its type.
        server_url: Base URL of the JupyterServer that lists it: its scope where nothing else names one.
    """
    if identity is None or not identity.domain or not identity.account:
        return ResourceKey("studio.app", server_url, f"{app_type}/{app_name}")
    tail = f"{identity.domain}/{identity.owner}/{app_type}/{app_name}"
    return ResourceKey("studio.app", identity.scope, tail)


def own_key(identity: Identity) -> ResourceKey:
    """Name the app or the notebook instance that we run in. Pure."""
    if identity.notebook_instance:
        return ResourceKey("sagemaker.notebook_instance", identity.scope, identity.notebook_instance)
    return app_key(identity, identity.app_name, app_type=identity.app_type)


def _owner(payload: Mapping[str, Any], arn_owner: str) -> tuple[str | None, str | None]:
    """Tell whose app it is: of a space, the file may name its user too, and then the ARN decides."""
    user, space = _text(payload, "UserProfileName"), _text(payload, "SpaceName")
    if user and space and arn_owner.lower() == user.lower():
        space = ""
    if space:
        return None, _name(space, "SpaceName")
    if user:
        return _name(user, "UserProfileName"), None
    raise ValueError("names neither a UserProfileName nor a SpaceName")


def _app_type(text: str) -> str:
    known = _BY_LOWER.get(text.lower())
    if known is None:
        raise ValueError("names no AppType" if not text else f"has an unknown AppType: {text[:60]!r}")
    return known


def _name(text: str, field: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise ValueError(f"names no {field}" if not text else f"has a {field} that is none: {text[:80]!r}")
    return text


def _text(payload: Mapping[str, Any], field: str) -> str:
    value = payload.get(field)
    if value is None or isinstance(value, str):
        return value or ""
    raise ValueError(f"has a {field} that is no text")
