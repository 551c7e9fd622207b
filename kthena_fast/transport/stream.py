"""`Stream`: a plain TCP connection as asyncio's transports are, made by `sockets.Sockets`.

It keeps what asyncio's documentation promises of a `Transport` whose protocol is a `Protocol` (a `BufferedProtocol` is
none): the order of calls, limits of the write buffer, half-closed connections, a protocol that is exchanged between two
of its calls. Where implementations differ:

- `write` asks the kernel at once and keeps only what it did not take: after most writes `get_write_buffer_size` is 0.
  After `close` or `abort`, and once the peer is gone, bytes go nowhere and nothing is raised.
- `pause_reading` and `resume_reading` may be called at any time, and the latter reads in the next turn of the loop.
- A protocol that raises loses its connection, and the loop's exception handler is told.
- A peer that said its last and then goes altogether is noticed at once, though nothing is read any more.
- `get_extra_info("socket")` is the socket itself.
- `receive_into` has what comes received where it belongs, as for a `BufferedProtocol`, for as long as its room lasts.
- Small pieces wait in the `Outbox` that connections share, while it is open (`sockets`, rule 4).
- `is_patient` may be set while what comes can wait for a fraction of a millisecond (`sockets`, rule 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.transport._stream_py import Outbox as Outbox
    from kthena_fast.transport._stream_py import Stream as Stream
else:
    try:
        from kthena_fast.transport._stream_c import Outbox as Outbox
        from kthena_fast.transport._stream_c import Stream as Stream
    except ModuleNotFoundError:
        from kthena_fast.transport._stream_py import Outbox as Outbox
        from kthena_fast.transport._stream_py import Stream as Stream


def own(transport: object) -> Stream | None:
    """The same, if it is one of these: what knows that need not look for its methods."""
    return transport if type(transport) is Stream else None
