"""Talk to one Jupyter server over its REST API, without being noticed by it.

Every request carries `?no_track_activity=1`: a plain GET would move the server's own
`last_activity`, and a look must change nothing. Every answer is read as if the server were out to
confuse us: a page where JSON should be, cut-off JSON, a login page behind a redirect.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from http import HTTPStatus
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_random

from reaper.clients.jupyter import wire
from reaper.clients.jupyter.address import ServerAddress
from reaper.clients.jupyter.models import KernelModel, ServerStatus, SessionModel, TerminalModel
from reaper.clients.jupyter.transport import Answer, BodyTooLong, ConnectionLost, Transport, describe
from reaper.errors import (
    ActionDenied,
    ActionUnavailable,
    OutcomeUnknown,
    SourceDenied,
    SourceMalformed,
    SourceUnavailable,
)

__all__ = ["Deletion", "JupyterClient"]

GET_ATTEMPTS = 3
"""The first and two more, within the same timeout."""

CONNECT_TIMEOUT_S = 5.0
"""For a DELETE: what fails while connecting was surely never sent."""

_TRANSIENT = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
)
"""The server did not look at the request at all."""

_DENIED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class Deletion(StrEnum):
    """How a DELETE succeeded."""

    DELETED = "deleted"
    """The server did it."""
    GONE = "gone"
    """There was nothing left to do: it knows of no such thing any more."""


class JupyterClient:
    """One Jupyter server. Use it as an async context manager; calls may run at the same time.

    GETs raise `SourceUnavailable` (no answer, 5xx), `SourceDenied` (401, 403, a redirect: the
    token was refused) or `SourceMalformed` (an answer that can't be read). When a connection is
    lost they are tried again, twice at most, within the timeout.

    DELETEs raise `ActionUnavailable` (surely without effect), `ActionDenied` or `OutcomeUnknown`.
    They are never sent twice, except after an answer that says the first was not looked at.

    Args:
        address: The server.
        session: A session to use instead of an own one; the caller closes it. It must suit the
            address (a unix socket needs its connector) and should keep no cookies.
        timeout: For a GET, retries included.
        delete_timeout: For a DELETE. A kernel that ignores signals takes 5 s to shut down.
        clock: Tells the instant, for `server_offset`; without one that stays None.
    """

    def __init__(
        self,
        address: ServerAddress,
        session: aiohttp.ClientSession | None = None,
        timeout: timedelta = timedelta(seconds=10),
        *,
        delete_timeout: timedelta = timedelta(seconds=30),
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self.address = address
        self._transport = Transport(address, session, clock)
        self._base_path = urlsplit(address.http_url).path
        self._has_token = bool(address.token.get_secret_value())
        self._timeout_s = timeout.total_seconds()
        self._delete_timeout_s = delete_timeout.total_seconds()
        self._started: datetime | None = None
        self._keepalive_absent = False

    async def __aenter__(self) -> Self:
        """Make the connection pool; connects to nothing yet.

        Raises:
            ConfigError: The CA file can't be used.
        """
        self._transport.open()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close what was opened."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection pool, unless it is the caller's."""
        await self._transport.close()

    @property
    def server_offset(self) -> float | None:
        """The server's clock minus ours in seconds, from the last answer; None if not measured.

        From the `Date` header, which counts whole seconds: good to about a second.
        """
        return self._transport.server_offset

    async def status(self) -> ServerStatus:
        """Get when the server started and was last active."""
        answer, where = await self._get("api/status")
        status = wire.parse_status(self._payload(answer, where), where, server_now=answer.sent_at)
        if status.started != self._started:  # another life, maybe with other extensions
            self._started = status.started
            self._keepalive_absent = False
        return status

    async def kernels(self) -> tuple[KernelModel, ...]:
        """List the kernels. One that can't be read is listed with a `problem`."""
        answer, where = await self._get("api/kernels")
        return wire.parse_kernels(self._payload(answer, where), where, server_now=answer.sent_at)

    async def kernel(self, kernel_id: str) -> KernelModel | None:
        """Look at one kernel; None if the server knows of no such kernel."""
        answer, where = await self._get(_join("api", "kernels", kernel_id))
        if answer.is_gone:
            return None
        kernel = wire.parse_kernel(self._payload(answer, where), server_now=answer.sent_at)
        if kernel.id != kernel_id:
            raise SourceMalformed(f"{where}: answered about another kernel, {wire.clip(kernel.id)!r}")
        return kernel

    async def sessions(self) -> tuple[SessionModel, ...]:
        """List the sessions: which notebook or console uses which kernel."""
        answer, where = await self._get("api/sessions")
        return wire.parse_sessions(self._payload(answer, where), where)

    async def terminals(self) -> tuple[TerminalModel, ...] | None:
        """List the terminals in order of creation; None where terminals are disabled."""
        answer, where = await self._get("api/terminals")
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        return wire.parse_terminals(self._payload(answer, where), where, server_now=answer.sent_at)

    async def notebook_saved_at(self, path: str) -> datetime | None:
        """Get when the notebook at a session's path was last saved, by the contents API.

        `saved_on_disk` tells the same of a server on this host without a request.

        Returns:
            `last_modified`, by the clock of the server's file system; None where there is no such
            file: consoles and unsaved notebooks have made-up paths. A failure says nothing of
            the rest of the server: to some odd paths Jupyter answers 500.
        """
        segments = [segment for segment in path.split("/") if segment]
        if not segments or "\0" in path or not all(_is_segment(segment) for segment in segments):
            return None
        answer, where = await self._get(_join("api", "contents", *segments), query="content=0&")
        if answer.status == HTTPStatus.NOT_FOUND and answer.is_json:  # its body is bare text (2.21)
            return None
        return wire.parse_saved_at(self._payload(answer, where), where)

    async def keepalive(self) -> float | None:
        """Ask the jupyter-keepalive extension for how many seconds it still keeps the server alive.

        Returns:
            Seconds, 0 when it is not on; None without the extension. Its absence is remembered
            until `status` sees that the server was started anew.
        """
        if self._keepalive_absent:
            return None
        answer, where = await self._get("ext-keepalive")
        if answer.status == HTTPStatus.NOT_FOUND:
            self._keepalive_absent = True
            return None
        return wire.parse_remaining(self._payload(answer, where), where)

    async def get_json(self, *segments: str) -> object | None:
        """Get what else a server may offer, such as `get_json("sagemaker", "api", "apps")`.

        Args:
            segments: The path below the base URL; each is quoted.

        Returns:
            The JSON as it is; None if there is no such thing (404).
        """
        answer, where = await self._get(_join(*segments))
        return None if answer.status == HTTPStatus.NOT_FOUND else self._payload(answer, where)

    async def shutdown_kernel(self, kernel_id: str) -> Deletion:
        """Shut a kernel down; its sessions go with it. Takes 0.2 s, 5 s if it ignores signals."""
        return await self.delete("api", "kernels", kernel_id)

    async def delete_terminal(self, name: str) -> Deletion:
        """Close a terminal and what runs in it."""
        return await self.delete("api", "terminals", name)

    async def delete(self, *segments: str) -> Deletion:
        """Send one DELETE.

        From a request without a valid token Jupyter wants its `_xsrf` cookie echoed.

        Args:
            segments: The path below the base URL; each is quoted.

        Raises:
            ActionUnavailable: It had no effect: not connected, 503, or a 404 that is a page and
                so says nothing of the thing itself (wrong base URL, malformed id).
            ActionDenied: The server refused.
            OutcomeUnknown: The request may have been carried out: no answer, or a broken one.
        """
        path = _join(*segments)
        where = f"DELETE {self._base_path}{path}"
        if not all(_is_segment(segment) for segment in segments):
            raise ActionDenied(f"{where}: no id can be empty, `.` or `..`")
        limit = min(CONNECT_TIMEOUT_S, self._delete_timeout_s / 2)
        limits = aiohttp.ClientTimeout(total=None, connect=limit, sock_connect=limit)
        underway = False
        try:
            async with asyncio.timeout(self._delete_timeout_s):
                if not self._has_token and not self._transport.has_xsrf:
                    await self._transport.fetch_xsrf(limits)
                underway = True
                answer = await self._transport.exchange("DELETE", path, limits=limits)
                if answer.wants_xsrf:
                    underway = False
                    if await self._transport.fetch_xsrf(limits):
                        underway = True
                        answer = await self._transport.exchange("DELETE", path, limits=limits)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise ActionUnavailable(f"{where}: not connected: {describe(error)}") from error
        except (OSError, aiohttp.ClientError, BodyTooLong) as error:  # OSError: TimeoutError is one
            if not underway:
                raise ActionUnavailable(f"{where}: not sent: {describe(error)}") from error
            raise OutcomeUnknown(f"{where}: sent, but then: {describe(error)}") from error
        return self._judge(answer, where)

    def _judge(self, answer: Answer, where: str) -> Deletion:
        """Read the answer to a DELETE."""
        status = answer.status
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES and not answer.is_page:
            return Deletion.DELETED
        if answer.is_gone:
            return Deletion.GONE
        if status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
            raise ActionUnavailable(
                f"{where}: {status} that is not Jupyter's own: wrong base URL, or an id that can't be"
            )
        if status in _TRANSIENT:
            raise ActionUnavailable(f"{where}: {status}{answer.said}")
        if status in _DENIED or answer.is_redirect:
            raise ActionDenied(f"{where}: {self._denial(answer)}")
        if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise ActionDenied(f"{where}: {status}{answer.said}")
        raise OutcomeUnknown(f"{where}: {status}{answer.said or ' with a page'}: it may have begun")

    async def _get(self, path: str, *, query: str = "") -> tuple[Answer, str]:
        """Send a GET, again if the connection is lost; give the answer and what to call it."""
        where = f"GET {self._base_path}{path}"
        attempts = AsyncRetrying(
            stop=stop_after_attempt(GET_ATTEMPTS),
            wait=wait_random(0.05, 0.3),
            retry=retry_if_exception(_is_lost_connection),
            reraise=True,
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                return await attempts(self._transport.exchange, "GET", path, query=query), where
        except TimeoutError as error:
            raise SourceUnavailable(f"{where}: no answer within {self._timeout_s:g} s") from error
        except BodyTooLong as error:
            raise SourceMalformed(f"{where}: {error}") from error
        except aiohttp.ClientResponseError as error:
            raise SourceMalformed(f"{where}: the answer is not HTTP: {describe(error)}") from error
        except (OSError, aiohttp.ClientError) as error:
            raise SourceUnavailable(f"{where}: {describe(error)}") from error

    def _payload(self, answer: Answer, where: str) -> object:
        """Give the JSON that a GET was answered with.

        Raises:
            SourceDenied: 401, 403 or a redirect.
            SourceUnavailable: 5xx, 408, 429.
            SourceMalformed: Any other status, or no JSON.
        """
        status = answer.status
        if status == HTTPStatus.OK:
            return wire.decode(answer.body, answer.content_type, where)
        if status in _DENIED or answer.is_redirect:
            raise SourceDenied(f"{where}: {self._denial(answer)}")
        msg = f"{where}: {status}{answer.said}"
        if status in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise SourceUnavailable(msg)
        if status == HTTPStatus.NOT_FOUND:
            msg += ": no Jupyter API here; is the base URL right?"
        raise SourceMalformed(msg)

    def _denial(self, answer: Answer) -> str:
        """Say why the server refused, in words that lead to the cause."""
        if answer.is_redirect:
            target = wire.clip(urlsplit(answer.location).path)
            return (
                f"{answer.status} to {target!r}: the token was refused, or this is not the server's own URL"
            )
        refused = f"{answer.status}{answer.said}"
        if not self._has_token:
            return f"{refused}: the server wants a token and none is known"
        if answer.wants_xsrf:
            # Jupyter asks for XSRF only where no token vouches for the request.
            return f"{refused}: this is how Jupyter says that the token was refused"
        return f"{refused}: the token was refused, or does not allow this"


def _join(*segments: str) -> str:
    """Write a path below the base URL. Pure."""
    return "/".join(quote(segment, safe="") for segment in segments)


def _is_segment(segment: str) -> bool:
    """Tell a name from what a URL takes for a step, which quoting can't change. Pure."""
    return segment not in {"", ".", ".."}


def _is_lost_connection(error: BaseException) -> bool:
    """Tell a connection that was lost, which another attempt may mend, from one refused. Pure."""
    lost = (
        ConnectionLost,
        ConnectionError,
        aiohttp.ClientOSError,
        aiohttp.ClientPayloadError,
        aiohttp.ServerDisconnectedError,
    )
    return isinstance(error, lost) and not isinstance(error, aiohttp.ClientConnectorError | TimeoutError)
