"""`Turns`: every queue of the process, and who is called when. See the rules of the room.

    turn = turns.enter(exchange, match, now)
    try:
        if turn.server is None:
            await turns.wait(turn, find)
        ... turn.server, turn.on_events, turn.on_usage ...
    finally:
        turn.end()

1. `enter` is a plain call: what nearly every request meets, a permit that is free and nobody before it, needs no
   coroutine. It raises GatewayError where no target has pods (`no_ready_pod`) and for a full queue.
2. `wait` returns once it is the request's turn, with its `server` set; `find` matches it again when routes change. Else
   it raises, and has ended the turn: what `find` raises, GatewayError for a wait that took too long, CancelledError.
3. `match` is on the snapshot in service, and `now` the loop's clock, as exact as the caller has it at hand.
"""

from typing import TYPE_CHECKING, Any, Protocol

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING:
    from collections.abc import Callable

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.queueing._turns_py import Turns as Turns
else:
    try:
        from kthena_fast.queueing._turns_c import Turns as Turns
    except ModuleNotFoundError:
        from kthena_fast.queueing._turns_py import Turns as Turns


class Timers(Protocol):
    """Coarse timers (`upstream.deadlines.Deadlines` has this shape, but is a neighbour)."""

    def add(self, seconds: float, callback: "Callable[[], object]") -> Any: ...

    def cancel(self, deadline: Any) -> None: ...
