"""Ways to tell people, one file each: entry points of `reaper.notifiers`, named by the address's scheme.

`log:` is everybody's log and counts as nobody told; `command:/path` runs a program; `https://...` (and
`http://...`) posts to a webhook. A notifier's attempt is bounded in time and says whether the notice was
delivered. When to try again is the daemon's business; it never reaps before a warning was delivered.
"""

from pydantic import SecretStr

__all__ = ["plain_address"]


def plain_address(address: SecretStr | str) -> str:
    """Take an address out of its wrapping, without white space around it."""
    return (address.get_secret_value() if isinstance(address, SecretStr) else address).strip()
