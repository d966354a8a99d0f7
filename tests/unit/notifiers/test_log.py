import pytest
import structlog.testing

from reaper.errors import ConfigError
from reaper.notifiers.log import LogNotifier
from reaper.testing.notifier_contract import a_notice


async def test_a_notice_is_one_event_with_what_a_person_needs():
    with structlog.testing.capture_logs() as events:
        await LogNotifier.from_address("log:").notify(a_notice())
    (event,) = events
    assert event["event"] == "gave notice"
    assert event["log_level"] == "info"
    assert event["id"] == "6f1c2b54"
    assert event["due_at"] == "2026-11-22T21:10:00.000000Z"
    assert event["actions"] == ["reaper hold 6f1c --for 2h"]


@pytest.mark.parametrize("topic", ["blind", "blocked", "failed", "uncovered"])
async def test_bad_news_is_a_warning(topic):
    with structlog.testing.capture_logs() as events:
        await LogNotifier.from_address("log:").notify(a_notice(topic=topic, resource=None, due_at=None))
    assert events[0]["log_level"] == "warning"


def test_the_log_takes_no_place():
    with pytest.raises(ConfigError, match="just 'log:'"):
        LogNotifier.from_address("log:/var/log/reaper")
