"""Hot structures in twins: the ledger, the heap. No socket, no loop, no clock."""
