"""Tell a web server: the notice as JSON in a POST."""

import asyncio
import hashlib
import json
import os
from http import HTTPStatus
from typing import Self
from urllib.request import getproxies, proxy_bypass

import aiohttp
from pydantic import SecretStr
from tenacity import AsyncRetrying, retry_if_exception, wait_random_exponential
from yarl import URL

from reaper import __version__
from reaper.errors import ConfigError, NotifyError
from reaper.notifiers import plain_address
from reaper.plugins import Notice

__all__ = ["WebhookNotifier"]

DEADLINE_S = 10.0
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 2.0


class WebhookNotifier:
    """`https://host/path` posts the notice as JSON (`Notice.body()`); any 2xx answer is delivery.

    The whole address counts as a secret, since such addresses usually hold a token; a user and password
    in it become Basic authentication. `text` in the document is what Slack and its kin show. Redirects
    are not followed. A connection that can't be made, or breaks, is tried again until the deadline; so that a
    receiver can tell a repetition, all attempts carry one `Idempotency-Key`.

    Args:
        address: Where to post to.
        deadline: Seconds for everything.
    """

    def __init__(self, address: SecretStr, *, deadline: float = DEADLINE_S) -> None:
        self._secret = address
        self._deadline = deadline
        url = URL(address.get_secret_value())
        port = "" if url.explicit_port is None else f":{url.explicit_port}"
        host = f"[{url.host}]" if url.host and ":" in url.host else url.host
        self._shown = f"{url.scheme}://{host}{port}/***"

    @classmethod
    def from_address(cls, address: SecretStr | str) -> Self:
        """Read `https://...` or `http://...`.

        Raises:
            ConfigError: It is no such address. The message does not repeat it.
        """
        text = plain_address(address)
        problem = _problem_with(text)
        if problem:
            raise ConfigError(f"REAPER_NOTIFY: a webhook's address {problem}; write https://host/path")
        return cls(SecretStr(text))

    @property
    def address(self) -> str:
        """Scheme and host; the rest is a secret."""
        return self._shown

    @property
    def counts_as_delivery(self) -> bool:
        """Yes, if the server answers 2xx."""
        return True

    def __repr__(self) -> str:
        """Show no path."""
        return f"<WebhookNotifier {self._shown}>"

    async def notify(self, notice: Notice) -> None:
        """Post it.

        Raises:
            NotifyError: No answer, or one other than 2xx.
        """
        problem = await self._attempts(notice)
        if problem:  # raised here, outside every `except`: no traceback of it leads to the address
            raise NotifyError(problem)

    async def close(self) -> None:
        """Nothing is open: notices are hours apart."""

    async def _attempts(self, notice: Notice) -> str:
        """Post until there is an answer; give what went wrong, or nothing."""
        body = json.dumps(notice.body()).encode()
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": _key(notice),
            "User-Agent": f"idle-reaper/{__version__}",
        }
        last = ""
        try:
            async with asyncio.timeout(self._deadline):
                async for attempt in AsyncRetrying(
                    retry=retry_if_exception(_may_pass),
                    wait=wait_random_exponential(multiplier=_FIRST_PAUSE_S, max=_LONGEST_PAUSE_S),
                    reraise=True,
                ):
                    with attempt:
                        try:
                            return _verdict(await self._post(body, headers))
                        except (aiohttp.ClientError, OSError) as error:
                            last = _describe(error)
                            raise
        except TimeoutError:
            return f"no answer within {self._deadline:g} s{f' ({last})' if last else ''}"
        except (aiohttp.ClientError, OSError):
            return last
        except ValueError as error:  # a host name that can't be encoded, and the like
            return f"its address can't be used ({type(error).__name__})"
        raise AssertionError("tenacity gives an answer, or raises")  # pragma: no cover

    async def _post(self, body: bytes, headers: dict[str, str]) -> int:
        url = URL(self._secret.get_secret_value())
        if url.user is not None:
            headers = {**headers, "Authorization": aiohttp.encode_basic_auth(url.user, url.password or "")}
        async with (
            aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),  # the deadline is around everything
            ) as session,
            session.post(
                url.with_user(None), data=body, headers=headers, proxy=_proxy(url), allow_redirects=False
            ) as response,
        ):
            return response.status


def _proxy(url: URL) -> str | None:
    """Find the proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY name: often the only way out of a private network.

    aiohttp's `trust_env` would do it too, but also send what ~/.netrc has for the host.
    """
    if proxy_bypass(url.host or ""):
        return None
    return getproxies().get(url.scheme)


def _problem_with(address: str) -> str:
    try:
        url = URL(address)
        port = url.port
    except ValueError:
        return "can't be read"
    if url.scheme not in {"http", "https"}:
        return "must begin with https:// or http://"
    if not url.host:
        return "has no host"
    if ":" in (url.user or ""):
        return "has a user with a colon in its name, which Basic authentication can't carry"
    return "has no possible port" if port == 0 else ""


def _verdict(status: int) -> str:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return ""
    try:
        phrase = f" {HTTPStatus(status).phrase}"  # not the server's own: it may repeat the address
    except ValueError:
        phrase = ""
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return (
            f"it answered {status}{phrase}, which is not followed: put the final address into REAPER_NOTIFY"
        )
    return f"it answered {status}{phrase}"


def _may_pass(error: BaseException) -> bool:
    """Tell whether another attempt may succeed: the connection failed, and not because of its certificate."""
    bad_tls = (
        aiohttp.ClientConnectorCertificateError,
        aiohttp.ClientConnectorSSLError,
        aiohttp.ServerFingerprintMismatch,
    )
    return isinstance(error, (aiohttp.ClientConnectionError, OSError)) and not isinstance(error, bad_tls)


def _describe(error: Exception) -> str:
    """Say what went wrong in words of ours: many of aiohttp's messages hold the address."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = (
            getattr(error.certificate_error, "verify_message", "") or type(error.certificate_error).__name__
        )
        return f"its certificate is not valid: {reason}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "its host name is unknown"
    if isinstance(error, aiohttp.ClientSSLError):
        return "TLS failed"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answered {error.status}"
    if isinstance(error, OSError):
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        where = " to the proxy" if isinstance(error, aiohttp.ClientProxyConnectionError) else ""
        return (
            f"connection{where} failed: {os.strerror(cause.errno) if cause.errno else type(cause).__name__}"
        )
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "it closed the connection without an answer"
    return f"the exchange failed ({type(error).__name__})"


def _key(notice: Notice) -> str:
    resource = notice.resource or {}
    life = [str(resource.get(name)) for name in ("kind", "scope", "id", "incarnation")]
    text = "|".join((notice.topic, notice.at.isoformat(), *life))
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:32]
