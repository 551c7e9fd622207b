"""The engines behind the contestants: nginx with one answer, and ours, which reads prompts and paces streams."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from benchmarks.load import bodies, installing, processes

CANNED = """
daemon off; master_process off; worker_processes 1; pid {folder}/engine.pid; error_log stderr warn;
events {{ worker_connections 16384; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
  client_body_temp_path {folder}/eb; proxy_temp_path {folder}/ep; fastcgi_temp_path {folder}/ef;
  uwsgi_temp_path {folder}/eu; scgi_temp_path {folder}/es;
  client_max_body_size 64m; client_body_buffer_size 2m;
  server {{
    # Every address of loopback: 127.0.0.1, 127.0.0.2, ... are as many pods.
    listen {port} backlog=4096;
    location / {{ default_type application/json; return 200 '{answer}'; }}
    location = /metrics {{
      default_type text/plain;
      return 200 'vllm:num_requests_waiting 0.0
vllm:num_requests_running 0.0
';
    }}
  }}
}}
"""


@contextlib.contextmanager
def canned(folder: Path) -> Iterator[int]:
    """The port of an engine that answers everything with the same 312 bytes."""
    port = processes.free_port()
    config = folder / "engine.conf"
    config.write_text(CANNED.format(folder=folder, port=port, answer=bodies.answer()))
    command = [installing.tool("nginx", "nginx-light"), "-p", str(folder), "-c", str(config)]
    log = folder / "engine.log"
    with processes.running(command, processes.LOAD_CORE, log) as process:
        processes.wait_until_serving(port, bodies.chat().encode(), process, log)
        yield port


class Paced:
    """A running `engine.c`."""

    def __init__(self, port: int, process: psutil.Process) -> None:
        self.port = port
        self.process = process

    @contextlib.contextmanager
    def slower(self, pace_ms: int) -> Iterator[None]:
        """Another pace for the length of a block."""
        processes.get(self.port, f"/pace/{pace_ms}")
        try:
            yield
        finally:
            processes.get(self.port, f"/pace/{bodies.PACE_MS}")

    def stats(self) -> dict[str, int]:
        """What `GET /stats` says; see `engine.c`."""
        stats: dict[str, int] = processes.get_json(self.port, "/stats")
        return stats


@contextlib.contextmanager
def paced(folder: Path, events: int = bodies.EVENTS) -> Iterator[Paced]:
    """An engine that reads prompts to their end and sends streams by the clock."""
    port = processes.free_port()
    files = []
    for name, content in (("event", bodies.event()), ("tail", bodies.tail()), ("answer", bodies.answer())):
        files.append(folder / name)
        files[-1].write_text(content)
    words: list[Any] = [port, bodies.PACE_MS, events, *files]
    command = [installing.compiled("engine", folder), *map(str, words)]
    log = folder / "paced.log"
    with processes.running(command, processes.LOAD_CORE, log) as process:
        processes.wait_until_serving(port, bodies.chat().encode(), process, log)
        yield Paced(port, process)
