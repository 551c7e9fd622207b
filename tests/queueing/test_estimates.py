"""What is guessed before the engine has said it, and what is learned when it has."""

import orjson
import pytest

from kthena_fast.exchange.record import Exchange
from kthena_fast.queueing.estimates import Ratios, RecentAnswers
from kthena_fast.wire import peek
from tests.telemetry import records


def asked(**members: object) -> Exchange:
    exchange = records.exchange(input_tokens=0, output_tokens=0)
    exchange.body = orjson.dumps({"model": "m", **members})
    exchange.peek = peek.peek(exchange.body)
    return exchange


def test_text_is_estimated_at_four_bytes_a_token() -> None:
    assert Ratios().input_tokens(asked(prompt="a" * 400), 1000) == 100


def test_token_arrays_count_by_their_length_and_images_by_a_constant() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10_000}}
    content = [{"type": "text", "text": "a" * 40}, image, image]
    assert Ratios().input_tokens(asked(prompt=[1, 2, 3]), 1000) == 3
    assert Ratios().input_tokens(asked(messages=[{"role": "user", "content": content}]), 1000) == 2010


def test_a_body_that_is_not_json_is_estimated_at_nothing() -> None:
    assert Ratios().input_tokens(records.exchange(), 1000) == 0


def test_bytes_per_token_is_learned_slowly() -> None:
    ratios = Ratios()
    exchange = asked(prompt="a" * 800)
    exchange.input_tokens = 100
    ratios.learn(exchange)
    assert ratios.bytes_per_token == pytest.approx(4.2)
    for _ in range(200):
        ratios.learn(exchange)
    assert ratios.bytes_per_token == pytest.approx(8.0, rel=0.01)


@pytest.mark.parametrize(("tokens", "least", "most"), [(2**31 - 1, 0.5, 4.0), (1, 4.0, 16.0)])
def test_an_engine_that_lies_moves_the_estimate_within_what_tokenizers_do(
    tokens: int, least: float, most: float
) -> None:
    ratios = Ratios()
    exchange = asked(prompt="a" * 4000)
    exchange.input_tokens = tokens
    for _ in range(1000):
        ratios.learn(exchange)
    assert least <= ratios.bytes_per_token <= most


@pytest.mark.parametrize("members", [{"prompt": "hi"}, {"prompt": [1, 2, 3]}])
def test_short_prompts_teach_nothing_since_the_chat_template_outweighs_them(members: dict[str, object]) -> None:
    ratios = Ratios()
    exchange = asked(**members)
    exchange.input_tokens = 40
    ratios.learn(exchange)
    assert ratios.bytes_per_token == 4.0


def test_prompts_with_images_teach_nothing() -> None:
    ratios = Ratios()
    content = [{"type": "text", "text": "a" * 400}, {"type": "image_url", "image_url": {"url": "http://x"}}]
    exchange = asked(messages=[{"role": "user", "content": content}])
    exchange.input_tokens = 1500
    ratios.learn(exchange)
    assert ratios.bytes_per_token == 4.0


def test_tokens_per_event_are_learned_from_streams() -> None:
    ratios = Ratios()
    exchange = asked(prompt="a", stream=True)
    exchange.events, exchange.output_tokens = 10, 40
    for _ in range(200):
        ratios.learn(exchange)
    assert ratios.tokens_per_event == pytest.approx(4.0, rel=0.01)


def test_tokens_per_event_stay_within_what_engines_batch() -> None:
    ratios = Ratios()
    exchange = asked(prompt="a", stream=True)
    exchange.events, exchange.output_tokens = 1, 2**31 - 1
    for _ in range(1000):
        ratios.learn(exchange)
    assert ratios.tokens_per_event <= 64.0


def test_the_first_pace_is_believed_and_later_ones_move_it() -> None:
    ratios = Ratios()
    assert ratios.output_tokens_of_seconds(10.0) == 0
    exchange = asked(prompt="a")
    exchange.forwarded, exchange.upstream_ended, exchange.output_tokens = 100.0, 102.0, 100
    ratios.learn(exchange)
    assert ratios.output_tokens_of_seconds(10.0) == 500
    exchange.output_tokens = 200
    ratios.learn(exchange)
    assert ratios.tokens_per_second == pytest.approx(52.5)


def test_the_envelope_of_an_answer_is_no_output() -> None:
    assert Ratios().output_tokens_of_bytes(100) == 0
    assert Ratios().output_tokens_of_bytes(600) == 100


def test_the_mean_answer_is_of_each_user_of_each_model() -> None:
    answers = RecentAnswers(10)
    answers.learn("m", "alice", 100)
    answers.learn("m", "alice", 200)
    assert answers.mean("m", "alice") == 125.0
    assert answers.mean("m", "bob") == answers.mean("n", "alice") == 0.0


def test_whoever_was_silent_longest_is_forgotten_first() -> None:
    answers = RecentAnswers(2)
    for user in ("alice", "bob", "alice", "carol"):
        answers.learn("m", user, 7)
    assert answers.mean("m", "bob") == 0.0
    assert answers.mean("m", "alice") == answers.mean("m", "carol") == 7.0
