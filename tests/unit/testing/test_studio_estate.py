"""What exists in the Studio fake: lives, names, pages, statistics. No server, no loop."""

from datetime import timedelta
from typing import Any

import pytest

from reaper.testing import T0, FakeClock, hours, minutes, seconds
from reaper.testing.aws_wire.faults import Fault, Faults, Refusal, Unsupported
from reaper.testing.studio import Studio
from reaper.testing.studio.metrics import Metrics
from reaper.testing.studio.paging import listed, page


@pytest.fixture(name="clock")
def fixture_clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(name="studio")
def fixture_studio(clock: FakeClock) -> Studio:
    return Studio(clock)


def test_a_name_is_taken_while_an_app_lives(studio: Studio) -> None:
    app = studio.add_app("ann", "work", deletes_in=minutes(1))
    with pytest.raises(ValueError, match="its name is taken"):
        studio.add_app("ann", "work")
    studio.delete_app(app)
    with pytest.raises(ValueError, match="Deleting"):
        studio.add_app("ann", "work")
    studio.advance(minutes(1))
    again = studio.add_app("ann", "work")
    assert studio.apps == [again]
    assert again.created_at == T0 + minutes(1)


def test_names_are_made_up_as_studio_does(studio: Studio) -> None:
    gateways = {studio.add_app("ann").name for _ in range(5)}
    assert len(gateways) == 5
    assert all(name.startswith("datascience-1-0-ml-t3-medium-") and len(name) <= 63 for name in gateways)
    long = studio.add_app("ann", image="arn:aws:sagemaker:us-east-1:081325390199:image/" + "x" * 60)
    assert len(long.name) <= 63
    assert studio.add_app("ann", app_type="Canvas").name == "default"


def test_a_domain_and_a_user_are_made_when_they_are_needed_and_once(studio: Studio) -> None:
    studio.add_app("ann")
    studio.add_app("ann")
    assert [user.name for user in studio.users] == ["ann"]
    assert [domain.id for domain in studio.domains] == ["d-fakestudio01"]


def test_instants_are_whole_milliseconds(studio: Studio, clock: FakeClock) -> None:
    clock.advance(timedelta(microseconds=1999))
    assert studio.now() == T0 + timedelta(milliseconds=1)


def test_the_fake_can_run_ahead_of_its_clock(studio: Studio, clock: FakeClock) -> None:
    assert studio.advance(hours(1)) == T0 + hours(1)
    clock.advance(minutes(1))
    assert studio.now() == T0 + hours(1) + minutes(1)


def test_a_kind_of_job_that_is_none_is_a_mistake(studio: Studio) -> None:
    with pytest.raises(ValueError, match="training-job"):
        studio.add_job("tuning-job", "a")


def test_the_first_fault_that_meets_a_call_is_used_until_it_is_used_up() -> None:
    faults = Faults()
    faults.add(Fault(operation="DeleteApp", code="one", when={"AppName": "a"}))
    faults.add(Fault(operation="*", code="any", left=None))
    taken = [faults.take("DeleteApp", {"AppName": name}) for name in ("b", "a", "a")]
    assert [fault.code for fault in taken if fault] == ["any", "one", "any"]
    assert faults.take("DELETE app", {"app_name": "a"}) is None  # the server's door is not AWS'
    faults.clear()
    assert faults.take("ListApps", {}) is None


def test_pages_are_cut_where_they_are_asked_to_be() -> None:
    things = list(range(5))
    shown, onward = page({"MaxResults": 2}, things)
    assert (list(shown), list(onward)) == ([0, 1], ["NextToken"])
    shown, onward = page({"MaxResults": 10, **onward}, things)
    assert (list(shown), onward) == ([2, 3, 4], {})
    assert page({"MaxResults": 5}, things)[1] == {}


@pytest.mark.parametrize("token", ["", "!!!", "bm8=", "WzEsIHt9", "e30="])
def test_a_token_of_somebody_else_is_refused(token: str) -> None:
    with pytest.raises(Refusal, match="pagination token"):
        page({"NextToken": token}, [1, 2, 3])


def test_lists_are_filtered_and_sorted() -> None:
    things = [("b", 2), ("a", 1), ("ab", 3)]

    def names(**parameters: Any) -> list[str]:
        found = listed(
            parameters,
            things,
            name=lambda thing: thing[0],
            status=lambda thing: "odd" if thing[1] % 2 else "even",
            created_at=lambda thing: T0 + hours(thing[1]),
        )
        return [thing[0] for thing in found]

    assert names() == ["a", "b", "ab"]
    assert names(SortBy="Name", SortOrder="Descending") == ["b", "ab", "a"]
    assert names(SortBy="Status") == ["b", "a", "ab"]
    assert names(NameContains="b") == ["b", "ab"]
    assert names(StatusEquals="odd") == ["a", "ab"]
    after, before = T0 + hours(1), (T0 + hours(3)).timestamp()
    assert names(CreationTimeAfter=after.isoformat(), CreationTimeBefore=before) == ["b"]
    with pytest.raises(Unsupported):
        names(LastModifiedTimeAfter=before)


@pytest.mark.parametrize(
    ("stat", "value"),
    [("Sum", 9.0), ("Average", 3.0), ("Maximum", 5.0), ("Minimum", 1.0), ("SampleCount", 3.0)],
)
def test_statistics_are_of_the_period(stat: str, value: float) -> None:
    answer = _metrics([1, 5, 3]).get(PLACE, _query(stat=stat))
    assert list(answer["MetricDataResults"][0]["Values"]) == [value]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"period": 90}, Refusal),
        ({"stat": "p99"}, Unsupported),
        ({"end": T0}, Refusal),
    ],
)
def test_what_cloudwatch_refuses_and_what_the_fake_does_not_know(
    change: dict[str, Any], error: type[Refusal]
) -> None:
    with pytest.raises(error):
        _metrics([1]).get(PLACE, _query(**change))


def test_metric_math_is_not_known_and_501_queries_are_too_many() -> None:
    asked = _query()
    with pytest.raises(Unsupported, match="math"):
        _metrics([1]).get(PLACE, asked | {"MetricDataQueries": [{"Id": "e", "Expression": "a + b"}]})
    with pytest.raises(Refusal, match="500"):
        _metrics([1]).get(PLACE, asked | {"MetricDataQueries": asked["MetricDataQueries"] * 501})


def test_a_place_has_its_own_datapoints() -> None:
    other = Studio().place("eu-west-1")
    [result] = _metrics([1]).get(other, _query())["MetricDataResults"]
    assert not result["Values"]


PLACE = Studio().home
END = T0 + minutes(5)


def _metrics(values: list[float]) -> Metrics:
    metrics = Metrics()
    for number, value in enumerate(values):
        metrics.add(PLACE, "n", "m", {"a": "b"}, T0 + seconds(number), value)
    return metrics


def _query(stat: str = "Sum", period: int = 60, end: Any = END) -> dict[str, Any]:
    metric = {"Namespace": "n", "MetricName": "m", "Dimensions": [{"Name": "a", "Value": "b"}]}
    queries = [{"Id": "q", "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}}]
    return {"MetricDataQueries": queries, "StartTime": T0, "EndTime": end}
