"""What every test has: an environment of its own, Hypothesis profiles, and a marker by folder."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import structlog
from _pytest.nodeid import NodeId
from hypothesis import settings

from tests.support.forked import fork_servers

# Two cores shared by servers and kernels make single examples slow: no deadline.
settings.register_profile("dev", max_examples=100, deadline=None)
# Those that the design rests on have 1,000: tests/support/properties.py.
settings.register_profile("ci", max_examples=200, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))

# What stands before packages that take long to import: here, and (PYTHONPATH) in every process that a test starts.
_QUICK = str(Path(__file__).parent / "support/quick")
sys.path.insert(0, _QUICK)

_MARKED_FOLDERS = ("integration", "e2e", "bench")


def pytest_sessionstart() -> None:
    """Say that no event loop is set, so that nobody makes one by asking.

    looptime 0.9 asks the policy for its loop in every test, and on 3.11 the first one to ask gets a new one,
    which nobody closes: a ResourceWarning, hence an error, in some later and innocent test.
    """
    asyncio.set_event_loop(None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark by folder, so that `-m 'not e2e'` works without a line in every file, and keep xdist's groups together.

    pytest-xdist 3.8 writes a group into `Node._nodeid`, which pytest 9.2 no longer reads.
    """
    root = Path(__file__).parent
    for item in items:
        folder = item.path.relative_to(root).parts[0] if item.path.is_relative_to(root) else ""
        if folder in _MARKED_FOLDERS:
            item.add_marker(folder)
        groups = "_".join(sorted({str(mark.args[0]) for mark in item.iter_markers("xdist_group")}))
        if groups and getattr(config.option, "loadgroup", False) and not item.nodeid.endswith(f"@{groups}"):
            item._id = NodeId.parse(f"{item.nodeid}@{groups}")


def _isolate(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Point every place that reaper, Jupyter or botocore would look at into `home`."""
    for name in list(os.environ):
        if name.startswith(("REAPER_", "JUPYTER", "AWS_", "WATCHDOG_")) or name.endswith("_DIRECTORY"):
            monkeypatch.delenv(name)
    for name in ("NOTIFY_SOCKET", "JOURNAL_STREAM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    (home / "run").mkdir(mode=0o700)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "run"))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(home / "jupyter/config"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(home / "jupyter/data"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(home / "jupyter/runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(home / "ipython"))
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in {"", _QUICK}]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([_QUICK, *paths]))
    # No profile, no instance metadata: a call that is not meant for a fake fails at once.
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session", autouse=True)
def _own_session_environment() -> Iterator[None]:
    """The same for what lives longer than a test: servers shared by a module."""
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        TemporaryDirectory(prefix="reaper-", ignore_cleanup_errors=True) as home,
    ):
        _isolate(monkeypatch, Path(home))
        # Of the user's caches one holds what takes seconds to make: the trimmed models of AWS. It is made once.
        monkeypatch.setenv("XDG_CACHE_HOME", str(Path(home) / "cache"))
        with fork_servers():
            yield


@pytest.fixture(autouse=True)
def own_home(_own_session_environment: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Keep a test away from the user's own servers, journal, configuration and cloud account.

    Discovery reads Jupyter's runtime files: without this, a test in enforce mode on somebody's laptop
    would find the notebooks that person works in. Gives the home folder; its path is short, because a
    unix socket's must stay under 108 bytes and one in pytest's `tmp_path` may not.
    """
    with TemporaryDirectory(prefix="reaper-", ignore_cleanup_errors=True) as home:
        _isolate(monkeypatch, Path(home))
        structlog.reset_defaults()  # an earlier test may have set up a log that lets little through
        yield Path(home)
