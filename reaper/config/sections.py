"""The settings of each section of the file: Jupyter, Studio, `reaper check`, this machine. AWS's are in `fleet.py`."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from reaper.config.values import (
    Argv,
    HeaderSecret,
    JupyterUrls,
    LowerText,
    OptionalDuration,
    PathList,
    PositiveDuration,
    Rate,
    Texts,
    Threshold,
    UserPath,
)
from reaper.core.durations import parse_duration

__all__ = [
    "CheckSettings",
    "HostSettings",
    "JupyterSettings",
    "ProcessSettings",
    "Section",
    "StudioSettings",
    "declared",
]


def declared(
    default: Any, meaning: str, *, shown: str = "", example: str = "", credential: bool = False
) -> Any:
    """Declare a setting.

    Args:
        default: The default.
        meaning: One or two sentences for the reference, without a closing full stop.
        shown: What the default is called where its value says too little.
        example: A value for `reaper.env` where the default is none.
        credential: It may be secret: it is also read from `NAME_FILE` and from a systemd credential.
    """
    if isinstance(default, str) and default[:1].isdigit():
        default = parse_duration(default)
    extra: dict[str, Any] = {}
    if shown:
        extra["x-default"] = shown
    if example:
        extra["x-example"] = example
    if credential:
        extra["x-credential"] = True
    return Field(default=default, description=meaning, json_schema_extra=extra)


class Section(BaseModel):
    """A table of the file: frozen, and without keys that do not exist."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ProcessSettings(Section):
    """From when on what a kernel's or terminal's processes use is work. Rates are between two looks."""

    core: Threshold = declared(0.10, "Cores in one process, with the children it waited for")
    tree_core: Threshold = declared(0.5, "Cores in all of a tree of processes")
    io: Rate = declared(65536.0, "Characters read and written by one process", shown="64KiB/s")
    interval: PositiveDuration = declared(
        "5s", "Shortest time between two looks that are compared: below it a rate says nothing"
    )


class JupyterSettings(Section):
    """Jupyter servers."""

    url: JupyterUrls = declared(
        (),
        "Base URLs of Jupyter servers: `http://HOST:PORT/BASE/`, `https://...`, "
        "`http+unix://%2Fpath%2Fto.sock/BASE/`. Without it the servers of this host are found from the files they "
        "leave in Jupyter's runtime directory",
        shown="discovered",
        example="http://127.0.0.1:8888/",
        credential=True,
    )
    token: HeaderSecret = declared(
        None, "Token for the servers in `REAPER_JUPYTER__URL`", shown="unset", credential=True
    )
    ca_file: UserPath | None = declared(
        None,
        "File of certificate authorities to trust instead of the system's",
        shown="the system's",
        example="/etc/ssl/certs/jupyter-ca.pem",
    )
    verify: bool = declared(
        default=True, meaning="Whether a server's certificate is checked. Turn it off only on loopback"
    )
    runtime_dirs: PathList = declared(
        (),
        "Directories to find servers in, instead of Jupyter's own: this user's, or as root everybody's",
        shown="Jupyter's own",
        example="/home/ana/.local/share/jupyter/runtime",
    )
    ignore_connections: bool = declared(
        default=True, meaning="Whether an open notebook tab counts for nothing; `false` makes it activity"
    )
    busy_timeout: OptionalDuration = declared(
        None,
        "Reap a kernel that has said busy for longer *and* shows no process or GPU evidence of work. Without such "
        "evidence it never fires; it can't tell a deadlock from waiting on a remote cluster",
        shown="off",
        example="12h",
    )
    terminal_output: Annotated[Literal["activity", "ignore"], LowerText] = declared(
        "activity", "Whether a terminal's output is `activity` or is to `ignore` (`watch nvidia-smi`)"
    )
    require_process_evidence: bool = declared(
        default=False,
        meaning="Whether a kernel whose processes can't be seen is unknown, and so never reaped",
    )
    process: ProcessSettings = ProcessSettings()


class CheckSettings(Section):
    """`reaper check`."""

    warning_after: PositiveDuration = declared("2h", "Running for longer is a warning")
    critical_after: PositiveDuration = declared("6h", "Running for longer is critical")
    match: Texts = declared((), "Globs on names: only these are checked", shown="all", example="train-*")


class HostSettings(Section):
    """This machine (part of the training box; read already, used later)."""

    shutdown_command: Argv = declared(
        ("shutdown", "-h", "now"), "Command and arguments that shut the OS down"
    )
    presence: Annotated[Literal["input", "connected", "ignore"], LowerText] = declared(
        "input", "When a person is taken to be there: by `input`, by being `connected`, or `ignore`"
    )


class StudioSettings(Section):
    """SageMaker Studio and notebook instances."""

    metadata_file: UserPath = declared(
        Path("/opt/ml/metadata/resource-metadata.json"),
        "File that says which Studio app or notebook instance this is",
    )
    apps: Annotated[Literal["auto", "server", "api"], LowerText] = declared(
        "auto",
        "`server`: apps through JupyterServer's own endpoint; `api`: through SageMaker; `auto`: the first that answers",
    )
