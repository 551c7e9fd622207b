"""The gateway as no command line starts it: `python -m benchmarks.load.gateway ENGINE PORT [options]`.

ENGINE is the port of an engine on every address of loopback, PORT the inference port.
"""

from __future__ import annotations

import argparse
import os

from benchmarks.load import bodies
from kthena_fast import settings
from kthena_fast.gateway import app, process
from kthena_fast.sources import backend


def main() -> int:
    """Run until told to stop; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load.gateway", description=__doc__)
    parser.add_argument("engine", type=int)
    parser.add_argument("port", type=int)
    parser.add_argument("--no-express", action="store_true", help="aiohttp has all connections")
    arguments = parser.parse_args()
    options = app.Options("127.0.0.1", arguments.port, metrics_port=0, debug_port=0, express=not arguments.no_express)
    source = backend.BackendSource([f"http://127.0.0.1:{arguments.engine}"], [bodies.MODEL])
    return process.run(options, settings.read(os.environ, print), source)


if __name__ == "__main__":
    raise SystemExit(main())
