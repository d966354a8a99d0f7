"""What an app's own word means, and what is never touched."""

from datetime import UTC, datetime, timedelta

import pytest

from reaper.clients.studio import APP_TYPES, AppModel, CanvasUse, Newest, saved
from reaper.core.model import Activity
from reaper.providers.studio.states import app_status, canvas, refusal

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
BEGAN = NOW - timedelta(hours=3)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("app", "activity", "evidence_at"),
    [
        (AppModel(name="a", status="InService"), Activity.IDLE, BEGAN),
        (AppModel(name="a", status=None), Activity.IDLE, BEGAN),
        (AppModel(name="a", status="Pending"), Activity.ACTIVE, None),
        (AppModel(name="a", status="Deleting"), Activity.UNKNOWN, None),
        (AppModel(name="a", status="Updating"), Activity.UNKNOWN, None),
        (AppModel(name="a", status=""), Activity.UNKNOWN, None),
        (AppModel(name="a", status="InService", problem="Status can't be read"), Activity.UNKNOWN, None),
    ],
)
def test_each_state(app: AppModel, activity: Activity, evidence_at: datetime | None) -> None:
    said = app_status(app, BEGAN, now=NOW)
    assert (said.activity, said.evidence_at) == (activity, evidence_at)


def test_a_creation_ahead_of_our_clock_is_now() -> None:
    assert app_status(AppModel(name="a"), NOW + MINUTE, now=NOW).evidence_at == NOW


def test_an_app_of_no_age_is_unknown() -> None:
    assert app_status(AppModel(name="a"), None, now=NOW).activity is Activity.UNKNOWN


def test_only_four_types_are_ever_deleted() -> None:
    assert {name for name in APP_TYPES if refusal(name, "ml.t3.medium") is None} == {
        "Canvas",
        "CodeEditor",
        "JupyterLab",
        "KernelGateway",
    }
    assert refusal("KernelGateway", None) is None
    assert all(refusal(name, "system") for name in APP_TYPES)
    assert refusal("", None)


class TestCanvas:
    def test_when_it_was_last_used(self) -> None:
        use = CanvasUse(active_at=NOW - timedelta(hours=2), told_at=NOW - 10 * MINUTE)
        assert canvas(use, now=NOW)[:2] == (Activity.IDLE, NOW - timedelta(hours=2))

    def test_old_datapoints_say_nothing(self) -> None:
        use = CanvasUse(active_at=NOW - timedelta(hours=2), told_at=NOW - 16 * MINUTE)
        assert canvas(use, now=NOW).activity is Activity.UNKNOWN

    def test_neither_do_none(self) -> None:
        assert canvas(None, now=NOW).activity is Activity.UNKNOWN

    def test_nobody_is_active_later_than_now(self) -> None:
        assert canvas(CanvasUse(active_at=NOW + MINUTE, told_at=NOW + MINUTE), now=NOW).evidence_at == NOW


class TestSaved:
    def test_when(self) -> None:
        said = saved(Newest(at=BEGAN, path="/h/a.ipynb"), now=NOW)
        assert said == (Activity.IDLE, BEGAN, "/h/a.ipynb was saved")

    def test_what_was_not_all_looked_at_says_so(self) -> None:
        said = saved(Newest(at=BEGAN, path="/h/a.ipynb", complete=False), now=NOW)
        assert said is not None
        assert "as many files as could be looked at" in said.value

    def test_nothing_says_nothing(self) -> None:
        assert saved(Newest(), now=NOW) is None
