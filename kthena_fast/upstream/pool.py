"""Connections to the engines, kept alive between requests.

1. What is kept for a pod hangs on the pod itself (`pod.connections`), so a request looks nothing up.
2. The connection used last is used first, so that those not needed grow old and go.
3. A pod that left the snapshot keeps its requests and loses its idle connections; what comes back is closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.upstream._pool_py import IDLE_SECONDS as IDLE_SECONDS
    from kthena_fast.upstream._pool_py import SWEEP_SECONDS as SWEEP_SECONDS
    from kthena_fast.upstream._pool_py import Kept as Kept
    from kthena_fast.upstream._pool_py import Pool as Pool
else:
    try:
        from kthena_fast.upstream._pool_c import IDLE_SECONDS as IDLE_SECONDS
        from kthena_fast.upstream._pool_c import SWEEP_SECONDS as SWEEP_SECONDS
        from kthena_fast.upstream._pool_c import Kept as Kept
        from kthena_fast.upstream._pool_c import Pool as Pool
    except ModuleNotFoundError:
        from kthena_fast.upstream._pool_py import IDLE_SECONDS as IDLE_SECONDS
        from kthena_fast.upstream._pool_py import SWEEP_SECONDS as SWEEP_SECONDS
        from kthena_fast.upstream._pool_py import Kept as Kept
        from kthena_fast.upstream._pool_py import Pool as Pool
