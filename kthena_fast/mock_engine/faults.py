"""Faults: ways in which an engine fails, and how often.

Written `NAME[:VALUE][:WHEN]`: `hang`, `status:503:first-2`, `die-mid-stream:3:every-10`, `slow-head:0.5:5%`. WHEN is
`every-N` (the Nth, 2Nth, ... request), `first-N` (the first N), or `P%` (each with that probability); else always.
"""

import dataclasses
import enum
import random
import re
from collections.abc import Sequence


class FaultName(enum.StrEnum):
    """What happens once the request has been read. Where it says dies, the connection is closed."""

    DIE_BEFORE_HEAD = "die-before-head"
    """Dies without a byte."""
    RESET = "reset"
    """Dies without a byte, by a TCP reset."""
    DIE_IN_HEAD = "die-in-head"
    """Dies inside the header fields."""
    DIE_MID_BODY = "die-mid-body"
    """Dies in the middle of a Content-Length body, or of a stream's first token event."""
    DIE_MID_STREAM = "die-mid-stream"
    """Dies after VALUE (1) token events, at the latest before the end; other answers are whole."""
    HANG = "hang"
    """Never answers."""
    SLOW_HEAD = "slow-head"
    """The head comes VALUE (1) seconds late."""
    STATUS = "status"
    """Answers VALUE (500) with an error object; 429 and 503 carry Retry-After."""
    GARBAGE = "garbage"
    """Answers what is not HTTP, and dies."""
    CLOSE_AFTER = "close-after"
    """Answers with Connection: close."""
    CLOSE_SILENTLY = "close-silently"
    """Answers as if the connection stayed, then closes it."""
    HTTP10 = "http10"
    """Answers in HTTP/1.0: no length, no chunks, the close is the end."""
    BAD_CHUNK = "bad-chunk"
    """Answers in chunks, and after the first token event, or half the body, sends a chunk size that is none."""
    INFORMATIONAL = "informational"
    """Sends a 1xx VALUE (103) ahead of the answer."""
    BIG_BODY = "big-body"
    """Pads the body, or a stream's first token event, with VALUE (1 MiB) spaces that JSON ignores."""


DEFAULT_VALUES = {
    FaultName.DIE_MID_STREAM: 1.0,
    FaultName.SLOW_HEAD: 1.0,
    FaultName.STATUS: 500.0,
    FaultName.INFORMATIONAL: 103.0,
    FaultName.BIG_BODY: float(2**20),
}
"""The faults that take a value."""

_EVERY = re.compile(r"every-([1-9][0-9]*)")
_FIRST = re.compile(r"first-([1-9][0-9]*)")
_PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?)%")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One way to fail. At most one of `every`, `first` and `probability` is set; none: always."""

    name: FaultName
    value: float = 0.0
    every: int | None = None
    first: int | None = None
    probability: float | None = None

    @property
    def is_scheduled(self) -> bool:
        return not (self.every is None and self.first is None and self.probability is None)

    def befalls(self, number: int, dice: random.Random) -> bool:
        """Whether request `number`, counted from 1, meets this fault."""
        if self.every is not None:
            return number % self.every == 0
        if self.first is not None:
            return number <= self.first
        if self.probability is not None:
            return dice.random() < self.probability
        return True


def parse(text: str) -> Fault:
    """The fault that `NAME[:VALUE][:WHEN]` names; ValueError says what is allowed."""
    first, *rest = text.split(":")
    try:
        name = FaultName(first)
    except ValueError:
        raise ValueError(f"unknown fault {first!r}; allowed are {', '.join(FaultName)}") from None
    fault = Fault(name, DEFAULT_VALUES.get(name, 0.0))
    if rest and _NUMBER.fullmatch(rest[0]):
        fault = _with_value(fault, rest.pop(0))
    if rest:
        fault = _with_schedule(fault, rest.pop(0))
    if rest:
        raise ValueError(f"{text!r} is not of the form NAME[:VALUE][:WHEN]")
    return fault


def _with_value(fault: Fault, text: str) -> Fault:
    if fault.name not in DEFAULT_VALUES:
        raise ValueError(f"the fault {fault.name} takes no value, but got {text!r}")
    value = float(text)
    if fault.name is FaultName.STATUS and value not in range(400, 600):
        raise ValueError(f"the fault status takes 400 to 599, not {text}")
    if fault.name is FaultName.INFORMATIONAL and value not in (100, 102, 103):
        raise ValueError(f"the fault informational takes 100, 102 or 103, not {text}")
    return dataclasses.replace(fault, value=value)


def _with_schedule(fault: Fault, text: str) -> Fault:
    if match := _EVERY.fullmatch(text):
        return dataclasses.replace(fault, every=int(match[1]))
    if match := _FIRST.fullmatch(text):
        return dataclasses.replace(fault, first=int(match[1]))
    if match := _PERCENT.fullmatch(text):
        return dataclasses.replace(fault, probability=float(match[1]) / 100)
    raise ValueError(f"{text!r} says neither a value nor when {fault.name} strikes: every-N, first-N or P%")


class FaultPlan:
    """Deals out faults, one request after the other; the same seed deals the same."""

    __slots__ = ("_dice", "_faults", "_number")

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self._faults = tuple(faults)
        self._dice = random.Random(seed)  # noqa: S311 - repeatable is what is wanted
        self._number = 0

    def next(self) -> Fault | None:
        """The fault of the next request, if it meets one."""
        self._number += 1
        # Every fault is asked, so that one does not shift the dice of the next.
        met = [fault for fault in self._faults if fault.befalls(self._number, self._dice)]
        return met[0] if met else None
