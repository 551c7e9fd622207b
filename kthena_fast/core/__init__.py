"""Hot structures in twins: the ledger, the heap. No socket, no loop, no clock."""

import os

# Before numpy is imported anywhere: its OpenBLAS would start a thread for each core, and the ledger multiplies nothing.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
