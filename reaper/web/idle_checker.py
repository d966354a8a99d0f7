"""The API of the Studio auto-shutdown extension, so that what watches that one can watch this one.

Its `idle_checker` told the limit in seconds, whether terminals are kept, and how many times it had looked; a POST
began it, and set the limit in minutes (read in aws-samples/sagemaker-studio-auto-shutdown-extension, handlers.py).
Here nothing has to be begun: a POST is a change of the setting idle-timeout, as any.
"""

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from reaper.plugins import Control
from reaper.web.auth import Gate
from reaper.web.body import answer, bad_field, only_fields, read_object
from reaper.web.problem import Problem

__all__ = ["PATHS", "IdleChecker"]

_PATH = "/sagemaker-studio-autoshutdown/idle_checker"
PATHS = (_PATH, f"/jupyter/default{_PATH}")
"""Where it answers: the second is its whole path in Studio Classic, so that only the port is another."""

_LONGEST_NUMBER = 9
"""Digits of the minutes: two thousand years."""


class IdleChecker:
    """The two handlers.

    Args:
        control: The daemon.
        gate: Names who asks.
    """

    def __init__(self, control: Control, gate: Gate) -> None:
        self._control = control
        self._gate = gate

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Tell the limit in force in seconds, whether terminals are kept, and how many times was looked."""
        return await answer(await self._told())

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Set the limit, in minutes.

        `keep_terminals` may only say what is so: it is not changed at run time, and a client that wants it
        otherwise must learn that nothing will come of it.
        """
        document = await read_object(request)
        only_fields(document, ("idle_time", "keep_terminals"))
        minutes = _minutes(document)
        kept, wanted = (await self._told())["keep_terminals"], document.get("keep_terminals")
        if wanted is not None and not isinstance(wanted, bool):
            raise bad_field("keep_terminals", "must be true or false")
        if wanted is not None and wanted != kept:
            raise Problem(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                "bad-setting",
                f"keep_terminals is {str(kept).lower()}, and is not changed at run time: set REAPER_KEEP_TERMINALS to "
                f"{str(wanted).lower()} and restart the daemon, or leave the field out; nothing was changed",
                more={"field": "keep_terminals"},
            )
        asked = {"name": "idle-timeout", "value": f"{minutes}m", "for_s": None}
        await self._control.change_setting(asked, await self._gate.caller(request))
        return await answer(await self._told())

    async def _told(self) -> dict[str, object]:
        status = await self._control.status()
        seconds = status["idle_timeout_s"]
        return {
            "idle_time": int(seconds) if isinstance(seconds, float) and seconds.is_integer() else seconds,
            "keep_terminals": status.get("keep_terminals", False),
            "count": status["polls"],
        }


def _minutes(document: Mapping[str, object]) -> int:
    """Read `idle_time`: a whole number of minutes, or its digits as text, which the extension took too.

    Raises:
        Problem: 400.
    """
    value = document.get("idle_time")
    if value is None:
        raise bad_field("idle_time", "is missing: the idle timeout in minutes")
    text = str(value)
    number = isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))
    if not (number and text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER and int(text) > 0):
        raise bad_field("idle_time", "must be a whole number of minutes, 1 or more; the answer is in seconds")
    return int(text)
