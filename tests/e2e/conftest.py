"""One real server for all tests of a module."""

from tests.support.jupyter_server import fixture_jupyter, fixture_start_jupyter

__all__ = ["fixture_jupyter", "fixture_start_jupyter"]
