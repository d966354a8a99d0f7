"""One real server a worker for the tests with a proxy: each has kernels of its own, and sees no others."""

from collections.abc import Iterator

import pytest

from tests.support.jupyter_server import JupyterServer, running_jupyter


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    with running_jupyter(tmp_path_factory.mktemp("e2e-jupyter"), terminals=False) as running:
        yield running
