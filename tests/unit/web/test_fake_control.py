"""The daemon of the tests is one of which the API may ask all that it may ask of the real one."""

import inspect

import pytest

from reaper.daemon.control import DaemonControl
from reaper.plugins import Control
from reaper.testing.control import FakeControl

METHODS = sorted(name for name in vars(Control) if not name.startswith("_"))


def shape(kind, name):
    method = getattr(kind, name)
    return inspect.iscoroutinefunction(method), list(inspect.signature(method).parameters)


def test_it_is_a_control():
    control: Control = FakeControl()
    assert control.ready() == (True, "")


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("kind", [FakeControl, DaemonControl])
def test_every_method_has_the_protocols_shape(kind, name):
    assert shape(kind, name) == shape(Control, name)
