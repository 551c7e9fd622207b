"""One answer on its way from an engine's connection to the client.

`Relay(loop, exchange, downstream, flow, strip_usage, may_refuse, tally)` waits for a response head and then passes the
body on, in the very call in which it got the bytes. `outcome` is a future of how that ended; `detail` says why it did
not end well.

- With `may_refuse`, an answer of 429, 502 or 503 is not shown to the client: `Outcome.REFUSED`.
- With `strip_usage`, the event of a stream that only reports usage is taken out; everything else is passed as it came.
- A `Content-Length` answer is never edited. A body without a length is chunked to a client that understands it, and
  ends with the connection to one that does not.
- A stream that the engine breaks off ends with an error event, any other answer with less than was promised, both with
  the connection; `exchange.error` says what happened.
- The exchange gets its status, times, counts and usage, also when the answer was cut or abandoned.
- `tally`, if there is one, hears of content events and usage as they pass.
- The client's slowness reaches `flow` through `Downstream.attach`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.upstream._relay_py import Relay as Relay
else:
    try:
        from kthena_fast.upstream._relay_c import Relay as Relay
    except ModuleNotFoundError:
        from kthena_fast.upstream._relay_py import Relay as Relay
