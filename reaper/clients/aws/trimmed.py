"""A copy of botocore's service models that holds only what we call.

The whole model of SageMaker costs 15 MB of memory, the list of everybody's endpoints 8 MB; a daemon that sits beside
notebooks may cost 95 MB in all. So the installed botocore's own models are read once, what we call is written
into the user's cache directory, and botocore's loader is pointed there before its own data. Nothing is shipped: it is
always the model of the botocore that is installed.

Reading the whole model leaves its memory behind in the process that does it; so another process does it:
`python -m reaper.clients.aws.trimmed DIRECTORY`.
"""

import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from reaper.clients.aws.operations import OPERATIONS, Operation

__all__ = ["build", "cache_dir", "place", "trim_endpoints", "trim_service", "usable"]

_FORMAT = 1
"""Counts up when what is written changes for the same operations."""

_MANIFEST = "manifest.json"

_FOR_CREDENTIALS: Mapping[str, tuple[str, ...]] = {"sts": ("AssumeRole", "AssumeRoleWithWebIdentity")}
"""What botocore itself calls to get credentials, of services that are trimmed; the others are left whole."""

_CREDENTIAL_ENDPOINTS = {"oidc", "portal.sso", "signin", "sts"}
"""Where it calls for them, as the list of endpoints names the services."""


class _Loader(Protocol):
    """botocore's `Loader`, as far as it is needed."""

    def load_service_model(self, service_name: str, type_name: str) -> dict[str, Any]: ...
    def determine_latest_version(self, service_name: str, type_name: str) -> str: ...
    def load_data(self, name: str) -> dict[str, Any]: ...


def cache_dir(environ: Mapping[str, str]) -> Path | None:
    """Give reaper's directory among the user's caches: systemd's, else the XDG one. Pure.

    Returns:
        The directory; None where the environment names no place.
    """
    if systemd := environ.get("CACHE_DIRECTORY", "").partition(":")[0]:
        return Path(systemd)
    if (xdg := environ.get("XDG_CACHE_HOME", "")).startswith("/"):
        return Path(xdg) / "reaper"
    home = environ.get("HOME", "")
    return Path(home) / ".cache/reaper" if home.startswith("/") else None


def place(cache: Path, botocore_version: str, operations: Iterable[Operation] = OPERATIONS) -> Path:
    """Name the copy for a version of botocore and a set of operations. Pure."""
    kept = json.dumps([_FORMAT, sorted(_kept(operations).items())])
    digest = hashlib.sha256(kept.encode()).hexdigest()[:12]
    return cache / "aws-models" / f"botocore-{botocore_version}-{digest}"


def usable(target: Path) -> bool:
    """Tell whether a copy is whole, and written by nobody but us (or root).

    A model says where signed requests go: a copy that others can write is worse than none.
    """
    try:
        for directory in (target, target.parent):
            status = directory.stat()
            if status.st_uid not in {os.geteuid(), 0} or stat.S_IMODE(status.st_mode) & 0o022:
                return False
        files = json.loads((target / _MANIFEST).read_bytes())["files"]
        return bool(files) and all(
            _digest((target / name).read_bytes()) == sum_ for name, sum_ in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def build(target: Path, loader: _Loader, operations: Iterable[Operation] = OPERATIONS) -> None:
    """Write the copy: all of it appears at once, whoever else writes one.

    Raises:
        OSError: It can't be written there.
    """
    kept = _kept(operations)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    work = Path(tempfile.mkdtemp(prefix=".new-", dir=target.parent))
    try:
        models = {service: loader.load_service_model(service, "service-2") for service in kept}
        contents: dict[str, dict[str, Any]] = {
            f"{service}/{loader.determine_latest_version(service, 'service-2')}/service-2.json": trim_service(
                models[service], names
            )
            for service, names in kept.items()
        }
        prefixes = {str(model["metadata"]["endpointPrefix"]) for model in models.values()}
        contents["endpoints.json"] = trim_endpoints(
            loader.load_data("endpoints"), prefixes | set(kept) | _CREDENTIAL_ENDPOINTS
        )
        sums = {}
        for name, content in contents.items():
            text = json.dumps(content, separators=(",", ":")).encode()
            file = work / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text)
            sums[name] = _digest(text)
        (work / _MANIFEST).write_text(json.dumps({"files": sums}))
        _put(work, target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _put(work: Path, target: Path) -> None:
    """Move the copy to its place, away with a broken one; a whole one that another process put there is as good."""
    if target.exists() and not usable(target):
        broken = Path(tempfile.mkdtemp(prefix=".old-", dir=target.parent))
        try:
            target.rename(broken / target.name)
        finally:
            shutil.rmtree(broken, ignore_errors=True)
    try:
        work.rename(target)
    except OSError:
        if not usable(target):
            raise


def trim_service(model: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Give a service model with these operations, and the shapes that they need, without its prose. Pure.

    Raises:
        KeyError: This botocore's model knows no such operation.
    """
    operations = {name: _bare(model["operations"][name]) for name in sorted(names)}
    shapes: dict[str, Any] = {}
    wanted = [
        shape["shape"]
        for operation in operations.values()
        for shape in (operation.get("input"), operation.get("output"), *operation.get("errors", ()))
        if shape
    ]
    while wanted:
        name = wanted.pop()
        if name in shapes:
            continue
        shape = shapes[name] = _bare(model["shapes"][name])
        parts = (
            *shape.get("members", {}).values(),
            *(shape[k] for k in ("member", "key", "value") if k in shape),
        )
        wanted += [part["shape"] for part in parts]
    kept = {
        key: value for key, value in model.items() if key not in {"operations", "shapes", "documentation"}
    }
    return {**kept, "operations": operations, "shapes": shapes}


def trim_endpoints(endpoints: Mapping[str, Any], services: set[str]) -> dict[str, Any]:
    """Give botocore's list of endpoints for these services alone. Pure."""
    partitions = [
        {**partition, "services": {k: v for k, v in partition["services"].items() if k in services}}
        for partition in endpoints["partitions"]
    ]
    return {**endpoints, "partitions": partitions}


def _kept(operations: Iterable[Operation]) -> dict[str, list[str]]:
    kept: dict[str, set[str]] = {}
    for operation in operations:
        kept.setdefault(operation.service, set(_FOR_CREDENTIALS.get(operation.service, ()))).add(
            operation.name
        )
    return {service: sorted(names) for service, names in sorted(kept.items())}


def _bare(value: Any) -> Any:
    """Take the prose out of a part of a model. A member may be called `documentation`: that is no text."""
    if isinstance(value, Mapping):
        return {k: _bare(v) for k, v in value.items() if k != "documentation" or not isinstance(v, str)}
    if isinstance(value, list):
        return [_bare(item) for item in value]
    return value


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _main() -> int:
    from botocore.loaders import Loader

    try:
        build(Path(sys.argv[1]), Loader())
    except OSError as error:
        print(error, file=sys.stderr)  # noqa: T201 - what the parent process reads
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
