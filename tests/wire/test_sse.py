"""Streams fed whole, cut anywhere and a byte at a time, on both twins."""

import importlib
import itertools
import json
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kthena_fast.core import _choice
from kthena_fast.wire import sse as chosen
from kthena_fast.wire.usage import Usage

CHAT = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def chat(delta: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**CHAT, "choices": [{"index": 0, "delta": delta, "finish_reason": None}], **more}


def completion(text: str, **more: Any) -> dict[str, Any]:
    return {"id": "cmpl-1", "choices": [{"index": 0, "text": text, "finish_reason": None}], **more}


USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
USAGE_ONLY = {**CHAT, "choices": [], "usage": USAGE}

# (what the event says, whether something was generated, whether it ends the stream)
EVENTS: list[tuple[Any, bool, bool]] = [
    (chat({"role": "assistant", "content": ""}), False, False),
    (chat({"role": "assistant", "content": "a"}), True, False),
    (chat({"content": "Hello"}), True, False),
    (chat({"content": " "}), True, False),
    (chat({"content": '\\"delta":{"role":"x"}, "usage":{ "choices":[]'}), True, False),
    (chat({"content": None}), False, False),
    (chat({}), False, False),
    (chat({"content": "", "tool_calls": []}), False, False),
    (chat({"reasoning_content": "hm"}), True, False),
    (chat({"reasoning": "hm", "content": None}), True, False),
    (chat({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}), True, False),
    (chat({"content": "x"}, usage=None), True, False),
    (chat({"content": "x"}, usage={"prompt_tokens": 7, "completion_tokens": 1}), True, False),
    (
        {**CHAT, "choices": [{"index": 0, "delta": {"content": ""}}, {"index": 1, "delta": {"content": "b"}}]},
        True,
        False,
    ),
    (completion("Hello"), True, False),
    (completion(""), False, False),
    (completion("x", usage={"prompt_tokens": 7, "completion_tokens": 2}), True, False),
    ({**CHAT, "choices": [], "usage": None}, False, False),
    (USAGE_ONLY, False, False),
    ({"choices": [], "prompt_filter_results": [{"text": "x"}]}, False, False),
    ({"type": "response.created", "response": {"usage": None, "status": "in_progress"}}, False, False),
    ({"type": "response.output_text.delta", "delta": "Hi", "item_id": "1"}, True, False),
    ({"type": "response.output_text.done", "text": "Hi", "item_id": "1"}, False, False),
    (
        {"response": {"output": [{"text": "Hi"}], "usage": {"input_tokens": 4, "output_tokens": 9}}, "type": "x"},
        False,
        False,
    ),
    ({"type": "response.completed", "response": {"usage": {"input_tokens": 4, "output_tokens": 9}}}, False, True),
    ({"type": "response.failed", "response": {"error": {}}}, False, True),
    ({"type": "response.incomplete", "response": {}}, False, True),
    (
        {"type": "message_start", "message": {"usage": {"input_tokens": 5, "cache_read_input_tokens": 2}}},
        False,
        False,
    ),
    ({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, False, False),
    ({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}, True, False),
    ({"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{"}}, True, False),
    ({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 6}}, False, False),
    ({"type": "ping"}, False, False),
    ({"type": "message_stop"}, False, True),
    ({"error": {"message": "no"}}, False, False),
    ("[DONE]", False, True),
    ("not json", False, False),
    ("", False, False),
    ([1], False, False),
]


def spelt(said: Any, end: str = "\n", prefix: str = "data: ", colon: str = ":") -> bytes:
    text = said if isinstance(said, str) else json.dumps(said, separators=(",", colon), ensure_ascii=False)
    return f"{prefix}{text}{end}{end}".encode()


@pytest.fixture(scope="session")
def wire(twin: Callable[[str, str], ModuleType]) -> ModuleType:
    return twin("wire", "sse")


def fed(wire: ModuleType, pieces: Iterable[bytes], *, strip: bool = False) -> tuple[bytes, chosen.Scanner]:
    scanner = wire.Scanner(strip)
    out = b"".join([scanner.feed(piece) for piece in pieces])
    return out + scanner.flush(), scanner


def said(scanner: chosen.Scanner) -> tuple[int, Usage | None, bool, bool]:
    return scanner.events, scanner.usage, scanner.done, scanner.mid_event


def bytewise(body: bytes) -> list[bytes]:
    return [body[at : at + 1] for at in range(len(body))]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("prefix", ["data: ", "data:"])
@pytest.mark.parametrize(("says", "generated", "final"), EVENTS, ids=lambda value: str(value)[:60])
def test_each_event_counts_for_what_it_is(
    wire: ModuleType, says: Any, generated: bool, final: bool, prefix: str, end: str
) -> None:
    for colon in (":", ": "):
        body = spelt(says, end, prefix, colon)
        for pieces in ([body], bytewise(body)):
            out, scanner = fed(wire, pieces)
            assert out == body
            assert (scanner.events, scanner.done, scanner.mid_event) == (int(generated), final, False)


def test_what_needs_no_change_is_the_same_object(wire: ModuleType) -> None:
    for strip in (True, False):
        scanner = wire.Scanner(strip)
        for piece in (
            spelt(chat({"content": "a"})),
            spelt(chat({"content": "a"})) + spelt(chat({"content": "b"})),
            b": ping\n\n",
            b"",
            # Cut after a choice is seen: nothing waits.
            b'data: {"choices":[{"delta":{"con',
            b'tent":"x"}}]}\n\n',
        ):
            assert scanner.feed(piece) is piece
        assert scanner.events == 4


def test_without_removal_nothing_ever_waits(wire: ModuleType) -> None:
    scanner = wire.Scanner(False)
    for piece in bytewise(spelt(USAGE_ONLY)):
        assert scanner.feed(piece) is piece
    assert scanner.usage == Usage(7, 3)
    assert scanner.flush() == b""


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_the_usage_only_event_is_removed_and_leaves_no_byte(wire: ModuleType, end: str) -> None:
    first, last = spelt(chat({"content": "a"}), end), spelt("[DONE]", end)
    body = first + spelt(USAGE_ONLY, end) + last
    for pieces in ([body], bytewise(body), [body[:300], body[300:]]):
        out, scanner = fed(wire, pieces, strip=True)
        assert out == first + last
        assert said(scanner) == (1, Usage(7, 3), True, False)


@pytest.mark.parametrize(
    "says",
    [
        {**CHAT, "choices": [], "usage": None},
        {**CHAT, "choices": []},
        chat({"content": "x"}, usage=USAGE),
        {**CHAT, "usage": USAGE},
        {"type": "message_delta", "usage": USAGE},
    ],
    ids=str,
)
def test_only_a_usage_only_event_is_removed(wire: ModuleType, says: Any) -> None:
    body = spelt(says)
    for pieces in ([body], bytewise(body)):
        assert fed(wire, pieces, strip=True)[0] == body


def test_the_usage_only_event_waits_until_it_is_known(wire: ModuleType) -> None:
    scanner = wire.Scanner(True)
    body = spelt(USAGE_ONLY)
    assert scanner.feed(body[:50]) == b""
    assert scanner.mid_event
    assert scanner.feed(body[50:-1]) == b""
    assert scanner.feed(body[-1:] + b": x") == b""
    assert scanner.feed(b"\n\n") == b": x\n\n"


def test_an_event_that_waits_goes_whole_when_it_is_known(wire: ModuleType) -> None:
    scanner = wire.Scanner(True)
    first = spelt(chat({"content": "a"}))
    assert scanner.feed(first + b"data: [DO") == first
    assert scanner.feed(b"NE]\n\n") == b"data: [DONE]\n\n"


def test_continuous_usage_is_the_latest(wire: ModuleType) -> None:
    body = b"".join(
        spelt(chat({"content": "x"}, usage={"prompt_tokens": 5, "completion_tokens": n})) for n in range(1, 4)
    )
    assert said(fed(wire, [body])[1])[:2] == (3, Usage(5, 3))


def test_the_two_halves_of_anthropics_usage_are_put_together(wire: ModuleType) -> None:
    start = {"input_tokens": 5, "cache_read_input_tokens": 2, "cache_creation_input_tokens": 1, "output_tokens": 1}
    body = (
        b"event: message_start\n"
        + spelt({"type": "message_start", "message": {"usage": start}})
        + b"event: message_delta\n"
        + spelt({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}})
        + b"event: message_stop\n"
        + spelt({"type": "message_stop"})
    )
    for pieces in ([body], bytewise(body)):
        assert said(fed(wire, pieces)[1]) == (0, Usage(8, 9), True, False)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_data_on_several_lines_is_one_payload(wire: ModuleType, end: str) -> None:
    text = json.dumps(USAGE_ONLY, indent=1)
    event = end.join([": hello", "id: 4", *("data: " + line for line in text.split("\n")), "retry: 1", "", ""])
    body = event.encode()
    for pieces in ([body], bytewise(body)):
        out, scanner = fed(wire, pieces, strip=True)
        assert (out, scanner.usage) == (b"", Usage(7, 3))


def test_comments_are_no_content(wire: ModuleType) -> None:
    body = b': {"delta":{"content":"x"}} "usage":{"prompt_tokens":1}\n\n: [DONE]\n\n'
    assert said(fed(wire, [body])[1]) == (0, None, False, False)


def test_a_stream_cut_inside_an_event_says_so(wire: ModuleType) -> None:
    scanner = wire.Scanner(True)
    assert scanner.feed(b'data: {"choices":[') == b""
    assert scanner.mid_event
    assert scanner.flush() == b'data: {"choices":['
    assert scanner.events == 0


def test_a_last_event_without_its_empty_line_is_still_read(wire: ModuleType) -> None:
    for tail in (b"", b"\n", b"\r\n"):
        out, scanner = fed(wire, [b"data: [DONE]" + tail])
        assert (out, scanner.done) == (b"data: [DONE]" + tail, True)
        out, scanner = fed(wire, [spelt(USAGE_ONLY)[:-2] + tail], strip=True)
        assert (out, scanner.usage) == (b"", Usage(7, 3))


def test_an_event_longer_than_the_bound_is_released_and_still_read(wire: ModuleType) -> None:
    said_last = {
        "type": "response.completed",
        "response": {"output": [{"text": "x" * 200_000}], "usage": {"input_tokens": 4, "output_tokens": 9}},
    }
    for event in (b"event: response.completed\n" + spelt(said_last), spelt(dict(reversed(said_last.items())))):
        for pieces in ([event], [event[at : at + 1000] for at in range(0, len(event), 1000)]):
            out, scanner = fed(wire, pieces, strip=True)
            assert out == event
            assert said(scanner) == (0, Usage(4, 9), True, False)


def test_what_waits_is_bounded(wire: ModuleType) -> None:
    scanner = wire.Scanner(True)
    waiting = 0
    for _ in range(300):
        waiting += 1000 - len(scanner.feed(b"x" * 1000))
        assert waiting <= 65536
    assert waiting == 0


def test_a_long_usage_only_event_is_left_alone_however_it_is_cut(wire: ModuleType) -> None:
    event = spelt({"pad": "x" * 70_000, **USAGE_ONLY})
    for pieces in ([event], [event[:65000], event[65000:]], [event[at : at + 7] for at in range(0, len(event), 7)]):
        out, scanner = fed(wire, pieces, strip=True)
        assert out == event
        assert scanner.usage == Usage(7, 3)


def test_an_event_of_exactly_the_bound_is_treated_alike_however_it_is_cut(wire: ModuleType) -> None:
    for size in (65535, 65536, 65537):
        for end in ("\n", "\r\n"):
            bare = spelt({"pad": "", **USAGE_ONLY}, end)
            event = spelt({"pad": "x" * (size - len(bare) + len(end)), **USAGE_ONLY}, end)
            outs = {
                fed(wire, pieces, strip=True)[0]
                for pieces in ([event], [event[:-1], event[-1:]], [event[:-2], event[-2:-1], event[-1:]])
            }
            assert len(outs) == 1


@pytest.mark.parametrize("value", [bytearray(b"x"), "x", None])
def test_a_piece_is_bytes(wire: ModuleType, value: object) -> None:
    with pytest.raises(TypeError):
        wire.Scanner(True).feed(value)


ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
LINES = st.one_of(
    st.sampled_from([spelt(event[0])[:-2] for event in EVENTS]),
    st.sampled_from([b": ping", b"event: x", b"data", b"data:", b"id: 1", b"dat", b"", b"", b""]),
    st.sampled_from([b': "choices":[{', b'data: {"choices":[', b'data: ],"usage":{}}', b'data: {"usage":{']),
)
STREAMS = st.lists(st.tuples(LINES, ENDS), max_size=12).map(lambda parts: b"".join(line + end for line, end in parts))
FRAGMENTS = (
    *b'data: data: { "delta" : { } [ ] " \\ "usage" "choices" , "text" x 1'.split(b" "),
    *b'"role" [DONE] \xff "type" "message_stop"'.split(b" "),
    *(b" ", b"\n", b"\r", b"\r\n", b"\n\n", b'{"choices":[],"usage":{"prompt_tokens":1}}'),
)
SOUP = st.lists(st.sampled_from(FRAGMENTS), max_size=40).map(b"".join)
BODIES = st.one_of(STREAMS, SOUP)


def cut(body: bytes, places: list[int]) -> list[bytes]:
    at = sorted({0, len(body), *(place % (len(body) + 1) for place in places)})
    return [body[start:end] for start, end in itertools.pairwise(at)]


@given(BODIES, st.lists(st.integers(0, 10_000), max_size=8), st.booleans())
@example(b"data: x\r\r\n\r\n", [9], True)
@example(b': "choices":[{\n' + spelt(USAGE_ONLY), [20], True)
def test_where_the_bytes_were_cut_makes_no_difference(
    wire: ModuleType, body: bytes, places: list[int], strip: bool
) -> None:
    whole, scanner = fed(wire, [body], strip=strip)
    for pieces in (bytewise(body), cut(body, places)):
        again, other = fed(wire, pieces, strip=strip)
        assert again == whole
        assert said(other) == said(scanner)
    if not strip:
        assert whole == body


@given(STREAMS)
def test_what_is_read_is_what_a_plain_reader_reads(wire: ModuleType, body: bytes) -> None:
    _, scanner = fed(wire, [body + b"\n\n"], strip=True)
    payloads = []
    lines: list[bytes] = []
    # bytes.splitlines knows the three line ends of this format and no other.
    for line in (body + b"\n\n").splitlines():
        if line == b"data" or line[:5] == b"data:":
            lines.append(line[5:].removeprefix(b" "))
        elif not line:
            payloads.append(b"\n".join(lines))
            lines = []
    verdicts = {spelt(says)[6:-2].strip(): (generated, final) for says, generated, final in EVENTS}
    whole = [verdicts[payload] for payload in payloads if payload in verdicts]
    if all(payload in verdicts or not payload.strip() for payload in payloads):
        assert scanner.events == sum(generated for generated, _ in whole)
        assert scanner.done is any(final for _, final in whole)


if not _choice.NO_EXTENSIONS:

    @given(BODIES, st.lists(st.integers(0, 10_000), max_size=8), st.booleans())
    def test_the_twins_agree_after_every_piece(body: bytes, places: list[int], strip: bool) -> None:
        pure, compiled = (
            importlib.import_module(f"kthena_fast.wire.{name}").Scanner(strip) for name in ("_sse_py", "_sse_c")
        )
        for piece in cut(body, places):
            assert pure.feed(piece) == compiled.feed(piece)
            assert said(pure) == said(compiled)
        assert pure.flush() == compiled.flush()
        assert said(pure) == said(compiled)

    def test_the_compiled_twin_is_the_one_in_use() -> None:
        assert chosen.Scanner.__module__ == "kthena_fast.wire._sse_c"
