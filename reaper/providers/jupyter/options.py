"""Settings of the Jupyter provider."""

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from reaper.clients.host import Thresholds

__all__ = ["JupyterOptions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JupyterOptions:
    """What to look at, and what counts as work.

    Attributes:
        urls: Servers by address; empty: those of this host, found by their runtime files.
        token: For `urls`; where it is unset, a runtime file of the same server gives it.
        ca_file: Certificate authorities for TLS.
        verify: Whether certificates of `urls` are checked.
        runtime_dirs: Where runtime files are; empty: Jupyter's own places.
        ignore_connections: An open tab is not work.
        terminal_output: Whether a terminal's output counts as activity.
        require_process_evidence: Without process evidence nothing is idle.
        thresholds: From when on a process is at work.
        metadata_file: Where SageMaker says in what the server runs; None: this is not SageMaker.
    """

    urls: tuple[str, ...] = ()
    token: SecretStr | None = None
    ca_file: Path | None = None
    verify: bool = True
    runtime_dirs: tuple[Path, ...] = ()
    ignore_connections: bool = True
    terminal_output: bool = True
    require_process_evidence: bool = False
    thresholds: Thresholds = field(default_factory=Thresholds)
    metadata_file: Path | None = None
