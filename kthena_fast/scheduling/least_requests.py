"""The pod with the fewest requests in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.scheduling._least_requests_py import LeastRequests as LeastRequests
else:
    try:
        from kthena_fast.scheduling._least_requests_c import LeastRequests as LeastRequests
    except ModuleNotFoundError:
        from kthena_fast.scheduling._least_requests_py import LeastRequests as LeastRequests
