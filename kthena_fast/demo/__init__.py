"""What `make run` starts: a gateway over two mock engines and a folder of example manifests that may be edited."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import click
import uvloop

from kthena_fast.gateway import app, process
from kthena_fast.mock_engine import EngineConfig, MockEngine
from kthena_fast.sources.manifests import ManifestsSource
from kthena_fast.telemetry import log as application_log

if TYPE_CHECKING:
    from kthena_fast.settings import Settings

log = logging.getLogger(__name__)

PLACEHOLDERS = ("127.0.0.1:18001", "127.0.0.1:18002")
"""The engines' addresses in the example manifests; replaced by those that were free."""

TOKEN_INTERVAL = 0.03
"""Seconds between tokens: about what a 7B model does on one GPU, so that a stream looks like one."""

ENGINE = EngineConfig(models=("mock",), adapters=("demo-lora",), token_interval=TOKEN_INTERVAL)


def run(host: str, port: int, metrics_port: int, debug_port: int, settings: Settings) -> int:
    """Run until a signal; returns the exit status of the process."""
    application_log.configure(settings.log_level, settings.log_format)
    settings = settings.model_copy(update={"enable_fairness_scheduling": True})
    options = app.Options(host=host, port=port, metrics_port=metrics_port, debug_port=debug_port)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(_live(options, settings))
        except app.CannotStart as problem:
            raise click.ClickException(f"{problem}; --port, --metrics-port and --debug-port choose others") from problem


async def _live(options: app.Options, settings: Settings) -> int:
    async with contextlib.AsyncExitStack() as stack:
        engines = [await stack.enter_async_context(MockEngine(ENGINE).running()) for _ in PLACEHOLDERS]
        addresses = [f"127.0.0.1:{engine.port}" for engine in engines]
        folder = stack.enter_context(_manifests(addresses))
        return await process.live(
            options, settings, ManifestsSource(folder), lambda gateway: click.echo(_guide(gateway, folder), err=True)
        )


@contextlib.contextmanager
def _manifests(addresses: list[str]) -> Iterator[Path]:
    """The example manifests in a folder of their own, with the addresses of the engines that run."""
    with tempfile.TemporaryDirectory(prefix="kthena-fast-demo-") as name:
        folder = Path(name)
        with resources.as_file(resources.files(__package__) / "manifests") as examples:
            shutil.copytree(examples, folder, dirs_exist_ok=True)
        for manifest in folder.glob("*.yaml"):
            text = manifest.read_text()
            for placeholder, address in zip(PLACEHOLDERS, addresses, strict=True):
                text = text.replace(placeholder, address)
            manifest.write_text(text)
        yield folder


def _guide(gateway: app.Gateway, folder: Path) -> str:
    """What to paste, and where to look."""
    url = f"http://localhost:{gateway.port}"
    fairness = f"http://localhost:{gateway.debug_port}/debug/fairness"
    body = '{"model": "demo", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 20'
    return f"""
A gateway is running over two mock engines. Paste into another terminal:

  curl {url}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{body}}}'

  curl -N {url}/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{body}, "stream": true}}'

Fairness is on: add `"user": "alice"` to a body, and see who was served what:

  curl {fairness}

Metrics    http://localhost:{gateway.metrics_port}/metrics
Debug      http://localhost:{gateway.debug_port}/debug/config_dump/modelroutes
Fairness   {fairness}   (docs/fairness.md says who goes first)
Manifests  {folder}   (edit them: a change is live within a second)
Stop       Ctrl-C
"""
