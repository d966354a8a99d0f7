"""The settings: every name, type, default and meaning, once.

The reference page, `reaper.env`, the JSON Schema and `config show` are made from here.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from reaper.config.places import split_list
from reaper.config.values import (
    ActionList,
    Argv,
    Duration,
    Globs,
    HeaderSecret,
    JupyterUrls,
    ListenList,
    LowerText,
    NotifyAddresses,
    OptionalDuration,
    PathList,
    PositiveDuration,
    QuietHoursList,
    Rate,
    TagGlobs,
    Texts,
    Threshold,
    TomlTables,
    UserPath,
    scheme_of,
)
from reaper.core.durations import parse_duration
from reaper.core.ruleset import Mode

__all__ = [
    "AwsSettings",
    "BudgetTable",
    "CheckSettings",
    "HostSettings",
    "JupyterSettings",
    "MatchTable",
    "Origin",
    "PolicyTable",
    "ProcessSettings",
    "Provenance",
    "Settings",
    "StepTable",
    "StudioSettings",
]

Preset = Literal["auto", "jupyter", "studio", "notebook-instance", "training", "fleet"]


def _setting(
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


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class ProcessSettings(_Section):
    """From when on what a kernel's or terminal's processes use is work. Rates are between two looks."""

    core: Threshold = _setting(0.10, "Cores in one process, with the children it waited for")
    tree_core: Threshold = _setting(0.5, "Cores in all of a tree of processes")
    io: Rate = _setting(65536.0, "Characters read and written by one process", shown="64KiB/s")
    interval: PositiveDuration = _setting(
        "5s", "Shortest time between two looks that are compared: below it a rate says nothing"
    )


class JupyterSettings(_Section):
    """Jupyter servers."""

    url: JupyterUrls = _setting(
        (),
        "Base URLs of Jupyter servers: `http://HOST:PORT/BASE/`, `https://...`, "
        "`http+unix://%2Fpath%2Fto.sock/BASE/`. Without it the servers of this host are found from the files they "
        "leave in Jupyter's runtime directory",
        shown="discovered",
        example="http://127.0.0.1:8888/",
        credential=True,
    )
    token: HeaderSecret = _setting(
        None, "Token for the servers in `REAPER_JUPYTER__URL`", shown="unset", credential=True
    )
    ca_file: UserPath | None = _setting(
        None,
        "File of certificate authorities to trust instead of the system's",
        shown="the system's",
        example="/etc/ssl/certs/jupyter-ca.pem",
    )
    verify: bool = _setting(
        default=True, meaning="Whether a server's certificate is checked. Turn it off only on loopback"
    )
    runtime_dirs: PathList = _setting(
        (),
        "Directories to find servers in, instead of Jupyter's own: this user's, or as root everybody's",
        shown="Jupyter's own",
        example="/home/ana/.local/share/jupyter/runtime",
    )
    ignore_connections: bool = _setting(
        default=True, meaning="Whether an open notebook tab counts for nothing; `false` makes it activity"
    )
    busy_timeout: OptionalDuration = _setting(
        None,
        "Reap a kernel that has said busy for longer *and* shows no process or GPU evidence of work. Without such "
        "evidence it never fires; it can't tell a deadlock from waiting on a remote cluster",
        shown="off",
        example="12h",
    )
    terminal_output: Annotated[Literal["activity", "ignore"], LowerText] = _setting(
        "activity", "Whether a terminal's output is `activity` or is to `ignore` (`watch nvidia-smi`)"
    )
    require_process_evidence: bool = _setting(
        default=False,
        meaning="Whether a kernel whose processes can't be seen is unknown, and so never reaped",
    )
    process: ProcessSettings = ProcessSettings()


class CheckSettings(_Section):
    """`reaper check` (part of the fleet; read already, used later)."""

    warning_after: PositiveDuration = _setting("2h", "Running for longer is a warning")
    critical_after: PositiveDuration = _setting("6h", "Running for longer is critical")
    match: Texts = _setting((), "Globs on names: only these are checked", shown="all", example="train-*")


class HostSettings(_Section):
    """This machine (part of the training box; read already, used later)."""

    shutdown_command: Argv = _setting(
        ("shutdown", "-h", "now"), "Command and arguments that shut the OS down"
    )
    presence: Annotated[Literal["input", "connected", "ignore"], LowerText] = _setting(
        "input", "When a person is taken to be there: by `input`, by being `connected`, or `ignore`"
    )


class StudioSettings(_Section):
    """SageMaker Studio (the preset `auto` reads the metadata file; the rest is used later)."""

    metadata_file: UserPath = _setting(
        Path("/opt/ml/metadata/resource-metadata.json"),
        "File that says which Studio app or notebook instance this is",
    )
    apps: Annotated[Literal["auto", "server", "api"], LowerText] = _setting(
        "auto",
        "`server`: apps through JupyterServer's own endpoint; `api`: through SageMaker; `auto`: the first that answers",
    )


def _regions(value: Any) -> Any:
    """Check region names by their form: which ones exist is for AWS to say."""
    items = split_list(value) if isinstance(value, str) else value
    for item in items if isinstance(items, (list, tuple)) else ():
        if isinstance(item, str) and item != "all" and not re.fullmatch(r"[a-z]{2,4}(-[a-z]+)+-\d", item):
            raise ValueError(f"{item!r} is no region: write a name such as eu-central-1, or all")
    return items


def _roles(value: Any) -> Any:
    items = split_list(value) if isinstance(value, str) else value
    for item in items if isinstance(items, (list, tuple)) else ():
        if isinstance(item, str) and not re.fullmatch(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+", item):
            raise ValueError(f"{item!r} is no role: write its ARN, arn:aws:iam::123456789012:role/NAME")
    return items


class AwsSettings(_Section):
    """AWS (part of the fleet; read already, used later). The standard AWS variables and profiles work besides."""

    regions: Annotated[Texts, BeforeValidator(_regions)] = _setting(
        (), "Regions to look at, or `all`", shown="the session's region", example="eu-central-1,us-east-1"
    )
    roles: Annotated[Texts, BeforeValidator(_roles)] = _setting(
        (),
        "ARNs of roles to assume, one an account",
        shown="none",
        example="arn:aws:iam::123456789012:role/reaper",
    )
    poll_interval: PositiveDuration = _setting("5m", "The longest between looks at AWS")


class StepTable(_Section):
    """A rung of a policy's ladder."""

    action: str = Field(description="`notify`, or an action of the kind")
    after: Duration = Field(
        default=parse_duration("0s"), description="How long after the previous step's success"
    )


class MatchTable(_Section):
    """Which resources of the kind a policy is about: all that is set must match. Any other key is an attribute."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Globs]

    scope: Globs = Field(default=(), description="Globs on the scope: a server's URL, `account/region`")
    name: Globs = Field(default=(), description="Globs on the name, another name, or the id")
    owner: Globs = Field(default=(), description="Globs on the owner")
    tags: dict[str, TagGlobs] = Field(
        default_factory=dict, description="By key: globs on the value, `true` for present, `false` for absent"
    )


class PolicyTable(_Section):
    """A policy. Any other key is a parameter of the rule."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(description="Unique", min_length=1, max_length=64)
    kind: str = Field(description="The kind of resource")
    rule: str = Field(description="The rule: `idle`, `age`, or a plugin's")
    match: MatchTable = Field(
        default_factory=lambda: MatchTable.model_validate({}),
        description="Which resources of that kind; all without it",
    )
    action: str | None = Field(default=None, description="What to do, where there are no `steps`")
    steps: tuple[StepTable, ...] | None = Field(
        default=None, description="The ladder; the last step is the act"
    )
    mode: Mode = Field(default=Mode.ENFORCE, description="`dry-run` is stricter than an enforcing daemon")
    warn_before: Duration | None = Field(default=None, description="Instead of `REAPER_WARN_BEFORE`")
    minimum_age: Duration = Field(default=parse_duration("0s"), description="Nothing younger is reaped")

    @property
    def parameters(self) -> dict[str, Any]:
        """The rule's parameters as written."""
        return dict(self.model_extra or {})


class BudgetTable(_Section):
    """A disruption budget: at most so much in a window, in each scope that matches."""

    name: str = Field(description="For people", min_length=1)
    kind: str = Field(default="*", description="Glob on the kind")
    scope: str = Field(default="*", description="Glob on the scope; each scope has a budget of its own")
    actions: int | None = Field(default=None, ge=1, description="Most actions in the window")
    dollars_per_hour: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Most hourly cost ended in the window"
    )
    window: PositiveDuration = Field(default=parse_duration("1h"), description="The window")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a value came from.

    Attributes:
        source: `default`, `env REAPER_MODE`, `file /etc/reaper/reaper.toml:mode`, `credential api_token`.
        where: What an error about the value begins with: the variable, `PATH:LINE: key`, the credential.
    """

    source: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """How settings came to be.

    Attributes:
        file: The configuration file, if there is one.
        origins: Where each setting that is not a default came from, by dotted name.
        lines: Line of each key of the file, by path (`("policies", 0, "rule")`), where it is known.
        policy_numbers: Which of the file's policies each of `Settings.policies` is: those that can't be used are
            left out while errors are looked for.
        preset: The preset in force: `auto` is resolved.
        warnings: What can be used, but a person should know.
    """

    file: Path | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)
    lines: Mapping[tuple[str | int, ...], int] = field(default_factory=dict)
    policy_numbers: tuple[int, ...] = ()
    preset: str = "jupyter"
    warnings: tuple[str, ...] = ()


class Settings(BaseSettings):
    """Every setting. Frozen; made by `load_settings`, or directly for a test (then nothing is read)."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    mode: Annotated[Mode, LowerText] = _setting(
        Mode.DRY_RUN, '`dry-run` or `enforce`. A policy may be stricter (`mode = "dry-run"`), never looser'
    )
    actions: ActionList = _setting(
        None,
        "Ceiling on what may ever be done: `jupyter.shutdown`, `jupyter.*`, `studio.delete`, `ec2.stop` ...; "
        "`none`: nothing",
        shown="all",
        example="jupyter.shutdown",
    )
    preset: Annotated[Preset, LowerText] = _setting(
        "auto",
        "Which policies hold where the file has none. `auto` picks among `jupyter`, `studio`, `notebook-instance`",
    )
    idle_timeout: PositiveDuration = _setting(
        "120m", "How long nothing may have shown activity; `reaper set` changes it at run time", shown="120m"
    )
    idle_timeout_min: OptionalDuration = _setting(
        None, "Shortest idle timeout that may be set", shown="off", example="10m"
    )
    idle_timeout_max: OptionalDuration = _setting(
        None, "Longest idle timeout that may be set", shown="off", example="24h"
    )
    warn_before: Duration = _setting("0s", "Notice this long before acting")
    apply_grace: Duration = _setting(
        "10m",
        "A policy, limit or mode that newly applies never reaps before this, or the timeout if that is shorter",
    )
    poll_interval: PositiveDuration = _setting(
        "60s", "The longest between looks; deadlines come sooner", shown="60s"
    )
    start_grace: Duration = _setting("5m", "How long something new is left alone")
    keep_terminals: bool = _setting(default=False, meaning="Whether terminals are never reaped")
    quiet_hours: QuietHoursList = _setting(
        (),
        "Daily windows in which nothing is reaped, in UTC or a named zone",
        shown="none",
        example="22:00-07:00 Europe/Berlin",
    )
    state: str = _setting(
        "",
        "The journal: a file's path, or a database URL (`sqlite:///path`, `memory:`)",
        shown="$STATE_DIRECTORY/journal.db, else $XDG_STATE_HOME/reaper/journal.db",
        example="/var/lib/reaper/journal.db",
    )
    retention: PositiveDuration = _setting(
        "30d", "How long evidence and decisions are kept in the journal; at least 1h"
    )
    listen: ListenList = _setting(
        (),
        "Where the API answers, a list: `unix:/path`, `tcp:127.0.0.1:8765`; `none`: nowhere. TCP other than loopback "
        "needs a token",
        shown="unix:$RUNTIME_DIRECTORY/reaper.sock, else in /run/reaper, $XDG_RUNTIME_DIR/reaper or the XDG state "
        "directory",
        example="unix:/run/reaper/reaper.sock,tcp:127.0.0.1:8765",
    )
    api_token: HeaderSecret = _setting(
        None,
        "What a caller over TCP must show; without it nothing can be changed over TCP",
        shown="unset",
        credential=True,
    )
    notify: NotifyAddresses = _setting(
        (),
        "Whom to tell, a list of addresses; the scheme picks the notifier: `log:`, `command:/path`, `https://...`. "
        "A path may be secret: only scheme and host are ever shown",
        shown="none",
        example="command:/usr/local/bin/tell-me",
        credential=True,
    )
    log_format: Annotated[Literal["auto", "json", "console"], LowerText] = _setting(
        "auto", "`json` or `console`; `auto`: console on a terminal"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error", "critical"], LowerText] = _setting(
        "info", "The least that is logged"
    )
    budgets: Annotated[tuple[BudgetTable, ...], TomlTables] = _setting(
        (),
        "Disruption budgets: `[[budgets]]` in the file, a JSON list of the same in the variable",
        shown="none",
        example='[{"name": "gently", "kind": "jupyter.*", "actions": 10, "window": "1h"}]',
    )
    policies: tuple[PolicyTable, ...] = Field(
        default=(), description="Policies, instead of the preset's: `[[policies]]`, in the file only"
    )
    jupyter: JupyterSettings = JupyterSettings()
    studio: StudioSettings = StudioSettings()
    aws: AwsSettings = AwsSettings()
    check: CheckSettings = CheckSettings()
    host: HostSettings = HostSettings()

    _provenance: Provenance = PrivateAttr(default_factory=Provenance)

    @property
    def provenance(self) -> Provenance:
        """How they came to be."""
        return self._provenance

    def with_provenance(self, provenance: Provenance) -> "Settings":
        """Give the same settings with how they came to be."""
        copy = self.model_copy()
        copy._provenance = provenance  # noqa: SLF001 - our own
        return copy

    @property
    def journal(self) -> tuple[str, str]:
        """The entry point of `reaper.journals` and what it opens: `("sqlite", "/path")`, `("memory", "")`."""
        scheme = scheme_of(self.state)
        if not scheme:
            return "sqlite", self.state
        rest = self.state.partition(":")[2]
        if scheme == "sqlite":
            return scheme, rest.removeprefix("//")
        return scheme, self.state if rest else ""

    def secret_values(self) -> tuple[str, ...]:
        """Every secret, in the clear: for `log.configure`, which keeps them out of the log."""
        public = {"log", "command"}
        told = [one for one in self.notify if scheme_of(one.get_secret_value()) not in public]
        given = [self.api_token, self.jupyter.token, *told]
        found = [one.get_secret_value() for one in given if one is not None]
        for url in self.jupyter.url:
            found += parse_qs(urlsplit(url.get_secret_value()).query).get("token", [])
        return tuple(found)

    @classmethod
    def from_sources(cls, sources: Iterable[PydanticBaseSettingsSource]) -> "Settings":
        """Read sources, the strongest first.

        Raises:
            pydantic.ValidationError: Something in them can't be used.
        """
        given: dict[str, Any] = {"_build_sources": (tuple(sources), {})}
        return cls(**given)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the base class's signature
        init_settings: PydanticBaseSettingsSource,
        *_others: PydanticBaseSettingsSource,
        **_named: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read nothing by default: `load_settings` hands in our own sources, which know where a value came from."""
        return (init_settings,)
