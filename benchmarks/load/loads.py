"""The three kinds of load: as fast as answers come (wrk), by a timetable, and streams (both `client.c`)."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.load import bodies, installing, processes

CONNECTIONS = 64

_LUA = """
local file = io.open("%(file)s", "rb")
local body = file:read("*a")
file:close()
wrk.method = "POST"
wrk.path = "%(path)s"
wrk.headers["Content-Type"] = "application/json"
wrk.body = body
if %(count)d > 1 then
  local asked, turn = {}, 0
  function init(args)
    for number = 0, %(count)d - 1 do
      asked[number] = wrk.format(nil, nil, nil, (body:gsub("@", string.format("%%d", number * %(stride)d))))
    end
  end
  function request()
    turn = (turn + 1) %% %(count)d
    return asked[turn]
  end
end
"""


class LoadFailed(RuntimeError):
    """Requests failed, so what was measured says nothing."""


class Completed(NamedTuple):
    """What a closed loop came to."""

    requests: int
    seconds: float


class Streamed(NamedTuple):
    """What the client of streams saw: events, and reads in which any came."""

    events: int
    reads: int


class Latency(NamedTuple):
    """What an open loop saw, in microseconds; `is_sustained` is False where the server did not keep up."""

    p50: float
    p99: float
    is_sustained: bool


class Load:
    """Loads whatever listens on a port; keeps what it needs in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._wrk = installing.tool("wrk", "wrk")
        self._client = installing.compiled("client", folder)

    def closed_loop(
        self, port: int, variety: bodies.Variety, seconds: float, connections: int = CONNECTIONS
    ) -> Completed:
        """Every connection asks again as soon as it is answered."""
        body = self._folder / "body"
        body.write_text(variety.body)
        script = self._folder / "load.lua"
        script.write_text(_LUA % {"file": body, "path": bodies.PATH, "count": variety.count, "stride": variety.stride})
        words = ["-t1", f"-c{connections}", f"-d{round(seconds)}s", "--timeout", "20s", "-s", str(script)]
        return read_wrk(self.run([self._wrk, *words, f"http://127.0.0.1:{port}"]))

    def open_loop(self, port: int, body: str, rate: float, warm_up: float, seconds: float) -> Latency:
        """So many requests a second, whatever becomes of them."""
        said = self.run(
            [
                *(self._client, "rate", str(port), str(CONNECTIONS)),
                *(str(rate), str(warm_up), str(seconds), self._request(body)),
            ]
        )
        return read_latency(said)

    @contextlib.contextmanager
    def streams(
        self, port: int, connections: int, ramp: float, seconds: float, model: str = bodies.MODEL
    ) -> Iterator[subprocess.Popen[str]]:
        """Streams that begin within `ramp` seconds and go on while the block runs, at most for so many seconds."""
        words = ["streams", str(port), str(connections), str(ramp), str(seconds)]
        command = [self._client, *words, self._request(bodies.streamed_chat(model))]
        with _started(command) as process:
            try:
                yield process
            finally:
                process.kill()

    def _request(self, body: str) -> str:
        path = self._folder / "request"
        path.write_bytes(bodies.as_bytes(body))
        return str(path)

    def run(self, command: list[str]) -> str:
        with _started(command) as process:
            try:
                said, complaint = process.communicate()
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise LoadFailed(f"{' '.join(command)} ended with {process.returncode}:\n{said}{complaint}")
        return said


def _started(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        processes.pinned(processes.LOAD_CORE, command),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def read_wrk(said: str) -> Completed:
    """What wrk printed; LoadFailed where a request failed."""
    if "Non-2xx" in said or "Socket errors" in said:
        raise LoadFailed(f"requests failed:\n{said}")
    found = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)\b", said)
    if found is None or not int(found[1]):
        raise LoadFailed(f"wrk says of no request that it was answered:\n{said}")
    unit = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}[found[3]]
    return Completed(int(found[1]), float(found[2]) * unit)


def read_streams(client: subprocess.Popen[str]) -> Streamed:
    """What a client of streams saw until its time was over; LoadFailed where a stream failed."""
    said, complaint = client.communicate()
    if client.returncode or json.loads(said)["failed"]:
        raise LoadFailed(f"streams failed:\n{said}{complaint}")
    seen = json.loads(said)
    if not seen["reads"]:
        raise LoadFailed("no event came")
    return Streamed(seen["events"], seen["reads"])


LATE_US = 250_000
"""A request in a hundred that takes this long shows a server that is behind, not one that is slow."""


def read_latency(said: str) -> Latency:
    """What the open loop printed; LoadFailed where a request failed."""
    seen = json.loads(said)
    if seen["failed"]:
        raise LoadFailed(f"requests failed:\n{said}")
    is_sustained = not seen["unfinished"] and seen["p99_us"] < LATE_US
    return Latency(seen["p50_us"], seen["p99_us"], is_sustained)
