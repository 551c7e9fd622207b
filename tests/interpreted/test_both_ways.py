"""By the short way all is as by the ordinary one, to the byte: what engines and clients get, the lines in the access
log, the metrics, the users' accounts, and what is left behind."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from kthena_fast.exchange.record import Exchange
from kthena_fast.gateway.interpreted import flight, lane
from kthena_fast.gateway.journey import Passage
from kthena_fast.upstream.forward import Forwarding
from kthena_fast.upstream.relay import Relay
from tests.gateway import running
from tests.interpreted import conversations
from tests.interpreted.conversations import (
    BODY,
    FAIR,
    FIELDS,
    USAGE,
    WARM,
    Answer,
    AtOnce,
    ClientGoes,
    Drain,
    EngineGoes,
    Say,
    Step,
    Wait,
    answer,
    request,
)

MESSAGES = BODY["messages"]
SIZE = len(orjson.dumps(BODY))
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    b'b\r\n{"a":1     \r\n1\r\n}\r\n0\r\n\r\n'
)
SPACED = b'{"usage" : {"prompt_tokens": 3, "completion_tokens": 456}}'
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}

PLAIN_BODIES: dict[str, Any] = {
    "a user": BODY | {"user": "ann"},
    "a user id": BODY | {"userId": "bob"},
    "both": BODY | {"user": "ann", "userId": "bob"},
    "no user": BODY | {"user": "", "userId": None},
    "a user to be quoted": BODY | {"user": 'ann "the" [x]'},
    "a user in other letters": BODY | {"user": "zoë ✓"},
    "a long user": BODY | {"user": "a" * 300},
    "a user that is none": BODY | {"user": 7},
    "a budget": BODY | {"max_tokens": 3},
    "the other budget": BODY | {"max_tokens": 3, "max_completion_tokens": 5},
    "no budget": BODY | {"max_tokens": 0, "max_completion_tokens": 0},
    "budgets that are none": BODY | {"max_tokens": True, "max_completion_tokens": -1},
    "a budget beyond measure": BODY | {"max_tokens": 2**40},
    "no stream": BODY | {"stream": False, "stream_options": {"include_usage": True}},
    "a stream that is none": BODY | {"stream": "true"},
    "other members": BODY | {"temperature": 0.5, "tools": [{"type": "function", "function": {"name": "f"}}]},
    "no messages": {"model": running.MODEL},
    "messages that are none": {"model": running.MODEL, "messages": "hello"},
    "much text and an image": {
        "model": running.MODEL,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "what is this? " * 9}, IMAGE]}],
    },
    "tokens for messages": {"model": running.MODEL, "messages": [1, 2, 3]},
    "parts": {
        "model": running.MODEL,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE]}],
    },
    "a tool's answer": {"model": running.MODEL, "messages": [*MESSAGES, {"role": "tool", "content": "4", "name": "f"}]},
    "other letters": {"model": running.MODEL, "messages": [{"role": "user", "content": "Grüße 你好"}]},
    "white space": orjson.dumps(BODY | {"user": "ann"}, option=orjson.OPT_INDENT_2),
    "quotes and lines": {"model": running.MODEL, "messages": [{"role": "user", "content": 'say "model":\n"x"'}]},
}

OTHER_BODIES: dict[str, Any] = {
    "a stream": BODY | {"stream": True},
    "an unknown model": BODY | {"model": "nobody"},
    "a blank model": BODY | {"model": "  "},
    "no model": {"messages": MESSAGES},
    "a model that is none": BODY | {"model": 5},
    "a prompt": {"model": running.MODEL, "prompt": "hello"},
    "two models": b'{"model":"llama","model":"nobody","messages":[]}',
    "two models, the other one last": b'{"model":"nobody","messages":[],"model":"llama"}',
    "two users": b'{"model":"llama","user":"ann","messages":[],"user" :"bob"}',
    "a model elsewhere, too": b'{"model":"llama","messages":[],"metadata":{"model":"nobody"}}',
    "an escaped name": b'{"mod\\u0065l":"nobody","model":"llama","messages":[]}',
    "an escaped letter": b'{"model":"ll\\u0061ma","messages":[]}',
    "a list": b"[]",
    "a text": b'"model"',
    "no JSON": b'{"model":"llama"',
    "nothing": b"",
    "more than JSON": b'{"model":"llama"} x',
}

PLAIN_HEADS: dict[str, tuple[bytes, ...]] = {
    "lower case": tuple(line.lower() for line in FIELDS),
    "kept alive": (*FIELDS, b"Connection: keep-alive"),
    "to be closed": (*FIELDS, b"Connection: close"),
    "what no engine gets": (*FIELDS, b"Accept-Encoding: gzip", b"Cookie: a=b", b"Keep-Alive: 5"),
    "what engines get": (*FIELDS, b"Accept: */*", b"Authorization: Bearer a", b"X-Stainless-Lang: python"),
    "no type": FIELDS[:1],
    "a charset": (FIELDS[0], b"Content-Type: Application/JSON; charset=utf-8"),
    "blanks": (b"Host:gateway.test  ", b"X-Empty:", b"Accept:\t*/*"),
    "from a proxy": (*FIELDS, b"X-Forwarded-For: 10.1.1.1", b"Forwarded: for=x", b"X-Real-IP: 10.1.1.1"),
}

OTHER_HEADS: dict[str, tuple[bytes, ...]] = {
    "an id": (*FIELDS, b"X-Request-Id: mine"),
    "an id that is none": (*FIELDS, b"X-Request-Id: not mine"),
    "a name twice": (*FIELDS, b"Accept: a", b"Accept: b"),
    "two hosts": (*FIELDS, b"Host: other.test"),
    "a bad host": (b"Host: a b",),
    "no host": (b"Accept: */*",),
    "a length too many": (*FIELDS, b"Content-Length: %d" % SIZE),
    "a form": (FIELDS[0], b"Content-Type: multipart/form-data; boundary=x"),
    "an expectation": (*FIELDS, b"Expect: 100-continue"),
    "an upgrade": (*FIELDS, b"Upgrade: h2c"),
    "a coded body": (*FIELDS, b"Content-Encoding: gzip"),
    "a connection's own": (*FIELDS, b"Connection: x-own", b"X-Own: a"),
    "a range": (*FIELDS, b"Content-Range: bytes 0-1/2"),
    "a long one": (*FIELDS, b"X-Long: " + b"a" * 5000),
    "one line too many": (*FIELDS, *(b"X-%d: a" % number for number in range(120))),
    "a bad name": (*FIELDS, b"X Y: a"),
    "a folded line": (*FIELDS, b"X-A: b\r\n c"),
}

PLAIN_ANSWERS: dict[str, bytes] = {
    "created": answer(status=b"201 Created"),
    "no phrase": answer(status=b"200 "),
    "closing": answer(more=b"connection: close\r\n"),
    "kept alive": answer(more=b"connection: keep-alive\r\nkeep-alive: timeout=5\r\n"),
    "an id of its own": answer(more=b"x-request-id: engine\r\nvia: engine\r\n"),
    "a charset": answer(kind=b"application/json; charset=utf-8"),
    "details": answer({"usage": USAGE | {"prompt_tokens_details": {"cached_tokens": 4}}}),
    "a text that looks like it": answer({"text": 'my "usage": {"prompt_tokens": 1}', "usage": USAGE}),
    "two usages": answer(
        b'{"usage":{"prompt_tokens":1,"completion_tokens":1},"x":{"usage": {"prompt_tokens":5,"completion_tokens":7}}}'
    ),
    "nothing produced": answer({"usage": {"prompt_tokens": 9, "completion_tokens": 0}}),
    "nothing read": answer({"usage": {"prompt_tokens": 0, "completion_tokens": 9}}),
    "very much": answer({"usage": {"prompt_tokens": 2**31 - 1, "completion_tokens": 2**31 - 1}}),
    "its length first": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n%b"
    % (len(SPACED), SPACED),
}

OTHER_ANSWERS: dict[str, bytes] = {
    "no usage": answer({"id": "a"}),
    "no usage, but its name": answer({"id": "usage", "usage": None}),
    "other words": answer({"usage": {"input_tokens": 3, "output_tokens": 4}}),
    "zeros": answer({"usage": {"prompt_tokens": 0, "completion_tokens": 0}}),
    "no numbers": answer({"usage": {"prompt_tokens": True, "completion_tokens": "4"}}),
    "beyond measure": answer({"usage": {"prompt_tokens": 2**31, "completion_tokens": 4}}),
    "no JSON": answer(b'{"usage":{"prompt_tokens":3,"completion_tokens":}}'),
    "an open end": answer(b'{"usage":{"prompt_tokens":3,"completion_tokens":4'),
    "braces in a text": answer({"usage": USAGE | {"note": "}{"}}),
    "an error": answer({"error": {"message": "no"}}, status=b"400 Bad Request"),
    "an error with usage": answer(status=b"404 Not Found"),
    "too many": answer(status=b"429 Too Many Requests"),
    "a failure": answer(status=b"500 Internal Server Error"),
    "not now": answer(status=b"503 Service Unavailable"),
    "a status that is none": answer(status=b"999 What"),
    "a text": answer(b"hello", kind=b"text/plain"),
    "events": answer(b"data: [DONE]\n\n", kind=b"text/event-stream"),
    "a coded one": answer(more=b"content-encoding: gzip\r\n"),
    "chunks": CHUNKED,
    "nothing": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\ncontent-type: application/json\r\n\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "a length twice": answer(more=b"content-length: 80\r\n"),
    "more than its length": answer() + b"x",
    "another one behind it": answer() + answer(),
    "an interim one before it": b"HTTP/1.1 100 Continue\r\n\r\n" + answer(),
    "a bad head": answer(more=b"a b: c\r\n"),
    "no HTTP": b"hello\r\n\r\n",
    "half": answer()[:-20],
    "its head alone": answer()[: answer().index(b"\r\n\r\n") + 4],
    "half its head": answer()[:30],
}


def same(script: Sequence[Step], **made_with: Any) -> tuple[int, int]:
    """How many requests of a script went the short way, and how many of them unfolded, after WARM; all is as by the
    ordinary one, and the next request is, too."""
    with conversations.both(**({"enable_fairness_scheduling": True} | made_with)) as (short, ordinary):
        conversations.play(short, ordinary, WARM)
        before = short.flights
        conversations.play(short, ordinary, script)
        found = short.flights - before, short.unfolded
        conversations.play(short, ordinary, [Say(request()), Answer(), Say(request()), Answer()])
        assert ordinary.flights == 0
    return found


@FAIR
@pytest.mark.parametrize("name", PLAIN_BODIES)
def test_plain_bodies_go_the_short_way(name: str, fair: bool) -> None:
    script: list[Step] = [Say(request(PLAIN_BODIES[name])), Answer(), Say(request(PLAIN_BODIES[name])), Answer()]
    assert same(script, enable_fairness_scheduling=fair) == (2, 0)


@pytest.mark.parametrize("name", OTHER_BODIES)
def test_other_bodies_go_the_ordinary_way(name: str) -> None:
    assert same([Say(request(OTHER_BODIES[name])), Answer()]) == (0, 0)


@FAIR
@pytest.mark.parametrize("name", PLAIN_HEADS)
def test_plain_heads_go_the_short_way(name: str, fair: bool) -> None:
    asked = request(BODY | {"user": "ann"}, *PLAIN_HEADS[name]), request(BODY, *PLAIN_HEADS[name])
    script: list[Step] = [Say(asked[0]), Answer(), Say(asked[1]), Answer()]
    # Behind the first one the connection is closed.
    assert same(script, enable_fairness_scheduling=fair) == (1 if name == "to be closed" else 2, 0)


@pytest.mark.parametrize("name", OTHER_HEADS)
def test_other_heads_go_the_ordinary_way(name: str) -> None:
    assert same([Say(request(BODY, *OTHER_HEADS[name])), Answer()]) == (0, 0)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"content-length: %d", (2, 0)),
        (b"Content-length: %d", (2, 0)),
        (b"CONTENT-LENGTH: %d", (0, 0)),
        (b"Content-Length:%d", (0, 0)),
        (b"Content-Length:  %d", (0, 0)),
        (b"Content-Length: %d ", (0, 0)),
        (b"Content-Length: 0%d", (0, 0)),
        (b"Content-Length: +%d", (0, 0)),
        (b"Content-Length: %d0000000000000000000", (0, 0)),
        (b"Content-Length: %d\r\nContent-Length: 3", (0, 0)),
        (b"Content-Length: 3\r\nContent-Length: %d", (0, 0)),
        (b"Content-Length: \r\nContent-Length: %d", (0, 0)),
        (b"X-A: b\r\nContent-Length: %d\r\nX-C: d", (2, 0)),
    ],
)
def test_lengths_are_read_as_they_always_are(line: bytes, found: tuple[int, int]) -> None:
    for fields in (FIELDS, (FIELDS[0], b"X-Length: Content-Length: 5")):
        asked = request(BODY, *fields).replace(b"Content-Length: %d" % SIZE, line % SIZE)
        assert asked != request(BODY, *fields) or line == b"Content-Length: %d"
        assert same([Say(asked), Answer(), Say(asked), Answer()]) == found


@FAIR
@pytest.mark.parametrize("name", PLAIN_ANSWERS)
def test_plain_answers_come_the_short_way(name: str, fair: bool) -> None:
    script: list[Step] = [Say(request(BODY | {"user": "ann"})), Answer(PLAIN_ANSWERS[name]), Say(request()), Answer()]
    found = same(script, enable_fairness_scheduling=fair)
    # The engine's connection was closed.
    assert found == ((1, 0) if name == "closing" else (2, 0))


@FAIR
@pytest.mark.parametrize("name", OTHER_ANSWERS)
def test_other_answers_unfold(name: str, fair: bool) -> None:
    script: list[Step] = [Say(request(BODY | {"user": "ann"})), Answer(OTHER_ANSWERS[name]), EngineGoes()]
    assert same(script, enable_fairness_scheduling=fair) == (1, 1)


@pytest.mark.parametrize("cut", [1, 20, 60, 90, 120, -1])
def test_an_answer_in_pieces_unfolds(cut: int) -> None:
    whole = answer()
    assert same([Say(request()), Answer(whole[:cut]), Answer(whole[cut:])]) == (1, 1)


@pytest.mark.parametrize("cut", [1, 20, 100, 130, -1])
def test_a_request_in_pieces_goes_the_ordinary_way(cut: int) -> None:
    whole = request()
    assert same([Say(whole[:cut]), Say(whole[cut:]), Answer()]) == (0, 0)


HEAD, BEHIND = request().split(b"\r\n\r\n")
HEAD += b"\r\n\r\n"
LATE: dict[str, tuple[list[Step], tuple[int, int]]] = {
    "it follows": ([Say(BEHIND), Answer(), Say(HEAD), Say(BEHIND), Answer()], (2, 0)),
    "it follows at once": ([AtOnce((Say(BEHIND), Say(HEAD))), Answer(), Say(BEHIND), Answer()], (1, 0)),
    "it comes in two pieces": ([Say(BEHIND[:9]), Say(BEHIND[9:]), Answer()], (0, 0)),
    "it comes in two pieces, the second with more": ([Say(BEHIND[:9]), Say(BEHIND[9:] + HEAD), Answer()], (0, 0)),
    "it comes late": ([Wait(0.1), Say(BEHIND), Answer()], (0, 0)),
    "it comes too late": ([Wait(0.1), Wait(1000.0)], (0, 0)),
    "more comes": ([Say(BEHIND + HEAD), Answer(), Say(BEHIND), Answer()], (0, 0)),
    "it is none": ([Say(b"x" * len(BEHIND)), Answer()], (0, 0)),
    "another client comes first": ([Say(request(), to=1), Answer(), Say(BEHIND), Answer()], (2, 0)),
    "the client leaves": ([ClientGoes()], (0, 0)),
    "the client has said all": ([ClientGoes(half=True), Say(BEHIND), Answer()], (0, 0)),
    "the process leaves": ([Drain(), Say(BEHIND), Answer()], (0, 0)),
    "the process cannot wait": ([Drain(now=True), Say(BEHIND), Answer()], (0, 0)),
}


@FAIR
@pytest.mark.parametrize("name", LATE)
def test_a_body_may_come_behind_its_head(name: str, fair: bool) -> None:
    steps, found = LATE[name]
    assert same([Say(HEAD), *steps], enable_fairness_scheduling=fair) == found


def test_a_connection_on_which_a_head_has_come_is_not_idle() -> None:
    with conversations.both(keepalive_timeout=5.0) as pair:
        conversations.play(*pair, [*WARM, Say(HEAD), Wait(0.001), Wait(0.004), Wait(6.0), Say(BEHIND), Answer()])
        conversations.play(
            *pair, [Say(request()), Answer(), Wait(4.999), Say(HEAD), Wait(0.002), Say(BEHIND), Answer()]
        )


ENDS: dict[str, tuple[list[Step], tuple[int, int]]] = {
    "the client leaves": ([ClientGoes(), Answer()], (1, 1)),
    "the client has said all": ([ClientGoes(half=True), Wait(0.01), Answer()], (1, 0)),
    "the client leaves, then its engine": ([ClientGoes(), EngineGoes()], (1, 1)),
    "the client leaves in the middle of the answer": (
        [Answer(answer()[:-9]), ClientGoes(), Answer(answer()[-9:])],
        (1, 1),
    ),
    "the engine goes": ([EngineGoes()], (1, 1)),
    "the engine has said all": ([EngineGoes(half=True), EngineGoes()], (1, 1)),
    "the engine goes in the middle of its answer": ([Answer(answer()[:-9]), EngineGoes()], (1, 1)),
    "the engine goes after its answer": ([Answer(), EngineGoes(), Say(request()), Answer()], (1, 0)),
    "the engine says more afterwards": ([Answer(), Answer(), Say(request()), Answer()], (1, 0)),
    "another request behind it": ([Say(request()), Answer(), Answer()], (1, 0)),
    "the beginning of one behind it": ([Say(request()[:50]), Answer(), Say(request()[50:]), Answer()], (1, 0)),
    "much behind it": ([Say(b"x" * 70_000), Answer()], (1, 0)),
    "no HTTP behind it": ([Say(b"hello\r\n\r\n"), Answer()], (1, 0)),
    "the engine has gone, which shows later": (
        [Answer(), AtOnce((EngineGoes(), Say(request()))), Answer()],
        (1, 0),
    ),
    "the process leaves": ([Drain(), Answer(), Say(request()), Answer()], (1, 0)),
    "the process cannot wait": ([Drain(now=True), Answer()], (1, 1)),
    "time passes": ([Wait(7.5), Answer()], (1, 0)),
}


@FAIR
@pytest.mark.parametrize("name", ENDS)
def test_however_it_ends(name: str, fair: bool) -> None:
    steps, found = ENDS[name]
    assert same([Say(request(BODY | {"user": "ann"})), *steps], enable_fairness_scheduling=fair) == found


@pytest.mark.parametrize(
    "steps", [[Wait(6.0)], [Wait(6.0), Answer()], [Wait(3.0), Answer(), Wait(6.0)], [Answer(answer()[:40]), Wait(6.0)]]
)
def test_the_time_to_its_answer_is_limited(steps: list[Step]) -> None:
    given = {"policy": {"timeout": "5s", "retry": {"attempts": 0}}}
    same([Say(request()), *steps], given=given)


@pytest.mark.parametrize("status", [b"429 No", b"502 No", b"503 No", b"500 No", b"200 OK"])
def test_another_pod_is_tried(status: bytes) -> None:
    same([Say(request()), Answer(answer(status=status)), Answer(), Say(request()), Answer()], pods=2)


def test_pods_take_turns() -> None:
    clients = [Say(request(), to=number) for number in range(4)]
    answers = [Answer(on=number) for number in range(4)]
    taken, _ = same([*clients, *answers, *clients, *answers, *clients, *answers], pods=3)
    assert taken > 5


def _gates(pair: tuple[conversations.Talk, ...]) -> list[Any]:
    found: list[Any] = []
    for talk in pair:
        assert talk.way.journey._turns is not None
        found += talk.way.journey._turns.server_gates.values()
    return found


def test_who_finds_all_permits_taken_goes_the_ordinary_way() -> None:
    with conversations.both(enable_fairness_scheduling=True) as pair:
        conversations.play(*pair, WARM)
        for gate in _gates(pair):
            gate.out += gate._most
        conversations.play(*pair, [Say(request(BODY | {"user": "ann"})), Wait(1.0)])
        for gate in _gates(pair):
            gate.out -= gate._most
        conversations.play(*pair, [Say(request()), Answer(), Wait(1.0), Say(request()), Answer()])
        assert pair[0].flights == 3


def test_who_finds_others_waiting_goes_the_ordinary_way() -> None:
    with conversations.both(enable_fairness_scheduling=True) as pair:
        conversations.play(*pair, WARM)
        for gate in _gates(pair):
            (queue,) = gate.queues
            gate.rivals.busy[queue.heap] = None
        conversations.play(*pair, [Say(request(BODY | {"user": "ann"})), Answer()])
        assert pair[0].flights == 1


def test_a_limit_that_is_not_known_any_more_is_found_anew() -> None:
    with conversations.both(enable_fairness_scheduling=True) as pair:
        conversations.play(*pair, WARM)
        limits = [gate._most for gate in _gates(pair)]
        for gate in _gates(pair):
            gate.relearn()
            gate.out += gate._most
            gate._most = 10**6
        conversations.play(*pair, [Say(request()), Wait(1.0)])
        for gate, limit in zip(_gates(pair), limits, strict=True):
            gate.out -= limit
        conversations.play(*pair, [Say(request()), Answer(), Say(request()), Answer()])
        assert pair[0].flights == 3


def test_connections_beyond_those_that_are_kept_are_closed() -> None:
    with conversations.both(enable_fairness_scheduling=True) as pair:
        many: list[Step] = [*(Say(request(), to=number) for number in range(3)), *(Answer(on=n) for n in range(3))]
        conversations.play(*pair, [*WARM, *many, *many])
        for talk in pair:
            talk.way.journey._forwarder.pool._most_idle = 1
        conversations.play(*pair, [*many, Say(request()), Answer()])
        assert pair[0].flights > 3


def test_shares_are_obeyed(tmp_path: Path) -> None:
    shares = tmp_path / "shares.yaml"
    shares.write_text("users:\n  ann: {share: 4}\n")
    script: list[Step] = [
        Say(request(BODY | {"user": "ann"})),
        Answer(),
        Say(request(BODY | {"user": "bob"})),
        Answer(),
    ]
    assert same(script, fairness_shares_file=str(shares)) == (0, 0)


def test_those_who_have_to_wait_go_the_ordinary_way() -> None:
    asked = [Say(request(BODY | {"user": user}), to=number) for number, user in enumerate(("ann", "ann", "bob"))]
    script: list[Step] = [*asked, Answer(), Answer(), Answer()]
    assert same(script, fairness_max_concurrent=1) == (1, 0)


MADE: dict[str, dict[str, Any]] = {
    "lines in JSON": {"access_log_format": "json"},
    "no lines": {"access_log_enabled": False},
    "another name at the engine": {"given": {"upstream_model": "meta/llama"}},
    "an adapter": {"given": {"adapters": ["llama-lora"], "model": "base", "upstream_model": "base-8b"}},
    "virtual counters": {"fairness_policy": "vtc"},
    "a header for a name": {"fairness_user_sources": "header:User-Agent,anonymous"},
    "the length for a name": {"fairness_user_sources": "header:Content-Length,anonymous"},
    "another member for a name": {"fairness_user_sources": "body:team,header:x-none,body:user,anonymous"},
    "requests count": {"fairness_priority_request_num_weight": 3.5},
    "only requests count": {"fairness_priority_request_num_weight": 1.0, "fairness_priority_token_weight": 0.0},
    "nothing reserved": {"fairness_reserve_output": False},
    "so many turns a second": {"fairness_max_qps": 5},
    "few permits": {"fairness_pod_concurrency": 1},
    "a proxy that is trusted": {"trusted_proxies": "192.0.2.0/24"},
    "small bodies": {"max_body_bytes": 90},
    "few bytes in all": {"max_buffered_bytes": 100},
    "few headers": {"max_headers": 4},
    "small heads": {"max_header_bytes": 110},
    "a ledger of one row": {"fairness_max_users": 1},
}


@pytest.mark.parametrize("name", MADE)
def test_however_it_is_set_up(name: str) -> None:
    asked = [
        BODY,
        BODY | {"user": "ann", "team": "red"},
        BODY | {"model": "llama-lora"},
        BODY | {"messages": [{"role": "user", "content": "again and again " * 9}]},
    ]
    script: list[Step] = [
        step for body in asked for step in (Say(request(body)), Answer(), Say(request(body)), Answer())
    ]
    same(
        [*script, *(Say(request(BODY | {"user": f"u{number}"}), to=number) for number in range(3)), Answer()],
        **MADE[name],
    )


def test_by_tls() -> None:
    with conversations.both(enable_fairness_scheduling=True) as (short, ordinary):
        short.is_tls = ordinary.is_tls = True
        conversations.play(short, ordinary, [*WARM, Say(request()), Answer(), Say(request()), EngineGoes()])
        assert (short.flights, short.unfolded) == (3, 1)


@FAIR
def test_an_engine_that_cannot_be_written_to(fair: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no buffer space")

    with conversations.both(enable_fairness_scheduling=fair) as (short, ordinary):
        conversations.play(short, ordinary, WARM)
        for talk in (short, ordinary):
            (engine,) = talk.engines
            monkeypatch.setattr(engine, "write", fail)
        conversations.play(short, ordinary, [Say(request())])
        conversations.play(short, ordinary, [Say(request()), Answer(), Say(request()), Answer()])
        assert (short.flights, short.unfolded) == (3, 1)


@FAIR
@pytest.mark.parametrize("name", ["the client leaves", "the engine goes", "the process leaves", "time passes"])
def test_what_a_request_used_is_freed_without_the_collector(name: str, fair: bool) -> None:
    steps, _ = ENDS[name]
    given = {"policy": {"timeout": "60s"}}
    with conversations.talk(lane.Lane, given=given, enable_fairness_scheduling=fair) as talk:
        gc.collect()
        gc.disable()
        try:
            talk.play([*WARM, Say(request(BODY | {"user": "ann"})), *steps])
            kinds = (flight.Flight, Exchange, Passage, Forwarding, Relay)
            assert [found for found in gc.get_objects() if isinstance(found, kinds)] == []
        finally:
            gc.enable()
