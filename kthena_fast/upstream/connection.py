"""One connection to an engine: it writes a request and lends its bytes to the relay of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.upstream._connection_py import IN_USE as IN_USE
    from kthena_fast.upstream._connection_py import ONE_BUFFER as ONE_BUFFER
    from kthena_fast.upstream._connection_py import Connection as Connection
else:
    try:
        from kthena_fast.upstream._connection_c import IN_USE as IN_USE
        from kthena_fast.upstream._connection_c import ONE_BUFFER as ONE_BUFFER
        from kthena_fast.upstream._connection_c import Connection as Connection
    except ModuleNotFoundError:
        from kthena_fast.upstream._connection_py import IN_USE as IN_USE
        from kthena_fast.upstream._connection_py import ONE_BUFFER as ONE_BUFFER
        from kthena_fast.upstream._connection_py import Connection as Connection
