"""Small files that may change while the process runs: the certificate, the router configuration.

They are compared by content, every `LOOK_EVERY` seconds, so that Kubernetes' `..data` swap, a copy over a file and a
rename over it are all the same to us, on every kind of volume.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

LOOK_EVERY = 2.0
"""Seconds between looks."""


class Watched:
    """Files that belong together. What they hold when this is made is what `changed` compares with."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._seen = self._tried = self._contents()
        self._said = ""

    def changed(self) -> bool:
        """Whether they hold something new since the last look; while one cannot be read, they do not."""
        contents = self._contents()
        if contents is None or contents == self._seen:
            return False
        if contents != self._tried:
            self._said = ""
        self._seen = self._tried = contents
        return True

    def failed(self, problem: Exception) -> bool:
        """What they hold could not be put in service; whether that has to be said.

        Where it was the system's fault and not theirs (it has no more descriptors, say), they count as changed until it
        can be. The reason is that of which `problem` was raised, or itself.
        """
        reason = problem.__cause__ or problem
        # What is no certificate is an SSLError, and that an OSError.
        if isinstance(reason, OSError) and not isinstance(reason, ssl.SSLError):
            self._seen = None
        is_news, self._said = str(problem) != self._said, str(problem)
        return is_news

    def _contents(self) -> list[bytes] | None:
        try:
            return [path.read_bytes() for path in self._paths]
        except OSError:
            return None


async def keep_looking(look: Callable[[], object]) -> None:
    """Call `look` every `LOOK_EVERY` seconds until cancelled; one that fails is logged and tried again."""
    while True:
        await asyncio.sleep(LOOK_EVERY)
        try:
            look()
        except Exception:
            log.exception("what a file says could not be put in service")
