"""The journey of a request, told once, whichever way it came in.

    read -> peek -> match -> identify -> wait for a turn -> pick -> forward -> settle

1. Matching is pure and comes before any wait: a name that nobody serves never reaches a queue or a metric's label.
2. A request takes a snapshot twice: it matches on one, and its target and pod are drawn on the one of its turn.
3. Whatever happens, a request is settled exactly once: its metrics moved, its line written, its permit given back.
4. A cancellation is the client leaving, unless the drain's time is over (`downstream.LEAVING`): then it is answered.
5. A request whose turn it is and for whose pod a connection waits needs no task, also where its body comes in pieces:
   its steps are taken at once (`Journey.serve_at_once`; `Journey.begin`, `Passage.on_body`) and the engine's answer
   settles it. At the first step that must wait a task goes on from there. The steps are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kthena_fast.core._choice import NO_EXTENSIONS

if TYPE_CHECKING or NO_EXTENSIONS:
    from kthena_fast.gateway._journey_py import Journey as Journey
    from kthena_fast.gateway._journey_py import Passage as Passage
    from kthena_fast.gateway._journey_py import Read as Read
else:
    try:
        from kthena_fast.gateway._journey_c import Journey as Journey
        from kthena_fast.gateway._journey_c import Passage as Passage
        from kthena_fast.gateway._journey_c import Read as Read
    except ModuleNotFoundError:
        from kthena_fast.gateway._journey_py import Journey as Journey
        from kthena_fast.gateway._journey_py import Passage as Passage
        from kthena_fast.gateway._journey_py import Read as Read
