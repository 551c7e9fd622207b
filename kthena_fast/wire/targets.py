"""What a request says about where it goes: its target and its host, and which of them no engine is told.

An engine, or a proxy before it, may resolve ``..`` and turn ``\\`` into ``/`` after the gateway has read the path: what
would then leave ``/v1/``, or the prefix of a pod's own path, is refused instead of being guessed at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.wire._targets_py import MAX_TARGET_BYTES as MAX_TARGET_BYTES
    from kthena_fast.wire._targets_py import problem as problem
    from kthena_fast.wire._targets_py import valid_host as valid_host
else:
    try:
        from kthena_fast.wire._targets_c import MAX_TARGET_BYTES as MAX_TARGET_BYTES
        from kthena_fast.wire._targets_c import problem as problem
        from kthena_fast.wire._targets_c import valid_host as valid_host
    except ModuleNotFoundError:
        from kthena_fast.wire._targets_py import MAX_TARGET_BYTES as MAX_TARGET_BYTES
        from kthena_fast.wire._targets_py import problem as problem
        from kthena_fast.wire._targets_py import valid_host as valid_host
