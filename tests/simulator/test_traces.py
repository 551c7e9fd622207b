"""Workloads from files: a CSV, and the gateway's own log in both layouts."""

import re
from pathlib import Path
from typing import Any

import pytest

from kthena_fast.errors import GatewayError
from kthena_fast.queueing.shares import Shares, Standing
from kthena_fast.simulator import replay, traces
from kthena_fast.simulator.arrivals import MINUTE, SECOND, Arrival, Client
from kthena_fast.telemetry import access_line
from tests.telemetry.records import BEGAN, WALL, exchange, refused


def csv(folder: Path, text: str) -> Path:
    path = folder / "trace.csv"
    path.write_text(text)
    return path


def test_a_trace_begins_with_its_first_request_and_ends_a_minute_after_its_last(tmp_path: Path) -> None:
    made = traces.read(csv(tmp_path, "client,time,input,output\nbob,107.5,20,5\n\nalice,100,10,3\nbob,101,1,0\n"))
    assert made.name == "trace"
    assert made.clients == (Client("alice"), Client("bob"))
    assert made.arrivals == (
        Arrival(0, 0, 10, 3, 3),
        Arrival(SECOND, 1, 1, 0, 0),
        Arrival(int(7.5 * SECOND), 1, 20, 5, 5),
    )
    assert made.ends == int(7.5 * SECOND) + MINUTE


def test_a_limit_is_what_the_engine_keeps_room_for_and_never_less_than_the_output(tmp_path: Path) -> None:
    made = traces.read(csv(tmp_path, "a,0,10,3,100\na,1,10,3,\na,2,10,3,2\n"))
    assert [one.limit for one in made.arrivals] == [100, 3, 3]


def test_shares_and_classes_are_those_of_the_shares_file(tmp_path: Path) -> None:
    shares = Shares({"alice": Standing(3, 1)}, Standing(2, 0))
    made = traces.read(csv(tmp_path, "alice,0,1,1\nbob,1,1,1\n"), shares)
    assert made.clients == (Client("alice", 3, 1), Client("bob", 2, 0))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there is no request in it"),
        ("client,time,input,output\n", "there is no request in it"),
        ("a,0,1\n", "line 1: a line has client,time,input,output and perhaps limit, not 3 values"),
        ("a,0,1,1\na,nan,1,1\n", "line 2: a time must be from 0"),
        ("a,-1,1,1\n", "line 1: a time must be from 0"),
        ("a,0,x,1\n", "line 1: invalid literal"),
        ("a,0,1,-1\n", "line 1: tokens must be from 0"),
    ],
)
def test_a_trace_that_is_none_is_refused_with_the_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(traces.BadFile, match=message):
        traces.read(csv(tmp_path, text))


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(traces.BadFile, match="No such file"):
        traces.read(tmp_path / "none.csv")
    with pytest.raises(traces.BadFile, match="No such file"):
        replay.read(tmp_path / "none.log")
    path = tmp_path / "bytes.csv"
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(traces.BadFile, match="utf-8"):
        traces.read(path)


def log(folder: Path, form: Any, *records: Any) -> Path:
    path = folder / "access.log"
    line = access_line.formatter(form)
    path.write_bytes(b"".join(line(record, BEGAN + 2) for record in records))
    return path


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_gateways_own_log_is_played(tmp_path: Path, form: str) -> None:
    path = log(
        tmp_path,
        form,
        exchange(user="carol", prompt_estimate=9, input_tokens=20, output_tokens=7, wall=WALL + 1.25),
        exchange(user='a "strange" name', output_tokens=30),
        exchange(user="", output_tokens=5, wall=WALL + 2),
    )
    made, model, left_out, passed_over = replay.read(path)
    assert (model, left_out, passed_over) == ("chat", 0, 0)
    assert made.name == "replay"
    assert [client.name for client in made.clients] == ['a "strange" name', "carol", "anonymous"]
    assert [(one.client, one.input, one.output, one.limit) for one in made.arrivals] == [
        (0, 12, 30, 30),
        (1, 20, 7, 7),
        (2, 12, 5, 5),
    ]
    assert [one.at / SECOND for one in made.arrivals] == pytest.approx([0, 1.25, 2], abs=1e-5)


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_model_with_most_requests_is_played_unless_one_is_named(tmp_path: Path, form: str) -> None:
    path = log(tmp_path, form, exchange(), exchange(model="a b"), exchange(model="a b", output_tokens=1))
    assert replay.read(path)[1:] == ("a b", 1, 0)
    assert replay.read(path, "chat")[1:] == ("chat", 2, 0)
    with pytest.raises(traces.BadFile, match="there is no request in it"):
        replay.read(path, "none")


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_was_not_answered_is_left_out_and_counted(tmp_path: Path, form: str) -> None:
    error = GatewayError(504, "timeout", "queue_timeout", "the wait was too long", reason="queue_timeout")
    path = log(
        tmp_path,
        form,
        exchange(),
        # Broken in the middle: what it produced was produced.
        exchange(status=502, output_tokens=3),
        refused(error, model="chat", prompt_estimate=40),
        exchange(prompt_estimate=0, output_tokens=0),
    )
    made, _, *counts = replay.read(path)
    assert len(made.arrivals) == 2
    assert counts == [2, 0]


NO_LINES = {
    "nonsense": "it does not begin with a time",
    "{}": "it has no 'status_code'",
    "[]": "it does not begin with a time",
    '{"status_code": 200, "input_tokens": 1, "model_name": "m"}': "it has no 'timestamp'",
    '{"time":"2026-03-01T09:15:00Z","level":"INFO","message":"serving"}': "it has no 'status_code'",
}


@pytest.mark.parametrize("line", NO_LINES)
def test_what_is_no_line_of_the_access_log_is_passed_over_and_counted(tmp_path: Path, line: str) -> None:
    """`kubectl logs` prints the application log too."""
    path = log(tmp_path, "text", exchange(), exchange())
    path.write_text(f"{line}\n\n{path.read_text()}{line}\n")
    made, _, *counts = replay.read(path)
    assert len(made.arrivals) == 2
    assert counts == [0, 2]
    path.write_text(f"\n{line}\n{line}\n")
    why = f"2 lines passed over that are none of the access log (line 2: {NO_LINES[line]}"
    with pytest.raises(traces.BadFile, match=re.escape(f"{path}: there is no request in it; {why}")):
        replay.read(path)
