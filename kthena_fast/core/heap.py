"""Whose turn is it: the users who wait for one model and one list of targets, best first.

    new --enter--> waiting --pop--> called --leave--> gone         `Ticket.charge`, `Ticket.settle`: only while called
                      +--------------leave-------------^

1. `Heap.enter` lets a request, a `Ticket` or a class made from it, wait; `Heap.pop` calls the best one and charges it
   what it was said to cost, in one step. `Heap.admit` is both at once, where nobody waits. The heap holds *users*, each
   with a FIFO of his requests, so a user's requests never overtake each other.
2. The order is strict: the lower class first; then the smaller service divided by the share; then the earlier arrival
   of the oldest request that waits. No two requests arrive together.
3. The order is current: a charge or a refund moves a waiting user at once, in every heap where he waits; a turn of the
   ring moves him when his block of rows is swept (`Ledger.sweep`; each `pop` does a piece of it too).
4. Policies: ``window`` orders by what the window holds; ``vtc`` by the counter, and lifts a user whose first request
   arrives to the least counter among the users of his class who wait for the same permits (`Heap.compete`),
   or if none waits to the counter of the user of his class who last left this queue; ``lcf`` is ``vtc`` without the
   lift; ``fcfs`` orders by arrival alone (for the simulator).
5. A ticket holds its user's row from `enter` to `Ticket.leave`. Every ticket must leave, wherever it is; a second
   `leave` does nothing, so it belongs in a ``finally``. A cancelled request leaves from anywhere in O(log n).
6. `Ticket.charged` is what this request has cost so far. `Ticket.charge` adds, `Ticket.settle` makes it exactly so
   much, giving back if need be, `Ticket.finish` settles and leaves. So: enter with the input (and what is reserved),
   charge events as they come, finish with the usage; or with 0 if the engine never got the request.
7. `Rivals` are the heaps in which somebody waits for the same permits; a permit goes to `Rivals.best`. Heaps in which
   nobody waits cost nothing, however many there are.
8. A request that may not wait is `QueueFull` with the ``reason`` ``"queue_full"`` or ``"user_queue_full"``, or
   `LedgerFull`. A call that the drawing does not know is a `RuntimeError`. Other errors as in `ledger`, the same in
   both twins; what was refused changed nothing.
"""

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.core._heap_py import Heap as Heap
    from kthena_fast.core._heap_py import QueueFull as QueueFull
    from kthena_fast.core._heap_py import Rivals as Rivals
    from kthena_fast.core._heap_py import Ticket as Ticket
else:
    try:
        from kthena_fast.core._heap_c import Heap as Heap
        from kthena_fast.core._heap_c import QueueFull as QueueFull
        from kthena_fast.core._heap_c import Rivals as Rivals
        from kthena_fast.core._heap_c import Ticket as Ticket
    except ModuleNotFoundError:
        from kthena_fast.core._heap_py import Heap as Heap
        from kthena_fast.core._heap_py import QueueFull as QueueFull
        from kthena_fast.core._heap_py import Rivals as Rivals
        from kthena_fast.core._heap_py import Ticket as Ticket
