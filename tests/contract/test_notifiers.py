"""Every notifier of ours keeps the contract of `reaper.testing.notifier_contract`."""

import json
import sys
from contextlib import asynccontextmanager

import pytest
import structlog.testing
from aiohttp import web
from pydantic import SecretStr

from reaper.notifiers.command import CommandNotifier
from reaper.notifiers.log import LogNotifier
from reaper.notifiers.webhook import WebhookNotifier
from reaper.plugins import names
from reaper.testing.notifier_contract import NotifierContract

SECRET = "s3cr3t-8f7d2a"


def test_all_of_ours_are_here():
    assert {"command", "http", "https", "log"} <= set(names("reaper.notifiers"))


class TestLog(NotifierContract):
    address = "log:"
    counts = False
    can_break = False

    @asynccontextmanager
    async def working(self):
        """Rebuild each document from its event: the log holds the same, flat."""
        arrived = []
        notifier = LogNotifier.from_address("log:")

        class Spy:
            address, counts_as_delivery, close = "log:", False, notifier.close

            async def notify(self, notice):
                with structlog.testing.capture_logs() as events:
                    await notifier.notify(notice)
                (event,) = events
                body = notice.body()
                same = {key: event[key] for key in ("topic", "subject", "text", "mode", "due_at")}
                arrived.append({**body, **same})

        yield Spy(), arrived


class TestCommand(NotifierContract):
    address = f"command:/bin/sh -c true {SECRET}"
    secrets = (SECRET,)

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path):
        self.into = tmp_path

    @asynccontextmanager
    async def working(self):
        program = (
            "import os, pathlib, sys; "
            "pathlib.Path(sys.argv[1], str(os.getpid())).write_text(sys.stdin.read(), encoding='utf-8')"
        )
        folder = self.into

        class Arrived(list[dict[str, object]]):
            def __len__(self):
                return len(list(folder.iterdir()))

            def __iter__(self):
                return iter([json.loads(path.read_text(encoding="utf-8")) for path in folder.iterdir()])

            def __getitem__(self, index):
                return list(self)[index]

        yield CommandNotifier((sys.executable, "-I", "-S", "-c", program, str(folder))), Arrived()

    @asynccontextmanager
    async def broken(self):
        yield CommandNotifier.from_address(f"command:/bin/sh -c 'echo $0 >&2; exit 1' {SECRET}")


class TestWebhook(NotifierContract):
    address = f"https://user:{SECRET}@hooks.example.com/services/{SECRET}?token={SECRET}"
    secrets = (SECRET,)

    @asynccontextmanager
    async def working(self):
        arrived = []

        async def take(request):
            arrived.append(await request.json())
            return web.Response(status=204)

        async with self.serving(take) as address:
            yield WebhookNotifier.from_address(address), arrived

    @asynccontextmanager
    async def broken(self):
        async def refuse(request):
            return web.Response(status=500, text=request.path_qs)

        async with self.serving(refuse) as address:
            yield WebhookNotifier.from_address(address)

    @asynccontextmanager
    async def serving(self, answer):
        runner = web.ServerRunner(web.Server(answer))
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://user:{SECRET}@127.0.0.1:{site.port}/{SECRET}?token={SECRET}"
        finally:
            await runner.cleanup()


class TestWebhookWithNobodyThere(TestWebhook):
    @asynccontextmanager
    async def broken(self):
        yield WebhookNotifier(SecretStr(f"http://127.0.0.1:1/{SECRET}"), deadline=0.5)
