"""What it costs to look at a body, at a streamed event, and to write the headers of a request.

Twins are compared where there are two; run with `pytest benchmarks --benchmark-enable`. A figure is for ROUNDS calls.
"""

import importlib
import json
from types import ModuleType

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS = 100

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What does a gateway do all day? " * 4},
]
SMALL = json.dumps({"model": "llama", "messages": MESSAGES, "stream": True, "max_tokens": 100, "user": "ann"}).encode()
MEGABYTE = json.dumps({"model": "llama", "prompt": "A line of a long document.\n" * 37_000, "stream": True}).encode()
HISTORY = json.dumps({"model": "llama", "messages": MESSAGES * 500, "stream": True}).encode()
CHUNK = {
    "id": "chatcmpl-0123456789abcdef0123456789abcdef",
    "object": "chat.completion.chunk",
    "created": 1_700_000_000,
    "model": "llama",
    "choices": [{"index": 0, "delta": {"content": " token"}, "finish_reason": None}],
}
EVENT = b"data: %b\n\n" % json.dumps(CHUNK, separators=(",", ":")).encode()
USAGE_ONLY = b'data: {"choices":[],"usage":{"prompt_tokens":9,"total_tokens":12,"completion_tokens":3}}\n\n'
ANSWER = json.dumps({**CHUNK, "usage": {"prompt_tokens": 9, "total_tokens": 12, "completion_tokens": 3}}).encode()
HEADERS = [
    (b"host", b"gateway:8080"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, deflate"),
    (b"connection", b"keep-alive"),
    (b"content-type", b"application/json"),
    (b"user-agent", b"OpenAI/Python 2.8.0"),
    (b"x-stainless-lang", b"python"),
    (b"authorization", b"Bearer sk-0123456789"),
    (b"content-length", b"312"),
]
ENGINE_HEADERS = [
    (b"date", b"Mon, 01 Jan 2024 00:00:00 GMT"),
    (b"server", b"uvicorn"),
    (b"content-length", b"312"),
    (b"content-type", b"application/json"),
]


@pytest.fixture
def peek(twin: str) -> ModuleType:
    return importlib.import_module(f"kthena_fast.wire._peek_{twin}")


@pytest.fixture
def sse(twin: str) -> ModuleType:
    return importlib.import_module(f"kthena_fast.wire._sse_{twin}")


@pytest.fixture
def usage(twin: str) -> ModuleType:
    return importlib.import_module(f"kthena_fast.wire._usage_{twin}")


@pytest.fixture
def wire_headers(twin: str) -> ModuleType:
    return importlib.import_module(f"kthena_fast.wire._headers_{twin}")


@pytest.mark.parametrize("body", [SMALL, MEGABYTE, HISTORY], ids=["small", "megabyte", "thousand_messages"])
def test_peek(benchmark: BenchmarkFixture, peek: ModuleType, body: bytes) -> None:
    # A long body is its own hundred rounds.
    rounds = ROUNDS if body is SMALL else 1

    def run() -> None:
        for _ in range(rounds):
            peek.peek(body)

    benchmark(run)


def test_splice(benchmark: BenchmarkFixture, peek: ModuleType) -> None:
    found = peek.peek(SMALL)

    def run() -> None:
        for _ in range(ROUNDS):
            peek.splice(SMALL, found, "org/llama", True)

    benchmark(run)


def test_feed_one_event(benchmark: BenchmarkFixture, sse: ModuleType) -> None:
    scanner = sse.Scanner(True)

    def run() -> None:
        for _ in range(ROUNDS):
            scanner.feed(EVENT)

    benchmark(run)


def test_feed_one_event_in_two_pieces(benchmark: BenchmarkFixture, sse: ModuleType) -> None:
    scanner = sse.Scanner(True)
    first, second = EVENT[:100], EVENT[100:]

    def run() -> None:
        for _ in range(ROUNDS):
            scanner.feed(first)
            scanner.feed(second)

    benchmark(run)


def test_remove_usage(benchmark: BenchmarkFixture, sse: ModuleType) -> None:
    scanner = sse.Scanner(True)

    def run() -> None:
        for _ in range(ROUNDS):
            scanner.feed(USAGE_ONLY)

    benchmark(run)


def test_usage_of_a_json_answer(benchmark: BenchmarkFixture, usage: ModuleType) -> None:
    def run() -> None:
        for _ in range(ROUNDS):
            tail = usage.Tail()
            tail.feed(ANSWER)
            tail.usage()

    benchmark(run)


def test_headers_to_engine(benchmark: BenchmarkFixture, wire_headers: ModuleType) -> None:
    def run() -> None:
        for _ in range(ROUNDS):
            wire_headers.to_engine(
                HEADERS,
                length=312,
                request_id=b"0123456789abcdef0123456789abcdef",
                client="192.0.2.7",
                scheme="http",
                trusted_proxy=False,
                strip_credentials=False,
            )

    benchmark(run)


def test_headers_to_client(benchmark: BenchmarkFixture, wire_headers: ModuleType) -> None:
    def run() -> None:
        for _ in range(ROUNDS):
            wire_headers.to_client(ENGINE_HEADERS, b"0123456789abcdef0123456789abcdef")

    benchmark(run)


def test_new_request_id(benchmark: BenchmarkFixture, wire_headers: ModuleType) -> None:
    def run() -> None:
        for _ in range(ROUNDS):
            wire_headers.new_request_id()

    benchmark(run)
