"""`Lane`: the express lane, with the short way for what is plain."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, Final

from kthena_fast.gateway import _lane_py
from kthena_fast.gateway.interpreted import heads
from kthena_fast.gateway.interpreted.flight import Flight
from kthena_fast.gateway.journey import Passage

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

PATIENCE: Final = 0.005
"""Seconds in which the body of a head is waited for."""

MOST_DIGITS: Final = 5
"""Of the length of such a body; a longer one comes in many pieces anyhow."""


class Lane(_lane_py.Lane):
    """See `lane.Lane`."""

    __slots__ = ("_answered", "_asked", "_came", "_early", "_holding", "_origin")

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._asked: Callable[[], heads.Request | None] = _nothing
        """The head of the last request that was plain, as long as it is remembered."""
        self._answered: Callable[[], heads.Answer | None] = _nothing
        """And that of its answer."""
        self._early = b""
        """A head whose body is about to come."""
        self._came = 0.0, 0.0
        """When it came, by the loop's clock and in Unix time."""
        self._holding: asyncio.TimerHandle | None = None
        spoken = b"https" if self._is_tls else b"http"
        self._origin = b"\r\nx-forwarded-for: %b\r\nx-forwarded-proto: %b\r\n" % (self._peer.encode(), spoken)
        """Lines that every engine gets."""

    def data_received(self, data: bytes) -> None:
        came = None
        if self._holding is not None:
            data, came = self._stop_holding() + data, self._came
        flight = None
        if self._phase == _lane_py._BETWEEN and not self._head and not self._trusted:
            try:
                flight = self._flight(data)
            except Exception:  # noqa: BLE001 - whatever it is, the ordinary steps meet it, too, and tell
                flight = None
            if self._early:
                self._came = self._loop.time(), time.time()
                self._holding = self._loop.call_later(PATIENCE, self.go_on)
                return
        if flight is None:
            self._take(data, came)
            return
        if came is not None:
            flight.began, flight.wall = came
        self._phase = _lane_py._SERVING
        self._is_plain = True
        self._complete = self.started = self._incoming.is_in_place = False
        self._keep_alive = flight.asked.keep_alive
        flight.set_out()

    # A head whose body comes in a piece of its own, as httpx and with it OpenAI's SDK sends it, waits for that for a
    # moment. Whatever happens meanwhile finds it where the ordinary steps would have it: begun.

    def go_on(self) -> None:
        """Wait no more for a body: take what came of the request the ordinary way."""
        if self._holding is not None:
            self._take(self._stop_holding(), self._came)

    def _take(self, data: bytes, came: tuple[float, float] | None) -> None:
        """The ordinary way, of a request that began then."""
        super().data_received(data)
        passage = self._passage
        if came is not None and isinstance(passage, Passage):
            passage.exchange.began, passage.exchange.wall = came

    def _stop_holding(self) -> bytes:
        assert self._holding is not None
        self._holding.cancel()
        self._holding = None
        early = self._early
        self._early = b""
        return early

    def eof_received(self) -> bool:
        self.go_on()
        return super().eof_received()

    def connection_lost(self, failure: Exception | None) -> None:
        self.go_on()
        super().connection_lost(failure)

    def close_idle(self) -> None:
        self.go_on()
        super().close_idle()

    def _on_idle(self) -> None:
        self.go_on()
        super()._on_idle()

    def _flight(self, data: bytes) -> Flight | None:
        """What came, ready to be sent to its engine; None: it is not plain."""
        last = self._asked()
        found = heads.find(data, last, heads.request)
        if found is None:
            return None
        head, digits, body = found
        if head is not last:
            self._asked = weakref.ref(head)
        if digits != b"%d" % len(body):
            if not body and len(digits) <= MOST_DIGITS:
                self._early = data
            return None
        incoming = self._incoming
        budget, size = incoming._budget, len(body)
        held = budget.held + size
        if (
            self._state.detail
            or size > incoming._most
            or held > budget.limit
            or head.count > self._max_headers
            or head.size + len(digits) > self._max_header_bytes
        ):
            return None
        flight = Flight(self, head, digits, body)
        if not flight.understand() or not flight.enter():
            return None
        budget.held = held
        budget._most = max(budget._most, held)
        return flight

    def on_unfolded(self, size: int) -> None:
        """The request is served by the ordinary steps from here on: its body, of so many bytes, is theirs."""
        incoming = self._incoming
        incoming._budget.release(size)
        incoming.begin(size)
        incoming.missing = 0
        incoming.hold()

    def on_answered(self, now: float, size: int) -> None:
        """`_on_served`, of a request that was answered before it unfolded."""
        self._passage = None
        self._incoming._budget.held -= size
        if self._probing is not None:
            self._stop_probing()
        if self._is_lost:
            return
        if not self._keep_alive or self._way.is_closing or self._half_closed:
            self._end()
            return
        self._idle_since = now
        if self._waiting:
            self._loop.call_soon(self._go_on)
        else:
            self._phase = _lane_py._BETWEEN
            if self._is_paused:
                self._resume()


def _nothing() -> None: ...
