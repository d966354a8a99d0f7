from datetime import UTC, datetime, timedelta

import prometheus_client
from prometheus_client.parser import text_string_to_metric_families

from reaper import __version__
from reaper.daemon.metrics import LAG_BUCKETS_S, Metrics
from reaper.testing.clock import FakeClock

NOW = datetime(2026, 11, 22, 21, 0, tzinfo=UTC)
CONTRACT = {
    "reaper_build_info",
    "reaper_polls_total",
    "reaper_last_complete_poll_timestamp_seconds",
    "reaper_resources",
    "reaper_decisions_total",
    "reaper_actions_total",
    "reaper_reap_lag_seconds",
    "reaper_next_deadline_timestamp_seconds",
    "reaper_cost_dollars_per_hour",
    "reaper_paused",
}


def samples(metrics):
    found = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


def declared(metrics):
    return {line.split()[2] for line in metrics.render().decode().splitlines() if line.startswith("# TYPE")}


def filled():
    metrics = Metrics(clock=FakeClock(NOW))
    metrics.poll("jupyter:a", "complete", NOW)
    metrics.poll("jupyter:a", "failed", NOW + timedelta(seconds=60))
    metrics.poll("jupyter:b", "complete", NOW)
    metrics.resources({("jupyter.kernel", "wait"): 3, ("jupyter.kernel", "keep"): 1})
    metrics.decided("idle", 2)
    metrics.decided("idle")
    metrics.acted("jupyter.kernel", "shutdown", "succeeded")
    metrics.lag(0.07)
    metrics.lag(7200)
    metrics.next_deadline(NOW + timedelta(minutes=5))
    metrics.cost({"ec2.instance": 1.5})
    metrics.paused(True)
    metrics.blind(2)
    metrics.pending(4)
    return metrics


def test_the_names_of_the_contract_are_there_before_anything_happened():
    assert declared(Metrics()) >= CONTRACT


def test_no_series_of_the_library_itself():
    """No `_created`, no process or Python collectors: nothing but ours."""
    assert all(name.startswith("reaper_") for name, _ in samples(filled()))
    assert not [name for name, _ in samples(filled()) if name.endswith("_created")]


def test_nothing_is_put_into_the_global_registry():
    Metrics()
    Metrics()
    assert "reaper" not in prometheus_client.generate_latest(prometheus_client.REGISTRY).decode()


def test_values():
    found = samples(filled())
    kernel = ("kind", "jupyter.kernel")
    assert any(name == "reaper_build_info" and ("version", __version__) in labels for name, labels in found)
    assert found["reaper_polls_total", (("outcome", "complete"), ("source", "jupyter:a"))] == 1
    assert found["reaper_polls_total", (("outcome", "failed"), ("source", "jupyter:a"))] == 1
    last = found["reaper_last_complete_poll_timestamp_seconds", (("source", "jupyter:a"),)]
    assert last == NOW.timestamp(), "a failed look does not count"
    assert found["reaper_resources", (kernel, ("verdict", "wait"))] == 3
    assert found["reaper_resources", (kernel, ("verdict", "reap"))] == 0
    assert found["reaper_decisions_total", (("reason", "idle"),)] == 3
    labels = (("action", "shutdown"), kernel, ("outcome", "succeeded"))
    assert found["reaper_actions_total", labels] == 1
    assert found["reaper_next_deadline_timestamp_seconds", ()] == (NOW + timedelta(minutes=5)).timestamp()
    assert found["reaper_seconds_to_next_deadline", ()] == 300
    assert found["reaper_cost_dollars_per_hour", (("kind", "ec2.instance"),)] == 1.5
    assert found["reaper_paused", ()] == 1
    assert found["reaper_blind_resources", ()] == 2
    assert found["reaper_journal_pending_batches", ()] == 4


def test_lag_buckets_are_cumulative_and_end_at_infinity():
    found = samples(filled())
    buckets = [found["reaper_reap_lag_seconds_bucket", (("le", str(bound)),)] for bound in LAG_BUCKETS_S]
    assert buckets == [0, *[1] * (len(LAG_BUCKETS_S) - 1)]
    assert found["reaper_reap_lag_seconds_bucket", (("le", "+Inf"),)] == 2
    assert found["reaper_reap_lag_seconds_count", ()] == 2
    assert found["reaper_reap_lag_seconds_sum", ()] == 7200.07


def test_a_lag_on_a_bound_belongs_to_its_bucket():
    metrics = Metrics()
    metrics.lag(LAG_BUCKETS_S[2])
    assert samples(metrics)["reaper_reap_lag_seconds_bucket", (("le", str(LAG_BUCKETS_S[2])),)] == 1


def test_unknown_has_no_sample():
    metrics = filled()
    metrics.next_deadline(None)
    metrics.cost({})
    found = {name for name, _ in samples(metrics)}
    assert "reaper_next_deadline_timestamp_seconds" not in found
    assert "reaper_seconds_to_next_deadline" not in found
    assert "reaper_cost_dollars_per_hour" not in found


def test_a_source_that_ended_is_forgotten_and_others_stay():
    metrics = filled()
    metrics.forget_source("jupyter:a")
    metrics.forget_source("never seen")
    text = metrics.render().decode()
    assert "jupyter:a" not in text
    assert "jupyter:b" in text


def test_resources_that_are_gone_become_zero():
    metrics = filled()
    metrics.resources({})
    kernels = {
        labels: value for (name, labels), value in samples(metrics).items() if name == "reaper_resources"
    }
    assert len(kernels) == 4
    assert set(kernels.values()) == {0}


def test_a_name_that_is_no_utf8_does_not_break_the_page():
    metrics = Metrics()
    metrics.poll('jupyter:/home/\udcff/"a"\n', "complete", NOW)
    assert b"/home/?/" in metrics.render()
