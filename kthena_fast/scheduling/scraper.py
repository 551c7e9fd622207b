"""Asks engines how busy they are, for the `auto` mode of fairness.

1. Each pod's turn comes once per interval. It is asked on its own: one that hangs delays nobody, and is not asked again
   meanwhile.
2. Turns are spread over the interval, or a thousand answers at once would hold up every request. A pod that is new has
   its turn before the others.
3. Who has none of our requests is asked in some of its turns only, so that what it said is never older than OLDEST: its
   limit is not used, and moves only for what others send. Which turns these are differs from pod to pod.
4. What cannot be read says nothing: who uses the numbers decides how long older ones count.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from kthena_fast.routing.snapshot import Pod, Server
from kthena_fast.scheduling.asking import Asking, Timers
from kthena_fast.scheduling.load import Load, read_load

OLDEST: Final = 4.0
"""Seconds. What is older than `queueing.gates.FRESH_SECONDS` no longer counts, and an answer may take a moment."""

GRAIN: Final = 0.05
"""Seconds at least from one turn to the next; where more are due, they are together: waking up has its price too."""


class Scraper:
    """Asks pods and tells `on_load` how many requests wait in each; None where it did not answer usefully."""

    def __init__(
        self, interval: float, tls: ssl.SSLContext, timers: Timers, on_load: Callable[[Pod, float | None], None]
    ) -> None:
        self._interval = interval
        self._tls = tls
        self._timers = timers
        self._on_load = on_load
        self._servers: Mapping[str, Server] = {}
        """They say what kind of engine a pod is."""
        self._line: OrderedDict[Pod, Asking] = OrderedDict()
        """Whose turn is next comes first."""
        self._owed = 0.0
        """The part of a pod that was due and not asked yet."""
        self.loads: dict[Pod, Load] = {}
        """What each pod said last."""

    def on_snapshot(self, servers: Mapping[str, Server], came: Iterable[Pod], left: Iterable[Pod]) -> None:
        """Take the servers in service by their keys, and which of their pods were not there before or are no longer."""
        self._servers = servers
        for pod in left:
            self._line.pop(pod).close()
            self.loads.pop(pod, None)
        for pod in came:
            self._line[pod] = Asking(pod, self._tls, self._timers, self._on_page, len(self._line))
            self._line.move_to_end(pod, last=False)

    async def run(self) -> None:
        """Ask until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        try:
            while True:
                pause = self._ask_some()
                # Of a loop that stood still nothing is made up for: it has enough to do.
                due = max(due + pause, loop.time())
                await asyncio.sleep(due - loop.time())
        finally:
            line = list(self._line.values())
            for asking in line:
                asking.close()
            for asking in line:
                await asking.closed()

    def _ask_some(self) -> float:
        """Ask whose turn it is and who has something to say; seconds until the next turn."""
        count = len(self._line)
        turns = max(1, min(count, int(self._interval / GRAIN)))
        # All fractions of one interval come to whole pods.
        self._owed += count / turns + 1e-9
        idle_turns = max(1, int(OLDEST / self._interval))
        for _ in range(min(count, int(self._owed))):
            pod, asking = next(iter(self._line.items()))
            self._line.move_to_end(pod)
            asking.turn += 1
            if not asking.is_asked and (pod.in_flight > 0 or asking.turn % idle_turns == 0 or asking.is_new):
                asking.ask()
        self._owed %= 1.0
        return self._interval / turns

    def _on_page(self, pod: Pod, page: bytes | None) -> None:
        load = read_load(page, self._servers[pod.server].engine) if page is not None else None
        if load is None:
            self.loads.pop(pod, None)
        else:
            self.loads[pod] = load
        self._on_load(pod, load.waiting if load is not None else None)
