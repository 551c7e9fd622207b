"""What changes around a request that goes the short way, and what fails there: all is as by the ordinary way."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from kthena_fast.gateway.interpreted import body, heads, lane
from kthena_fast.routing.objects import Objects
from kthena_fast.wire import headers as wire_headers
from kthena_fast.wire import heads as wire_heads
from tests.gateway import in_memory, running
from tests.interpreted import conversations
from tests.interpreted.conversations import (
    BODY,
    FAIR,
    WARM,
    Answer,
    Change,
    ClientGoes,
    EngineGoes,
    Say,
    Step,
    Wait,
    answer,
    objects,
    request,
)

A, B, C = ["10.0.0.1:8000"], ["10.0.0.2:8000"], ["10.0.0.3:8000", "10.0.0.4:8000"]
LLAMA, OTHER = running.MODEL, "other"

READ = objects({"r": (LLAMA, {"a": 100}), "o": (OTHER, {"a": 100})}, {"a": (A, None)})
CHANGES: dict[str, Objects] = {
    "nothing": READ,
    "the model goes": objects({"o": (OTHER, {"a": 100})}, {"a": (A, None)}),
    "the route has another name": objects({"s": (LLAMA, {"a": 100}), "o": (OTHER, {"a": 100})}, {"a": (A, None)}),
    "another model goes": objects({"r": (LLAMA, {"a": 100})}, {"a": (A, None)}),
    "another server": objects({"r": (LLAMA, {"b": 100}), "o": (OTHER, {"a": 100})}, {"a": (A, None), "b": (B, None)}),
    "another pod": objects({"r": (LLAMA, {"a": 100}), "o": (OTHER, {"a": 100})}, {"a": (B, None)}),
    "more pods": objects({"r": (LLAMA, {"a": 100}), "o": (OTHER, {"a": 100})}, {"a": ([*A, *C], None)}),
    "no pod": objects({"r": (LLAMA, {"a": 100}), "o": (OTHER, {"a": 100})}, {"a": ([], None)}),
    "another name at the engine": objects({"r": (LLAMA, {"a": 100}), "o": (OTHER, {"a": 100})}, {"a": (A, "meta/x")}),
}
ENDS: dict[str, list[Step]] = {
    "it is answered": [Answer()],
    "it is answered in pieces": [Answer(answer()[:50]), Answer(answer()[50:])],
    "its engine goes": [EngineGoes(), Answer()],
    "its client goes": [ClientGoes()],
}


@FAIR
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("change", CHANGES)
def test_objects_that_change_in_the_meantime(change: str, end: str, fair: bool) -> None:
    again: list[Step] = [Say(request()), Answer(), Say(request()), Answer()]
    with conversations.both(read=READ, enable_fairness_scheduling=fair) as pair:
        conversations.play(*pair, WARM)
        conversations.play(*pair, [Say(request()), Change(CHANGES[change]), *ENDS[end], *again])
        conversations.play(*pair, [Change(READ), *again, *again])
        conversations.play(*pair, [Say(request()), Change(CHANGES[change]), Change(READ), *ENDS[end], *again])
        assert pair[0].flights > 3


@FAIR
def test_of_several_targets_each_gets_its_part(fair: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    read = objects({"r": (LLAMA, {"a": 90, "b": 10})}, {"a": (A, None), "b": (B, None)})
    with conversations.both(read=read, enable_fairness_scheduling=fair) as pair:
        for talk in pair:
            monkeypatch.setattr(talk.way.journey, "_draw", random.Random(1).random)
            if talk.way.journey._turns is not None:
                monkeypatch.setattr(talk.way.journey._turns, "_draw", random.Random(1).random)
        conversations.play(*pair, [step for _ in range(100) for step in (Say(request()), Answer())])
        assert pair[0].flights == 0


def test_pods_keep_their_turns_where_the_ledger_is_full() -> None:
    ann, bob = request(BODY | {"user": "ann"}), request(BODY | {"user": "bob"})
    read = objects({"r": (LLAMA, {"c": 100})}, {"c": ([*A, *C], None)})
    with conversations.both(read=read, enable_fairness_scheduling=True, fairness_max_users=1) as pair:
        conversations.play(*pair, [step for _ in range(7) for step in (Say(ann), Answer())])
        conversations.play(*pair, [Say(ann), Say(bob, to=1), Say(ann, to=2), Say(ann, to=3), *([Answer()] * 3)])
        assert pair[0].flights > 4


@pytest.mark.parametrize("policy", ["window", "vtc"])
@pytest.mark.parametrize("weights", [{}, {"fairness_input_token_weight": 0.0, "fairness_output_token_weight": 0.0}])
def test_the_window_moves_on(weights: dict[str, float], policy: str) -> None:
    # Nothing is charged in advance.
    body: Any = {"model": LLAMA, "user": "ann", "max_tokens": 0}
    script = [
        step
        for seconds in (1.0, 5.0, 60.0, 200.0, 299.0, 400.0, 5.0, 1000.0)
        for step in (Say(request(body)), Wait(seconds), Answer(), Say(request(BODY | {"user": "ann"})), Answer())
    ]
    settings: dict[str, Any] = {"fairness_priority_request_num_weight": 1.0 if weights else 0.0, **weights}
    with conversations.both(enable_fairness_scheduling=True, fairness_policy=policy, **settings) as pair:
        conversations.play(*pair, WARM)
        conversations.play(*pair, script)
        conversations.play(*pair, [Wait(3000.0), *script])
        assert pair[0].flights > 8


@FAIR
def test_another_name_at_the_engine_is_counted_by_that(fair: bool) -> None:
    with conversations.both(enable_fairness_scheduling=fair) as pair:
        conversations.play(*pair, WARM)
        for talk in pair:
            (server,) = talk.gateway.state.snapshot.servers.values()
            server.model = "meta/llama"
        conversations.play(*pair, [Say(request()), Answer(), Say(request()), Answer()])
        assert pair[0].flights == 2


@FAIR
def test_names_that_are_not_known_any_more_are_not_counted_by(fair: bool) -> None:
    with conversations.both(enable_fairness_scheduling=fair) as pair:
        conversations.play(*pair, WARM)
        for talk in pair:
            talk.way.journey._metrics.retain((), (), ())
        conversations.play(*pair, [Say(request()), Answer(), Say(request()), Answer()])


@pytest.mark.parametrize("more", range(-3, 4))
def test_a_head_is_as_large_as_it_always_is(more: int) -> None:
    lines = [line.split(b": ") for line in request().split(b"\r\n\r\n")[0].split(b"\r\n")[1:]]
    size = sum(len(name) + len(value) + 4 for name, value in lines)
    with conversations.both(max_header_bytes=size + more) as pair:
        conversations.play(*pair, [*WARM, Say(request()), Answer()])
        assert (pair[0].flights > 0) == (more >= 0)


def test_what_proxies_tell_is_heard() -> None:
    told = request(BODY, *conversations.FIELDS, b"X-Forwarded-For: 198.51.100.7", b"X-Forwarded-Proto: https")
    with conversations.both(trusted_proxies="192.0.2.0/24") as pair:
        conversations.play(*pair, [*WARM, Say(told), Answer(), Say(told), Answer()])
        assert pair[0].flights == 0


@FAIR
@pytest.mark.parametrize(
    ("module", "name"),
    [
        (wire_heads, "request"),
        (body, "read"),
        (body, "prompt"),
        (body, "user"),
        (wire_headers, "new_request_id"),
    ],
    ids=lambda found: found if isinstance(found, str) else "",
)
def test_what_fails_before_anything_was_changed_fails_the_ordinary_way(
    module: Any, name: str, fair: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = getattr(module, name)

    def fail(*_: Any) -> None:
        # The ordinary steps may ask for the same.
        monkeypatch.setattr(module, name, whole)
        raise MemoryError

    with conversations.both(enable_fairness_scheduling=fair) as (short, ordinary):
        conversations.play(short, ordinary, WARM)
        before = short.flights
        heads.request.cache_clear()
        monkeypatch.setattr(module, name, fail)
        seen = short.play([Say(request()), Answer()])
        assert (short.flights, getattr(module, name)) == (before, whole)
        assert seen == ordinary.play([Say(request()), Answer()])
        conversations.play(short, ordinary, [Say(request()), Answer()])


@FAIR
def test_a_client_that_cannot_be_written_to_gets_one_answer_at_most(fair: bool) -> None:
    with conversations.both(enable_fairness_scheduling=fair) as pair:
        for talk in pair:
            talk.play(WARM)
            talk.play([Say(request())], stay=True)
            client, engine = talk.clients[0], talk.engines[-1]
            asked = len(talk.engines)

            def fail(_: bytes) -> None:
                raise RuntimeError("in the middle of it")

            async def answered(engine: in_memory.Transport) -> None:
                with pytest.raises(RuntimeError) as failure:
                    engine.protocol.data_received(answer())
                # As a loop does.
                engine.protocol.connection_lost(failure.value)

            client.protocol._send = fail
            talk.runner.run(answered(engine))
            talk.play([])
            assert client.is_closing()
            assert talk.gateway.state.serving == {}
            assert talk.way.budget.held == 0
            assert len(talk.engines) == asked
        conversations.play(*pair, [Say(request()), Answer(), Say(request()), Answer()])


def test_connections_that_wait_keep_no_heads() -> None:
    with conversations.talk(lane.Lane) as talk:
        heads.request.cache_clear()
        heads.answer.cache_clear()
        talk.play([*WARM, Say(request()), Answer()], stay=True)
        waiting = talk.clients[0].protocol
        kept = heads.request.cache_info()
        assert (kept.currsize, kept.maxsize) == (1, heads.MOST)
        assert (waiting._asked().path, waiting._answered().status) == ("/v1/chat/completions", 200)
        for number in range(heads.MOST):
            heads.request(b"%d" % number, b"")
            heads.answer(b"%d" % number, b"")
        assert (waiting._asked(), waiting._answered()) == (None, None)


def test_who_waits_for_the_last_request_is_told() -> None:
    with conversations.talk(lane.Lane) as talk:
        talk.play(WARM)
        talk.play([Say(request())], stay=True)

        async def answered() -> None:
            waits = asyncio.ensure_future(talk.gateway.state.idle())
            await asyncio.sleep(0)
            assert not waits.done()
            talk.engines[-1].protocol.data_received(answer())
            async with asyncio.timeout(running.PATIENCE):
                await waits

        talk.runner.run(answered())
