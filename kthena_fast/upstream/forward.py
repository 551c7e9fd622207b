"""The step that takes a request to an engine: which pod, how often, and what becomes of each failure.

Attempts
1. A pod is tried once for a request. Its connection may have been kept from an earlier request and be closed by the
   engine just as it is used again; before the first byte of a response that is nobody's failure, and the same pod is
   asked once more over a new connection. It counts as no retry, or an engine that keeps connections for five seconds
   would show up as 502 where there is one pod or no retry is allowed.
2. Where no connection can be had, nothing was written, and the next pod is tried at once: up to five, always.
3. A connection that ends before the response head, and an engine's 429, 502 or 503, are tried on another pod up to
   `retry_attempts` times, each after `retry_interval`.
4. Everything else is final. A timeout is never tried again: it would repeat the generation under overload.
5. An engine's answer is shown as it is when no retry is left or no other pod is.

A `Forwarding` is one request on its way. `start` makes the first attempt without waiting for anything, where a
connection is at hand; `complete` is a coroutine that makes all attempts, or those that are left after one started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.upstream._forward_py import Forwarder as Forwarder
    from kthena_fast.upstream._forward_py import Forwarding as Forwarding
    from kthena_fast.upstream._forward_py import Request as Request
else:
    try:
        from kthena_fast.upstream._forward_c import Forwarder as Forwarder
        from kthena_fast.upstream._forward_c import Forwarding as Forwarding
        from kthena_fast.upstream._forward_c import Request as Request
    except ModuleNotFoundError:
        from kthena_fast.upstream._forward_py import Forwarder as Forwarder
        from kthena_fast.upstream._forward_py import Forwarding as Forwarding
        from kthena_fast.upstream._forward_py import Request as Request
