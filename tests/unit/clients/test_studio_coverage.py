"""Who is covered: by each app's type, by what its reaper said, and when."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, strategies as st

from reaper.clients.studio import AppModel
from reaper.clients.studio.coverage import FRESH, SETTLE, Coverage, OwnerCoverage, judge
from reaper.clients.studio.heartbeat import Heartbeat, write_heartbeat
from reaper.clients.studio.survey import Owner, SeenApp, SeenDomain
from reaper.testing import T0, days, hours, minutes

NOW = T0
LATELY, OLD = minutes(5), days(1)
ANN = Owner(kind="user", name="ann")
UNCOVERED, UNKNOWN, STARTING = Coverage.UNCOVERED, Coverage.UNKNOWN, Coverage.STARTING
COVERED, BEYOND, IDLE = Coverage.COVERED, Coverage.BEYOND, Coverage.IDLE


def beat(ago: timedelta = LATELY, *, mode: str = "enforce", door: str = "server") -> str:
    return write_heartbeat(
        Heartbeat(version="0.3.0", idle_timeout=hours(2), at=NOW - ago, mode=mode, door=door)
    )


def app(
    kind: str,
    heartbeat: str | None = None,
    *,
    instance: str | None = None,
    age: timedelta = OLD,
    problem: str | None = None,
    owner: Owner = ANN,
    status: str = "InService",
) -> SeenApp:
    model = AppModel(
        name="default",
        app_type=kind,
        status=status,
        created_at=NOW - age,
        instance_type=instance or ("system" if kind == "JupyterServer" else "ml.t3.medium"),
    )
    return SeenApp(app=model, owner=(owner.kind, owner.name), heartbeat=heartbeat, problem=problem)


def judged(
    *apps: SeenApp, owners: tuple[Owner, ...] = (ANN,), now: datetime = NOW, listed: bool = True
) -> OwnerCoverage:
    domain = SeenDomain(scope="1/r", id="d-one", name="", owners=owners, apps=apps, listed=listed)
    return judge(domain, now)[0]


class TestKernelGateways:
    """They are judged from their owner's JupyterServer app."""

    def test_covered(self):
        found = judged(app("JupyterServer", beat()), app("KernelGateway"), app("KernelGateway"))
        assert found.coverage is COVERED
        assert found.heartbeat is not None
        assert found.heartbeat.version == "0.3.0"
        assert [one.coverage for one in found.apps] == [None, COVERED, COVERED]

    def test_no_reaper_in_the_server(self):
        found = judged(app("JupyterServer"), app("KernelGateway"))
        assert (found.coverage, found.reason) == (UNCOVERED, "no reaper has reported in")

    def test_no_server(self):
        found = judged(app("KernelGateway"))
        assert found.coverage is UNCOVERED
        assert "no JupyterServer app" in found.reason

    def test_another_users_server_does_not_count(self):
        bob = Owner(kind="user", name="bob")
        assert judged(app("KernelGateway"), app("JupyterServer", beat(), owner=bob)).coverage is UNCOVERED

    def test_a_space_that_is_called_like_a_user_is_another(self):
        space = Owner(kind="space", name="ann")
        assert judged(app("KernelGateway"), app("JupyterServer", beat(), owner=space)).coverage is UNCOVERED

    def test_one_that_starts_costs_already(self):
        assert judged(app("JupyterServer"), app("KernelGateway", status="Pending")).coverage is UNCOVERED


class TestAppsThatDeleteThemselves:
    """They are judged from inside alone."""

    @pytest.mark.parametrize("kind", ["JupyterLab", "CodeEditor"])
    def test_each_by_its_own_reaper(self, kind):
        assert judged(app(kind, beat())).coverage is COVERED
        found = judged(app(kind), app("JupyterServer", beat()))
        assert found.coverage is UNCOVERED
        assert [one.coverage for one in found.apps] == [UNCOVERED, None]

    def test_the_worst_counts_for_the_owner(self):
        found = judged(app("JupyterLab", beat()), app("CodeEditor"))
        assert (found.coverage, found.reason) == (UNCOVERED, "no reaper has reported in")


def test_a_reaper_that_has_not_listed_its_apps_yet_is_given_the_time_of_a_start():
    """It waits for a JupyterServer that is not up yet, and reports itself meanwhile."""
    found = judged(app("JupyterLab", beat(door=""), age=minutes(1)))
    assert (found.coverage, found.reason) == (STARTING, "it started 1m ago")


class TestCanvas:
    """A reaper that goes through SageMaker's API sees it; a JupyterServer's own endpoint does not list it."""

    def test_by_a_reaper_with_the_api(self):
        assert judged(app("Canvas"), app("JupyterServer", beat(door="api"))).coverage is COVERED

    def test_not_by_one_with_the_server(self):
        found = judged(app("Canvas"), app("JupyterServer", beat()))
        assert found.coverage is UNCOVERED
        assert "REAPER_STUDIO__APPS=api" in found.reason

    def test_not_by_nobody(self):
        assert judged(app("Canvas")).coverage is UNCOVERED

    def test_on_a_system_instance_no_reaper_would_end_it(self):
        """It costs all the same, and is told of; but a reaper there would not help."""
        found = judged(app("Canvas", instance="system"), app("JupyterServer", beat(door="api")))
        assert (found.coverage, found.reason) == (BEYOND, "reaper never ends what runs on a system instance")


class TestWhatNeedsNoReaper:
    @pytest.mark.parametrize(
        "apps",
        [(), (app("JupyterServer"),), (app("KernelGateway", instance="system"),)],
        ids=["none", "server", "free"],
    )
    def test_what_costs_nothing(self, apps):
        assert judged(*apps).coverage is IDLE

    def test_what_no_reaper_ever_ends(self):
        found = judged(app("RSessionGateway"))
        assert (found.coverage, found.reason) == (BEYOND, "reaper never ends RSessionGateway apps")


class TestAppsThatCouldNotBeListed:
    def test_that_none_is_known_does_not_mean_that_none_runs(self):
        found = judged(listed=False)
        assert (found.coverage, found.reason) == (UNKNOWN, "its apps could not be listed")


class TestHeartbeats:
    @pytest.mark.parametrize(
        ("heartbeat", "coverage", "reason"),
        [
            (beat(FRESH), COVERED, "its reaper has reported in"),
            (beat(FRESH + minutes(1)), UNCOVERED, "its reaper last reported in 3h1m ago"),
            (beat(days(400)), UNCOVERED, "its reaper last reported in 400d ago"),
            (beat(-minutes(59)), COVERED, "its reaper has reported in"),
            (beat(-hours(2)), UNCOVERED, "its reaper's heartbeat lies 2h ahead: check the clocks"),
            (beat(mode="dry-run"), UNCOVERED, "its reaper runs in dry-run: it reaps nothing"),
            (beat(mode=""), UNCOVERED, "its reaper runs in an unknown mode: it reaps nothing"),
            (beat(door=""), UNCOVERED, "its reaper can't list its apps"),
            ("yes", UNCOVERED, "its reaper's heartbeat can't be read: 'yes' is no heartbeat"),
            (None, UNCOVERED, "no reaper has reported in"),
        ],
        ids=[
            "3h",
            "stale",
            "year",
            "ahead",
            "future",
            "dry-run",
            "modeless",
            "doorless",
            "malformed",
            "none",
        ],
    )
    def test_what_it_says(self, heartbeat, coverage, reason):
        found = judged(app("JupyterLab", heartbeat))
        assert (found.coverage, found.reason) == (coverage, reason)

    def test_tags_that_can_not_be_read_are_unknown(self):
        found = judged(app("JupyterLab", problem="denied"))
        assert (found.coverage, found.reason) == (UNKNOWN, "the tags of its app can't be read")

    def test_an_app_has_time_to_install_it(self):
        found = judged(app("JupyterLab", age=minutes(3)))
        assert (found.coverage, found.reason) == (STARTING, "it started 3m ago")
        assert judged(app("JupyterLab", age=SETTLE)).coverage is UNCOVERED
        assert judged(app("JupyterLab", age=-hours(1))).coverage is UNCOVERED, "started in the future?"

    def test_of_a_kernel_gateway_the_servers_age_counts(self):
        old, new = app("JupyterServer"), app("JupyterServer", age=minutes(3))
        assert judged(old, app("KernelGateway", age=minutes(3))).coverage is UNCOVERED
        assert judged(new, app("KernelGateway")).coverage is STARTING

    def test_uncovered_is_worse_than_unknown(self):
        found = judged(app("JupyterLab", problem="denied"), app("CodeEditor"))
        assert found.coverage is UNCOVERED


@given(
    ago=st.timedeltas(-days(3), days(3)),
    mode=st.sampled_from(["enforce", "dry-run", ""]),
    age=st.timedeltas(-days(1), days(3)),
    garbled=st.booleans(),
)
def test_covered_is_only_who_has_a_fresh_heartbeat_in_enforce_mode(ago, mode, age, garbled):
    value = beat(ago, mode=mode)
    found = judged(app("JupyterLab", value[:20] if garbled else value, age=age))
    fresh = -hours(1) - minutes(1) <= ago <= FRESH + minutes(1)
    assert found.coverage is not COVERED or (fresh and mode == "enforce" and not garbled)
