"""Load the service models, once for all who call AWS from this process."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reaper.clients.aside import Aside
from reaper.clients.aws import trimmed

__all__ = ["Models"]

_LOADING_DEADLINE_S = 60.0
"""It takes a second; a machine that boots may be slow."""


class Models:
    """The service models, loaded once for all who call AWS from this process.

    Args:
        cache: As in `AwsOptions`.
        environ: Names the cache directory.
    """

    def __init__(self, cache: Path | None = None, environ: Mapping[str, str] = os.environ) -> None:
        self.problem: str | None = None
        """Why the whole models are used, which cost 20 MB more; None: the trimmed ones are, or nothing was loaded."""
        self._cache = cache or trimmed.cache_dir(environ)
        self._aside = Aside("the making of trimmed AWS models")
        self._loader: Any = None

    async def loader(self) -> Any:
        """Give botocore's loader, pointed at the trimmed copy, which is made where it is missing.

        To import aiobotocore and to make the copy takes a second, and on a machine that boots many: it goes on aside
        when whoever waits for it runs out of time, so that the next one finds it done.

        Raises:
            SourceUnavailable: It takes too long.
        """
        if self._loader is None:
            self._loader = await self._aside.call(self._load, _LOADING_DEADLINE_S)
        return self._loader

    def _load(self) -> Any:
        import aiobotocore.session  # noqa: F401 - half a second that the event loop need not wait for
        from botocore.loaders import Loader

        copy = self._copy()
        return Loader(extra_search_paths=[] if copy is None else [str(copy)])

    def _copy(self) -> Path | None:
        import botocore

        if self._cache is None:
            self.problem = "there is no cache directory for trimmed AWS models: set XDG_CACHE_HOME or HOME"
            return None
        target = trimmed.place(self._cache, botocore.__version__)
        self.problem = None if trimmed.usable(target) else _trim(target)
        if self.problem is None and not trimmed.usable(target):
            self.problem = f"{target.parent} may be written by others: trimmed AWS models are not kept there"
        return target if self.problem is None else None


def _trim(target: Path) -> str | None:
    """Have another process write the copy; say what went wrong."""
    command = (sys.executable, "-m", "reaper.clients.aws.trimmed", str(target))
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_LOADING_DEADLINE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"trimmed AWS models can't be made: {error}"
    if done.returncode == 0:
        return None
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return f"trimmed AWS models can't be made: {lines[-1] if lines else f'exit status {done.returncode}'}"
