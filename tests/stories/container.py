"""A container for a play: a pid namespace (unshare(1)), so that all that reaper sees there is the play's own."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

__all__ = ["in_a_container"]

LIMIT_S = 400.0
ROOT = Path(__file__).parents[2]
INIT = 'python=$0; "$python" -m "$@"; exit $?'
"""The shell stays, as the first process: it waits for orphans, as an init does."""


async def in_a_container(module: str, *arguments: str) -> str:
    """Run a module as a program in a container of its own; give what it wrote on stdout."""
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs unshare(1)")
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    inside = (unshare, *user, "--pid", "--fork", "--mount-proc", "--kill-child")
    status, _, errors = await _run(*inside, "true")
    if status != 0:
        pytest.skip(f"no namespace may be made here: {errors.strip()}")
    status, out, errors = await _run(*inside, "bash", "-c", INIT, sys.executable, module, *arguments)
    if status != 0:
        pytest.fail(errors[-5000:])
    return out


async def _run(*command: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, out.decode(), errors.decode()
