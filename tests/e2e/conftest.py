"""One real server a worker for the tests with a proxy: each has kernels of its own, and sees no others."""

from collections.abc import Iterator

import pytest
from _pytest.nodeid import NodeId

from tests.support.jupyter_server import JupyterServer, running_jupyter


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep groups together: pytest-xdist 3.8 writes them into `Node._nodeid`, which pytest 9.2 no longer reads."""
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        groups = sorted({str(mark.args[0]) for mark in item.iter_markers("xdist_group")})
        if groups and not item.nodeid.endswith(f"@{'_'.join(groups)}"):
            item._id = NodeId.parse(f"{item.nodeid}@{'_'.join(groups)}")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    with running_jupyter(tmp_path_factory.mktemp("e2e-jupyter"), terminals=False) as running:
        yield running
