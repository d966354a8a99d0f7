"""One look for credentials, and the clients that use them."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from reaper import __version__
from reaper.clients.aws.operation import Operation
from reaper.clients.aws.options import AwsOptions
from reaper.errors import CollectError, SourceMalformed

if TYPE_CHECKING:
    import logging

__all__ = ["Login", "role_credentials"]

USER_AGENT = "idle-reaper"

_AGAIN_AFTER_S = 30.0
"""So long a role that could not be assumed is not tried again: a dozen regions ask for it at the same time."""


class Login:
    """One look for credentials, and the clients that use them.

    Args:
        options: How to talk.
        credentials: Whose; None: those that the environment gives.
    """

    def __init__(self, options: AwsOptions, credentials: Any = None) -> None:
        from aiobotocore.session import AioSession

        from reaper.clients.aws.fast import FastParsers

        self.users = 0
        self.proven: set[str] = set()
        """Regions where AWS has known these credentials."""
        self._options = options
        self._turn = asyncio.Lock()
        self._clients: dict[tuple[str, str, bool], Any] = {}
        self._closing = contextlib.AsyncExitStack()
        self.session = AioSession()
        self.session.user_agent_name = USER_AGENT
        self.session.user_agent_version = __version__
        self.session.register_component("response_parser_factory", FastParsers())
        if credentials is not None:
            self.session._credentials = credentials  # noqa: SLF001 - aiobotocore has no other way to give refreshable ones

    async def client(self, operation: Operation, region: str, loader: Any, *, once: bool) -> Any:
        """Give the client for an operation; that for what is sent `once` never sends twice."""
        key = (operation.service, region, once)
        async with self._turn:
            if key not in self._clients:
                self.session.register_component("data_loader", loader)
                self._clients[key] = await self._closing.enter_async_context(
                    self.session.create_client(
                        operation.service, region_name=region, config=self._config(once=once)
                    )
                )
            return self._clients[key]

    async def close(self) -> None:
        """Close its clients."""
        self._clients.clear()
        await self._closing.aclose()

    def _config(self, *, once: bool) -> Any:
        from aiobotocore.config import AioConfig

        return AioConfig(
            connect_timeout=self._options.connect_timeout_s,
            read_timeout=self._options.read_timeout_s,
            max_pool_connections=self._options.connections,
            retries={
                "mode": "adaptive" if self._options.adaptive and not once else "standard",
                "total_max_attempts": 1 if once else self._options.attempts,
            },
            http_session_cls=_sharing_sessions(),
        )


@cache
def _sharing_sessions() -> Any:
    """Give aiobotocore's HTTP session, but with one list of certificate authorities for all: each takes 0.6 MB."""
    from aiobotocore.httpsession import AIOHTTPSession

    contexts: dict[object, ssl.SSLContext] = {}

    class Session(AIOHTTPSession):  # type: ignore[misc]
        def _build_ssl_contexts(self, proxy_url: str | None) -> tuple[ssl.SSLContext, ssl.SSLContext | None]:
            if proxy_url or self._cert_file:
                made: tuple[ssl.SSLContext, ssl.SSLContext | None] = super()._build_ssl_contexts(proxy_url)
                return made
            if self._verify not in contexts:
                contexts[self._verify] = self._build_verify_context()
            return contexts[self._verify], None

    return Session


def role_credentials(assume: Callable[[], Awaitable[Mapping[str, Any]]]) -> Any:
    """Make credentials that renew themselves, ten minutes before they end at the latest.

    Args:
        assume: Asks for them: the answer of AssumeRole. What it raises comes out of the call that needs them.
    """
    import logging

    from aiobotocore.credentials import AioDeferredRefreshableCredentials

    logging.getLogger("aiobotocore.credentials").addFilter(_worth_logging)
    return AioDeferredRefreshableCredentials(refresh_using=_Renewal(assume), method="assume-role")


def _worth_logging(record: "logging.LogRecord") -> bool:
    """Leave out what whoever calls is told anyway: a traceback for each role that is denied, at each look."""
    return not (record.exc_info and isinstance(record.exc_info[1], CollectError))


class _Renewal:
    """Asks for new credentials, and not at once again where that failed."""

    def __init__(self, assume: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        self._assume = assume
        self._failed: tuple[float, CollectError] | None = None

    async def __call__(self) -> dict[str, str]:
        now = asyncio.get_running_loop().time()
        if self._failed is not None and now < self._failed[0] + _AGAIN_AFTER_S:
            before = self._failed[1]
            raise type(before)(str(before))
        try:
            answer = await self._assume()
            given = _credentials(answer)
        except CollectError as error:
            self._failed = now, error
            raise
        self._failed = None
        return given


def _credentials(answer: Mapping[str, Any]) -> dict[str, str]:
    found = answer.get("Credentials") or {}
    ends_at = found.get("Expiration")
    names = {"access_key": "AccessKeyId", "secret_key": "SecretAccessKey", "token": "SessionToken"}
    given = {ours: str(found.get(theirs) or "") for ours, theirs in names.items()}
    if not isinstance(ends_at, datetime) or not all(given.values()):
        raise SourceMalformed("sts AssumeRole: the answer holds no whole credentials")
    return {**given, "expiry_time": ends_at.isoformat()}
