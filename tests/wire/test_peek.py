"""One pass over a body, on both twins: values, places, refusals, and a splice that leaves the rest alone."""

import contextlib
import importlib
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kthena_fast.core import _choice
from kthena_fast.wire import peek as chosen
from kthena_fast.wire.malformed import Malformed

NAMES = ("model", "stream", "stream_options", "user", "userId", "max_tokens", "max_completion_tokens")
SLOTS = tuple(name for name in chosen.Peek().__class__.__dict__ if not name.startswith("_"))

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(-1e9, 1e9), TEXT)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXT, inner, max_size=4)),
    max_leaves=12,
)
BLOCKS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["text", "image_url", "input_image", "input_text", "tool_result"]),
        "text": TEXT,
        "role": TEXT,
        "content": VALUES,
    },
)
PROMPTS = st.one_of(
    TEXT, VALUES, st.lists(st.integers(0, 200_000)), st.lists(st.lists(st.integers(0, 9))), st.lists(BLOCKS)
)
BODIES = st.fixed_dictionaries(
    {},
    optional={
        "model": st.one_of(TEXT, VALUES),
        "stream": st.one_of(st.booleans(), VALUES),
        "stream_options": st.one_of(
            VALUES, st.fixed_dictionaries({}, optional={"include_usage": SCALARS, "continuous_usage_stats": SCALARS})
        ),
        "user": SCALARS,
        "userId": SCALARS,
        "max_tokens": SCALARS,
        "max_completion_tokens": st.one_of(SCALARS, st.integers()),
        "messages": PROMPTS,
        "prompt": PROMPTS,
        "input": PROMPTS,
        "temperature": SCALARS,
        "tools": VALUES,
    },
)


@st.composite
def written(draw: st.DrawFn) -> tuple[dict[str, Any], bytes]:
    """An object and one of its spellings."""
    value = draw(st.one_of(BODIES, st.builds(lambda a, b: {**a, **b}, st.dictionaries(TEXT, VALUES), BODIES)))
    names = draw(st.permutations(list(value)))
    comma, colon = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\r\n\t", " :\n")]))
    text = json.dumps(
        {name: value[name] for name in names},
        separators=(comma, colon),
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, 1])),
    )
    space = draw(st.sampled_from(["", " ", "\r\n\t"]))
    return value, f"{space}{text}{space}".encode()


@pytest.fixture(scope="session")
def wire(twin: Callable[[str, str], ModuleType]) -> ModuleType:
    return twin("wire", "peek")


def refusal(wire: ModuleType, body: bytes) -> tuple[str, str | None]:
    with pytest.raises(Malformed) as caught:
        wire.peek(body)
    assert caught.value.status == 400
    return caught.value.code, caught.value.param


def counted(value: object, depth: int = 0) -> tuple[int, int, int]:
    """Bytes of text, tokens and images, counted the plain way."""
    if isinstance(value, str):
        return len(value.encode()), 0, 0
    if depth >= 16:
        return 0, 0, 0
    if isinstance(value, list):
        if value and type(value[0]) is int:
            return 0, len(value), 0
        parts = [counted(item, depth + 1) for item in value]
    elif isinstance(value, dict):
        text = value.get("text")
        parts = [
            counted(text if isinstance(text, str) else None, depth + 1),
            counted(value.get("content"), depth + 1),
            (0, 0, int(value.get("type") in ("image", "image_url", "input_image"))),
        ]
    else:
        return 0, 0, 0
    return sum(p[0] for p in parts), sum(p[1] for p in parts), sum(p[2] for p in parts)


def test_a_chat_body_is_read_and_placed(wire: ModuleType) -> None:
    body = b'{"model": "llama", "messages": [{"role": "user", "content": "hello"}], "stream": true, "user": "ann"}'
    found = wire.peek(body)
    assert (found.model, found.stream, found.user, found.user_id) == ("llama", True, "ann", None)
    assert body[found.model_start : found.model_end] == b'"llama"'
    assert body[found.object_end :] == b"}"
    assert (found.prompt_bytes, found.prompt_tokens, found.images) == (5, 0, 0)
    assert (found.stream_options_start, found.stream_options_end) == (-1, -1)
    assert found.has_prompt
    assert not found.empty


@given(written())
@example(
    ({"model": "m\\", "user": '\\"', "prompt": '"}],\\'}, b'{"model":"m\\\\","user":"\\\\\\"","prompt":"\\"}],\\\\"}')
)
def test_what_is_found_is_what_a_decoder_finds(wire: ModuleType, case: tuple[dict[str, Any], bytes]) -> None:
    _, body = case
    value = orjson.loads(body)
    found = wire.peek(body)
    text = value.get("model")
    assert found.model == (text if isinstance(text, str) else None)
    for name, start, end in (
        ("model", found.model_start, found.model_end),
        ("stream_options", found.stream_options_start, found.stream_options_end),
    ):
        if name in value:
            assert orjson.loads(body[start:end]) == value[name]
        else:
            assert (start, end) == (-1, -1)
    assert found.stream is (value.get("stream") is True)
    options = value.get("stream_options")
    options = options if isinstance(options, dict) else {}
    assert found.include_usage is (options.get("include_usage") is True)
    assert found.continuous_usage is (options.get("continuous_usage_stats") is True)
    for name, read in (("user", found.user), ("userId", found.user_id)):
        assert read == (value.get(name) if isinstance(value.get(name), str) and value[name] else None)
    for name, read in (("max_tokens", found.max_tokens), ("max_completion_tokens", found.max_completion_tokens)):
        given_value = value.get(name)
        assert read == (given_value if type(given_value) is int and 0 <= given_value < 2**31 else None)
    assert found.object_end == len(body.rstrip()) - 1
    assert found.empty is (not value)
    prompts = [value[name] for name in ("messages", "prompt", "input", "system") if value.get(name) is not None]
    if not set(value) & {"instructions", "query", "queries", "documents", "text_1", "text_2"}:
        sums = [counted(prompt) for prompt in prompts]
        assert (found.prompt_bytes, found.prompt_tokens, found.images) == tuple(
            sum(column) for column in zip((0, 0, 0), *sums, strict=True)
        )
        assert found.has_prompt is bool(prompts)


@given(written(), st.one_of(st.none(), TEXT), st.booleans())
def test_a_splice_changes_what_it_should_and_no_other_byte(
    wire: ModuleType, case: tuple[dict[str, Any], bytes], model: str | None, usage: bool
) -> None:
    _, body = case
    found = wire.peek(body)
    if found.model_start < 0:
        model = None
    spliced = wire.splice(body, found, model, usage)
    before, after = orjson.loads(body), orjson.loads(spliced)
    options = before.get("stream_options")
    if usage and (options is None or isinstance(options, dict)):
        before["stream_options"] = {**(options or {}), "include_usage": True}
    if model is not None:
        before["model"] = model
    assert after == before
    again = wire.peek(spliced)
    # Cut out of both what may differ: what is left is the same, byte for byte.
    assert _without(wire, spliced, again, found) == _without(wire, body, found, found)
    if model is None and (not usage or found.include_usage):
        assert spliced is body


def _without(wire: ModuleType, body: bytes, found: chosen.Peek, first: chosen.Peek) -> bytes:
    cuts = [(found.model_start, found.model_end)]
    if first.stream_options_start >= 0:
        cuts.append((found.stream_options_start, found.stream_options_end))
    elif found.stream_options_start >= 0:
        member = found.stream_options_start - len(b'"stream_options":')
        cuts.append((member - (0 if first.empty else 1), found.stream_options_end))
    for start, end in sorted(cuts, reverse=True):
        if start >= 0:
            body = body[:start] + body[end:]
    return body


@pytest.mark.parametrize("name", NAMES)
def test_a_name_given_twice_is_refused(wire: ModuleType, name: str) -> None:
    assert refusal(wire, f'{{"{name}":"a","x":[],"{name}":"a"}}'.encode()) == ("duplicate_key", name)


@pytest.mark.parametrize("name", NAMES)
def test_an_escaped_spelling_of_a_name_is_refused(wire: ModuleType, name: str) -> None:
    for at in range(len(name)):
        spelt = f"{name[:at]}\\u{ord(name[at]):04x}{name[at + 1 :]}"
        assert refusal(wire, f'{{"{spelt}":"a"}}'.encode()) == ("duplicate_key", name)


def test_names_below_the_top_and_other_names_may_repeat_and_be_escaped(wire: ModuleType) -> None:
    body = rb'{"x":{"model":1,"model":2},"y":1,"y":2,"mod\u0065ls":3,"\"":4,"model":"m","z":[{"mod\u0065l":"n"}]}'
    assert wire.peek(body).model == "m"


@pytest.mark.parametrize("blank", [b"", b" ", b"\n\t", b"\r\n  "])
def test_a_name_counts_as_given_twice_only_at_the_top(wire: ModuleType, blank: bytes) -> None:
    twice = b'{"user"%b:"a","model":"m","user":"b"}' % blank
    assert refusal(wire, twice) == ("duplicate_key", "user")
    below = b'{"tools":[{"user"%b:{"model":"n"}}],"user":"a","model"%b:%b"m","x":"\\"user"}' % (blank, blank, blank)
    found = wire.peek(below)
    assert (found.model, found.user) == ("m", "a")
    assert below[found.model_start : found.model_end] == b'"m"'
    nowhere = wire.peek(b'{"x":{"model"%b:"n","stream_options":{}}}' % blank)
    assert (nowhere.model, nowhere.model_start, nowhere.stream_options_start) == (None, -1, -1)


def test_names_are_not_read_in_another_case(wire: ModuleType) -> None:
    assert wire.peek(b'{"Model":"a","MODEL":"b"}').model is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"[]",
        b"null",
        b'"model"',
        b"{",
        b'{"model":}',
        b'{"model":"a"',
        b'{"model":"a"}}',
        b'{"model":"a"}{"model":"b"}',
        b'{"model":"a",}',
        b"{'model':'a'}",
        b'{"model":NaN}',
        b'\xef\xbb\xbf{"model":"a"}',
        b'{"model":"\xff"}',
        b'{"model":"\\ud800"}',
        '{"model":"a"}'.encode("utf-16"),
        b'{"a":' * 100_000,
        b"[" * 100_000,
        b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_what_is_not_one_json_object_is_refused(wire: ModuleType, body: bytes) -> None:
    assert refusal(wire, body) == ("invalid_json", None)


@given(st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(wire: ModuleType, body: bytes) -> None:
    with contextlib.suppress(Malformed):
        wire.peek(body)


def test_a_message_of_refusal_never_repeats_the_body(wire: ModuleType) -> None:
    with pytest.raises(Malformed) as caught:
        wire.peek(b'{"secret": hunter2}')
    assert "hunter" not in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("body", [bytearray(b"{}"), memoryview(b"{}"), "{}", None, 1])
def test_a_body_is_bytes(wire: ModuleType, body: object) -> None:
    with pytest.raises(TypeError):
        wire.peek(body)


@pytest.mark.parametrize(
    "body", [b"{}", b'{"model":null}', b'{"model":""}', b'{"model":" \\t\\u00a0"}', b'{"model":["a"]}']
)
def test_a_model_that_is_missing_blank_or_no_string_is_refused(wire: ModuleType, body: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        wire.require_model(wire.peek(body))
    assert (caught.value.code, caught.value.param) == ("missing_model", "model")


def test_a_model_is_taken_as_it_is_written(wire: ModuleType) -> None:
    assert wire.require_model(wire.peek(b'{"model":" \\u0061/b "}')) == " a/b "


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{}", b'{"stream_options":{"include_usage":true}}'),
        (b"{ }", b'{ "stream_options":{"include_usage":true}}'),
        (b'{"a":1 }\n', b'{"a":1 ,"stream_options":{"include_usage":true}}\n'),
        (b'{"stream_options": null}', b'{"stream_options": {"include_usage":true}}'),
        (b'{"stream_options":{}}', b'{"stream_options":{"include_usage":true}}'),
        (b'{"stream_options":{ "x" :1.50}}', b'{"stream_options":{"include_usage":true, "x" :1.50}}'),
        (b'{"stream_options":{"include_usage":false,"x":1}}', b'{"stream_options":{"include_usage":true,"x":1}}'),
        (b'{"stream_options":{"include_usage":true,"include_usage":0}}', b'{"stream_options":{"include_usage":true}}'),
        (b'{"stream_options":"all"}', b'{"stream_options":"all"}'),
        (b'{"stream_options":{"include_usage": true}}', b'{"stream_options":{"include_usage": true}}'),
    ],
)
def test_usage_is_asked_for_beside_the_options_of_the_client(wire: ModuleType, body: bytes, expected: bytes) -> None:
    assert wire.splice(body, wire.peek(body), None, True) == expected


@pytest.mark.parametrize("value", [b'"a"', b"1", b"null", b'{"a":[]}'])
def test_a_model_is_replaced_whatever_it_was(wire: ModuleType, value: bytes) -> None:
    body = b'{"a":1,"model": ' + value + b' ,"b":"model"}'
    assert wire.splice(body, wire.peek(body), 'x"\n', False) == b'{"a":1,"model": "x\\"\\n" ,"b":"model"}'


def test_a_model_that_is_not_there_cannot_be_replaced(wire: ModuleType) -> None:
    with pytest.raises(ValueError, match="no model"):
        wire.splice(b"{}", wire.peek(b"{}"), "a", False)


@pytest.mark.parametrize(
    ("body", "counts"),
    [
        ({"prompt": "h\u00e9llo"}, (6, 0, 0)),
        ({"prompt": ["ab", "c"]}, (3, 0, 0)),
        ({"prompt": [1, 2, 3]}, (0, 3, 0)),
        ({"input": [[1, 2], [3]]}, (0, 3, 0)),
        ({"input": "abc", "instructions": "de"}, (5, 0, 0)),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "abc"}]}]}, (3, 0, 0)),
        ({"system": [{"type": "text", "text": "ab"}], "messages": [{"role": "user", "content": "c"}]}, (3, 0, 0)),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {"type": "text", "text": "ab"},
                            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                        ],
                    }
                ]
            },
            (2, 0, 1),
        ),
        (
            {"messages": [{"content": [{"type": "tool_result", "content": [{"type": "text", "text": "abcd"}]}]}]},
            (4, 0, 0),
        ),
        ({"query": "ab", "documents": ["c", {"text": "de"}]}, (5, 0, 0)),
        ({"text_1": "ab", "text_2": ["c", "d"]}, (4, 0, 0)),
        ({"prompt": [True, 1]}, (0, 0, 0)),
        ({"prompt": 7}, (0, 0, 0)),
        ({"tools": "abc"}, (0, 0, 0)),
    ],
    ids=str,
)
def test_the_prompt_is_counted_in_each_dialect(wire: ModuleType, body: object, counts: tuple[int, int, int]) -> None:
    for ensure_ascii in (False, True):
        found = wire.peek(json.dumps(body, ensure_ascii=ensure_ascii).encode())
        assert (found.prompt_bytes, found.prompt_tokens, found.images) == counts


def test_a_prompt_nested_beyond_any_api_is_left_uncounted(wire: ModuleType) -> None:
    found = wire.peek(b'{"prompt":' + b"[" * 500 + b'"abc"' + b"]" * 500 + b"}")
    assert found.prompt_bytes == 0


@pytest.mark.parametrize("unit", [b"a", b'\\"', b"\\\\", b"{[", "\u20ac".encode(), b"\\u20ac"])
def test_ten_megabytes_of_prompt_are_one_string(wire: ModuleType, unit: bytes) -> None:
    body = b'{"prompt":"' + unit * (10_000_000 // len(unit)) + b'","model":"m"}'
    found = wire.peek(body)
    assert body[found.model_start : found.model_end] == b'"m"'


def test_a_million_tokens_are_counted(wire: ModuleType) -> None:
    found = wire.peek(b'{"prompt":[' + b"1," * 999_999 + b'1],"model":"m"}')
    assert found.prompt_tokens == 1_000_000


if not _choice.NO_EXTENSIONS:

    @given(st.one_of(written().map(lambda case: case[1]), st.binary(max_size=60)), st.data())
    def test_the_twins_agree_on_what_was_damaged(body: bytes, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(body)))
        body = (
            body[:at] + data.draw(st.sampled_from([b"", b'"', b"\\", b"{", b"]", b'"model":1,', b"\x00"])) + body[at:]
        )
        answers: list[object] = []
        for module in map(importlib.import_module, ("kthena_fast.wire._peek_py", "kthena_fast.wire._peek_c")):
            try:
                found = module.peek(body)
            except Malformed as error:
                answers.append((error.code, error.message, error.param))
            else:
                answers.append([(name, getattr(found, name)) for name in SLOTS])
        assert answers[0] == answers[1]

    def test_the_compiled_twin_is_the_one_in_use() -> None:
        assert chosen.peek.__module__ == "kthena_fast.wire._peek_c" or "_peek_walk_c" in repr(chosen.Peek)
