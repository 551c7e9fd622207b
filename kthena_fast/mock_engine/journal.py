"""What arrived: one `Record` a request, in order, and a way to wait until something is so."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import orjson


class Record:
    """One request as it was received. Times are seconds of the loop's clock."""

    __slots__ = (
        "aborted",
        "arrived_at",
        "body",
        "connection",
        "fault",
        "finished",
        "headers",
        "kept",
        "lost_at",
        "method",
        "over",
        "path",
        "tokens_sent",
        "version",
    )

    def __init__(
        self,
        method: str,
        path: str,
        version: tuple[int, int],
        headers: tuple[tuple[bytes, bytes], ...],
        connection: tuple[str, int],
        arrived_at: float,
    ) -> None:
        self.method = method
        self.path = path
        """As received: with its query, its escapes undecoded."""
        self.version = version
        self.headers = headers
        """As received: case, order, duplicates."""
        self.connection = connection
        """The client's address and port: requests that share them came over one connection."""
        self.arrived_at = arrived_at
        self.body = b""
        """What was read of it, should the client leave halfway."""
        self.fault: str | None = None
        """The fault that befell it."""
        self.tokens_sent = 0
        """Token events written so far, of a streamed answer."""
        self.finished = False
        """The answer was written to its end."""
        self.aborted = False
        """The client was gone before that."""
        self.lost_at: float | None = None
        """When it was."""
        self.kept = False
        """The journal still holds it."""
        self.over = False
        """The engine is done with it, in whatever way."""

    def __repr__(self) -> str:
        states = [name for name in ("finished", "aborted", "over") if getattr(self, name)]
        fault = [f"fault={self.fault}"] if self.fault else []
        return f"<{self.method} {self.path} {len(self.body)} bytes {' '.join([*states, *fault])}>"

    def header(self, name: str) -> str | None:
        """The first value of a header field, whatever its case."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == wanted), None)

    def json(self) -> Any:
        """The body, decoded."""
        return orjson.loads(self.body)


class Journal:
    """The last records, bounded in number and in bytes of bodies."""

    __slots__ = ("_body_bytes", "_changed", "_max_body_bytes", "_max_records", "arrivals", "records")

    def __init__(self, max_records: int, max_body_bytes: int) -> None:
        self.records: deque[Record] = deque()
        self.arrivals = 0
        """Requests ever seen, kept or not."""
        self._max_records = max_records
        self._max_body_bytes = max_body_bytes
        self._body_bytes = 0
        self._changed: asyncio.Future[None] | None = None

    def open(self, record: Record) -> None:
        self.arrivals += 1
        if self._max_records:
            record.kept = True
            self.records.append(record)
            if len(self.records) > self._max_records:
                self._drop_oldest()
        self.note()

    def take_body(self, record: Record, body: bytes) -> None:
        """The body of an open record, as far as it came."""
        record.body = body
        if record.kept:
            self._body_bytes += len(body)
            while self._body_bytes > self._max_body_bytes and len(self.records) > 1:
                self._drop_oldest()
        self.note()

    def clear(self) -> None:
        while self.records:
            self._drop_oldest()

    def note(self) -> None:
        """Something changed: whoever waits looks again."""
        if self._changed is not None:
            self._changed.set_result(None)
            self._changed = None

    async def until(self, holds: Callable[[], bool]) -> None:
        """Returns once `holds()`; it is asked again whenever a request arrives, sends a token, or ends."""
        while not holds():
            if self._changed is None:
                self._changed = asyncio.get_running_loop().create_future()
            # Shielded: others wait for the same future.
            await asyncio.shield(self._changed)

    def _drop_oldest(self) -> None:
        oldest = self.records.popleft()
        oldest.kept = False
        self._body_bytes -= len(oldest.body)
