"""The gateway with one way in chosen, which is nobody's setting: `python -m benchmarks.load.gateway WAY ENGINE PORT`.

WAY is `lane` or `aiohttp`, ENGINE a URL, PORT the inference port.
"""

from __future__ import annotations

import os
import sys

from benchmarks.load.contestants import MODEL
from kthena_fast import settings
from kthena_fast.gateway import app, process
from kthena_fast.sources import backend


def main(way: str, engine: str, port: str) -> int:
    """Run until told to stop; returns the exit status."""
    options = app.Options(
        "127.0.0.1", int(port), metrics_port=0, debug_port=0, express={"lane": True, "aiohttp": False}[way]
    )
    return process.run(options, settings.read(os.environ, print), backend.BackendSource((engine,), (MODEL,)))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
