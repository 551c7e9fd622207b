"""What is guessed before the engine has said it, and what is learned when it has."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.core import _choice
from kthena_fast.exchange.record import Exchange
from kthena_fast.queueing import _estimates_py
from kthena_fast.queueing import estimates as chosen
from kthena_fast.wire import peek
from tests.telemetry import records

Twin = Callable[[str, str], ModuleType]


@pytest.fixture(scope="session")
def estimates(twin: Twin) -> Any:
    return twin("queueing", "estimates")


def asked(**members: object) -> Exchange:
    exchange = records.exchange(input_tokens=0, output_tokens=0)
    exchange.body = orjson.dumps({"model": "m", **members})
    exchange.peek = peek.peek(exchange.body)
    return exchange


def test_the_compiled_twin_is_the_one_in_use() -> None:
    name = "_estimates_py" if _choice.NO_EXTENSIONS else "_estimates_c"
    assert chosen.Ratios.__module__ == chosen.RecentAnswers.__module__ == f"kthena_fast.queueing.{name}"


def test_text_is_estimated_at_four_bytes_a_token(estimates: Any) -> None:
    assert estimates.Ratios().input_tokens(asked(prompt="a" * 400), 1000) == 100


def test_token_arrays_count_by_their_length_and_images_by_a_constant(estimates: Any) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}
    content = [{"type": "text", "text": "a" * 40}, image, image]
    assert estimates.Ratios().input_tokens(asked(prompt=[1, 2, 3]), 1000) == 3
    assert estimates.Ratios().input_tokens(asked(messages=[{"role": "user", "content": content}]), 1000) == 2010


def test_a_body_that_is_not_json_is_estimated_at_nothing(estimates: Any) -> None:
    assert estimates.Ratios().input_tokens(records.exchange(), 1000) == 0


def test_bytes_per_token_is_learned_slowly(estimates: Any) -> None:
    ratios = estimates.Ratios()
    exchange = asked(prompt="a" * 800)
    exchange.input_tokens = 100
    ratios.learn(exchange)
    assert ratios.bytes_per_token == pytest.approx(4.2)
    for _ in range(200):
        ratios.learn(exchange)
    assert ratios.bytes_per_token == pytest.approx(8.0, rel=0.01)


@pytest.mark.parametrize(("tokens", "least", "most"), [(2**31 - 1, 0.5, 4.0), (1, 4.0, 16.0)])
def test_an_engine_that_lies_moves_the_estimate_within_what_tokenizers_do(
    estimates: Any, tokens: int, least: float, most: float
) -> None:
    ratios = estimates.Ratios()
    exchange = asked(prompt="a" * 4000)
    exchange.input_tokens = tokens
    for _ in range(1000):
        ratios.learn(exchange)
    assert least <= ratios.bytes_per_token <= most


@pytest.mark.parametrize("members", [{"prompt": "hi"}, {"prompt": [1, 2, 3]}])
def test_short_prompts_teach_nothing_since_the_chat_template_outweighs_them(
    estimates: Any, members: dict[str, object]
) -> None:
    ratios = estimates.Ratios()
    exchange = asked(**members)
    exchange.input_tokens = 40
    ratios.learn(exchange)
    assert ratios.bytes_per_token == 4.0


def test_prompts_with_images_teach_nothing(estimates: Any) -> None:
    ratios = estimates.Ratios()
    content = [{"type": "text", "text": "a" * 400}, {"type": "image_url", "image_url": {"url": "http://x"}}]
    exchange = asked(messages=[{"role": "user", "content": content}])
    exchange.input_tokens = 1500
    ratios.learn(exchange)
    assert ratios.bytes_per_token == 4.0


def test_tokens_per_event_are_learned_from_streams(estimates: Any) -> None:
    ratios = estimates.Ratios()
    exchange = asked(prompt="a", stream=True)
    exchange.events, exchange.output_tokens = 10, 40
    for _ in range(200):
        ratios.learn(exchange)
    assert ratios.tokens_per_event == pytest.approx(4.0, rel=0.01)


def test_tokens_per_event_stay_within_what_engines_batch(estimates: Any) -> None:
    ratios = estimates.Ratios()
    exchange = asked(prompt="a", stream=True)
    exchange.events, exchange.output_tokens = 1, 2**31 - 1
    for _ in range(1000):
        ratios.learn(exchange)
    assert ratios.tokens_per_event <= 64.0


def test_the_first_pace_is_believed_and_later_ones_move_it(estimates: Any) -> None:
    ratios = estimates.Ratios()
    assert ratios.output_tokens_of_seconds(10.0) == 0
    exchange = asked(prompt="a")
    exchange.forwarded, exchange.upstream_ended, exchange.output_tokens = 100.0, 102.0, 100
    ratios.learn(exchange)
    assert ratios.output_tokens_of_seconds(10.0) == 500
    exchange.output_tokens = 200
    ratios.learn(exchange)
    assert ratios.tokens_per_second == pytest.approx(52.5)


def test_the_envelope_of_an_answer_is_no_output(estimates: Any) -> None:
    assert estimates.Ratios().output_tokens_of_bytes(100) == 0
    assert estimates.Ratios().output_tokens_of_bytes(600) == 100


def test_the_mean_answer_is_of_each_user_of_each_model(estimates: Any) -> None:
    answers = estimates.RecentAnswers(10)
    one, another = estimates.Ratios().answers, estimates.Ratios().answers
    answers.learn(one, "alice", 100)
    answers.learn(one, "alice", 200)
    assert answers.mean(one, "alice") == 125.0
    assert answers.mean(one, "bob") == answers.mean(another, "alice") == 0.0


def test_whoever_was_silent_longest_is_forgotten_first(estimates: Any) -> None:
    answers = estimates.RecentAnswers(2)
    one, another = estimates.Ratios().answers, estimates.Ratios().answers
    for users, user in ((one, "alice"), (another, "bob"), (one, "alice"), (one, "carol")):
        answers.learn(users, user, 7)
    assert answers.mean(one, "alice") == answers.mean(one, "carol") == 7.0
    assert not another


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2**40), st.integers(0, 2**40), st.integers(0, 2**20), st.floats(0, 1e6), st.text(max_size=1)
        ),
        max_size=30,
    )
)
def test_twins_learn_the_same(estimates: Any, answers: list[tuple[int, int, int, float, str]]) -> None:
    exchange = asked(prompt="a" * 400)
    learned = []
    for twin in (estimates, _estimates_py):
        ratios, means = twin.Ratios(), twin.RecentAnswers(3)
        steps: list[tuple[float, ...]] = []
        for tokens, produced, events, seconds, user in answers:
            exchange.input_tokens, exchange.output_tokens, exchange.events = tokens, produced, events
            exchange.forwarded, exchange.upstream_ended = 100.0, 100.0 + seconds
            ratios.learn(exchange)
            means.learn(ratios.answers, user, produced)
            guesses = ratios.output_tokens_of_bytes(tokens), ratios.output_tokens_of_seconds(seconds)
            steps.append((ratios.input_tokens(exchange, 1000), *guesses, means.mean(ratios.answers, user)))
            steps.append((ratios.bytes_per_token, ratios.tokens_per_event, ratios.tokens_per_second))
        learned.append(steps)
    assert learned[0] == learned[1]
