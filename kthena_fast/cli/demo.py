"""`kthena-fast demo`: what `make run` starts."""

from __future__ import annotations

import click

from kthena_fast.cli import flags
from kthena_fast.cli.gateway import read_settings


@click.command(context_settings={"show_default": True})
@click.option("--host", default="::", help="Address of the inference and the metrics port.")
@click.option("--port", type=flags.PORT, default=8080, help="Inference port.")
@click.option("--metrics-port", type=flags.PORT, default=9090, help="Port of /metrics.")
@click.option("--debug-port", type=flags.PORT, default=15000, help="Port of /debug, on loopback only.")
def demo(host: str, port: int, metrics_port: int, debug_port: int) -> None:
    """Run a gateway over two mock engines and example manifests."""
    from kthena_fast import demo as demonstration

    raise SystemExit(demonstration.run(host, port, metrics_port, debug_port, read_settings()))
