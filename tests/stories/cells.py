"""What the kernels and terminals of the stories run, and the kernels that are made for it."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

__all__ = [
    "DIES_IN_MID_CELL",
    "FUTURE",
    "JOB",
    "PAGE",
    "SILENT",
    "UPLOAD",
    "install_kernels",
    "silent_job",
    "sink",
]

SILENT = """
import time
total = 0
while True:
    end = time.process_time() + 0.06
    while time.process_time() < end:
        total += sum(number * number for number in range(1000))
    time.sleep(0.14)
"""
"""A long cell of plain Python: no output, no child, no file. As much CPU as a test may take."""

JOB = """
import time
while True:
    end = time.process_time() + 0.06
    while time.process_time() < end:
        pass
    with open("/dev/zero", "rb", buffering=0) as batch:
        batch.read(1 << 18)
    time.sleep(0.14)
"""
"""A third of a core and a megabyte a second, as training on data has them, and as much CPU as a test may take."""

UPLOAD = """
import socket, threading, time
def upload():
    sink = socket.create_connection(("127.0.0.1", {port}))
    with open({file!r}, "rb", buffering=0) as checkpoint:
        while True:
            part = checkpoint.read(262144)
            if part:
                sink.sendall(part)
                time.sleep(0.125)
            else:
                checkpoint.seek(0)
threading.Thread(target=upload, daemon=True).start()
"""

PAGE = """
import subprocess, sys
serve = '''
import http.server
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
print(server.server_port, flush=True)
server.serve_forever(poll_interval=5)
'''
page = subprocess.Popen([sys.executable, "-c", serve], stdout=subprocess.PIPE, text=True)
print(page.stdout.readline())
"""

FUTURE = """
import socket, threading
remote = socket.create_connection(("127.0.0.1", {port}))
threading.Thread(target=remote.recv, args=(1,), daemon=True).start()
"""

DIES_IN_MID_CELL = "import os, time\ntime.sleep(5)\nos.kill(os.getpid(), 9)"

_ONCE = """
import os, sys, time
lived = sys.argv[-1] + ".lived"
if os.path.exists(lived):
    time.sleep(3600)
open(lived, "w").close()
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()
"""


def install_kernels(folder: Path) -> None:
    """Install one that can't start, and one that dies in silence: started again it hangs, and says nothing.

    A kernel that starts again tells so, and mostly that is heard ("starting"); where it is not, or where the new
    process hangs before it could, the server goes on listing the old one's "busy".
    """
    once = folder / "once.py"
    once.write_text(_ONCE)
    for name, argv in (("broken", ["/nonexistent/python"]), ("silent-rebirth", [sys.executable, str(once)])):
        spec = folder / "data/kernels" / name
        spec.mkdir(parents=True)
        document = {"argv": [*argv, "-f", "{connection_file}"], "display_name": name, "language": "python"}
        spec.joinpath("kernel.json").write_text(json.dumps(document))


def silent_job(folder: Path) -> str:
    """Give the line that starts `JOB` in a terminal."""
    script = folder / "job.py"
    script.write_text(JOB)
    return f"{sys.executable} -S {script}"


@asynccontextmanager
async def sink() -> AsyncIterator[int]:
    """Take whatever comes, and answer nothing: an object store, or a scheduler on another host. Gives its port."""
    taking: set[asyncio.Task[None]] = set()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        taking.add(task)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            while await reader.read(1 << 20):
                pass
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in taking:
            task.cancel()
