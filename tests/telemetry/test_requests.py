"""What a request moves."""

from typing import Any

import pytest

from kthena_fast import errors
from kthena_fast.exchange.record import Exchange, Kept
from kthena_fast.telemetry import metrics
from kthena_fast.telemetry.registry import Family, Registry
from kthena_fast.telemetry.requests import RequestMetrics
from kthena_fast.telemetry.values import Histogram, Value
from tests.telemetry.records import BEGAN, exchange, refused

CHAT = "/v1/chat/completions"
DESTINATION = ("prod/chat", "model_server", "prod/chat-7b", "org/chat-7b")
NOWHERE = ("none", "unresolved", "none", "none")


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def requests(registry: Registry) -> RequestMetrics:
    known = RequestMetrics(registry, lambda path: path if path.startswith("/v1/") else "other")
    known.retain({"chat"}, {"prod/chat"}, {"prod/chat-7b"})
    return known


def values(registry: Registry, metric: metrics.Metric) -> dict[tuple[str, ...], Any]:
    return {
        labels: child.number if isinstance(child, Value) else sum(child.counts)
        for labels, child in registry.family(metric).children()
    }


def test_a_request_that_was_served(registry: Registry, requests: RequestMetrics) -> None:
    requests.observe_end(exchange(), 0.0)
    assert values(registry, metrics.REQUESTS) == {("chat", CHAT, "200", "successful_request", *DESTINATION): 1}
    ((_, child),) = registry.family(metrics.REQUEST_DURATION).children()
    assert isinstance(child, Histogram)
    assert child.sum == pytest.approx(0.812)
    assert values(registry, metrics.TOKENS) == {
        ("chat", CHAT, "input", *DESTINATION): 12,
        ("chat", CHAT, "output", *DESTINATION): 34,
    }
    assert values(registry, metrics.TIME_TO_FIRST_TOKEN) == {}
    assert values(registry, metrics.UPSTREAM_RETRIES) == {}
    assert values(registry, metrics.REFUSED_REQUESTS) == {}


def test_the_first_end_of_a_series_may_say_nothing(registry: Registry, requests: RequestMetrics) -> None:
    series = requests.request(("chat", CHAT, "", "", "", ""))
    for status, error_type in ((0, ""), (0, ""), (200, ""), (0, "")):
        series.ended(status, error_type, 1.0)
    counted = {labels[2:4]: count for labels, count in values(registry, metrics.REQUESTS).items()}
    assert counted == {("0", ""): 3, ("200", ""): 1}


def test_input_tokens_are_the_engines_once_it_told_them(registry: Registry, requests: RequestMetrics) -> None:
    requests.observe_end(exchange(input_tokens=17), 0.0)
    assert values(registry, metrics.TOKENS)["chat", CHAT, "input", *DESTINATION] == 17


def test_a_stream_shows_its_first_token_and_a_retry_is_counted(registry: Registry, requests: RequestMetrics) -> None:
    requests.observe_end(exchange(streaming=True, attempts=3), 0.0)
    ((labels, child),) = registry.family(metrics.TIME_TO_FIRST_TOKEN).children()
    assert labels == ("chat", *DESTINATION)
    assert isinstance(child, Histogram)
    assert child.sum == pytest.approx(0.045)
    assert values(registry, metrics.UPSTREAM_RETRIES) == {("chat", *DESTINATION): 2}


def test_an_engines_own_error_is_request_failed_and_ours_has_its_reason(
    registry: Registry, requests: RequestMetrics
) -> None:
    requests.observe_end(exchange(status=422, upstream_status=422), 0.0)
    requests.observe_end(exchange(status=502, error=errors.connection_failed("refused")), 0.0)
    # A stream that broke after its head went out.
    requests.observe_end(exchange(error=errors.protocol_error("it ended early")), 0.0)
    assert {labels[2:4] for labels in values(registry, metrics.REQUESTS)} == {
        ("422", "request_failed"),
        ("502", "proxy"),
        ("200", "proxy"),
    }


def test_names_that_nobody_serves_are_one_label(registry: Registry, requests: RequestMetrics) -> None:
    for number in range(50):
        meter = requests.begin(refused(errors.model_not_found("x"), model=f"invented-{number}", path=f"/{number}"))
        meter.parsed()
        meter.settle(BEGAN)
    assert values(registry, metrics.REQUESTS) == {
        ("unknown", "other", "404", "route_not_found", *NOWHERE): 50,
    }
    assert values(registry, metrics.ACTIVE_DOWNSTREAM) == {("unknown",): 0}
    assert len(requests._series) == 1
    assert requests._downstream == {}


def test_a_request_that_was_not_understood_counts_as_refused_only(registry: Registry, requests: RequestMetrics) -> None:
    requests.observe_end(refused(errors.bad_request("no JSON")), 0.0)
    assert values(registry, metrics.REQUESTS) == {}
    assert values(registry, metrics.REFUSED_REQUESTS) == {("400", "request_parsing"): 1}


def test_a_model_list_is_active_while_it_is_served_and_counts_nowhere(
    registry: Registry, requests: RequestMetrics
) -> None:
    meter = requests.begin(exchange(model="", route="", server=""))
    assert values(registry, metrics.ACTIVE_REQUESTS) == {(): 1}
    meter.settle(BEGAN)
    assert values(registry, metrics.ACTIVE_REQUESTS) == {(): 0}
    assert values(registry, metrics.REQUESTS) == {}


def test_a_meter_gives_back_what_it_took_once(registry: Registry, requests: RequestMetrics) -> None:
    meter = requests.begin(exchange())
    meter.parsed()
    meter.parsed()
    meter.attempt_began()
    meter.attempt_began()
    assert values(registry, metrics.ACTIVE_REQUESTS) == {(): 1}
    assert values(registry, metrics.ACTIVE_DOWNSTREAM) == {("chat",): 1}
    assert values(registry, metrics.ACTIVE_UPSTREAM) == {("prod/chat-7b", *DESTINATION): 1}
    meter.settle(BEGAN + 1)
    meter.settle(BEGAN + 1)
    for gauge in (metrics.ACTIVE_REQUESTS, metrics.ACTIVE_DOWNSTREAM, metrics.ACTIVE_UPSTREAM):
        assert set(values(registry, gauge).values()) == {0}
    assert sum(values(registry, metrics.REQUESTS).values()) == 1


def test_the_second_request_of_a_kind_makes_no_child(
    registry: Registry, requests: RequestMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve() -> None:
        meter = requests.begin(exchange(streaming=True, attempts=2))
        meter.parsed()
        meter.attempt_began()
        meter.attempt_ended()
        meter.settle(BEGAN)

    serve()

    def refuse(*_: object) -> None:
        raise AssertionError("a label look-up in the way of a request")

    monkeypatch.setattr(Family, "child", refuse)
    for _ in range(10):
        serve()
    assert sum(values(registry, metrics.REQUESTS).values()) == 11


def test_a_route_that_goes_while_its_request_is_in_flight(registry: Registry, requests: RequestMetrics) -> None:
    meter = requests.begin(exchange())
    meter.parsed()
    meter.attempt_began()
    requests.retain((), (), ())
    requests.retain({"next"}, (), ())
    requests.downstream("next")
    meter.settle(BEGAN)
    assert values(registry, metrics.ACTIVE_DOWNSTREAM) == {("next",): 0}
    assert values(registry, metrics.ACTIVE_REQUESTS) == {(): 0}


def test_what_is_under_way_while_other_objects_go_stays_counted(registry: Registry, requests: RequestMetrics) -> None:
    meter = requests.begin(exchange())
    meter.parsed()
    meter.attempt_began()
    requests.retain({"chat", "next"}, {"prod/chat"}, {"prod/chat-7b"})
    requests.retain({"chat"}, {"prod/chat"}, {"prod/chat-7b"})
    other = requests.begin(exchange())
    other.parsed()
    assert values(registry, metrics.ACTIVE_DOWNSTREAM) == {("chat",): 2}
    assert values(registry, metrics.ACTIVE_UPSTREAM) == {("prod/chat-7b", *DESTINATION): 1}
    meter.settle(BEGAN)
    other.settle(BEGAN)
    assert values(registry, metrics.ACTIVE_DOWNSTREAM) == {("chat",): 0}
    assert values(registry, metrics.ACTIVE_UPSTREAM) == {("prod/chat-7b", *DESTINATION): 0}


def test_models_that_come_and_go_for_ever_do_not_grow_anything(registry: Registry, requests: RequestMetrics) -> None:
    sizes = set()
    for number in range(100):
        model, route, server = f"m{number}", f"prod/r{number}", f"prod/s{number}"
        requests.retain({model}, {route}, {server})
        meter = requests.begin(exchange(model=model, route=route, server=server))
        meter.parsed()
        meter.attempt_began()
        meter.settle(BEGAN)
        children = sum(len(registry.family(metric)) for metric in metrics.ALL)
        sizes.add((children, len(requests._series), len(requests._downstream), len(requests._upstream)))
    assert len(sizes) == 1
    assert len(registry.family(metrics.REQUESTS)) == 1


def test_a_snapshot_that_only_adds_keeps_what_is_counted(registry: Registry, requests: RequestMetrics) -> None:
    requests.observe_end(exchange(), 0.0)
    requests.retain({"chat", "more"}, {"prod/chat", "prod/more"}, {"prod/chat-7b"})
    requests.observe_end(exchange(), 0.0)
    assert list(values(registry, metrics.REQUESTS).values()) == [2]
    requests.retain({"chat"}, {"prod/chat"}, {"prod/chat-7b"})
    requests.observe_end(exchange(), 0.0)
    assert list(values(registry, metrics.REQUESTS).values()) == [3]


def alike(**facts: Any) -> Exchange:
    """A request that matched what all of these did."""
    made = exchange(**facts)
    made.kept = KEPT
    return made


KEPT = Kept()


@pytest.fixture(autouse=True)
def _nothing_kept() -> None:
    KEPT.series = KEPT.names = None


def serve(requests: RequestMetrics, served: Exchange) -> None:
    meter = requests.begin(served)
    meter.parsed()
    meter.attempt_began()
    meter.settle(BEGAN)


def test_what_is_kept_of_a_match_is_counted_as_what_is_looked_up(registry: Registry, requests: RequestMetrics) -> None:
    for _ in range(3):
        serve(requests, alike())
    assert KEPT.series is not None
    serve(requests, exchange())
    assert values(registry, metrics.REQUESTS) == {("chat", CHAT, "200", "successful_request", *DESTINATION): 4}
    assert values(registry, metrics.ACTIVE_DOWNSTREAM) == {("chat",): 0}
    assert values(registry, metrics.ACTIVE_UPSTREAM) == {("prod/chat-7b", *DESTINATION): 0}


def test_a_match_with_several_destinations_and_paths_counts_each(registry: Registry, requests: RequestMetrics) -> None:
    requests.retain({"chat"}, {"prod/chat"}, {"prod/chat-7b", "prod/canary"})
    for server in ("prod/chat-7b", "prod/canary", "prod/chat-7b", "prod/canary", "prod/canary"):
        serve(requests, alike(server=server))
    serve(requests, alike(path="/elsewhere"))
    counted = {(labels[1], labels[6]): count for labels, count in values(registry, metrics.REQUESTS).items()}
    assert counted == {(CHAT, "prod/chat-7b"): 2, (CHAT, "prod/canary"): 3, ("other", "prod/chat-7b"): 1}
    assert set(values(registry, metrics.ACTIVE_UPSTREAM).values()) == {0}


def test_what_is_kept_does_not_outlive_the_names_it_was_made_of(registry: Registry, requests: RequestMetrics) -> None:
    serve(requests, alike())
    requests.retain({"next"}, (), ())
    # Its route went while it was in flight.
    serve(requests, alike())
    assert {labels[0] for labels in values(registry, metrics.REQUESTS)} == {metrics.UNKNOWN_MODEL}
    assert values(registry, metrics.ACTIVE_DOWNSTREAM) == {(metrics.UNKNOWN_MODEL,): 0}
    requests.retain({"chat"}, {"prod/chat"}, {"prod/chat-7b"})
    serve(requests, alike())
    assert values(registry, metrics.REQUESTS)["chat", CHAT, "200", "successful_request", *DESTINATION] == 1


def test_what_another_gateway_keeps_of_the_match_is_not_taken(registry: Registry, requests: RequestMetrics) -> None:
    other = RequestMetrics(Registry(), str)
    other.retain({"chat"}, {"prod/chat"}, {"prod/chat-7b"})
    for _ in range(2):
        serve(requests, alike())
        serve(other, alike())
    assert sum(values(registry, metrics.REQUESTS).values()) == 2


def test_a_request_that_reached_no_server_keeps_nothing(registry: Registry, requests: RequestMetrics) -> None:
    requests.begin(alike(server="", pod="", upstream_model="")).settle(BEGAN)
    assert KEPT.series is None
    serve(requests, alike())
    requests.begin(alike(server="", pod="", upstream_model="")).settle(BEGAN)
    assert sorted(values(registry, metrics.REQUESTS).values()) == [1, 2]
