"""`Controls`: what a single request asks of the engine in `X-Mock-*` headers, so that one engine serves many tests.

- `X-Mock-Output-Tokens: N`: the answer would end by itself after N tokens (a lower limit of the request still cuts it)
- `X-Mock-First-Token-Delay`, `X-Mock-Token-Interval`: `20ms`, or seconds as a plain number
- `X-Mock-Hold-After: N`: the answer halts after N tokens until `MockEngine.release()`; an answer that is not
  streamed, and one held after 0, halts before its first byte
- `X-Mock-Fault: NAME[:VALUE][:WHEN]`: instead of the configured faults, on any method and path; WHEN counts the
  requests that carry the same
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import TypeVar

from kthena_fast import durations

from . import faults
from .config import EngineConfig
from .refusals import Refusal

Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True, slots=True)
class Controls:
    output_tokens: int | None
    first_token_delay: float
    token_interval: float
    hold_after: int | None
    fault: faults.Fault | None


def read(headers: Mapping[str, str], config: EngineConfig) -> Controls:
    """The request's wishes over the engine's settings; a value that is none is refused with 400."""
    delay = _read(headers, "X-Mock-First-Token-Delay", seconds)
    interval = _read(headers, "X-Mock-Token-Interval", seconds)
    return Controls(
        output_tokens=_read(headers, "X-Mock-Output-Tokens", _count),
        first_token_delay=config.first_token_delay if delay is None else delay,
        token_interval=config.token_interval if interval is None else interval,
        hold_after=_read(headers, "X-Mock-Hold-After", int),
        fault=_read(headers, "X-Mock-Fault", faults.parse),
    )


def seconds(text: str) -> float:
    """`20ms`, `1.5s`, or a plain number of seconds."""
    try:
        value = float(text)
    except ValueError:
        value = durations.parse(text)
    if not 0 <= value <= durations.MAX_SECONDS:
        raise ValueError(f"{text!r} is not a time from 0 up")
    return value


def _count(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError(f"{text!r} is not a number from 1 up")
    return value


def _read(headers: Mapping[str, str], name: str, parse: Callable[[str], Value]) -> Value | None:
    text = headers.get(name)
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise Refusal(400, f"{name}: {error}", param=name) from None
