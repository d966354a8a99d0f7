"""What may be secret: tokens, and the addresses that people paste with one inside.

A validator says what is wrong with a value in a `ValueError` that never holds the value.
"""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr, WithJsonSchema

from reaper.config.lists import LIST_SCHEMA, items_of

__all__ = [
    "MASK",
    "HeaderSecret",
    "JupyterUrls",
    "NotifyAddresses",
    "safe_address",
    "safe_url",
    "scheme_of",
]

MASK = "**********"
"""What is shown of a secret; the same as pydantic's `SecretStr`."""

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")
_HEADER_HINT = "must be printable ASCII without spaces, or no HTTP header can carry it"


def scheme_of(address: str) -> str:
    """Give an address's scheme, lower case; empty if it has none."""
    found = _SCHEME.match(address)
    return found[1].lower() if found else ""


def safe_address(address: str) -> str:
    """Write a notifier's address without anything that may be secret."""
    scheme = scheme_of(address)
    if scheme in {"log", "command"}:
        return address
    if scheme in {"http", "https"}:
        try:
            host = urlsplit(address).hostname or ""
        except ValueError:
            host = ""
        return f"{scheme}://{host}/{MASK}"
    return f"{scheme}:{MASK}" if scheme else MASK


def safe_url(url: str) -> str:
    """Write a server's URL without token, user name or password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return MASK
    netloc = parts.netloc.rpartition("@")[2]
    masked = f"?{MASK}" if parts.query or parts.fragment or parts.username is not None else ""
    return f"{parts.scheme}://{netloc}{parts.path}{masked}"


def _read_header_secret(value: SecretStr | None) -> SecretStr | None:
    if value is not None and not _VISIBLE_ASCII.fullmatch(value.get_secret_value()):
        raise ValueError(_HEADER_HINT)
    return value


HeaderSecret = Annotated[SecretStr | None, AfterValidator(_read_header_secret)]
"""A token that goes into an HTTP header."""


def _secret_items(value: object) -> list[str]:
    plain = [item.get_secret_value() if isinstance(item, SecretStr) else item for item in items_of(value)]
    if not all(isinstance(item, str) for item in plain):
        raise ValueError("must be a list of texts")
    return list(dict.fromkeys(plain))


def _read_jupyter_urls(value: object) -> tuple[SecretStr, ...]:
    return tuple(SecretStr(_checked_url(item)) for item in _secret_items(value))


def _checked_url(url: str) -> str:
    hint = "write http://HOST:PORT/BASE/, https://... or http+unix://%2Fpath%2Fto.sock/BASE/"
    try:
        parts = urlsplit(url)
        if parts.scheme != "http+unix":
            _ = parts.port
    except ValueError:
        raise ValueError(f"holds something that is no URL: {hint}") from None
    if parts.scheme not in {"http", "https", "http+unix"} or not parts.netloc:
        raise ValueError(f"holds something that is no URL of a Jupyter server: {hint}")
    if parts.username is not None:
        raise ValueError("must not hold a user name or password: give the token as jupyter.token")
    if not url.isprintable() or " " in url:
        raise ValueError("holds a URL with spaces or unprintable characters")
    return url


JupyterUrls = Annotated[
    tuple[SecretStr, ...],
    BeforeValidator(_read_jupyter_urls),
    WithJsonSchema(LIST_SCHEMA),
]
"""URLs of Jupyter servers; secret, because people paste them with `?token=`."""


def _read_addresses(value: object) -> tuple[SecretStr, ...]:
    items = _secret_items(value)
    for item in items:
        if not scheme_of(item):
            raise ValueError(
                "holds something without a scheme: write log:, command:/path/to/program or https://host/path"
            )
        if scheme_of(item) == "command" and not item.partition(":")[2].startswith("/"):
            raise ValueError("holds a command that is no absolute path: write command:/path/to/program")
    return tuple(SecretStr(item) for item in items)


NotifyAddresses = Annotated[
    tuple[SecretStr, ...],
    BeforeValidator(_read_addresses),
    WithJsonSchema(LIST_SCHEMA),
]
"""Addresses of notifiers; secret, because a webhook's path is one."""
