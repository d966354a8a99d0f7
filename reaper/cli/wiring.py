"""Put the parts together: settings to providers, notifiers, journal and daemon. The only place that knows them all."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from reaper.clients.host import Thresholds
from reaper.clock import Clock, SystemClock
from reaper.config import Settings, build_ruleset, check_override, show, underlying
from reaper.config.presets import PRESETS
from reaper.config.rules import idle_timeout
from reaper.config.values import scheme_of
from reaper.core.facts import SettingChanged
from reaper.core.ruleset import Ruleset
from reaper.core.world import World
from reaper.daemon.loop import Daemon
from reaper.daemon.rules import Setup
from reaper.daemon.supervisor import Loaded
from reaper.journal import journal_at
from reaper.plugins import Notifier, Provider, Switch, load
from reaper.providers.jupyter import JupyterOptions

__all__ = ["loaded", "open_daemon", "silent_providers"]

_EC2 = "ec2.instance"

_LOOK_S, _FLEET_LOOK_S = 10.0, 60.0
"""How long a look may take; more where a fleet is watched: 50,000 instances are 50 pages of half a second each."""


def loaded(settings: Settings, clock: Clock) -> Loaded:
    """Make what the daemon takes from the settings.

    Raises:
        ConfigError: A plugin, an address or a policy can't be used.
    """
    in_force = _InForce(settings)
    return _setup(settings, in_force), _providers(settings, clock, in_force), _notifiers(settings)


def silent_providers(settings: Settings, clock: Clock) -> tuple[Provider, ...]:
    """Make the providers of a command that looks once: they tell nobody that a reaper is here.

    Raises:
        ConfigError: A plugin can't be used.
    """
    return _providers(settings, clock, None)


class _InForce:
    """What is in force, as the rules were last built: for who reports this reaper to others, or asks what it says."""

    def __init__(self, settings: Settings) -> None:
        self.idle_timeout = settings.idle_timeout
        self.activity: Any = None
        self._mode = settings.mode.value

    def standing(self) -> Any:
        """Give it as the Studio provider wants it."""
        from reaper.providers.studio.options import Standing

        return Standing(mode=self._mode, idle_timeout=self.idle_timeout)


@asynccontextmanager
async def open_daemon(settings: Settings) -> AsyncIterator[Daemon]:
    """Open the journal for writing and build the daemon on what it holds; close both in the end.

    Raises:
        ConfigError: As `loaded`.
        JournalError: The journal can't be opened.
    """
    clock = SystemClock()
    setup, providers, notifiers = loaded(settings, clock)
    async with AsyncExitStack() as undo:
        for provider in providers:
            undo.push_async_callback(provider.close)
        for notifier in notifiers:
            undo.push_async_callback(notifier.close)
        journal = journal_at(settings.state)
        await journal.open(write=True)
        undo.push_async_callback(journal.close)
        image = await journal.load()
        guards = setup.build_ruleset({}).guards
        daemon = Daemon(
            setup=setup,
            journal=journal,
            providers=providers,
            notifiers=notifiers,
            clock=clock,
            world=World.restore(image, guards.max_gap, guards.slow_gaps),
            memos=image.memos,
        )
        undo.pop_all()
    try:
        yield daemon
    finally:
        await daemon.close()


def _setup(settings: Settings, in_force: _InForce) -> Setup:
    def rules(overrides: Mapping[str, str]) -> Ruleset:
        built = build_ruleset(settings, overrides)
        in_force.idle_timeout = idle_timeout(settings, overrides)
        if in_force.activity is not None:
            in_force.activity.heed(built)
        return built

    def check(name: str, value: str) -> None:
        check_override(settings, name, value)

    def document(overrides: Mapping[str, SettingChanged]) -> dict[str, object]:
        return show(settings, overrides)

    rules({})  # what can't be built is refused now, not at the first tick
    return Setup(
        build_ruleset=rules,
        check_override=check,
        underlying=underlying(settings),
        poll_interval=settings.poll_interval,
        retention=settings.retention,
        keep_terminals=settings.keep_terminals,
        show=document,
        look_deadline=_FLEET_LOOK_S if _EC2 in _policy_kinds(settings) else _LOOK_S,
        switches=_switches(settings),
    )


def _switches(settings: Settings) -> tuple[Switch, ...]:
    """Make the kill switches outside of reaper."""
    if settings.pause_file is None and not settings.aws.pause_parameter:
        return ()
    from reaper.clients.switches import FileSwitch, ParameterSwitch

    found: list[Switch] = []
    if settings.pause_file is not None:
        found.append(FileSwitch(settings.pause_file))
    if settings.aws.pause_parameter:
        regions = [region for region in settings.aws.regions if region != "all"]
        found.append(ParameterSwitch(settings.aws.pause_parameter, regions[0] if len(regions) == 1 else ""))
    return tuple(found)


def _providers(settings: Settings, clock: Clock, in_force: "_InForce | None") -> tuple[Provider, ...]:
    found: list[Provider] = []
    watched = _policy_kinds(settings)
    if settings.provenance.preset != "fleet" or any(kind.startswith("jupyter.") for kind in watched):
        found.append(load("reaper.providers", "jupyter")(_jupyter_options(settings), clock))
    kinds = frozenset(kind for kind in watched if kind.startswith("sagemaker."))
    studio = settings.provenance.preset == "studio"
    if not studio and not kinds and _EC2 not in watched:
        return tuple(found)  # what only Jupyter knows costs nothing by itself
    prices = _price_book(settings, clock, watched)
    if studio:
        found.append(load("reaper.providers", "studio")(_studio_options(settings, in_force, prices), clock))
    if kinds:
        found.append(
            load("reaper.providers", "sagemaker")(_sagemaker_options(settings, kinds, prices), clock)
        )
    if _EC2 in watched:
        found.append(load("reaper.providers", "ec2")(_ec2_options(settings, in_force, prices, clock), clock))
    if prices.asks:
        from reaper.clients.aws import AwsOptions
        from reaper.providers.prices import PricesProvider

        found.append(PricesProvider(prices, AwsOptions(), clock, settings.aws.poll_interval))
    return tuple(found)


def _price_book(settings: Settings, clock: Clock, watched: set[str]) -> Any:
    """Make the book of prices. AWS is asked where EC2 is watched: `reaper iam` grants it there, and only there."""
    from reaper.clients.prices import PriceBook

    prices = settings.prices
    asks = _EC2 in watched
    return PriceBook(clock, overrides=prices.overrides, source=prices.source, asks=asks)


def _policy_kinds(settings: Settings) -> set[str]:
    """Give the kinds that policies are about, the file's or the preset's."""
    return {policy.kind for policy in build_ruleset(settings, {}).policies}


def _jupyter_options(settings: Settings) -> JupyterOptions:
    jupyter, preset = settings.jupyter, settings.provenance.preset
    return JupyterOptions(
        urls=_urls(settings),
        token=jupyter.token,
        ca_file=jupyter.ca_file,
        verify=jupyter.verify,
        runtime_dirs=jupyter.runtime_dirs,
        ignore_connections=jupyter.ignore_connections,
        terminal_output=jupyter.terminal_output == "activity",
        require_process_evidence=jupyter.require_process_evidence,
        thresholds=_thresholds(settings),
        metadata_file=settings.studio.metadata_file if PRESETS[preset].metadata else None,
    )


def _studio_options(settings: Settings, in_force: "_InForce | None", prices: Any) -> Any:
    from reaper.providers.studio import StudioOptions

    jupyter = settings.jupyter
    return StudioOptions(
        metadata_file=settings.studio.metadata_file,
        apps=settings.studio.apps,
        urls=_urls(settings),
        token=jupyter.token,
        ca_file=jupyter.ca_file,
        verify=jupyter.verify,
        runtime_dirs=jupyter.runtime_dirs,
        aws_interval=settings.aws.poll_interval,
        thresholds=_thresholds(settings),
        prices=prices,
        standing=None if in_force is None else in_force.standing,
    )


def _sagemaker_options(settings: Settings, kinds: frozenset[str], prices: Any) -> Any:
    from reaper.providers.sagemaker import SagemakerOptions

    jupyter = settings.jupyter
    return SagemakerOptions(
        kinds=kinds,
        metadata_file=settings.studio.metadata_file,
        regions=settings.aws.regions,
        urls=_urls(settings),
        token=jupyter.token,
        ca_file=jupyter.ca_file,
        verify=jupyter.verify,
        runtime_dirs=jupyter.runtime_dirs,
        aws_interval=settings.aws.poll_interval,
        thresholds=_thresholds(settings),
        prices=prices,
    )


def _ec2_options(settings: Settings, in_force: "_InForce | None", prices: Any, clock: Clock) -> Any:
    from reaper.cli.fleets import Activity, ec2_options

    activity, ruleset = Activity(clock, settings.aws.poll_interval), build_ruleset(settings, {})
    activity.heed(ruleset)
    if in_force is not None:
        in_force.activity = activity
    hibernates = any(step.action == "hibernate" for policy in ruleset.policies for step in policy.steps)
    return ec2_options(settings, activity.timeouts, prices, hibernates=hibernates)


def _urls(settings: Settings) -> tuple[str, ...]:
    return tuple(url.get_secret_value() for url in settings.jupyter.url)


def _thresholds(settings: Settings) -> Thresholds:
    process = settings.jupyter.process
    return Thresholds(
        core_per_process=process.core,
        core_per_tree=process.tree_core,
        io_bytes_per_second=process.io,
        min_interval=process.interval.total_seconds(),
    )


def _notifiers(settings: Settings) -> tuple[Notifier, ...]:
    """Make the configured notifiers; the log is always one of them."""
    addresses = [address.get_secret_value() for address in settings.notify]
    if not any(address.startswith("log:") for address in addresses):
        addresses.insert(0, "log:")
    found: list[Notifier] = []
    for address in addresses:
        notifier: Notifier = load("reaper.notifiers", scheme_of(address)).from_address(address)
        found.append(notifier)
    return tuple(found)
