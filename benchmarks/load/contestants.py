"""Who is compared: for each a command that proxies one engine, and what is needed to have it.

Each Python contestant has an environment of its own under the cache folder, with its version pinned.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import processes

CACHE = Path.home() / ".cache" / "kthena-fast" / "benchmarks"

MODEL = "m"


@dataclass(frozen=True)
class Contestant:
    """`command(engine_port, port, folder)` makes the command line, and may write files into `folder`."""

    name: str
    command: Callable[[int, int, Path], list[str]]
    environment: dict[str, str]
    ready: str = "/"
    """A path that answers, with any status, once requests are served."""


NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; keepalive_requests 1000000000;
  fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  client_max_body_size 64m; client_body_buffer_size 2m;
  upstream engine {{ server 127.0.0.1:{engine}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


def _nginx(engine: int, port: int, folder: Path) -> list[str]:
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, engine=engine, port=port))
    return [tool("nginx", "nginx-light"), "-p", str(folder), "-c", str(config)]


def _kthena_fast(way: str) -> Callable[[int, int, Path], list[str]]:
    def command(engine: int, port: int, _: Path) -> list[str]:
        return [sys.executable, "-m", "benchmarks.load.gateway", way, f"http://127.0.0.1:{engine}", str(port)]

    return command


def _vllm_router(engine: int, port: int, _: Path) -> list[str]:
    program = _installed("vllm-router", "0.1.17") / "vllm-router"
    worker = ["--worker-urls", f"http://127.0.0.1:{engine}", "--policy", "round_robin"]
    return [
        str(program),
        *worker,
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--prometheus-port",
        str(processes.free_port()),
    ]


def tool(name: str, package: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        raise SystemExit(f"{name} is needed: apt-get install {package}")
    return found


def _installed(package: str, version: str) -> Path:
    """The folder of the programs of a package, installed into an environment of its own at first use."""
    folder = CACHE / f"{package}-{version}"
    if not (folder / ".installed").exists():
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", f"{package}=={version}"], check=True)
        (folder / ".installed").touch()
    return folder / "bin"


LOG_TO_FILE = {"ACCESS_LOG_OUTPUT": "/dev/null"}
"""Lines are formatted and written, as in production, but nobody reads them."""

FAIR = {"ENABLE_FAIRNESS_SCHEDULING": "true", "FAIRNESS_POD_CONCURRENCY": "1000"}
"""Every request has a user, a row in the ledger and a permit, and none has to wait."""

CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        Contestant("kthena_fast", _kthena_fast("lane"), LOG_TO_FILE, "/readyz"),
        Contestant("kthena_fast_aiohttp", _kthena_fast("aiohttp"), LOG_TO_FILE, "/readyz"),
        Contestant(
            "kthena_fast_pure", _kthena_fast("lane"), LOG_TO_FILE | {"KTHENA_FAST_NO_EXTENSIONS": "1"}, "/readyz"
        ),
        Contestant("kthena_fast_fair", _kthena_fast("lane"), LOG_TO_FILE | FAIR, "/readyz"),
        Contestant("nginx", _nginx, {}),
        Contestant("vllm_router", _vllm_router, {"TOKIO_WORKER_THREADS": "1"}, "/health"),
    )
}
