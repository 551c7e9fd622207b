"""`python -m benchmarks.load`: the contestants in turns, a table, and the same figures as JSON."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.request import urlopen

import click
import psutil

from benchmarks.load import contestants, processes
from benchmarks.load.contestants import CONTESTANTS, MODEL, Contestant

SERVER_CORE = 0
LOAD_CORE = 1

ANSWER = (
    '{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    '{"role":"assistant","content":"%s"},"finish_reason":"stop"}],'
    '"usage":{"prompt_tokens":12,"completion_tokens":34,"total_tokens":46}}'
)
ANSWER_BYTES = 312

PACE_MS = 20
EVENTS = 64
STREAMS = 300

CANNED = """
daemon off; master_process off; worker_processes 1; pid {folder}/engine.pid; error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; keepalive_requests 1000000000;
  fastcgi_temp_path {folder}/ef; uwsgi_temp_path {folder}/eu; scgi_temp_path {folder}/es;
  client_max_body_size 64m; client_body_buffer_size 2m;
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ default_type application/json; return 200 '{answer}'; }}
  }}
}}
"""

LUA = """
wrk.method = "POST"
wrk.path = "/v1/chat/completions"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{body}'
"""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--rounds", default=3, show_default=True, help="Turns that each contestant takes.")
@click.option("--seconds", default=4, show_default=True, help="Length of one measurement.")
@click.option("--only", multiple=True, type=click.Choice(list(CONTESTANTS)), help="Measure these only.")
def main(as_json: bool, rounds: int, seconds: int, only: tuple[str, ...]) -> None:
    """Measure CPU time per proxied request and per streamed chunk."""
    chosen = [CONTESTANTS[name] for name in only] or list(CONTESTANTS.values())
    if (os.cpu_count() or 1) <= LOAD_CORE:
        raise SystemExit("two cores are needed: one for the contestant, one for engine and load")
    figures: dict[str, dict[str, list[float]]] = {contestant.name: {} for contestant in chosen}
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        canned = stack.enter_context(_canned_engine(folder))
        paced = stack.enter_context(_paced_engine(folder))
        for _ in range(rounds):
            for contestant in chosen:
                for figure, value in _measure(contestant, canned, paced, seconds, folder):
                    figures[contestant.name].setdefault(figure, []).append(value)
    rows = {name: {key: _summary(values) for key, values in row.items()} for name, row in figures.items()}
    report = {
        "contestants": rows,
        "rounds": rounds,
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "kernel": platform.release()},
    }
    click.echo(json.dumps(report, indent=2) if as_json else _table(rows))


def _measure(
    contestant: Contestant, canned: int, paced: int, seconds: int, folder: Path
) -> Iterator[tuple[str, float]]:
    """The figures of one turn."""
    log = folder / f"{contestant.name}.log"
    chat = '{"model":"%s","messages":[{"role":"user","content":"%s"}]%s}'
    with _serving(contestant, canned, log) as (process, port):
        yield "rss_idle_mb", processes.resident_bytes(process) / 1e6
        body = chat % (MODEL, "hello " * 20, "")
        _wrk(port, 64, 1, body, folder)
        before = processes.cpu_seconds(process)
        completed, lasted = _wrk(port, 64, seconds, body, folder)
        spent = processes.cpu_seconds(process) - before
        yield "us_per_request", spent / completed * 1e6
        yield "rps", completed / lasted
    with _serving(contestant, paced, log) as (process, port):
        body = chat % (MODEL, "hello " * 20, ',"stream":true')
        _wrk(port, STREAMS, 1, body, folder)
        events, before = _events(paced), processes.cpu_seconds(process)
        _wrk(port, STREAMS, seconds, body, folder)
        spent = processes.cpu_seconds(process) - before
        yield "us_per_chunk", spent / (_events(paced) - events) * 1e6
        yield "rss_streams_mb", processes.resident_bytes(process) / 1e6


@contextmanager
def _serving(contestant: Contestant, engine: int, log: Path) -> Iterator[tuple[psutil.Process, int]]:
    port = processes.free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = contestant.command(engine, port, Path(folder))
        with processes.running(command, SERVER_CORE, log, contestant.environment) as process:
            processes.wait_for(f"http://127.0.0.1:{port}{contestant.ready}", log)
            yield process, port


@contextmanager
def _canned_engine(folder: Path) -> Iterator[int]:
    port = processes.free_port()
    config = folder / "engine.conf"
    answer = ANSWER % ("a" * (ANSWER_BYTES - len(ANSWER % "")))
    config.write_text(CANNED.format(folder=folder, port=port, answer=answer))
    command = [contestants.tool("nginx", "nginx-light"), "-p", str(folder), "-c", str(config)]
    with processes.running(command, LOAD_CORE, folder / "engine.log"):
        processes.wait_for(f"http://127.0.0.1:{port}/", folder / "engine.log")
        yield port


@contextmanager
def _paced_engine(folder: Path) -> Iterator[int]:
    program = folder / "paced"
    compiler = shutil.which("cc") or contestants.tool("gcc", "gcc")
    subprocess.run([compiler, "-O2", "-o", program, Path(__file__).with_name("paced.c")], check=True)
    port = processes.free_port()
    with processes.running([str(program), str(port), str(PACE_MS), str(EVENTS)], LOAD_CORE, folder / "paced.log"):
        processes.wait_for(f"http://127.0.0.1:{port}/", folder / "paced.log")
        yield port


def _events(paced: int) -> int:
    with urlopen(f"http://127.0.0.1:{paced}/", timeout=5) as answer:
        return int(answer.read())


def _wrk(port: int, connections: int, seconds: int, body: str, folder: Path) -> tuple[int, float]:
    """Requests that wrk completed, and the seconds that took; RuntimeError where one failed."""
    script = folder / "load.lua"
    script.write_text(LUA.format(body=body))
    wrk = [
        contestants.tool("wrk", "wrk"),
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        "20s",
        "-s",
        str(script),
    ]
    done = subprocess.run(
        ["taskset", "-c", str(LOAD_CORE), *wrk, "-s", str(script), f"http://127.0.0.1:{port}"],
        check=True,
        capture_output=True,
        text=True,
    )
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"requests failed:\n{done.stdout}")
    found = re.search(r"(\d+) requests in ([\d.]+)(ms|s)", done.stdout)
    if found is None:
        raise RuntimeError(f"wrk said something new:\n{done.stdout}")
    return int(found[1]), float(found[2]) / (1000 if found[3] == "ms" else 1)


def _summary(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def _table(rows: dict[str, dict[str, dict[str, float]]]) -> str:
    columns = ["us_per_request", "us_per_chunk", "rps", "rss_idle_mb", "rss_streams_mb"]
    lines = ["| contestant | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in rows.items():
        cells = [
            f"{row[column]['median']:.1f} ({row[column]['min']:.1f}-{row[column]['max']:.1f})" if column in row else "-"
            for column in columns
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
