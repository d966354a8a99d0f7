"""The HTTP API of the daemon: sees it only through `plugins.Control`."""

from reaper.web.app import make_app
from reaper.web.listen import serve

__all__ = ["make_app", "serve"]
