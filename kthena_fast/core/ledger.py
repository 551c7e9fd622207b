"""What each user of each model was served in the last window, and his virtual token counter, exactly.

1. Amounts are *units*: integers, tokens times integer weights over a common denominator. Whoever calls turns tokens
   into units. A share divides at comparison, never at charge.
2. ``now`` is seconds of Unix time, a float (``time.time()``), and is passed in. Slots are a 64th of the window wide and
   begin at multiples of their width in Unix time. `Ledger.service` counts every charge of the last window and none
   that is older than the window and one slot.
3. A clock that goes back stands still until it has caught up; one that goes back by more than the window is believed,
   and what was charged ages from there on. Totals are never negative and never drift.
4. A row belongs to one user of one model. Hold it (`Ledger.pin`, `Ledger.unpin`) for as long as you use its number. A
   row that nobody holds is forgotten one window after its last charge, at once if the window holds nothing of it, and,
   when all ``rows`` are in use, if it is the one with least service (`Ledger.evictions` counts). If every row is held:
   `LedgerFull`. A held row is never forgotten, and its name is known; that of another only among the heaviest.
5. A turn of the ring is work, and it is done in pieces: at every multiple of `Ledger.width` call `Ledger.sweep`, again
   and again (once a loop turn), until it returns 0. Each call takes a fraction of a millisecond however many rows
   there are. A row that is touched before the sweep gets to it is caught up by that.
6. `Ledger.refund` takes from the newest slots first and never more than there is; the counter loses all of it.
7. Users are found by 16 bytes: XXH3-128 of the name, seeded by XXH3-64 of the model, seeded by a secret that each
   process draws (pass ``seed`` for replicas to agree). A keyed BLAKE2b would cost more than all the rest of a request;
   without the seed nobody can prepare two names that meet, and nothing a client sees depends on a digest.
8. Values of the wrong type are `TypeError` (a bool is no int, an int no clock), values out of range and NaN
   `ValueError`, a row that nobody holds `LookupError`, the same in both twins; what was refused changed nothing.
"""

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.core._ledger_py import Ledger as Ledger
    from kthena_fast.core._ledger_py import LedgerFull as LedgerFull
else:
    try:
        from kthena_fast.core._ledger_c import Ledger as Ledger
        from kthena_fast.core._ledger_c import LedgerFull as LedgerFull
    except ModuleNotFoundError:
        from kthena_fast.core._ledger_py import Ledger as Ledger
        from kthena_fast.core._ledger_py import LedgerFull as LedgerFull
