"""What the whole process knows: the snapshot in service, whether it is real yet, and whether the process is leaving."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.gateway._state_py import Cancellable as Cancellable
    from kthena_fast.gateway._state_py import State as State
else:
    try:
        from kthena_fast.gateway._state_c import Cancellable as Cancellable
        from kthena_fast.gateway._state_c import State as State
    except ModuleNotFoundError:
        from kthena_fast.gateway._state_py import Cancellable as Cancellable
        from kthena_fast.gateway._state_py import State as State
