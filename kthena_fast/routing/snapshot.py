"""The records a request reads while it is routed: immutable, compiled when objects change, never locked.

1. A snapshot is replaced whole. A request matches on one and draws its target and pod on the one of its turn.
2. A `Pod` stays the same object from one snapshot to the next as long as it is the same pod at the same address, since
   its one mutable part, the count of requests in flight, and the connections kept to it, outlive a snapshot.
3. Everything that does not depend on the request is computed when the snapshot is built: names joined, regular
   expressions compiled, rules put in order (`table`).
4. A `Match` may outlive its snapshot, so it names servers and holds none: `draw` looks them up in the snapshot of the
   turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.routing._snapshot_py import Match as Match
    from kthena_fast.routing._snapshot_py import Pod as Pod
    from kthena_fast.routing._snapshot_py import Server as Server
    from kthena_fast.routing._snapshot_py import Snapshot as Snapshot
    from kthena_fast.routing._snapshot_py import Target as Target
else:
    try:
        from kthena_fast.routing._snapshot_c import Match as Match
        from kthena_fast.routing._snapshot_c import Pod as Pod
        from kthena_fast.routing._snapshot_c import Server as Server
        from kthena_fast.routing._snapshot_c import Snapshot as Snapshot
        from kthena_fast.routing._snapshot_c import Target as Target
    except ModuleNotFoundError:
        from kthena_fast.routing._snapshot_py import Match as Match
        from kthena_fast.routing._snapshot_py import Pod as Pod
        from kthena_fast.routing._snapshot_py import Server as Server
        from kthena_fast.routing._snapshot_py import Snapshot as Snapshot
        from kthena_fast.routing._snapshot_py import Target as Target

Destination: TypeAlias = tuple[str, tuple[tuple[str, int], ...]]
"""A model's name, and of each target its name and weight."""
