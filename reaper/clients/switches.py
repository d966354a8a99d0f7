"""Kill switches outside of reaper: a file of this host, and a parameter that all reapers of a fleet read.

Whoever can write one stops everything, so it fails safe: what can't be read, or is not there where it should be,
stops everything too.
"""

import asyncio
from pathlib import Path

from reaper.clients.aside import Aside
from reaper.clients.aws import GET_PARAMETER, Aws
from reaper.errors import SourceUnavailable

__all__ = ["FileSwitch", "ParameterSwitch"]

_DEADLINE_S = 8.0
_LONGEST = 200
"""Characters of a reason that are shown."""
_GO_ON = frozenset({"run", "off", "no", "false", "0"})


class FileSwitch:
    """Nothing is done while a file is there; its first line says why.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.name = f"file {path}"
        self._path = path
        self._aside = Aside(f"the file system of {path}")

    async def read(self) -> str | None:
        """Say why nothing may be done; None: there is no such file."""
        try:
            return await self._aside.call(self._read, _DEADLINE_S)
        except OSError as error:
            raise SourceUnavailable(f"{self._path} can't be read: {error.strerror or error}") from error

    def _read(self) -> str | None:
        try:
            with self._path.open(encoding="utf-8", errors="replace") as file:
                return file.readline(_LONGEST).strip() or "the file is there"
        except FileNotFoundError:
            return None

    async def close(self) -> None:
        """There is nothing to close."""


class ParameterSwitch:
    """Nothing is done unless a parameter of Systems Manager says `run`; anything else it says is the reason.

    Args:
        parameter: Its name, or its ARN, which names the region too.
        region: Where it is; empty: where the environment or the profile says.
        aws: How to ask; closed with the switch.
    """

    def __init__(self, parameter: str, region: str = "", aws: Aws | None = None) -> None:
        self.name = f"parameter {parameter}"
        self._parameter = parameter
        self._region = parameter.split(":")[3] if parameter.startswith("arn:") else region
        self._aws = aws or Aws()

    async def read(self) -> str | None:
        """Say why nothing may be done; None: it says `run` (or `off`, `no`, `false`, `0`)."""
        try:
            async with asyncio.timeout(_DEADLINE_S):
                await self._aws.models.loader()
                region = self._region or self._aws.region()
                if not region:
                    raise SourceUnavailable(
                        f"no region to read {self._parameter} in: set AWS_REGION, or give its ARN"
                    )
                answer = await self._aws.read(GET_PARAMETER, region=region, Name=self._parameter)
        except TimeoutError:
            raise SourceUnavailable(f"no answer within {_DEADLINE_S:g} s about {self._parameter}") from None
        if answer is None:
            return f"there is no parameter {self._parameter} in {region}: create it with the value run"
        found = answer.get("Parameter")
        value = found.get("Value") if isinstance(found, dict) else None
        if not isinstance(value, str):
            raise SourceUnavailable(f"the answer about {self._parameter} holds no value")
        text = value.strip()
        return None if text.lower() in _GO_ON else text[:_LONGEST] or "it is empty"

    async def close(self) -> None:
        """Close connections."""
        await self._aws.close()
