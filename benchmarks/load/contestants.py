"""Who is compared: for each a command that proxies one engine, and the environment it runs in."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks.load import bodies, installing, processes

FEATURES: Mapping[str, Mapping[str, str]] = {
    # Lines are formatted and written as in production, but nobody reads them.
    "access_log": {"ACCESS_LOG_ENABLED": "true", "ACCESS_LOG_OUTPUT": "/dev/null"},
    # Every request has a user, a row in the ledger and a permit, and none has to wait; engines are scraped.
    "fairness": {"ENABLE_FAIRNESS_SCHEDULING": "true", "FAIRNESS_POD_CONCURRENCY": "2000"},
    # What no variable turns off.
    "metrics": {},
    "retries": {},
    "limits": {},
    "usage": {},
}
"""What is on in the gateway while it is measured, and the variables that turn it on."""


def environment(*without: str) -> dict[str, str]:
    """The gateway's variables with every feature on but these."""
    variables: dict[str, str] = {}
    for feature, own in FEATURES.items():
        if feature not in without:
            variables |= own
    return variables


class Ports(NamedTuple):
    """Where a contestant listens, and what is behind it."""

    own: int
    engine: int
    paced: int
    """Of an engine for STREAM_MODEL, where one contestant can have two."""


@dataclass(frozen=True)
class Contestant:
    """`command(ports, folder)` makes the command line, and may write files into `folder`."""

    name: str
    command: Callable[[Ports, Path], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)
    streams: int = 300
    """At once, while chunks are counted."""
    most_streams: int = 1_000
    """At once, while memory is looked at; 0: it is not."""
    connections: int = 64
    stays: bool = False
    """Started once for all rounds, with both engines behind it, and halted while others have their turn: for what
    takes long to start."""
    version: str = ""
    """Empty: that of this clone, or of the machine."""
    has_prompts: bool = False
    """Whether it is asked long prompts too."""


class Serving(NamedTuple):
    """A contestant that runs."""

    port: int
    process: psutil.Process


@contextlib.contextmanager
def serving(contestant: Contestant, engine: int, log: Path, *, paced: int = 0, said: bytes = b"") -> Iterator[Serving]:
    """A contestant in front of an engine, once it serves and, where that is asked for, has said so."""
    port = processes.free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = contestant.command(Ports(port, engine, paced or engine), Path(folder))
        with processes.running(command, processes.SERVER_CORE, log, contestant.environment) as process:
            processes.wait_until_serving(port, bodies.chat().encode(), process, log)
            if said:
                processes.wait_until_said(said, process, log)
            yield Serving(port, process)


NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  client_max_body_size 64m; client_body_buffer_size 2m;
  upstream engine {{ server 127.0.0.1:{engine}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://engine; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""


def _nginx(ports: Ports, folder: Path) -> list[str]:
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, engine=ports.engine, port=ports.own))
    return [installing.tool("nginx", "nginx-light"), "-p", str(folder), "-c", str(config)]


def _kthena_fast(ports: Ports, _: Path) -> list[str]:
    """The command that people run."""
    return [
        *(sys.executable, "-m", "kthena_fast", "gateway", "--backend", f"http://127.0.0.1:{ports.engine}"),
        *("--model", bodies.MODEL, "--host", "127.0.0.1"),
        *("--port", str(ports.own), "--metrics-port", "0", "--debug-port", "0"),
    ]


def launched(*words: str) -> Callable[[Ports, Path], list[str]]:
    """The gateway by our own launcher, for what is nobody's setting."""

    def command(ports: Ports, _: Path) -> list[str]:
        return [sys.executable, "-m", "benchmarks.load.gateway", str(ports.engine), str(ports.own), *words]

    return command


def _router(environment: str, requirement: str, *command: str) -> Callable[[Ports, Path], list[str]]:
    def line(ports: Ports, _: Path) -> list[str]:
        program, *words = command
        return [
            *(str(installing.environment(environment, requirement) / program), *words),
            *("--worker-urls", f"http://127.0.0.1:{ports.engine}", "--policy", "round_robin"),
            *("--host", "127.0.0.1", "--port", str(ports.own), "--prometheus-port", str(processes.free_port())),
            # Its own limit would refuse some of the streams.
            *("--max-concurrent-requests", "8192"),
        ]

    return line


def _litellm(ports: Ports, folder: Path) -> list[str]:
    models = ((bodies.MODEL, ports.engine), (bodies.STREAM_MODEL, ports.paced))
    entries = [
        {
            "model_name": model,
            "litellm_params": {
                "model": f"openai/{model}",
                "api_base": f"http://127.0.0.1:{port}/v1",
                "api_key": "none",
            },
        }
        for model, port in models
    ]
    # YAML reads JSON.
    config = folder / "litellm.yaml"
    config.write_text(json.dumps({"model_list": entries}))
    programs = installing.environment(
        "litellm-1.109",
        f"litellm=={LITELLM}",
        # The extra `proxy`, but for two packages of their own at exact versions, of which an index may not have the
        # newest: for a database and for a licence, and here is neither.
        extra="proxy",
        without=("litellm-proxy-extras", "litellm-enterprise"),
    )
    return [
        *(str(programs / "litellm"), "--config", str(config)),
        *("--host", "127.0.0.1", "--port", str(ports.own), "--num_workers", "1"),
    ]


LITELLM = "1.109.*"

ONE_THREAD = {"TOKIO_WORKER_THREADS": "1"}
"""More would only take turns on the one core."""

CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        Contestant("kthena_fast", _kthena_fast, environment(), has_prompts=True),
        Contestant("kthena_fast_unfair", _kthena_fast, environment("fairness")),
        Contestant("kthena_fast_uvloop", launched("--loop-transports"), environment()),
        Contestant("kthena_fast_aiohttp", launched("--no-express"), environment()),
        Contestant("kthena_fast_pure", _kthena_fast, environment() | {"KTHENA_FAST_NO_EXTENSIONS": "1"}),
        Contestant("nginx", _nginx, has_prompts=True),
        Contestant(
            "vllm_router",
            _router("vllm-router-0.1.17", "vllm-router==0.1.17", "vllm-router"),
            ONE_THREAD,
            version="0.1.17",
        ),
        Contestant(
            "sglang_router",
            _router("sglang-router-0.3.2", "sglang-router==0.3.2", "smg", "launch"),
            ONE_THREAD,
            version="0.3.2",
        ),
        Contestant(
            "litellm",
            _litellm,
            {
                "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
                # It would ask the internet what models cost.
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            },
            version=LITELLM,
            streams=10,
            most_streams=0,
            connections=8,
            stays=True,
        ),
    )
}
