"""`Exchange`: everything known of one request, from its arrival to its line in the access log.

1. Times are seconds of the loop's clock, but `wall` (Unix time, seconds). What has not happened is None.
2. Fields are grouped by the step that fills them; a step reads what earlier ones wrote and nothing else.
3. An exchange is its own key: two are never equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.exchange._record_py import Exchange as Exchange
    from kthena_fast.exchange._record_py import Kept as Kept
else:
    try:
        from kthena_fast.exchange._record_c import Exchange as Exchange
        from kthena_fast.exchange._record_c import Kept as Kept
    except ModuleNotFoundError:
        from kthena_fast.exchange._record_py import Exchange as Exchange
        from kthena_fast.exchange._record_py import Kept as Kept

Headers = list[tuple[bytes, bytes]]
"""Names in lower case, in the order of arrival, values as they came."""
