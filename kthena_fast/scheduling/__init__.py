"""Which pod serves a request: one file, one class and one entry in `PICKERS` for each way to choose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kthena_fast.scheduling.least_requests import LeastRequests
from kthena_fast.scheduling.picker import Picker

PICKERS: Final[dict[str, Callable[[], Picker]]] = {"least-requests": LeastRequests}
