"""`Incoming(budget, most)`: what has come of a request's body on a connection of the lane, one request after the other.

    incoming.begin(length)          # as the head says
    incoming.take(piece)            # as they come; or, for the rest of a large one:
    stream.receive_into(incoming.room(), incoming.came(), told)     # told: incoming.received
    incoming.hold()                 # count in what came; `is_ready` does so where all is here
    body = incoming.whole()         # once nothing is missing
    incoming.forget()               # once the request is settled, or nobody wants the body

1. A body in one piece is that piece; any other is put together where it will lie. Room is taken with the first piece,
   not with the length that a client promises.
2. What came is counted into the `Budget` by `hold` and out by `forget`, whatever happens between them.
3. Who has others write into its room has them stop where `forget` says that there was one.
4. Beyond `most` bytes nothing is kept; what is missing is counted all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.gateway._incoming_py import Incoming as Incoming
else:
    try:
        from kthena_fast.gateway._incoming_c import Incoming as Incoming
    except ModuleNotFoundError:
        from kthena_fast.gateway._incoming_py import Incoming as Incoming
