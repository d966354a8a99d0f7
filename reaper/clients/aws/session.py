"""Talk to AWS as whoever the environment says we are.

aiobotocore does the signing, the credentials (variables, profiles, SSO, roles of containers and instances), the
endpoints (`AWS_ENDPOINT_URL[_SERVICE]` too) and the retries of questions. It is imported at the first call: a daemon
that only watches Jupyter never pays for it.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reaper import __version__
from reaper.clients.aside import Aside
from reaper.clients.aws import faults, trimmed
from reaper.clients.aws.operations import GET_CALLER_IDENTITY, Operation
from reaper.errors import ActionUnavailable, CollectError, SourceMalformed, SourceUnavailable

__all__ = ["Aws", "AwsOptions", "Models"]

USER_AGENT = "idle-reaper"

_LOADING_DEADLINE_S = 60.0
"""It takes a second; a machine that boots may be slow."""

_MOST_PAGES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsOptions:
    """How to talk to AWS.

    Attributes:
        attempts: How often a question is sent in all, with botocore's standard waits; an action is sent once.
        connect_timeout_s: To connect.
        read_timeout_s: Without a byte of an answer.
        cache: Where trimmed service models are kept; None: the user's cache directory.
    """

    attempts: int = 3
    connect_timeout_s: float = 5.0
    read_timeout_s: float = 10.0
    cache: Path | None = None


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


class Aws:
    """AWS, by one set of credentials. Calls may run at the same time; close it in the end.

    Clients are made once for each (service, region). Where AWS or botocore says that the credentials are no good, they
    are looked for again at the next call: somebody may have signed in.

    Args:
        options: How to talk.
        models: Shared by several; else its own.
    """

    def __init__(self, options: AwsOptions | None = None, models: Models | None = None) -> None:
        self._options = options or AwsOptions()
        self.models = models or Models(self._options.cache)
        self._login: _Login | None = None

    async def read(
        self, operation: Operation, *, region: str, **parameters: object
    ) -> Mapping[str, Any] | None:
        """Ask a question.

        Returns:
            The answer; None where AWS says that there is no such thing (`Operation.absent`).

        Raises:
            SourceUnavailable: No answer: not connected, timed out, throttled, 5xx.
            SourceDenied: No credentials, expired ones, or a permission is missing; the message names it.
            SourceMalformed: An answer that can't be read, or a request that AWS can't.
        """
        try:
            async with self._client(operation, region) as client:
                return _mapping(await _method(client, operation)(**parameters))
        except CollectError:
            raise
        except faults.caught() as error:
            if faults.is_absent(error, operation):
                return None
            raise faults.source_error(error, operation, region) from error

    async def pages(self, operation: Operation, *, region: str, **parameters: object) -> list[Any] | None:
        """Ask for a list, all pages of it or an error.

        Returns:
            The items of all pages; None where what was asked about does not exist.

        Raises:
            SourceUnavailable, SourceDenied, SourceMalformed: As in `read`. An answer without its list is malformed,
                never an empty list.
        """
        items: list[Any] = []
        try:
            async with self._client(operation, region) as client:
                paginator = client.get_paginator(_python_name(operation))
                pages = 0
                async for page in paginator.paginate(
                    **parameters, PaginationConfig={"PageSize": operation.page_size}
                ):
                    found = _mapping(page).get(operation.items)
                    if not isinstance(found, list):
                        raise SourceMalformed(
                            f"{operation.service} {operation.name} in {region}: the answer has no {operation.items}"
                        )
                    items += found
                    pages += 1
                    if pages > _MOST_PAGES:
                        raise SourceMalformed(
                            f"{operation.service} {operation.name} in {region}: no end of pages"
                        )
        except CollectError:
            raise
        except faults.caught() as error:
            if faults.is_absent(error, operation):
                return None
            raise faults.source_error(error, operation, region) from error
        return items

    async def act(
        self, operation: Operation, *, region: str, **parameters: object
    ) -> Mapping[str, Any] | None:
        """Carry out an action: sent once, whatever happens.

        Returns:
            The answer; None where there is no such thing (any more).

        Raises:
            ActionDenied, ActionUnavailable: It surely had no effect.
            OutcomeUnknown: It was sent and may have had effect.
        """
        try:
            async with self._client(operation, region) as client:
                answer = await _method(client, operation)(**parameters)
                return answer if isinstance(answer, Mapping) else {}
        except SourceUnavailable as error:
            raise ActionUnavailable(str(error)) from error
        except faults.caught() as error:
            if faults.is_absent(error, operation):
                return None
            raise faults.action_error(error, operation, region) from error

    async def account(self, region: str) -> str:
        """Ask who we are: the account's twelve digits.

        Raises:
            SourceUnavailable, SourceDenied, SourceMalformed: As in `read`.
        """
        answer = await self.read(GET_CALLER_IDENTITY, region=region)
        account = (answer or {}).get("Account")
        if not isinstance(account, str) or not account:
            raise SourceMalformed(f"sts GetCallerIdentity in {region}: the answer names no account")
        return account

    def region(self) -> str | None:
        """Give the region that the environment or the profile names; None: neither does."""
        from botocore.exceptions import BotoCoreError

        if self._login is None:
            self._login = _Login(self._options)
        try:
            named = self._login.session.get_config_variable("region")
        except BotoCoreError:  # the first call will say what is wrong with the configuration
            named = None
        return named or os.environ.get("AWS_REGION") or None

    async def regions(self, service: str, partition: str) -> list[str]:
        """Name the regions of a partition that have a service, by botocore's list of endpoints.

        An account may not have turned all of them on: there, AWS does not know its credentials.

        Raises:
            SourceUnavailable: botocore takes too long to load.
        """
        loader = await self.models.loader()
        if self._login is None:
            self._login = _Login(self._options)
        self._login.session.register_component("data_loader", loader)
        return sorted(await self._login.session.get_available_regions(service, partition))

    async def close(self) -> None:
        """Close every connection."""
        login, self._login = self._login, None
        if login is not None:
            await login.close()

    @contextlib.asynccontextmanager
    async def _client(self, operation: Operation, region: str) -> AsyncIterator[Any]:
        """Give a client, not closed while it is used; credentials that are no good are given up afterwards."""
        loader = await self.models.loader()
        login = self._login
        if login is None:
            login = self._login = _Login(self._options)
        login.users += 1
        try:
            yield await login.client(operation, region, loader)
        except Exception as error:
            if faults.spoils_login(error) and self._login is login:
                self._login = None
            raise
        finally:
            login.users -= 1
            if self._login is not login and login.users == 0:
                await asyncio.shield(login.close())


class _Login:
    """One look for credentials, and the clients that use them."""

    def __init__(self, options: AwsOptions) -> None:
        from aiobotocore.session import AioSession

        self.users = 0
        self._options = options
        self._turn = asyncio.Lock()
        self._clients: dict[tuple[str, str, bool], Any] = {}
        self._closing = contextlib.AsyncExitStack()
        self.session = AioSession()
        self.session.user_agent_name = USER_AGENT
        self.session.user_agent_version = __version__

    async def client(self, operation: Operation, region: str, loader: Any) -> Any:
        """Give the client for an operation; actions have their own, which never sends twice."""
        key = (operation.service, region, operation.writes)
        async with self._turn:
            if key not in self._clients:
                self.session.register_component("data_loader", loader)
                self._clients[key] = await self._closing.enter_async_context(
                    self.session.create_client(
                        operation.service, region_name=region, config=self._config(writes=operation.writes)
                    )
                )
            return self._clients[key]

    async def close(self) -> None:
        """Close its clients."""
        self._clients.clear()
        await self._closing.aclose()

    def _config(self, *, writes: bool) -> Any:
        from aiobotocore.config import AioConfig

        return AioConfig(
            connect_timeout=self._options.connect_timeout_s,
            read_timeout=self._options.read_timeout_s,
            retries={"mode": "standard", "total_max_attempts": 1 if writes else self._options.attempts},
        )


def _method(client: Any, operation: Operation) -> Any:
    return getattr(client, _python_name(operation))


def _python_name(operation: Operation) -> str:
    from botocore import xform_name

    return str(xform_name(operation.name))


def _mapping(answer: object) -> Mapping[str, Any]:
    if not isinstance(answer, Mapping):
        raise SourceMalformed(f"expected an object, got {type(answer).__name__}")
    return answer
