"""Jupyter kernels and terminals: what they show of themselves, and their end."""

from reaper.providers.jupyter.options import JupyterOptions
from reaper.providers.jupyter.provider import JupyterProvider

__all__ = ["JupyterOptions", "JupyterProvider"]
