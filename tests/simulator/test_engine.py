"""The model of the engine: when tokens come, and who is taken."""

from kthena_fast.simulator.engine import BASE, EACH, POOL, Engine, Request
from tests.simulator.given import arrival


def given(engine: Engine, *requests: Request) -> None:
    engine.line.extend(requests)
    engine.take()


def test_the_first_token_comes_with_the_first_step_and_the_last_with_the_step_of_its_number() -> None:
    engine = Engine()
    request = Request(arrival(0, tokens_out=5))
    given(engine, request)
    assert engine.steps_to_next_end() == 5
    assert engine.advance(4, now=100) == []
    assert request.first_token_at == 100 + BASE + EACH
    assert engine.advance(1, now=500) == [request]
    assert request.produced == 5
    assert engine.used == 0


def test_requests_are_taken_in_their_order_while_input_and_most_output_fit_the_pool() -> None:
    engine = Engine(pool=1000)
    first, second, third = (Request(arrival(0, tokens_in=200, tokens_out=10, limit=limit)) for limit in (400, 201, 10))
    given(engine, first, second, third)
    # The third would fit, and waits behind the second all the same.
    assert engine.running == [first]
    assert engine.used == 600
    engine.advance(10, now=0)
    engine.take()
    assert engine.running == [second, third]


def test_nobody_is_taken_in_the_middle_of_a_step() -> None:
    engine = Engine()
    late = Request(arrival(0))
    given(engine, Request(arrival(0)))
    engine.line.append(late)
    engine.advance(1, now=0)
    assert late.produced == 0
    engine.take()
    engine.advance(1, now=0)
    assert late.produced == 1


def test_a_request_larger_than_the_pool_runs_alone() -> None:
    engine = Engine(pool=100)
    small, large = Request(arrival(0, tokens_in=1, tokens_out=1)), Request(arrival(0, tokens_in=500))
    given(engine, small, large)
    assert engine.running == [small]
    engine.advance(1, now=0)
    engine.take()
    assert engine.running == [large]
    assert engine.used == 100


def test_what_generates_nothing_has_its_prompt_read_in_one_step() -> None:
    engine = Engine()
    embedding = Request(arrival(0, tokens_out=0))
    given(engine, embedding)
    assert engine.steps_to_next_end() == 1
    assert engine.advance(1, now=0) == [embedding]


def test_a_step_takes_longer_the_more_run_and_a_full_pool_does_893_tokens_a_second() -> None:
    engine = Engine()
    engine.line.extend(Request(arrival(0, tokens_in=256, tokens_out=256)) for _ in range(30))
    engine.take()
    running = len(engine.running)
    assert running == POOL // 512 == 19
    assert engine.step_time() == BASE + EACH * running
    assert round(running * 512 / (256 * engine.step_time() / 1e9)) == 893
