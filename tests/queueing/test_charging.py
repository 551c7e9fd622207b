"""What each request costs: once, and what was done for it."""

from typing import Any

import pytest

from kthena_fast.queueing import shares
from kthena_fast.queueing.tariff import Tariff
from kthena_fast.wire.usage import Usage
from tests.queueing.given import Desk, Visitor, one_server, pause

# With the weights of the desk: input 1, output 2.


async def called(
    desk: Desk, user: str = "u", *, tokens: int = 0, path: str = "/v1/chat/completions", **members: Any
) -> Visitor:
    """A request that was called and went to an engine."""
    visitor = await desk.come(user, tokens=tokens, path=path, **members)
    assert visitor.was_called
    visitor.exchange.sent = True
    visitor.exchange.forwarded = desk.clock.time()
    return visitor


async def test_input_is_charged_when_the_permit_is_given() -> None:
    desk = Desk(one_server())
    first = await desk.come("u", tokens=100)
    second = await desk.come("v", tokens=70)
    assert (desk.service("u"), desk.service("v")) == (100.0, 0.0)
    first.end()
    await pause()
    assert second.was_called
    assert desk.service("v") == 70.0


async def test_usage_at_the_end_replaces_every_estimate() -> None:
    desk = Desk(one_server())
    visitor = await called(desk, tokens=100, stream=True)
    visitor.turn.on_events(30)
    assert desk.service("u") == 160.0
    visitor.turn.on_usage(Usage(90, 40))
    assert desk.service("u") == 170.0
    visitor.end(input=90, output=40)
    assert desk.service("u") == 170.0


async def test_an_answer_that_is_not_streamed_costs_its_usage() -> None:
    desk = Desk(one_server())
    (await called(desk, tokens=100)).end(input=12, output=34)
    assert desk.service("u") == 80.0


async def test_each_event_is_charged_as_it_comes() -> None:
    desk = Desk(one_server())
    visitor = await called(desk, stream=True)
    charged = []
    for _ in range(4):
        visitor.turn.on_events(1)
        charged.append(desk.service("u"))
    assert charged == [2.0, 4.0, 6.0, 8.0]


async def test_an_event_costs_as_many_tokens_as_was_learned() -> None:
    desk = Desk(one_server())
    for _ in range(200):
        visitor = await called(desk, "teacher", stream=True)
        visitor.exchange.events = 10
        visitor.end(output=30)
    visitor = await called(desk, stream=True)
    visitor.turn.on_events(100)
    assert desk.service("u") == pytest.approx(600.0, rel=0.01)


async def test_usage_in_each_chunk_is_not_added_to_the_chunks() -> None:
    desk = Desk(one_server())
    visitor = await called(desk, tokens=10, stream=True)
    for produced in range(1, 21):
        visitor.turn.on_events(1)
        visitor.turn.on_usage(Usage(10, produced))
        assert desk.service("u") == 10.0 + 2 * produced
    visitor.end(input=10, output=20)
    assert desk.service("u") == 50.0


async def test_usage_that_comes_in_two_parts_as_anthropics_does() -> None:
    desk = Desk(one_server())
    visitor = await called(desk, tokens=10, stream=True, path="/v1/messages")
    visitor.turn.on_usage(Usage(25, 1))
    assert desk.service("u") == 27.0
    visitor.turn.on_events(6)
    assert desk.service("u") == 39.0
    visitor.turn.on_usage(Usage(25, 9))
    visitor.end(input=25, output=9)
    assert desk.service("u") == 43.0


async def test_a_client_that_leaves_pays_for_what_was_produced() -> None:
    """Upstream charges when the usage event is read, so leaving before it is free."""
    desk = Desk(one_server())
    visitor = await called(desk, tokens=10, stream=True)
    visitor.turn.on_events(25)
    visitor.exchange.status = 200
    visitor.turn.end()
    assert desk.service("u") == 60.0


async def test_a_client_that_leaves_before_an_answer_that_is_not_streamed_pays_for_the_time() -> None:
    desk = Desk(one_server())
    teacher = await called(desk, "teacher")
    teacher.exchange.upstream_ended = desk.clock.time() + 2.0
    teacher.end(output=100)
    cases: list[tuple[str, dict[str, Any], float]] = [("u", {}, 410.0), ("v", {"max_tokens": 30}, 70.0)]
    for user, limits, cost in cases:
        visitor = await called(desk, user, tokens=10, **limits)
        visitor.exchange.upstream_ended = desk.clock.time() + 4.0
        visitor.turn.end()
        assert desk.service(user) == cost


async def test_a_stream_that_the_engine_breaks_costs_what_came() -> None:
    desk = Desk(one_server())
    visitor = await called(desk, tokens=10, stream=True)
    visitor.turn.on_events(7)
    visitor.exchange.status = visitor.exchange.upstream_status = 200
    visitor.turn.end()
    assert desk.service("u") == 24.0


async def test_without_usage_a_stream_costs_its_events() -> None:
    desk = Desk(one_server())
    visitor = await called(desk, tokens=10, stream=True)
    visitor.turn.on_events(5)
    visitor.end()
    assert desk.service("u") == 20.0


async def test_a_stream_that_nobody_seemed_to_ask_for_costs_its_events_and_not_its_bytes() -> None:
    desk = Desk(one_server())
    # As where the client said "stream": "true", which is no boolean, and the engine took it for one.
    visitor = await called(desk, tokens=10)
    visitor.turn.on_events(5)
    visitor.exchange.bytes_out = 60_000
    visitor.end()
    assert desk.service("u") == 20.0


async def test_a_stream_that_was_asked_for_and_not_given_costs_the_tokens_of_its_length() -> None:
    desk = Desk(one_server())
    visitor = await called(desk, tokens=10, stream=True)
    visitor.exchange.bytes_out = 600
    visitor.end()
    assert desk.service("u") == 10.0 + 2 * 100


async def test_without_usage_an_answer_costs_the_tokens_of_its_length() -> None:
    desk = Desk(one_server())
    visitor = await called(desk, tokens=10)
    visitor.exchange.bytes_out = 600
    visitor.end()
    assert desk.service("u") == 10.0 + 2 * 100


@pytest.mark.parametrize("path", ["/v1/embeddings", "/v1/rerank", "/v1/score", "/v1/classify"])
async def test_what_generates_nothing_costs_its_input_alone(path: str) -> None:
    desk = Desk(one_server())
    visitor = await called(desk, tokens=10, path=path)
    visitor.exchange.bytes_out = 100_000
    visitor.end(input=12)
    assert desk.service("u") == 12.0
    other = await called(desk, "v", tokens=10, path=path)
    other.exchange.bytes_out = 100_000
    other.end()
    assert desk.service("v") == 10.0, "without usage, as estimated"


@pytest.mark.parametrize("status", [400, 401, 404, 422, 429])
async def test_what_the_engine_refused_costs_no_tokens(status: int) -> None:
    desk = Desk(one_server())
    visitor = await called(desk, tokens=5000)
    visitor.exchange.bytes_out = 300
    visitor.end(status=status)
    assert desk.service("u") == 0.0


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_what_the_engine_failed_at_costs_what_it_was_given_and_not_its_error_page(status: int) -> None:
    desk = Desk(one_server())
    visitor = await called(desk, tokens=100)
    visitor.exchange.bytes_out = 10_000
    visitor.end(status=status)
    assert desk.service("u") == 100.0


async def test_a_timeout_costs_what_the_engine_was_given() -> None:
    desk = Desk(one_server())
    visitor = await called(desk, tokens=100)
    visitor.turn.end()
    assert desk.service("u") == 100.0


async def test_what_no_engine_got_costs_nothing() -> None:
    desk = Desk(one_server(), weights=(1.0, 2.0, 50.0))
    visitor = await called(desk, tokens=100)
    visitor.exchange.sent = False
    visitor.turn.end()
    assert desk.service("u") == 0.0


async def test_a_retry_on_a_second_pod_is_charged_once() -> None:
    desk = Desk(one_server())
    visitor = await called(desk, tokens=100)
    visitor.exchange.upstream_status = 503
    visitor.exchange.attempts = 2
    visitor.end(input=100, output=10)
    assert desk.service("u") == 120.0


async def test_a_refusal_by_the_first_pod_does_not_excuse_what_the_second_failed_at() -> None:
    desk = Desk(one_server())
    visitor = await called(desk, tokens=100)
    # The first pod answered 429, which the client never saw; the second broke before its head.
    visitor.exchange.upstream_status = 429
    visitor.turn.end()
    assert desk.service("u") == 100.0


async def test_requests_themselves_cost_where_they_have_a_weight() -> None:
    desk = Desk(one_server(), weights=(1.0, 2.0, 50.0))
    visitor = await called(desk, tokens=10)
    assert desk.service("u") == 60.0
    visitor.end(input=10, output=5)
    assert desk.service("u") == 70.0
    refused = await called(desk, "v", tokens=10)
    refused.end(status=400)
    assert desk.service("v") == 50.0, "a refused request is a request (upstream counts those that succeed only)"


async def test_an_image_costs_a_constant_until_the_engine_says_better() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    desk = Desk(one_server())
    visitor = await called(desk, messages=[{"role": "user", "content": [image, image]}])
    assert desk.service("u") == 2000.0
    visitor.end(input=600, output=1)
    assert desk.service("u") == 602.0


@pytest.mark.parametrize(("tokens_in", "tokens_out"), [(2**31 - 1, 2**31 - 1), (2**62, 2**62), (2**31 - 1, 0)])
async def test_an_engine_may_claim_what_it_likes(tokens_in: int, tokens_out: int) -> None:
    desk = Desk(one_server())
    visitor = await called(desk, stream=True)
    visitor.turn.on_usage(Usage(tokens_in, tokens_out))
    visitor.end(input=tokens_in, output=tokens_out)
    assert desk.service("u") > 1e8
    assert desk.is_as_new()
    # And one whose claim is lower in the end gives back.
    visitor = await called(desk, "v", stream=True)
    visitor.turn.on_usage(Usage(tokens_in, tokens_out))
    visitor.end(input=1, output=1)
    assert desk.service("v") == 3.0


async def test_an_engine_that_reports_no_input_leaves_the_estimate() -> None:
    desk = Desk(one_server())
    (await called(desk, tokens=100)).end(output=10)
    assert desk.service("u") == 120.0


async def test_the_mean_answer_is_reserved_and_replaced_by_the_truth() -> None:
    desk = Desk(one_server(), reserves=True)
    (await called(desk)).end(output=100)
    visitor = await called(desk, stream=True)
    assert desk.service("u") == 400.0
    visitor.turn.on_events(60)
    assert desk.service("u") == 400.0, "within what is reserved"
    visitor.turn.on_events(60)
    assert desk.service("u") == 440.0
    visitor.end(output=70)
    assert desk.service("u") == 340.0


@pytest.mark.parametrize(
    ("limits", "cost"),
    [
        ({"max_tokens": 30}, 60.0),
        ({"max_completion_tokens": 40}, 80.0),
        ({"max_tokens": 500}, 200.0),
        # The engine will refuse it, and then it costs nothing.
        ({"max_tokens": -5}, 200.0),
    ],
)
async def test_no_more_is_reserved_than_the_request_allows(limits: dict[str, Any], cost: float) -> None:
    desk = Desk(one_server(), reserves=True)
    (await called(desk)).end(output=100)
    before = desk.service("u")
    await called(desk, **limits)
    assert desk.service("u") - before == cost


async def test_a_reservation_is_given_back_where_the_answer_never_came() -> None:
    desk = Desk(one_server(), reserves=True)
    (await called(desk)).end(output=100)
    (await called(desk, tokens=10)).turn.end()
    assert desk.service("u") == 210.0


async def test_weights_that_change_while_an_answer_streams_count_from_then_on() -> None:
    desk = Desk(one_server())
    visitor = await called(desk, stream=True)
    visitor.turn.on_events(10)
    desk.turns.obey(shares.EQUAL, Tariff.of(1.0, 4.0))
    visitor.end(output=10)
    assert desk.service("u") == 40.0
