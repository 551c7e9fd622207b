"""The express lane: what nearly all traffic is, without what a general HTTP server would spend on it.

`Lane(way)` is the asyncio protocol of one client's connection. It serves `POST` requests in HTTP/1.1 for paths under
`/v1/` whose body has a `Content-Length`, one after the other, in the order in which they came.

- What is malformed is answered here, in OpenAI's shape, and ends the connection: 400, 408, 413, 431.
- What is well-formed but unusual (pages, `GET`, chunked bodies, `Expect`, HTTP/1.0...) is handed to aiohttp's handler
  with its connection and its bytes. That happens only between two requests, and the connection stays there.
- Both ways give the same answers: status, headers (but `Date` and the request's id) and body.
- `serves` says whether a request is under way. `close_idle` closes the connection unless one is; `shut` closes it
  whatever is under way.
- A client that leaves cancels its request. One that only closes its own direction, before its answer has
  begun, is still answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING:
    from kthena_fast.gateway._lane_py import Lane as Lane
elif NO_EXTENSIONS:
    from kthena_fast.gateway.interpreted.lane import Lane as Lane
else:
    try:
        from kthena_fast.gateway._lane_c import Lane as Lane
    except ModuleNotFoundError:
        from kthena_fast.gateway._lane_py import Lane as Lane
