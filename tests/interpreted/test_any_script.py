"""Whatever is said, in whatever order and in whatever pieces, looks the same by both ways."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.interpreted import conversations
from tests.interpreted.conversations import BODY, WARM, Answer, ClientGoes, EngineGoes, Say, Step, Talk, Wait, request
from tests.interpreted.test_both_ways import (
    OTHER_ANSWERS,
    OTHER_BODIES,
    OTHER_HEADS,
    PLAIN_ANSWERS,
    PLAIN_BODIES,
    PLAIN_HEADS,
)

Both = tuple[Talk, Talk]


@pytest.fixture(
    scope="module", params=[(1, True), (3, True), (2, False)], ids=lambda param: f"{param[0]} pods {param[1]}"
)
def pair(request: pytest.FixtureRequest) -> Iterator[Both]:
    pods, fair = request.param
    with conversations.both(pods=pods, enable_fairness_scheduling=fair, fairness_pod_concurrency=2) as made:
        yield made


def _in_pieces(data: bytes, cuts: Sequence[float]) -> list[bytes]:
    places = sorted({0, len(data), *(int(cut * len(data)) for cut in cuts)})
    return [data[begin:end] for begin, end in itertools.pairwise(places)]


def _gone_wrong(whole: bytes, chance: random.Random, times: int) -> bytes:
    data = bytearray(whole)
    for _ in range(times):
        at = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[at] = chance.randrange(256)
            case 1:
                del data[at]
            case 2:
                data[at:at] = chance.choice([b"\r\n", b" ", b"\x00", b'"', b"{", b"0", b":"])
            case _:
                data[at:at] = data[chance.randrange(len(data)) :][: chance.randrange(20)]
    return bytes(data)


_cuts = st.one_of(st.just(()), st.lists(st.floats(0, 1), max_size=2).map(tuple))
_plain_requests = st.sampled_from(list(PLAIN_BODIES.values())).map(request)
_head_requests = st.sampled_from([*PLAIN_HEADS.values(), *OTHER_HEADS.values()]).map(lambda head: request(BODY, *head))
_other_requests = st.sampled_from(list(OTHER_BODIES.values())).map(request)
_asked = st.one_of(_plain_requests, _plain_requests, _plain_requests, _head_requests, _other_requests)
_answered = st.sampled_from([*([conversations.answer()] * 20), *PLAIN_ANSWERS.values(), *OTHER_ANSWERS.values()])


@st.composite
def _scripts(draw: st.DrawFn) -> list[Step]:
    script: list[Step] = []
    for _ in range(draw(st.integers(1, 12))):
        who = draw(st.integers(0, 2))
        match draw(st.integers(0, 9)):
            case 0 | 1 | 2 | 3:
                script += [Say(piece, to=who) for piece in _in_pieces(draw(_asked), draw(_cuts))]
            case 4 | 5 | 6:
                script += [Answer(piece) for piece in _in_pieces(draw(_answered), draw(_cuts))]
            case 7:
                script.append(ClientGoes(half=draw(st.booleans()), to=who))
            case 8:
                script.append(EngineGoes(half=draw(st.booleans())))
            case _:
                script.append(Wait(draw(st.sampled_from([0.001, 0.5, 20.0]))))
    return script


@hypothesis.settings(max_examples=150)
@given(_scripts())
def test_any_script_looks_the_same(pair: Both, script: list[Step]) -> None:
    conversations.play(*pair, [*WARM, *script])


@given(st.sampled_from(list(PLAIN_HEADS.values())), st.randoms(use_true_random=False), st.integers(1, 3))
def test_bytes_that_went_wrong_look_the_same(
    pair: Both, head: tuple[bytes, ...], chance: random.Random, times: int
) -> None:
    data = _gone_wrong(request(BODY | {"user": "ann"}, *head), chance, times)
    conversations.play(*pair, [*WARM, Say(data), Answer(), Say(request()), Answer()])


@given(st.sampled_from(list(PLAIN_ANSWERS.values())), st.randoms(use_true_random=False), st.integers(1, 3))
def test_answers_that_went_wrong_look_the_same(pair: Both, answer: bytes, chance: random.Random, times: int) -> None:
    data = _gone_wrong(answer, chance, times)
    conversations.play(*pair, [*WARM, Say(request()), Answer(data), EngineGoes(), Say(request()), Answer()])
