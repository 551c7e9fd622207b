"""`Turn`: one request's wait, its permit, and its account with the ledger; `Terms`: what all turns are charged by.

1. A turn is made by `Turns.enter` and is what waits in the heap. It has its permit as soon as it has a `server`.
2. What it owes is always `request + input + max(output, reserved)`, in units; each step charges the difference.
3. The relay reports to it (`upstream.attempt.Tally`); whoever entered it must `end` it, once at least.
"""

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.queueing._turn_py import Terms as Terms
    from kthena_fast.queueing._turn_py import Turn as Turn
else:
    try:
        from kthena_fast.queueing._turn_c import Terms as Terms
        from kthena_fast.queueing._turn_c import Turn as Turn
    except ModuleNotFoundError:
        from kthena_fast.queueing._turn_py import Terms as Terms
        from kthena_fast.queueing._turn_py import Turn as Turn
