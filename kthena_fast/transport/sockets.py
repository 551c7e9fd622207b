"""`Sockets(loop, nap)`: plain TCP connections, watched by an epoll of their own, which the loop watches as one
descriptor.

A loop that serves each connection by itself enters a context, looks up a handle and puts a write aside for each piece
of a stream, and its epoll is level-triggered. Here a turn of the loop serves all connections to which something
happened, each by one `recv` and one `send`, without anything in between. What it saves stands in docs/performance.md.

- `adopt(opened, factory)` makes a `Stream` of a connected socket, whose owner it is from then on, and tells the new
  protocol of it. TCP_NODELAY is set.
- `await connect(factory, host, port)` connects to the address of a host that answers first (RFC 8305); OSError when
  none does.
- `listener.Listener` does so with what comes to a listening socket.
- `close()` watches no more and cuts off what is open.

1. In one turn of the loop at most `MOST_EVENTS` connections are served that something happened to, and as many that
   have more to read; of each at most `stream.READS_AT_ONCE` pieces are read. Then timers and tasks have their turn.
2. An exception in one protocol is that connection's end and no other's.
3. Where pieces of streams come densely, at least two within `nap` seconds, and a look at the connections shows nothing
   else, it sleeps for so long and looks again: several pieces then share one waking of the process, which is a third of
   what a piece costs. Only connections that say so are such streams (`Stream.is_patient`); anything else that comes
   waits for one nap at most, and after `MOST_NAPS` in a row the loop has its turn. 0: never.
4. What is written while several connections are served is sent when all are, or when `stream.MOST_GATHERED` have
   written: a peer that was woken by the first piece then finds the others without falling asleep in between, and it is
   the sender whom a waking costs time. Large pieces, and what one connection writes that is served alone, go at once,
   and nothing waits for a connection that brings much.

Epoll is Linux's. Elsewhere, for connections with TLS, and without extensions (which make this the slower way), the
loop's own transports serve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.transport._sockets_py import Sockets as Sockets
else:
    try:
        from kthena_fast.transport._sockets_c import Sockets as Sockets
    except ModuleNotFoundError:
        from kthena_fast.transport._sockets_py import Sockets as Sockets
