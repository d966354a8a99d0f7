"""The endpoints of a region, on the fake: whose invocations CloudWatch counts."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest

from reaper.clients.aws import OPERATIONS, Models
from reaper.clients.prices import PriceBook
from reaper.core.model import Activity, Observation, Resource
from reaper.errors import ActionDenied, ActionUnavailable, OutcomeUnknown
from reaper.providers.sagemaker import costs
from reaper.providers.sagemaker.endpoints import EndpointsSource
from reaper.providers.sagemaker.looking import Region
from reaper.testing import T0, FakeClock, hours, minutes
from reaper.testing.studio import Studio
from tests.integration.sagemaker.watching import Watching, aws_of, signals
from tests.integration.studio.watching import made_models
from tests.support.studio import fixture_clock, fixture_studio

__all__ = ["fixture_clock", "fixture_studio"]

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    return made_models(tmp_path_factory.mktemp("cache"))


def watch(clock: FakeClock, models: Models, memo: dict[str, object] | None = None) -> Watching:
    aws = aws_of(models)
    region = Region("123456789012", "us-east-1", aws, clock, minutes(5))
    return Watching(clock, EndpointsSource(region, memo), aws)


@pytest.fixture
async def watching(clock: FakeClock, studio: Studio, models: Models) -> AsyncIterator[Watching]:
    one = watch(clock, models)
    yield one
    await one.close()


async def use(watching: Watching, name: str = "llm", after: timedelta = MINUTE) -> Observation:
    return signals(await watching.look(after), name)["invocations"]


class TestStates:
    async def test_one_in_service(self, watching: Watching, studio: Studio) -> None:
        studio.add_endpoint("llm", created_at=T0 - DAY)
        seen = await watching.look()
        (resource,) = seen.resources
        assert (resource.ref.kind, resource.ref.scope, resource.ref.id) == (
            "sagemaker.endpoint",
            "123456789012/us-east-1",
            "llm",
        )
        assert (resource.started_at, resource.hourly_cost) == (T0 - DAY, None)
        status = signals(seen, "llm")["status"]
        assert (status.activity, status.evidence_at) == (Activity.IDLE, T0 - DAY)
        assert watching.source.interval == minutes(5)

    @pytest.mark.parametrize(
        ("state", "activity"),
        [
            ("Creating", Activity.ACTIVE),
            ("Updating", Activity.ACTIVE),
            ("SystemUpdating", Activity.ACTIVE),
            ("RollingBack", Activity.ACTIVE),
            ("OutOfService", Activity.UNKNOWN),
            ("UpdateRollbackFailed", Activity.UNKNOWN),
            ("Dreaming", Activity.UNKNOWN),
        ],
    )
    async def test_others_are_never_idle(
        self, watching: Watching, studio: Studio, state: str, activity: Activity
    ) -> None:
        studio.say_status(studio.add_endpoint("llm", created_at=T0 - DAY), state)
        found = signals(await watching.look(), "llm")
        assert [(name, one.activity) for name, one in found.items()] == [("status", activity)]
        assert studio.calls("GetMetricData") == []

    @pytest.mark.parametrize("state", ["Deleting", "Failed"])
    async def test_what_is_about_to_end_is_not_there(
        self, watching: Watching, studio: Studio, state: str
    ) -> None:
        studio.say_status(studio.add_endpoint("llm"), state)
        assert await watching.resources() == {}

    async def test_only_of_its_region_and_all_pages(self, watching: Watching, studio: Studio) -> None:
        for number in range(130):
            studio.add_endpoint(f"e-{number}", created_at=T0 - DAY)
        studio.add_endpoint("elsewhere", region="eu-west-1")
        assert len(await watching.resources()) == 130
        assert len(studio.calls("ListEndpoints")) == 2

    async def test_a_name_that_is_used_again_is_another_life(
        self, watching: Watching, studio: Studio
    ) -> None:
        first = studio.add_endpoint("llm", created_at=T0 - DAY)
        before = (await watching.resources())["llm"]
        studio.endpoints.remove(first)
        studio.add_endpoint("llm")
        after = (await watching.resources())["llm"]
        assert (before.ref.key == after.ref.key, before.ref == after.ref) == (True, False)
        done = await watching.source.act(before, "delete")
        assert (done.gone, "another endpoint" in done.detail) == (True, True)
        assert studio.calls("DeleteEndpoint") == []


class TestCosts:
    @pytest.fixture
    async def priced(self, clock: FakeClock, models: Models) -> AsyncIterator[Watching]:
        aws = aws_of(models)
        prices = PriceBook(clock, overrides={"ml.g5.xlarge": 1.5, "ml.m5.large": 0.1}, source="none")
        region = Region("123456789012", "us-east-1", aws, clock, minutes(5), prices)
        one = Watching(clock, EndpointsSource(region), aws)
        yield one
        await one.close()

    async def test_it_costs_what_all_its_instances_cost(self, priced: Watching, studio: Studio) -> None:
        variants: dict[str, tuple[str | None, int]] = {"a": ("ml.g5.xlarge", 2), "b": ("ml.m5.large", 1)}
        studio.add_endpoint("llm", created_at=T0 - DAY, variants=variants)
        resource = (await priced.resources())["llm"]
        assert resource.hourly_cost == pytest.approx(3.1)
        assert resource.attributes == {
            "region": "us-east-1",
            "instances": "2 x ml.g5.xlarge, 1 x ml.m5.large",
            "price_source": "override",
        }
        await priced.resources()
        assert len(studio.calls("DescribeEndpointConfig")) == 1  # it never changes

    @pytest.mark.parametrize("other", [("ml.p5.48xlarge", 1), (None, 0)], ids=["no price", "serverless"])
    async def test_one_variant_without_a_price_leaves_it_unknown(
        self, priced: Watching, studio: Studio, other: tuple[str | None, int]
    ) -> None:
        variants = {"a": ("ml.g5.xlarge", 2), "b": other}
        studio.add_endpoint("llm", created_at=T0 - DAY, variants=variants)
        assert (await priced.resources())["llm"].hourly_cost is None

    @pytest.mark.parametrize("trouble", ["denied", "throttled", "hanging"])
    async def test_what_can_not_be_asked_fails_no_look(
        self, priced: Watching, studio: Studio, trouble: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(costs, "_LONGEST_S", 0.2)
        studio.add_endpoint("llm", created_at=T0 - DAY, variants={"a": ("ml.g5.xlarge", 1)})
        studio.add_endpoint("tts", created_at=T0 - DAY, variants={"a": ("ml.g5.xlarge", 1)})
        if trouble == "hanging":
            studio.hang("DescribeEndpointConfig", times=9)
        else:
            code = {"denied": "AccessDeniedException", "throttled": "ThrottlingException"}[trouble]
            studio.fail("DescribeEndpointConfig", code, times=9)
        seen = await priced.look()
        assert seen.poll.complete
        assert [resource.hourly_cost for resource in seen.resources][:1] == [None]
        [note] = seen.notes
        assert "what endpoints cost is not known" in note

    async def test_without_prices_nothing_is_asked(self, watching: Watching, studio: Studio) -> None:
        studio.add_endpoint("llm", created_at=T0 - DAY)
        assert (await watching.resources())["llm"].hourly_cost is None
        assert studio.calls("DescribeEndpointConfig") == []


class TestUse:
    async def test_it_is_idle_since_its_last_invocation(self, watching: Watching, studio: Studio) -> None:
        llm = studio.add_endpoint("llm", created_at=T0 - 9 * DAY)
        studio.add_invocations(llm, T0 - minutes(63), 5)
        said = await use(watching)
        assert (said.activity, said.evidence_at) == (Activity.IDLE, T0 - minutes(60))

    async def test_one_long_ago_is_found_at_the_first_look_and_kept(
        self, watching: Watching, studio: Studio
    ) -> None:
        llm = studio.add_endpoint("llm", created_at=T0 - 90 * DAY)
        studio.add_invocations(llm, T0 - 20 * DAY)
        for _ in range(3):
            assert (await use(watching)).evidence_at == T0 - 20 * DAY + hours(1)
        assert len(studio.calls("GetMetricData")) == 4  # the whole past once, the last hours each time

    async def test_one_that_was_never_invoked_is_idle_since_it_began(
        self, watching: Watching, studio: Studio
    ) -> None:
        studio.add_endpoint("llm", created_at=T0 - DAY)
        said = await use(watching)
        assert (said.activity, said.evidence_at) == (Activity.IDLE, T0 - DAY)
        assert "no invocation" in said.value

    async def test_no_further_back_than_cloudwatch_was_asked(
        self, watching: Watching, studio: Studio
    ) -> None:
        """And it stays there: a window that moves would prove no more than its length."""
        studio.add_endpoint("llm", created_at=T0 - 300 * DAY)
        first = await use(watching)
        assert first.evidence_at == T0 - hours(3) - 63 * DAY
        assert (await use(watching, after=hours(1))).evidence_at == first.evidence_at

    async def test_an_update_is_use_as_well(self, watching: Watching, studio: Studio) -> None:
        llm = studio.add_endpoint("llm", created_at=T0 - 9 * DAY)
        studio.add_invocations(llm, T0 - 2 * DAY)
        assert (await use(watching)).evidence_at == T0 - 2 * DAY + hours(1)
        llm.updated_at = T0 - hours(1)
        llm.variants = {"blue": ("ml.m5.large", 1)}
        seen = signals(await watching.look(), "llm")
        assert seen["status"].evidence_at == T0 - hours(1)
        asked = studio.calls("GetMetricData")[-1]["MetricDataQueries"]
        assert "'blue'" in str(asked)

    async def test_of_several_variants_the_latest_counts(self, watching: Watching, studio: Studio) -> None:
        variants: dict[str, tuple[str | None, int]] = {"blue": ("ml.m5.large", 1), "serverless": (None, 0)}
        llm = studio.add_endpoint("llm", variants, created_at=T0 - DAY)
        studio.add_invocations(llm, T0 - minutes(100), variant="blue")
        studio.add_invocations(llm, T0 - minutes(30), variant="serverless")
        assert (await use(watching)).evidence_at == T0 - minutes(25)

    async def test_an_endpoint_that_is_too_new_is_unknown(self, watching: Watching, studio: Studio) -> None:
        """Its first invocations may not be counted yet, and without any there are no datapoints either."""
        studio.add_endpoint("llm", created_at=T0)
        assert (await use(watching)).activity is Activity.UNKNOWN
        assert (await use(watching, after=minutes(14))).activity is Activity.IDLE

    async def test_a_late_datapoint_counts(self, watching: Watching, studio: Studio) -> None:
        llm = studio.add_endpoint("llm", created_at=T0 - DAY)
        await use(watching)
        studio.add_invocations(llm, T0 - minutes(8))
        assert (await use(watching)).evidence_at == T0 - minutes(5)

    async def test_a_gap_is_asked_about(self, watching: Watching, studio: Studio) -> None:
        llm = studio.add_endpoint("llm", created_at=T0 - DAY)
        await use(watching)
        studio.add_invocations(llm, T0 + hours(2))
        assert (await use(watching, after=hours(12))).evidence_at == T0 + hours(3)

    async def test_a_restart_of_ours_asks_for_the_last_hours_alone(
        self, watching: Watching, clock: FakeClock, studio: Studio, models: Models
    ) -> None:
        llm = studio.add_endpoint("llm", created_at=T0 - 9 * DAY)
        studio.add_invocations(llm, T0 - 2 * DAY)
        before = await watching.look()
        again = watch(clock, models, dict(before.memo or {}))
        assert (await use(again)).evidence_at == T0 - 2 * DAY + hours(1)
        assert len(studio.calls("GetMetricData")) == 3
        await again.close()

    @pytest.mark.parametrize("memo", [{"uses": 7}, {"uses": {"llm": {}}}, {"uses": {"llm": None}}])
    async def test_a_memo_that_says_nothing(
        self, clock: FakeClock, studio: Studio, models: Models, memo: dict[str, object]
    ) -> None:
        studio.add_endpoint("llm", created_at=T0 - DAY)
        again = watch(clock, models, memo)
        assert (await use(again)).evidence_at == T0 - DAY
        await again.close()

    async def test_hundreds_are_asked_about_at_once(self, watching: Watching, studio: Studio) -> None:
        variants: dict[str, tuple[str | None, int]] = {f"v{n}": ("ml.m5.large", 1) for n in range(101)}
        for number in range(5):
            studio.add_endpoint(f"e-{number}", variants, created_at=T0 - DAY)
        seen = await watching.look()
        assert {o.activity for o in seen.observations} == {Activity.IDLE}
        sizes = [len(call["MetricDataQueries"]) for call in studio.calls("GetMetricData")]
        assert sizes == [500, 5, 500, 5]


class TestUnknownUse:
    async def test_an_asynchronous_one_has_a_queue(self, watching: Watching, studio: Studio) -> None:
        studio.add_endpoint("llm", created_at=T0 - DAY).asynchronous = True
        said = await use(watching)
        assert (said.activity, "queue" in said.value) == (Activity.UNKNOWN, True)

    async def test_components_count_for_themselves(self, watching: Watching, studio: Studio) -> None:
        studio.add_endpoint("llm", created_at=T0 - DAY).components.append("adapter")
        studio.add_endpoint("other", created_at=T0 - DAY)
        seen = await watching.look()
        assert signals(seen, "llm")["invocations"].activity is Activity.UNKNOWN
        assert signals(seen, "other")["invocations"].activity is Activity.IDLE

    @pytest.mark.parametrize(
        ("operation", "code", "why"),
        [
            ("GetMetricData", "AccessDeniedException", "needs cloudwatch:GetMetricData"),
            ("GetMetricData", "ThrottlingException", "throttled"),
            ("ListInferenceComponents", "AccessDeniedException", "needs sagemaker:ListInferenceComponents"),
            ("DescribeEndpoint", "ThrottlingException", "throttled"),
        ],
    )
    async def test_a_question_that_fails(
        self, watching: Watching, studio: Studio, operation: str, code: str, why: str
    ) -> None:
        studio.add_endpoint("llm", created_at=T0 - DAY)
        studio.fail(operation, code)
        seen = await watching.look()
        assert seen.poll.complete
        said = signals(seen, "llm")["invocations"]
        assert (said.activity, why in said.value) == (Activity.UNKNOWN, True)
        assert (await use(watching)).activity is Activity.IDLE

    @pytest.mark.parametrize(
        ("code", "why"),
        [("ThrottlingException", "throttled"), ("ExpiredTokenException", "credentials have expired")],
    )
    async def test_a_list_that_fails_leaves_nothing_known(
        self, watching: Watching, studio: Studio, code: str, why: str
    ) -> None:
        studio.add_endpoint("llm", created_at=T0 - DAY)
        studio.fail("ListEndpoints", code)
        failed = await watching.look()
        assert (failed.poll.complete, failed.resources) == (False, ())
        assert why in (failed.poll.error or "")

    async def test_tags_that_cant_be_read_may_protect_it(self, watching: Watching, studio: Studio) -> None:
        studio.add_endpoint("llm", created_at=T0 - DAY).tags["reaper:protect"] = "yes"
        studio.fail("ListTags", "ThrottlingException")
        assert signals(await watching.look(), "llm")["tags"].activity is Activity.UNKNOWN
        assert (await watching.resources())["llm"].tags == {"reaper:protect": "yes"}


@pytest.fixture
async def llm(watching: Watching, studio: Studio) -> Resource:
    studio.add_endpoint("llm", created_at=T0 - DAY)
    return (await watching.resources())["llm"]


class TestDeleting:
    async def test_it_is_deleted_once(self, watching: Watching, studio: Studio, llm: Resource) -> None:
        first = await watching.source.act(llm, "delete")
        again = await watching.source.act(llm, "delete")
        assert [first.gone, again.gone] == [False, False]
        assert studio.calls("DeleteEndpoint") == [{"EndpointName": "llm"}]
        assert await watching.resources() == {}
        watching.clock.advance(minutes(6))
        assert (await watching.source.act(llm, "delete")).gone

    async def test_nothing_else_can_be_done(self, watching: Watching, llm: Resource) -> None:
        with pytest.raises(ActionDenied, match="only delete"):
            await watching.source.act(llm, "stop")

    async def test_not_while_it_changes(self, watching: Watching, studio: Studio, llm: Resource) -> None:
        studio.say_status(studio.endpoints[0], "Updating")
        with pytest.raises(ActionUnavailable, match="Updating"):
            await watching.source.act(llm, "delete")
        assert studio.calls("DeleteEndpoint") == []

    async def test_one_that_is_protected_meanwhile_is_left_alone(
        self, watching: Watching, studio: Studio, llm: Resource
    ) -> None:
        studio.endpoints[0].tags["reaper:protect"] = "yes"
        with pytest.raises(ActionUnavailable, match="tags have changed"):
            await watching.source.act(llm, "delete")
        studio.endpoints[0].tags.clear()
        studio.fail("ListTags", "AccessDeniedException")
        with pytest.raises(ActionDenied, match="needs sagemaker:ListTags"):
            await watching.source.act(llm, "delete")
        assert studio.calls("DeleteEndpoint") == []

    @pytest.mark.parametrize(
        ("code", "error"),
        [
            ("ThrottlingException", ActionUnavailable),
            ("AccessDeniedException", ActionDenied),
            ("ExpiredTokenException", ActionDenied),
            ("ValidationException", ActionDenied),
            ("InternalFailure", OutcomeUnknown),
        ],
    )
    async def test_a_deletion_that_fails(
        self, watching: Watching, studio: Studio, llm: Resource, code: str, error: type[Exception]
    ) -> None:
        studio.fail("DeleteEndpoint", code)
        with pytest.raises(error):
            await watching.source.act(llm, "delete")

    async def test_one_that_went_meanwhile_is_success(
        self, watching: Watching, studio: Studio, llm: Resource
    ) -> None:
        studio.fail("DeleteEndpoint", "ValidationException", 'Could not find endpoint "arn:aws:..."')
        assert (await watching.source.act(llm, "delete")).gone

    async def test_a_look_right_before_that_fails_deletes_nothing(
        self, watching: Watching, studio: Studio, llm: Resource
    ) -> None:
        studio.fail("DescribeEndpoint", "ThrottlingException")
        with pytest.raises(ActionUnavailable, match="could not be looked at"):
            await watching.source.act(llm, "delete")
        assert studio.calls("DeleteEndpoint") == []


async def test_nothing_is_called_that_is_not_registered_for_it(
    watching: Watching, studio: Studio, llm: Resource, clock: FakeClock
) -> None:
    region = Region("123456789012", "us-east-1", watching.aws, clock, minutes(5), PriceBook(clock))
    await Watching(clock, EndpointsSource(region), watching.aws).look()
    await watching.source.act(llm, "delete")
    await watching.aws.account("us-east-1")
    called = {request.operation for request in studio.requests}
    assert called == {o.name for o in OPERATIONS if "endpoints" in o.used_for}


def test_the_instants_of_a_window_never_overlap() -> None:
    from reaper.clients.sagemaker import recent, whole_past

    now = datetime(2026, 3, 2, 12, 34, 56, tzinfo=T0.tzinfo)
    past, last = whole_past(now), recent(now)
    assert past.end == last.start == datetime(2026, 3, 2, 9, 0, tzinfo=T0.tzinfo)
    assert past.start == past.end - 63 * DAY
    assert last.end > now
