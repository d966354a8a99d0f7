"""The settings: every name, type, default and meaning, once; the sections and tables stand beside it.

The reference page, `reaper.env`, the JSON Schema and `config show` are made from here.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, PrivateAttr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from reaper.config.fleet import AwsSettings, Ec2Settings, OrganizationSettings
from reaper.config.prices import PricesSettings
from reaper.config.provenance import Origin, Provenance
from reaper.config.sections import (
    CheckSettings,
    HostSettings,
    JupyterSettings,
    ProcessSettings,
    StudioSettings,
    declared,
)
from reaper.config.tables import BudgetTable, MatchTable, PolicyTable, StepTable
from reaper.config.values import (
    ActionList,
    Duration,
    HeaderSecret,
    ListenList,
    LowerText,
    NotifyAddresses,
    OptionalDuration,
    PositiveDuration,
    QuietHoursList,
    TomlTables,
    UserPath,
    scheme_of,
)
from reaper.core.ruleset import Mode

__all__ = [
    "AwsSettings",
    "BudgetTable",
    "CheckSettings",
    "Ec2Settings",
    "HostSettings",
    "JupyterSettings",
    "MatchTable",
    "OrganizationSettings",
    "Origin",
    "PolicyTable",
    "PricesSettings",
    "ProcessSettings",
    "Provenance",
    "Settings",
    "StepTable",
    "StudioSettings",
]

Preset = Literal["auto", "jupyter", "studio", "notebook-instance", "training", "fleet"]


class Settings(BaseSettings):
    """Every setting. Frozen; made by `load_settings`, or directly for a test (then nothing is read)."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    mode: Annotated[Mode, LowerText] = declared(
        Mode.DRY_RUN, '`dry-run` or `enforce`. A policy may be stricter (`mode = "dry-run"`), never looser'
    )
    actions: ActionList = declared(
        None,
        "Ceiling on what may ever be done: `jupyter.shutdown`, `jupyter.*`, `studio.delete`, `ec2.stop` ...; "
        "`none`: nothing",
        shown="all",
        example="jupyter.shutdown",
    )
    preset: Annotated[Preset, LowerText] = declared(
        "auto",
        "Which policies hold where the file has none. `auto` picks among `jupyter`, `studio`, `notebook-instance`",
    )
    idle_timeout: PositiveDuration = declared(
        "120m", "How long nothing may have shown activity; `reaper set` changes it at run time", shown="120m"
    )
    idle_timeout_min: OptionalDuration = declared(
        None, "Shortest idle timeout that may be set", shown="off", example="10m"
    )
    idle_timeout_max: OptionalDuration = declared(
        None, "Longest idle timeout that may be set", shown="off", example="24h"
    )
    warn_before: Duration = declared("0s", "Notice this long before acting")
    apply_grace: Duration = declared(
        "10m",
        "A policy, limit or mode that newly applies never reaps before this, or the timeout if that is shorter",
    )
    poll_interval: PositiveDuration = declared(
        "60s", "The longest between looks; deadlines come sooner", shown="60s"
    )
    start_grace: Duration = declared("5m", "How long something new is left alone")
    keep_terminals: bool = declared(default=False, meaning="Whether terminals are never reaped")
    quiet_hours: QuietHoursList = declared(
        (),
        "Daily windows in which nothing is reaped, in UTC or a named zone",
        shown="none",
        example="22:00-07:00 Europe/Berlin",
    )
    pause_file: UserPath | None = declared(
        None,
        "Nothing is done while this file is there, and while it can't be read; its first line says why",
        shown="none",
        example="/etc/reaper/paused",
    )
    mass_trip: bool = declared(
        default=True,
        meaning="Whether nothing is done in a scope of which more than half, and ten at least, became due at once, "
        "until `reaper resume`; never for `jupyter.*`",
    )
    state: str = declared(
        "",
        "The journal: a file's path, or a database URL (`sqlite:///path`, `memory:`)",
        shown="$STATE_DIRECTORY/journal.db, else $XDG_STATE_HOME/reaper/journal.db",
        example="/var/lib/reaper/journal.db",
    )
    retention: PositiveDuration = declared(
        "30d", "How long evidence and decisions are kept in the journal; at least 1h"
    )
    listen: ListenList = declared(
        (),
        "Where the API answers, a list: `unix:/path`, `tcp:127.0.0.1:8765`; `none`: nowhere. TCP other than loopback "
        "needs a token",
        shown="unix:$RUNTIME_DIRECTORY/reaper.sock, else in /run/reaper, $XDG_RUNTIME_DIR/reaper or the XDG state "
        "directory",
        example="unix:/run/reaper/reaper.sock,tcp:127.0.0.1:8765",
    )
    api_token: HeaderSecret = declared(
        None,
        "What a caller over TCP must show; without it nothing can be changed over TCP",
        shown="unset",
        credential=True,
    )
    notify: NotifyAddresses = declared(
        (),
        "Whom to tell, a list of addresses; the scheme picks the notifier: `log:`, `command:/path`, `https://...`. "
        "A path may be secret: only scheme and host are ever shown",
        shown="none",
        example="command:/usr/local/bin/tell-me",
        credential=True,
    )
    log_format: Annotated[Literal["auto", "json", "console"], LowerText] = declared(
        "auto", "`json` or `console`; `auto`: console on a terminal"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error", "critical"], LowerText] = declared(
        "info", "The least that is logged"
    )
    budgets: Annotated[tuple[BudgetTable, ...], TomlTables] = declared(
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
    ec2: Ec2Settings = Ec2Settings()
    prices: PricesSettings = PricesSettings()
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
