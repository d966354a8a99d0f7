"""Turn off what people forgot, never what works, and always say why.

One asyncio daemon watches Jupyter kernels and terminals (and, by further providers, Studio apps and
instances). Every look at the world is kept in a journal; a decision is a pure function of that
history; an act happens only after a fresh look agrees.

What a plugin needs: `reaper.plugins` (the Protocols), `reaper.core` (the types), `reaper.errors`,
and `reaper.testing` (fakes and contract suites). Nothing is imported here, so that `reaper --help`
starts at once.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
"""The version; also in the user agent of every call we make, and in the package's metadata."""
