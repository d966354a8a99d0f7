"""Carry requests to one Jupyter server: one connection pool, bounded answers, nothing sent twice.

What the answers mean is `client.py`'s business.
"""

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
from yarl import URL

from reaper import __version__
from reaper.clients.jupyter.address import ServerAddress
from reaper.clients.jupyter.wire import clip, error_message
from reaper.errors import ConfigError

__all__ = [
    "MAX_BODY_BYTES",
    "MAX_CONNECTIONS",
    "Answer",
    "BodyTooLong",
    "ConnectionLost",
    "Transport",
    "describe",
]

MAX_BODY_BYTES = 16 * 1024 * 1024
"""A kernel's entry takes some 180 bytes: this is room for 90,000 of them."""

MAX_CONNECTIONS = 16
"""At once to one server: a poll asks five things, while eight DELETEs may hold theirs for 5 s."""

KEEP_ALIVE_S = 90.0
"""How long an unused connection is kept: longer than the usual 60 s between polls."""

_UNLIMITED = aiohttp.ClientTimeout(total=None)

_XSRF = re.compile(r"[0-9A-Za-z|:_=.+/-]{1,1024}")
"""Tornado's `_xsrf` cookie, so that nothing else gets echoed into a header."""


class ConnectionLost(aiohttp.ClientConnectionError):
    """The connection ended after the request may have been sent."""


class BodyTooLong(Exception):
    """The answer went past `MAX_BODY_BYTES`."""

    def __str__(self) -> str:
        """Say how long is too long."""
        return f"the answer is longer than {MAX_BODY_BYTES} bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One whole HTTP answer, whatever its status.

    Attributes:
        status: HTTP status.
        body: The body, all of it.
        content_type: As sent; empty if missing.
        sent_at: The server's own instant (`Date`), cut to whole seconds.
        location: Where a redirect points to.
        xsrf: The `_xsrf` cookie that it sets.
    """

    status: int
    body: bytes
    content_type: str = ""
    sent_at: datetime | None = None
    location: str = ""
    xsrf: str | None = None

    @property
    def is_page(self) -> bool:
        """Whether it is HTML: never what an API means to say.

        An empty body is none, whatever its type: Tornado calls everything HTML by default.
        """
        return bool(self.body) and "html" in self.content_type.lower()

    @property
    def is_json(self) -> bool:
        """Whether it says that it is JSON."""
        return self.content_type.lower().startswith("application/json")

    @property
    def is_redirect(self) -> bool:
        """Whether it points elsewhere."""
        return 300 <= self.status < 400  # noqa: PLR2004

    @property
    def is_gone(self) -> bool:
        """Whether Jupyter itself says that there is no such thing.

        A wrong base URL, a malformed id and many a proxy answer 404 too, but with a page.
        """
        return self.status in {404, 410} and not self.is_page and error_message(self.body) is not None

    @property
    def wants_xsrf(self) -> bool:
        """Whether it was refused for want of the `_xsrf` cookie, before anything was looked at."""
        return self.status == 403 and "_xsrf" in (error_message(self.body) or "")  # noqa: PLR2004

    @property
    def said(self) -> str:
        """The server's own message in brackets, shortened; empty if there is none."""
        message = error_message(self.body)
        return f" ({clip(message)})" if message else ""


class Transport:
    """The connection pool to one server.

    Args:
        address: The server.
        session: Used instead of an own one, and not closed.
        clock: Tells the instant, for `server_offset`.
    """

    def __init__(
        self,
        address: ServerAddress,
        session: aiohttp.ClientSession | None,
        clock: Callable[[], datetime] | None,
    ) -> None:
        self.server_offset: float | None = None
        self._address = address
        self._session = session
        self._is_own_session = session is None
        self._clock = clock
        self._base = address.http_url
        self._ssl: ssl.SSLContext | bool = True
        self._xsrf: str | None = None
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"idle-reaper/{__version__}",
        }
        if token := address.token.get_secret_value():
            self._headers["Authorization"] = f"token {token}"

    @property
    def has_xsrf(self) -> bool:
        """Whether a `_xsrf` cookie is at hand."""
        return self._xsrf is not None

    def open(self) -> None:
        """Make the connection pool; connects to nothing yet.

        Raises:
            ConfigError: The CA file can't be used.
        """
        if self._base.startswith("https:"):
            self._ssl = _ssl_context(self._address)
        if self._session is None:
            path = self._address.socket_path
            connector: aiohttp.BaseConnector
            if path is None:
                connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S)
            else:
                connector = aiohttp.UnixConnector(path, limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    async def close(self) -> None:
        """Close the connection pool, unless it is the caller's."""
        if self._is_own_session and self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def exchange(
        self, method: str, path: str, *, query: str = "", limits: aiohttp.ClientTimeout = _UNLIMITED
    ) -> Answer:
        """Send one request, once, and read the whole answer.

        Args:
            method: `GET` or `DELETE`.
            path: Below the base URL, already quoted.
            query: What goes before `no_track_activity`, with its `&`.
            limits: Of aiohttp's own timeouts; the deadline of the whole is the caller's.

        Raises:
            aiohttp.ClientConnectorError: Not connected: nothing was sent.
            aiohttp.ConnectionTimeoutError: The same, by `limits`.
            aiohttp.ClientError: What else aiohttp has to say.
            BodyTooLong: The answer is too long.
        """
        if self._session is None:
            raise RuntimeError("JupyterClient is used outside its `async with` block")
        headers = self._headers
        if method != "GET" and self._xsrf is not None:
            headers = {**headers, "Cookie": f"_xsrf={self._xsrf}", "X-Xsrftoken": self._xsrf}
        before = self._clock() if self._clock is not None else None
        async with self._session.request(
            method,
            URL(f"{self._base}{path}?{query}no_track_activity=1", encoded=True),
            headers=headers,
            allow_redirects=False,
            ssl=self._ssl,
            timeout=limits,
            middlewares=(_send_once,),
        ) as response:
            sent_at = _date(response.headers.get("Date"))
            if self._clock is not None and before is not None and sent_at is not None:
                middle = before + (self._clock() - before) / 2
                # Half a second: `Date` is cut to whole ones.
                self.server_offset = (sent_at - middle).total_seconds() + 0.5
            return Answer(
                status=response.status,
                body=await _read(response),
                content_type=response.headers.get("Content-Type", ""),
                sent_at=sent_at,
                location=response.headers.get("Location", ""),
                xsrf=_xsrf_cookie(response) if path == "tree" else None,
            )

    async def fetch_xsrf(self, limits: aiohttp.ClientTimeout) -> bool:
        """Get a `_xsrf` cookie for the DELETEs to come; tell whether there is one.

        Any page of Jupyter sets it: `tree` does so even where it does not exist, on its 404.
        """
        self._xsrf = None
        answer = await self.exchange("GET", "tree", limits=limits)
        self._xsrf = answer.xsrf
        return self._xsrf is not None


def describe(error: BaseException) -> str:
    """Say what went wrong: aiohttp and asyncio leave many messages empty. Pure."""
    return clip(str(error), limit=200) or type(error).__name__


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from sending a request a second time by itself.

    It does so for idempotent methods when a kept connection turns out closed, DELETE included.
    But names of terminals are used again: a second DELETE could hit a new one.
    """
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionLost(str(error) or type(error).__name__) from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLong
    return bytes(body)


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        instant = parsedate_to_datetime(text)
        return instant.astimezone(UTC) if instant.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _xsrf_cookie(response: aiohttp.ClientResponse) -> str | None:
    cookie = response.cookies.get("_xsrf")
    return cookie.value if cookie is not None and _XSRF.fullmatch(cookie.value) else None


def _ssl_context(address: ServerAddress) -> ssl.SSLContext | bool:
    if not address.verify:
        return False
    if address.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=address.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the CA file {address.ca_file} can't be used: {error}") from error
