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


async def in_a_container(module: str, *arguments: str) -> str:
    """Run a module as a program in a container of its own; give what it wrote on stdout.

    Its first process waits for orphans, as an init does.
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs unshare(1)")
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    shell = 'python=$0; "$python" -m "$@"; exit $?'
    process = await asyncio.create_subprocess_exec(
        *(unshare, *user, "--pid", "--fork", "--mount-proc", "--kill-child"),
        *("bash", "-c", shell, sys.executable, module, *arguments),
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
    if "Operation not permitted" in errors.decode() or "unshare failed" in errors.decode():
        pytest.skip(f"no namespace may be made here: {errors.decode().strip()}")
    if process.returncode != 0:
        pytest.fail(errors.decode()[-5000:])
    return out.decode()
