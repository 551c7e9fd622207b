"""The layout of a line, as the reference gives it, and what clients cannot do to it."""

import json
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast import errors
from kthena_fast.errors import GatewayError
from kthena_fast.exchange.record import Kept
from kthena_fast.telemetry import _text_line_py, access_line, one_line, text_line
from tests.telemetry.records import BEGAN, WALL, exchange, refused

TEXT = sys.modules[text_line.text.__module__]
"""The twin that runs."""


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[None]:
    """UTC, unless the test is parametrised with another zone."""
    monkeypatch.setenv("TZ", getattr(request, "param", "UTC"))
    time.tzset()
    one_line.of_second.cache_clear()
    yield
    monkeypatch.undo()
    time.tzset()
    one_line.of_second.cache_clear()


def text(record: Any) -> str:
    line = access_line.text(record, 0.0).decode()
    assert line.endswith("\n")
    assert line.count("\n") == 1
    return line[:-1]


def as_json(record: Any) -> dict[str, Any]:
    line = access_line.as_json(record, 0.0)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    fields: dict[str, Any] = json.loads(line)
    return fields


def test_the_references_first_example_comes_out_exactly_with_our_fields_behind_it() -> None:
    assert text(exchange()) == (
        '[2026-03-01T09:15:00.4821Z] "POST /v1/chat/completions HTTP/1.1" 200 model_name=chat model_route=prod/chat '
        "model_server=prod/chat-7b selected_pod=chat-7b-0 request_id=req-1 backend_type=model_server "
        "backend_name=prod/chat-7b upstream_model=org/chat-7b upstream_status_code=200 upstream_attempts=1 "
        "tokens=12/34 timings=812ms(1+810+0)"
        " bytes=312 client=10.0.0.7"
    )


@pytest.mark.parametrize("zone", ["Europe/Paris"], indirect=True)
def test_the_references_second_example_differs_only_in_quoting_the_message() -> None:
    # Upstream prints the message bare: a client's model name in it could pass for further fields.
    error = GatewayError(404, "invalid_request_error", "model_not_found", "route not found", reason="route_not_found")
    record = refused(error, model="nope", prompt_estimate=3, wall=float(int(WALL)) + 1)
    assert text(record) == (
        '[2026-03-01T10:15:01+01:00] "POST /v1/completions HTTP/1.1" 404 error=route_not_found:"route not found" '
        "model_name=nope request_id=req-2 tokens=3/0 timings=0ms(0+0+0)"
        " bytes=0"
    )


def test_a_json_line_has_upstreams_keys_in_upstreams_order() -> None:
    record = exchange(error=errors.protocol_error("it ended <early> & hard"), streaming=True, user="ann")
    line = access_line.as_json(record, 0.0)
    assert line == (
        b'{"timestamp":"2026-03-01T09:15:00.4821Z","method":"POST","path":"/v1/chat/completions",'
        b'"protocol":"HTTP/1.1","status_code":200,"error":{"type":"proxy","message":"The engine\'s answer was broken: '
        b'it ended \\u003cearly\\u003e \\u0026 hard."},"model_name":"chat","model_route":"prod/chat",'
        b'"model_server":"prod/chat-7b","selected_pod":"chat-7b-0","request_id":"req-1","backend_type":"model_server",'
        b'"backend_name":"prod/chat-7b","upstream_model":"org/chat-7b","upstream_status_code":200,'
        b'"upstream_attempts":1,"error_origin":"upstream","input_tokens":12,"output_tokens":34,"duration_total":812,'
        b'"duration_request_processing":1,"duration_upstream_processing":810,"duration_response_processing":0,'
        b'"user":"ann","ttft":45,"bytes":312,"client":"10.0.0.7"}\n'
    )


def test_what_is_empty_is_left_out_of_json_but_the_models_name() -> None:
    assert as_json(refused(errors.bad_request("no JSON"))) == {
        "timestamp": "2026-03-01T09:15:00.4821Z",
        "method": "POST",
        "path": "/v1/completions",
        "protocol": "HTTP/1.1",
        "status_code": 400,
        "error": {"type": "request_parsing", "message": "no JSON"},
        "model_name": "",
        "request_id": "req-2",
        "duration_total": 0,
        "duration_request_processing": 0,
        "duration_upstream_processing": 0,
        "duration_response_processing": 0,
        "bytes": 0,
    }


QUEUED: dict[str, Any] = {
    "user": "ann",
    "queue_time": 1.5,
    "queue_position": 7,
    "usage_at_admission": 1234.0,
    "share_at_admission": 0.25,
    "policy": "vtc",
}


def test_a_request_that_had_to_take_its_turn_says_why_it_waited() -> None:
    assert text(exchange(streaming=True, **QUEUED)).endswith(
        "timings=812ms(1+810+0) user=ann ttft=45ms bytes=312 client=10.0.0.7"
        " queue_time=1500ms queue_position=7 usage_at_admission=1234 share_at_admission=0.25 policy=vtc"
    )
    fields = as_json(exchange(**QUEUED))
    assert list(fields.items())[-6:] == [
        ("client", "10.0.0.7"),
        ("queue_time", 1500),
        ("queue_position", 7),
        ("usage_at_admission", 1234),
        ("share_at_admission", 0.25),
        ("policy", "vtc"),
    ]


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param({}, (812, 1, 810, 0), id="served"),
        pytest.param({"upstream_ended": BEGAN + 0.8}, (812, 1, 798, 12), id="slow client"),
        pytest.param(
            {"forwarded": None, "upstream_ended": None}, (812, 1, 811, 0), id="never forwarded: the wait shows"
        ),
        pytest.param({"model": "", "parsed": BEGAN}, (812, 812, 0, 0), id="not understood"),
        pytest.param({"ended": BEGAN + 0.9999}, (999, 1, 810, 187), id="cut off"),
    ],
)
def test_timings(facts: dict[str, Any], expected: tuple[int, ...]) -> None:
    assert access_line.timings(exchange(**facts), 0.0) == expected


def test_a_request_whose_end_is_not_recorded_ended_now() -> None:
    assert access_line.timings(exchange(ended=None, upstream_ended=None), BEGAN + 2)[0] == 2000


@pytest.mark.parametrize(
    ("zone", "wall", "expected"),
    [
        ("UTC", 0.0, "1970-01-01T00:00:00Z"),
        ("UTC", 1.5, "1970-01-01T00:00:01.5Z"),
        ("UTC", WALL, "2026-03-01T09:15:00.4821Z"),
        ("UTC", 1.000001, "1970-01-01T00:00:01.000001Z"),
        ("UTC", 1.9999999, "1970-01-01T00:00:02Z"),
        ("Asia/Kolkata", 10.0, "1970-01-01T05:30:10+05:30"),
        ("America/St_Johns", 1772356500.1, "2026-03-01T05:45:00.1-03:30"),
        ("Europe/London", WALL, "2026-03-01T09:15:00.4821Z"),
    ],
    indirect=["zone"],
)
def test_timestamps(wall: float, expected: str) -> None:
    assert one_line.timestamp(wall) == expected


FORGERIES = [
    "x\n[2026-03-01T09:15:01Z] forged",
    "x\r\nforged",
    "chat model_route=prod/other",
    'chat" user="root',
    "x\u2028forged",
    "x\x85forged",
    "x\x7f\x1b[2Kforged",
    "x\u202eforged",
    "\ud800",
    "tab\tbed",
    "non\u00a0breaking",
]
SEGMENT = re.compile(r'(\w+)=((?:[\w.]+:)?"(?:[^"\\]|\\.)*"|\S+)')


def _segments(line: str) -> dict[str, str]:
    return dict(SEGMENT.findall(line.partition('" 200 ')[2]))


@pytest.mark.parametrize("value", FORGERIES)
def test_what_a_client_chooses_is_one_value_in_text(value: str) -> None:
    for name, field in (("model", "model_name"), ("user", "user"), ("client", "client")):
        line = text(exchange(**{name: value}))
        assert line.isprintable()
        segments = _segments(line)
        assert json.loads(segments[field]) == value
        assert list(segments) == list(_segments(text(exchange(**{name: "harmless"}))))


@pytest.mark.parametrize("value", [*FORGERIES, '/v1/x HTTP/1.1" 200 user=root "', "back\\slash"])
def test_a_path_stays_inside_its_quotes(value: str) -> None:
    line = text(exchange(path=f"/v1/{value}"))
    assert line.isprintable()
    request = re.match(r'\[\S+\] ("(?:[^"\\]|\\.)*") 200 model_name=chat ', line)
    assert request is not None
    assert json.loads(request[1]) == f"POST /v1/{value} HTTP/1.1"


@pytest.mark.parametrize("value", FORGERIES)
def test_what_a_client_chooses_is_one_printable_string_in_json(value: str) -> None:
    record = exchange(model=value, user=value, path=f"/v1/{value}", error=errors.model_not_found(value))
    line = access_line.as_json(record, 0.0)
    assert line[:-1].decode().isprintable()
    fields = json.loads(line)
    assert (fields["model_name"], fields["user"], fields["path"]) == (value, value, f"/v1/{value}")


def test_words_of_any_language_are_left_readable() -> None:
    assert "model_name=modèle-数 " in text(exchange(model="modèle-数"))
    assert "modèle-数".encode() in access_line.as_json(exchange(model="modèle-数"), 0.0)


def test_a_message_cannot_pass_for_fields() -> None:
    line = text(refused(errors.model_not_found("x user=root"), model="x"))
    assert re.search(r' error=route_not_found:"(?:[^"\\]|\\.)*" model_name=x ', line)


def test_a_value_of_megabytes_is_cut() -> None:
    huge = "m" * 2**20
    record = exchange(model=huge, user=huge, path="/v1/" + huge, error=errors.model_not_found(huge))
    assert len(text(record)) < 6000
    assert len(access_line.as_json(record, 0.0)) < 6000
    assert as_json(record)["model_name"] == "m" * one_line.MAX_VALUE + "…"


def test_names_that_matched_no_route_are_not_remembered() -> None:
    before = len(TEXT.known_names())
    for number in range(20):
        text(refused(errors.model_not_found("x"), model=f"invented-{number}"))
    assert len(TEXT.known_names()) == before


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None)))
def test_no_text_breaks_a_line(name: str, path: str) -> None:
    record = exchange(model=name, path=f"/v1/{path}", user=name)
    assert text(record).isprintable()
    assert as_json(record)["status_code"] == 200


@pytest.mark.parametrize(
    "facts",
    [
        {"pod": "chat-7b-1"},
        {"server": "prod/canary"},
        {"upstream_model": "org/other"},
        {"path": "/v1/completions"},
        {"method": "GET"},
        {"protocol": "HTTP/1.0"},
    ],
)
def test_what_is_kept_of_a_match_is_written_only_where_it_is_the_same(facts: dict[str, Any]) -> None:
    kept = Kept()
    for said in ({}, {}, facts, {}, facts, facts):
        alike, unkept = exchange(**said), exchange(**said)
        alike.kept = kept
        assert TEXT.text(alike, BEGAN) == TEXT.text(unkept, BEGAN)


def test_what_was_asked_last_is_what_the_line_said_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before, after = TEXT.text(exchange(path="/before"), BEGAN), TEXT.text(exchange(path="/after"), BEGAN)
    TEXT.text(exchange(path="/before"), BEGAN)
    with monkeypatch.context() as patch:
        patch.setattr(one_line, "inside_quotes", None)
        for _ in range(2):
            with pytest.raises(TypeError):
                TEXT.text(exchange(path="/never"), BEGAN)
        assert TEXT.text(exchange(path="/before"), BEGAN) == before
    assert TEXT.text(exchange(path="/after"), BEGAN) == after
    nothing = exchange(method="", path="", protocol="")
    assert _text_line_py._Asked().by(nothing) == "  ", "two blanks between nothing, also at first"


MOMENTS = st.floats(BEGAN, BEGAN + 1e6)


@given(
    st.fixed_dictionaries(
        {
            "wall": st.floats(0, 4e9),
            "status": st.integers(0, 999),
            "upstream_status": st.integers(0, 999),
            "attempts": st.integers(0, 100),
            "input_tokens": st.integers(0, 2**62),
            "output_tokens": st.integers(0, 2**62),
            "bytes_out": st.integers(0, 2**62),
            "parsed": MOMENTS,
            "forwarded": st.none() | MOMENTS,
            "first_byte": st.none() | MOMENTS,
            # A clock that was set back while it ran, too.
            "upstream_ended": st.none() | st.floats(BEGAN - 10, BEGAN + 1e6),
            "ended": st.none() | st.floats(BEGAN - 10, BEGAN + 1e6),
            "streaming": st.booleans(),
            "policy": st.sampled_from(["", "fair"]),
            "queue_time": st.floats(0, 1e6),
            "queue_position": st.integers(0, 2**40),
            "usage_at_admission": st.none() | st.floats(allow_nan=False, allow_infinity=False),
            "share_at_admission": st.none() | st.floats(0, 1),
            "user": st.text(max_size=2000),
            "client": st.text(max_size=50),
            "pod": st.text(max_size=50),
            "request_id": st.binary(max_size=200),
            "model": st.text(max_size=2000),
        }
    )
)
def test_both_twins_write_the_same_line(facts: dict[str, Any]) -> None:
    record = exchange(**facts)
    assert TEXT.text(record, BEGAN + 1.5) == _text_line_py.text(record, BEGAN + 1.5)
