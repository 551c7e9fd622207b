"""A workload from the gateway's own access log, text or JSON (`telemetry.access_line`), so that policy, window and
concurrency can be chosen before fairness is turned on.

1. A line counts if it has tokens, and was answered: what failed before it produced anything says nothing of what it
   would have produced. `Replay.left_out` counts the others. So a log of a gateway that refused much shows less demand
   than there was.
2. An engine serves one model. Without a name it is the one with most requests.
3. Who has no name in the log is `anonymous`. The log knows no `max_tokens`; the output takes its place.
4. What is no line of the access log is passed over and counted: what a container prints has the application log in it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from kthena_fast.queueing.shares import EQUAL, Shares
from kthena_fast.simulator.arrivals import Workload
from kthena_fast.simulator.traces import BadFile, Call, workload
from kthena_fast.telemetry.one_line import counted

_HEAD: Final = re.compile(r'\[(?P<timestamp>[^\]]+)\] "(?:[^"\\]|\\.)*" (?P<status>[0-9]+)')
_FIELD: Final = re.compile(r' (?P<name>[a-z_]+)=(?P<value>"(?:[^"\\]|\\.)*"|[^ ]*)')


class Replay(NamedTuple):
    workload: Workload
    model: str
    left_out: int
    """Lines that were not of this model, had no tokens or were not answered."""
    passed_over: int
    """Lines that were none of the access log."""


class _Line(NamedTuple):
    model: str
    call: Call


def read(path: Path, model: str | None = None, shares: Shares = EQUAL) -> Replay:
    """The workload in a log; BadFile where there is none."""
    lines: list[_Line] = []
    count = passed_over = 0
    strange = ""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape") as log:
            for number, text in enumerate(log, 1):
                if not text.strip():
                    continue
                try:
                    lines.extend(_parse(text.rstrip("\n")))
                except (ValueError, KeyError, TypeError) as problem:
                    passed_over += 1
                    why = f"it has no {problem}" if isinstance(problem, KeyError) else str(problem)
                    strange = strange or f"line {number}: {why}"
                else:
                    count += 1
    except OSError as problem:
        raise BadFile(f"{path}: {problem}") from problem
    if model is None:
        models = Counter(line.model for line in lines)
        model = max(models, key=lambda name: (models[name], name), default="")
    calls = [line.call for line in lines if line.model == model]
    if strange and not calls:
        others = f"{counted(passed_over, 'line')} passed over that are none of the access log ({strange})"
        raise BadFile(f"{path}: there is no request in it; {others}")
    return Replay(workload("replay", calls, shares, path), model, count - len(calls), passed_over)


def _parse(text: str) -> Iterator[_Line]:
    fields = _json_fields(text) if text.startswith("{") else _text_fields(text)
    tokens_in = int(fields.get("input_tokens", 0))
    tokens_out = int(fields.get("output_tokens", 0))
    is_answered = 200 <= int(fields["status_code"]) < 300 or tokens_out > 0
    if is_answered and (tokens_in or tokens_out):
        at = datetime.fromisoformat(fields["timestamp"])
        if at.tzinfo is None:
            raise ValueError(f"{fields['timestamp']!r} has no zone")
        user = str(fields.get("user", "")) or "anonymous"
        yield _Line(str(fields["model_name"]), Call(user, at.timestamp(), tokens_in, tokens_out, tokens_out))


def _json_fields(text: str) -> dict[str, Any]:
    fields: dict[str, Any] = orjson.loads(text)
    return fields


def _text_fields(text: str) -> dict[str, Any]:
    head = _HEAD.match(text)
    if head is None:
        raise ValueError("it does not begin with a time, a request and a status")
    fields: dict[str, Any] = {"timestamp": head["timestamp"], "status_code": head["status"], "model_name": ""}
    for field in _FIELD.finditer(text, head.end()):
        value = field["value"]
        fields[field["name"]] = json.loads(value) if value.startswith('"') else value
    tokens = re.fullmatch(r"([0-9]+)/([0-9]+)", fields.get("tokens", ""))
    if tokens is not None:
        fields["input_tokens"], fields["output_tokens"] = tokens.groups()
    return fields
