"""A Jupyter server as the stage of a play: kernels and terminals are opened on it, each with its account."""

import asyncio
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path

import psutil

from tests.stories.accounts import Account, kernel_process, shells
from tests.stories.waiting import PATIENCE_S
from tests.support.jupyter_server import JupyterServer, wait_until

__all__ = ["Stage"]


class Stage:
    """Opens kernels and terminals.

    Args:
        server: Where.
        accounts: Gets an account of each, by story (and part).
        stack: Ends what goes on in the background, when the play is over.
        folder: For files.
    """

    def __init__(
        self, server: JupyterServer, accounts: dict[str, Account], stack: AsyncExitStack, folder: Path
    ) -> None:
        self.server = server
        self.accounts = accounts
        self.stack = stack
        self.folder = folder

    def meanwhile(self, work: Coroutine[object, object, None]) -> None:
        """Let something go on until the play is over."""
        task = asyncio.create_task(work)
        self.stack.callback(task.cancel)

    async def kernel(self, name: str, code: str, *, wait: bool = True) -> None:
        """Open a notebook and run a cell in it, to its end or until the kernel is busy with it."""
        kernel_id = await self.open(name)
        await self.server.execute(kernel_id, code, wait=wait, deadline_s=PATIENCE_S)

    async def open(self, name: str, *, kernel: str = "python3") -> str:
        """Open the notebook of that name; give its kernel's id."""
        path = f"{name}.ipynb"
        await self.server.save_notebook(path)
        body = {"path": path, "name": "", "type": "notebook", "kernel": {"name": kernel}}
        session = await self.server.request("POST", "api/sessions", json=body)
        kernel_id: str = session["kernel"]["id"]
        self.accounts[name] = Account(kernel_id)

        async def process() -> psutil.Process | None:
            return kernel_process(self.server, kernel_id)

        self.accounts[name].process = await wait_until(
            process, what=f"{name}'s kernel", deadline_s=PATIENCE_S
        )
        return kernel_id

    async def terminal(self, part: str, *, name: str | None = None) -> Account:
        """Open a terminal, one at a time: its shell is the one that is new."""
        account = Account(await self.server.open_terminal(name))
        known = {one.process for one in self.accounts.values()}
        self.accounts[part] = account

        async def shell() -> psutil.Process | None:
            new = shells(self.server) - known
            return new.pop() if len(new) == 1 else None

        account.process = await wait_until(shell, what=f"the shell of {part}", deadline_s=PATIENCE_S)
        return account

    async def type(self, account: Account, line: str) -> None:
        """Type a line into a terminal."""
        await self.server.type_into(account.id, line, deadline_s=PATIENCE_S)
