"""A webhook receiver: keeps what it is told, and can refuse or hold it."""

from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.e2e.proxy import Gate, Seen

__all__ = ["Receiver"]


class Receiver:
    """Listens on loopback while its context is open.

    Args:
        held: Notices of these topics wait at `gate`.

    Attributes:
        url: Where to post to.
        status: What it answers.
        told: Every notice that it took, in order.
        refused: Every notice that it answered otherwise.
        waiting: Every notice that came to the gate.
        gate: Holds notices of the topics that are to be held.
    """

    def __init__(self, *held: str) -> None:
        self.url = ""
        self.status = 204
        self.told: list[dict[str, Any]] = []
        self.refused: list[dict[str, Any]] = []
        self.waiting: list[dict[str, Any]] = []
        self.gate = Gate()
        self._held = held
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gate.release()
        assert self._runner is not None
        await self._runner.cleanup()

    def topics(self) -> list[str]:
        """Give the topics of what it took."""
        return [notice["topic"] for notice in self.told]

    async def _take(self, request: web.Request) -> web.Response:
        notice = await request.json()
        if notice["topic"] in self._held:
            self.waiting.append(notice)
            await self.gate.passed(Seen(method="POST", path=notice["topic"], query=""))
        (self.told if self.status < 300 else self.refused).append(notice)
        return web.Response(status=self.status)
