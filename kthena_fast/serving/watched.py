"""Small files that may change while the process runs: the certificate, the router configuration.

They are compared by content, every `LOOK_EVERY` seconds, so that Kubernetes' `..data` swap, a copy over a file and a
rename over it are all the same to us, on every kind of volume.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger(__name__)

LOOK_EVERY = 2.0
"""Seconds between looks."""


class Watched:
    """Files that belong together. What they hold when this is made is what `changed` compares with."""

    def __init__(self, *paths: Path) -> None:
        self._paths = paths
        self._seen = self._contents()

    def changed(self) -> bool:
        """Whether they hold something new since the last look; while one cannot be read, they do not."""
        contents = self._contents()
        if contents is None or contents == self._seen:
            return False
        self._seen = contents
        return True

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
