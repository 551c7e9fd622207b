"""Timeouts for thousands of requests at once, at the price of one timer.

Deadlines that fall into the same tenth of a second share a bucket, and the loop knows only of the earliest bucket. So
setting one is two dictionary operations, giving it up is one, and what was given up holds no memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.upstream._deadlines_py import GRANULARITY as GRANULARITY
    from kthena_fast.upstream._deadlines_py import Deadline as Deadline
    from kthena_fast.upstream._deadlines_py import Deadlines as Deadlines
else:
    try:
        from kthena_fast.upstream._deadlines_c import GRANULARITY as GRANULARITY
        from kthena_fast.upstream._deadlines_c import Deadline as Deadline
        from kthena_fast.upstream._deadlines_c import Deadlines as Deadlines
    except ModuleNotFoundError:
        from kthena_fast.upstream._deadlines_py import GRANULARITY as GRANULARITY
        from kthena_fast.upstream._deadlines_py import Deadline as Deadline
        from kthena_fast.upstream._deadlines_py import Deadlines as Deadlines
