"""What is walked without a decoder is what the decoder finds; what is not plain is left to it."""

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kthena_fast.wire import _peek_py as decoding
from tests.wire.test_peek import SLOTS, written

PIECES = st.sampled_from(
    [
        *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b'"model":1,', b'"text":"a",', b'"prompt":[1,2],'),
        *(b"\\u00e9", b"\\ud83d\\ude00", b"\\udc00", b"\x00", b"\x1f", b"\x7f", b" ", b"\n", b"true", b"nul"),
        *(b"\xc3\xa9", b"\xe0\x80\x80", b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\xf4\x90\x80\x80"),
        *(b"1e5", b"1.", b"01", b"1" * 17, b"-0"),
    ]
)


@pytest.fixture(scope="session")
def walks(twin: Callable[[str, str], ModuleType]) -> ModuleType:
    return twin("wire", "peek_walk")


def walked(walks: ModuleType, body: bytes) -> Any:
    """What is found; None: the body is not plain."""
    found = walks.Peek()
    return found if walks.walk(found, body) else None


def check(walks: ModuleType, body: bytes) -> bool:
    """Hold a walk to the decoder; whether there was one."""
    found = walked(walks, body)
    if found is None:
        return False
    decoded = decoding.peek(body)
    assert [(name, getattr(found, name)) for name in SLOTS] == [(name, getattr(decoded, name)) for name in SLOTS]
    return True


@given(written())
def test_a_body_that_is_walked_is_what_a_decoder_finds(walks: ModuleType, case: tuple[Any, bytes]) -> None:
    check(walks, case[1])


@given(written().map(lambda case: case[1]), st.lists(st.tuples(st.integers(0, 400), PIECES), min_size=1, max_size=3))
@example(b'{"prompt":"a"}', [(11, b"\\u00e9")])
@example(b'{"prompt":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}', [(30, b"\xed\xa0\x80")])
def test_a_damaged_body_is_walked_only_if_a_decoder_takes_it(
    walks: ModuleType, body: bytes, edits: list[tuple[int, bytes]]
) -> None:
    for at, piece in edits:
        body = body[: at % (len(body) + 1)] + piece + body[at % (len(body) + 1) :]
    check(walks, body)


@given(st.binary(max_size=40).map(lambda inner: b'{"prompt":"' + inner + b'"}'))
def test_a_string_of_any_bytes_is_walked_only_if_a_decoder_takes_it(walks: ModuleType, body: bytes) -> None:
    check(walks, body)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.booleans())
def test_any_text_is_plain(walks: ModuleType, text: str, ascii_only: bool) -> None:
    body = json.dumps({"model": text, "prompt": [text, text]}, ensure_ascii=ascii_only).encode()
    assert check(walks, body)


GOOD = [
    b"a" * 13,
    b"a" * 63,
    b"\\n",
    b'\\"',
    b"\\\\",
    b"\\u00e9",
    b"\\ud83d\\ude00",
    b"\xc3\xa9",
    b"\xe6\x97\xa5\xf0\x9f\x98\x80",
]
BAD = [b"\\", b"\\x", b"\x1f", b"\xff", b"\xc3", b"\\udc00", b'"']


@given(st.lists(st.sampled_from(GOOD), max_size=40), st.sampled_from([b"", *BAD]), st.integers(0, 40))
@example([b"a" * 13] * 4 + [b"\\n", b"a" * 63] + [b"\\\\"] * 33, b"", 0)
@example([b"\\n", b"a" * 63, b'\\"', b"a" * 63], b"", 0)
@example([b"\\n", b"a" * 63, b"\xe6\x97\xa5\xf0\x9f\x98\x80", b"a" * 63], b"", 0)
def test_a_long_string_is_walked_if_nothing_in_it_is_bad(
    walks: ModuleType, pieces: list[bytes], bad: bytes, at: int
) -> None:
    inner = b"".join([*pieces[:at], bad, *pieces[at:]])
    # A backslash may have made what follows it another escape.
    assert check(walks, b'{"model":"' + inner + b'","prompt":["' + inner + b'"]}') or bad


@given(st.from_regex(r"[0-9.eE+-]{1,20}", fullmatch=True))
def test_a_number_is_walked_only_if_a_decoder_takes_it(walks: ModuleType, number: str) -> None:
    for body in (f'{{"max_tokens":{number}}}', f'{{"prompt":[{number}]}}', f'{{"prompt":[["a"],{number} ] }}'):
        check(walks, body.encode())


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b' { "model" : "m" }\r\n',
        b'{"model":"m","messages":[{"role":"user","content":"h\\u00e9 \\n\\ud83d\\ude00"}],"temperature":0.7,"n":-1}',
        '{"model":"m\u00e9","prompt":"\u65e5\u672c","stream":true,"max_tokens":100}'.encode(),
        b'{"prompt":[[1,2],[3]],"user":"a","userId":"","stream_options":{"include_usage":true}}',
        b'{"messages":[{"content":[{"type":"image_url","image_url":{"url":"data:,"}},{"type":"text","text":"a"}]}]}',
        b'{"tools":[{"type":"function","function":{"parameters":{"type":"object"}}}],"stop":null,"logprobs":false}',
    ],
)
def test_what_clients_send_is_plain(walks: ModuleType, body: bytes) -> None:
    assert check(walks, body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"[]",
        b'{"model":"m"',
        b'{"model":"m"}}',
        b'{"model":"m",}',
        b'{"model" "m"}',
        b'{"model":}',
        b"{model:1}",
        b'{"model":"m","model":"n"}',
        b'{"mod\\u0065l":"m"}',
        b'{"prompt":"a","prompt":"b"}',
        b'{"messages":[{"text":"a","text":"b"}]}',
        b'{"messages":[{"te\\u0078t":"a"}]}',
        b'{"prompt":"\\ud83d"}',
        b'{"prompt":"\\ude00"}',
        b'{"prompt":"\\ud83d\\u0041"}',
        b'{"prompt":"\\x"}',
        b'{"prompt":"\x01"}',
        b'{"prompt":"\xff"}',
        b'{"prompt":"\xc0\x80"}',
        b'{"n":1e5}',
        b'{"n":12345678901234567}',
        b'{"n":-0}',
        b'{"n":+1}',
        b'{"n":.5}',
        b'{"n":nan}',
        b'{"n":tru}',
        b'{"a":' + b"[" * 70 + b"]" * 70 + b"}",
        b'{"prompt":' + b"[" * 70 + b"]" * 70 + b"}",
    ],
)
def test_what_is_doubtful_is_left_to_the_decoder(walks: ModuleType, body: bytes) -> None:
    assert walked(walks, body) is None


def test_a_body_cut_anywhere_is_not_plain(walks: ModuleType) -> None:
    body = (
        b'{"model":"m\\u00e9","stream":true,"max_tokens":12,"stream_options":{"include_usage":false},'
        b'"messages":[{"content":[{"type":"text","text":"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},1.5,null]},[7,8]]}'
    )
    assert check(walks, body)
    assert all(walked(walks, body[:size]) is None for size in range(len(body)))


def test_nesting_is_bounded(walks: ModuleType) -> None:
    # As deep as a C stack must not go.
    for opening in (b"[", b'{"a":', b'{"content":', b'[{"content":'):
        for name in (b"x", b"messages"):
            assert walked(walks, b'{"' + name + b'":' + opening * 100_000) is None
