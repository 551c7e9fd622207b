"""How many bytes of request bodies the process holds, and how long it waits for the next one.

`Budget` bounds all bodies together (MAX_BUFFERED_BYTES). Bytes are counted as they come, until their request is
settled, since a retry needs them all. What a Content-Length promises counts nothing: a client that sends none of it
would keep others out for free. `Progress` bounds the silence between two pieces of a body (BODY_TIMEOUT).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.gateway._bodies_py import Budget as Budget
    from kthena_fast.gateway._bodies_py import Hold as Hold
    from kthena_fast.gateway._bodies_py import Progress as Progress
else:
    try:
        from kthena_fast.gateway._bodies_c import Budget as Budget
        from kthena_fast.gateway._bodies_c import Hold as Hold
        from kthena_fast.gateway._bodies_c import Progress as Progress
    except ModuleNotFoundError:
        from kthena_fast.gateway._bodies_py import Budget as Budget
        from kthena_fast.gateway._bodies_py import Hold as Hold
        from kthena_fast.gateway._bodies_py import Progress as Progress
