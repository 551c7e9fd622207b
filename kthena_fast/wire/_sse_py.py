"""The source of both twins of ``wire.sse``, where the contract is."""

import re
from typing import Final

import orjson

from kthena_fast.wire import _scan as scan
from kthena_fast.wire import usage as usages

_LF: Final = ord("\n")
_CR: Final = ord("\r")
_SPACE: Final = ord(" ")
_TAB: Final = ord("\t")
_QUOTE: Final = ord('"')
_COLON: Final = ord(":")
_COMMA: Final = ord(",")
_OPEN: Final = ord("{")
_CLOSE: Final = ord("}")
_OPEN_LIST: Final = ord("[")
_CLOSE_LIST: Final = ord("]")

_DELTA: Final = b'"delta"'
_TEXT: Final = b'"text"'
_CHOICES: Final = b'"choices"'
_USAGE: Final = b'"usage"'
_DATA: Final = b"data:"
_DONE: Final = b"[DONE]"
_TERMINAL: Final = re.compile(rb'"type"\s*:\s*"(?:response\.(?:completed|failed|incomplete)|message_stop)"')

# Members of a delta that say something about the answer and are no part of it.
_NOT_GENERATED: Final = frozenset((b"role", b"type", b"stop_reason", b"stop_sequence"))
_LIMIT: Final = 65536
_HEAD: Final = 1024
# A chunk has a delta for each choice, and n is at most 128.
_DELTAS: Final = 128


class Scanner:
    """See ``wire.sse``."""

    __slots__ = (
        "_bare",
        "_head",
        "_held",
        "_lf",
        "_lf_follows",
        "_lf_is_removed",
        "_released",
        "_strip",
        "done",
        "events",
        "mid_event",
        "usage",
    )

    def __init__(self, strip_usage: bool) -> None:
        self.events = 0
        self.usage: usages.Usage | None = None
        self.done = False
        self.mid_event = False
        self._strip = strip_usage
        # The event under way, and whether the client has these bytes. Of a long one: its last bytes, and _head.
        self._held = b""
        self._released = False
        self._head = b""
        # Nothing stands on the line under way.
        self._bare = True
        # In the text at hand: the next LF that is known.
        self._lf = -1
        # The last event ended in CR as the last byte: an LF that comes next is its own.
        self._lf_follows = False
        self._lf_is_removed = False

    def feed(self, data: bytes) -> bytes:
        """What the client gets now that ``data`` has come."""
        if type(data) is not bytes:
            raise TypeError("a piece of a body is bytes")
        if not data:
            return data
        known = len(self._held)
        text = self._held + data if known else data
        size = len(text)
        # text[:sent] is with the client or removed.
        sent = known if self._released else 0
        kept: list[bytes] = []
        start = 0
        at = known
        if self._lf_follows:
            self._lf_follows = False
            if text[0] == _LF:
                start = at = 1
                if self._lf_is_removed:
                    sent = 1
        self._lf = -1
        while at < size:
            stop = self._event_stop(text, start, at, size)
            if stop < 0:
                break
            at = stop + 1
            if text[stop] == _CR:
                if at == size:
                    self._lf_follows = True
                elif text[at] == _LF:
                    at += 1
            removed = self._take(text, start, stop) and sent <= start
            if removed:
                if sent < start:
                    kept.append(text[sent:start])
                sent = at
            self._lf_is_removed = removed
            self._released = False
            self._head = b""
            start = at
        upto = self._keep(text, start, size)
        if sent == known and upto == size and not kept:
            return data
        kept.append(text[sent:upto])
        return kept[0] if len(kept) == 1 else b"".join(kept)

    def passes(self, data: bytes, start: int, end: int) -> bool:
        """`feed`, where ``data[start:end]`` is one event of one data line and stays; else nothing is done."""
        if self._held or self._lf_follows or not self._bare or end - start > _LIMIT:
            return False
        lf = scan.find_byte(data, _LF, start, end)
        if lf < 0 or lf != end - 2 or data[lf + 1] != _LF or lf - start < 5:
            return False
        if scan.find_byte(data, _CR, start, lf) >= 0 or scan.find(data, _DATA, start, start + 5) != start:
            return False
        reports = _may_report(data, start + 5, lf)
        if reports and self._strip:
            return False
        at = self._count(data, start + 5, lf)
        if reports and at >= 0:
            self._report(data, at, lf)
        return True

    def flush(self) -> bytes:
        """What was held back, now that the body has ended. An event that lacks only its empty line is still read."""
        held = self._held
        released = self._released
        head = self._head
        self._held = self._head = b""
        self._released = False
        self._bare = True
        if not held or head:
            return b""
        payload = _joined(held)
        removed = False
        if payload.strip() == _DONE or _is_json(payload):
            removed = self._judge(payload, 0, len(payload))
        return b"" if released or removed else held

    def _event_stop(self, text: bytes, start: int, at: int, size: int) -> int:
        """Where the line end is that makes the empty line of the event ``text[start:]``; ``at`` is where to go on."""
        while at < size:
            # One look for LF serves all the lines before it, so that CRs alone do not make this quadratic.
            if self._lf < at:
                self._lf = scan.find_byte(text, _LF, at, size)
                if self._lf < 0:
                    self._lf = size
            stop = scan.find_byte(text, _CR, at, self._lf)
            if stop < 0:
                stop = self._lf
            if stop == size:
                self._bare = False
                return -1
            if stop > at or not self._bare:
                self._bare = True
                at = stop + 1
            elif at > start and text[at] == _LF and text[at - 1] == _CR:
                # The second half of a line end.
                at += 1
            else:
                return stop
        return -1

    def _keep(self, text: bytes, start: int, size: int) -> int:
        """Keep the unfinished event ``text[start:]``; up to where the client may have the bytes."""
        length = size - start
        if not length:
            self._held = b""
            self._released = False
            self.mid_event = False
            return size
        self.mid_event = True
        if length > _LIMIT:
            if not self._head:
                self._head = text[start : start + _HEAD]
            self._held = text[size - _LIMIT :]
            self._released = True
            return size
        self._held = text[start:] if start else text
        if self._strip and not self._released and not _shows_choice(text, start, size):
            return start
        self._released = True
        return size

    def _take(self, text: bytes, start: int, stop: int) -> bool:
        """Read the event whose lines are ``text[start:stop]``; whether it is to be removed."""
        if self._head or stop - start > _LIMIT:
            head = self._head or text[start : start + _HEAD]
            self._read_long(head, text[max(start, stop - _LIMIT) : stop])
            return False
        # Nearly all events are one data line: no copy is made of it.
        end = scan.find_byte(text, _LF, start, stop)
        plain = end == stop - 1 and end - start >= 5 and text[end - 1] != _CR
        if plain and scan.find(text, _DATA, start, start + 5) == start:
            removed = self._judge(text, start + 5, end)
        else:
            payload = _joined(text[start:stop])
            removed = self._judge(payload, 0, len(payload))
        # What is released when it comes in pieces is not removed when it comes whole.
        return removed and not _shows_choice(text, start, stop)

    def _read_long(self, head: bytes, tail: bytes) -> None:
        if _is_generated(head, 0, len(head)):
            self.events += 1
        elif _TERMINAL.search(head) or _TERMINAL.search(tail):
            self.done = True
        reported = usages.last(tail)
        if reported is not None:
            self.usage = reported

    def _judge(self, data: bytes, at: int, end: int) -> bool:
        """Read the payload ``data[at:end]`` of an event; whether the event is to be removed."""
        at = self._count(data, at, end)
        return at >= 0 and _may_report(data, at, end) and self._report(data, at, end)

    def _count(self, data: bytes, at: int, end: int) -> int:
        """Note what an event is; where the object begins that it holds, or -1."""
        at = scan.space_end(data, at, end)
        if at >= end:
            return -1
        if data[at] != _OPEN:
            if data[at] == _OPEN_LIST and data[at:end].rstrip() == _DONE:
                self.done = True
            return -1
        if _is_generated(data, at, end):
            self.events += 1
        elif scan.find(data, _CHOICES, at, end) < 0 and _TERMINAL.search(data, at, end):
            self.done = True
        return at

    def _report(self, data: bytes, at: int, end: int) -> bool:
        """Read the usage in an object; whether there is nothing else in it."""
        try:
            document = orjson.loads(data[at:end])
        except orjson.JSONDecodeError:
            return False
        self.usage = usages.of(document, self.usage)
        return self._strip and document.get("choices") == [] and type(document.get("usage")) is dict


def _joined(event: bytes) -> bytes:
    """The payload of an event: its ``data`` lines without the name, joined."""
    # bytes.splitlines knows LF, CRLF and CR and no other line end.
    return b"\n".join(
        [line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(_DATA) or line == b"data"]
    )


def _is_json(payload: bytes) -> bool:
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError:
        return False
    return True


def _may_report(data: bytes, at: int, end: int) -> bool:
    """Whether a member ``usage`` holds an object; engines that end with usage say ``"usage":null`` until then."""
    while True:
        at = scan.find(data, _USAGE, at, end)
        if at < 0:
            return False
        at += len(_USAGE)
        value = scan.value_start(data, at, end)
        if value >= 0 and data[value] == _OPEN:
            return True


def _shows_choice(data: bytes, at: int, end: int) -> bool:
    """Whether ``choices`` is seen not to be empty. What is true of an event's beginning is true of the event."""
    at = scan.find(data, _CHOICES, at, end)
    if at < 0:
        return False
    at = _blank_end(data, at + len(_CHOICES), end)
    if at >= end or data[at] != _COLON:
        return False
    at = _blank_end(data, at + 1, end)
    if at >= end or data[at] != _OPEN_LIST:
        return False
    at = _blank_end(data, at + 1, end)
    return at < end and data[at] == _OPEN


def _blank_end(data: bytes, at: int, end: int) -> int:
    # Not over line ends: the next line of an event is not yet its payload.
    while at < end and (data[at] == _SPACE or data[at] == _TAB):
        at += 1
    return at


def _is_generated(data: bytes, at: int, end: int) -> bool:
    """Whether the payload ``data[at:end]`` carries something that was generated."""
    needle = _DELTA
    key = scan.find(data, needle, at, end)
    if key < 0:
        # Completions have no delta; elsewhere "text" repeats what the deltas said.
        needle = _TEXT
        key = scan.find(data, needle, at, end)
        if key < 0 or not _shows_choice(data, at, end):
            return False
    for _ in range(_DELTAS):
        key += len(needle)
        value = scan.value_start(data, key, end)
        if value >= 0:
            if data[value] == _QUOTE:
                if value + 1 < end and data[value + 1] != _QUOTE:
                    return True
            elif data[value] == _OPEN and _says_something(data, value, end):
                return True
        key = scan.find(data, needle, key, end)
        if key < 0:
            break
    return False


def _says_something(data: bytes, at: int, end: int) -> bool:
    """Whether the delta that begins at ``at`` has a member that is generated and not empty."""
    at = scan.space_end(data, at + 1, end)
    while at < end and data[at] == _QUOTE:
        after = scan.string_end(data, at + 1, end)
        if after < 0:
            return False
        value = scan.value_start(data, after, end)
        if value < 0:
            return False
        if _is_filled(data, value, end) and _is_generated_member(data, at + 1, after - 1):
            return True
        value = scan.value_end(data, value, end)
        if value < 0:
            return False
        at = scan.space_end(data, value, end)
        if at >= end or data[at] != _COMMA:
            return False
        at = scan.space_end(data, at + 1, end)
    return False


def _is_generated_member(data: bytes, at: int, end: int) -> bool:
    length = end - at
    # Most names need not be looked up: none of those that are known has their length.
    return (length != 4 and length != 11 and length != 13) or data[at:end] not in _NOT_GENERATED  # noqa: PLR1714


def _is_filled(data: bytes, at: int, end: int) -> bool:
    """Whether a string, list or object that is not empty begins at ``at``."""
    if data[at] == _QUOTE:
        return at + 1 < end and data[at + 1] != _QUOTE
    if data[at] == _OPEN or data[at] == _OPEN_LIST:
        at = scan.space_end(data, at + 1, end)
        return at < end and data[at] != _CLOSE and data[at] != _CLOSE_LIST
    return False
