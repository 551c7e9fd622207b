"""The same conversations with a gateway in memory, by the short way and by the ordinary one, and all that can be seen
of them.

with conversations.both(pods=2) as (short, ordinary):
    script = [Say(request), Answer(answer)]
    conversations.play(short, ordinary, script)
    assert short.flights == 1
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pytest

from kthena_fast.gateway import _lane_py, app
from kthena_fast.gateway.interpreted import flight
from kthena_fast.gateway.interpreted import lane as short_way
from kthena_fast.queueing import report
from kthena_fast.resources import decoding
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.resources.model_server import ENDPOINTS, ModelServer
from kthena_fast.routing.objects import Objects
from kthena_fast.settings import Settings
from kthena_fast.upstream._deadlines_py import GRANULARITY, Deadlines
from tests.gateway import in_memory, running

BODY = {"model": running.MODEL, "messages": [{"role": "user", "content": "What does a gateway do all day? " * 3}]}
FIELDS = (b"Host: gateway.test", b"Content-Type: application/json", b"User-Agent: OpenAI/Python 2.8.0")
FAIR = pytest.mark.parametrize("fair", [True, False], ids=["fair", "unfair"])
USAGE = {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21}


def request(body: Any = BODY, *fields: bytes, path: bytes = b"/v1/chat/completions", more: bytes = b"") -> bytes:
    """As bytes; a `body` that is bytes stands as it is, `more` is appended to the head as it is."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    lines = b"".join(line + b"\r\n" for line in (*(fields or FIELDS), b"Content-Length: %d" % len(content)))
    return b"POST %b HTTP/1.1\r\n%b%b\r\n%b" % (path, lines, more, content)


def answer(
    body: Any = None, *, status: bytes = b"200 OK", kind: bytes = b"application/json", more: bytes = b""
) -> bytes:
    """An engine's, whole, with its usage unless told otherwise."""
    content = body if isinstance(body, bytes) else orjson.dumps({"id": "a", "usage": USAGE} if body is None else body)
    head = b"HTTP/1.1 %b\r\nserver: uvicorn\r\ncontent-length: %d\r\ncontent-type: %b\r\n%b\r\n"
    return head % (status, len(content), kind, more) + content


def objects(routes: dict[str, Any], servers: dict[str, Any]) -> Objects:
    """Routes by name: the model, and its servers with their weights. Servers by name: their pods, and the model that
    they are asked for (None: what the client said)."""
    made_routes = [
        decoding.decode(
            {
                "apiVersion": ModelRoute.API_VERSION,
                "kind": ModelRoute.KIND,
                "metadata": {"name": name},
                "spec": {
                    "modelName": model,
                    "rules": [
                        {"targetModels": [{"modelServerName": to, "weight": weight} for to, weight in targets.items()]}
                    ],
                },
            }
        )
        for name, (model, targets) in routes.items()
    ]
    made_servers = [
        decoding.decode(
            {
                "apiVersion": ModelServer.API_VERSION,
                "kind": ModelServer.KIND,
                "metadata": {"name": name, "annotations": {ENDPOINTS: ",".join(addresses)}},
                "spec": {
                    "inferenceEngine": "vLLM",
                    "workloadSelector": {},
                    "workloadPort": {"port": 8000},
                    **({} if model is None else {"model": model}),
                },
            }
        )
        for name, (addresses, model) in servers.items()
    ]
    return Objects(
        routes={route.metadata.key: route for route in made_routes if isinstance(route, ModelRoute)},
        servers={server.metadata.key: server for server in made_servers if isinstance(server, ModelServer)},
    )


# What happens, one after the other


@dataclass(frozen=True)
class Say:
    """A client sends this; `to` numbers its connection, which is opened when it is first named."""

    data: bytes
    to: int = 0


@dataclass(frozen=True)
class Answer:
    """An engine sends this on the connection that it was asked on last, or on the one with this number."""

    data: bytes = field(default_factory=answer)
    on: int = -1


@dataclass(frozen=True)
class EngineGoes:
    """An engine closes that connection; `half`: its direction only."""

    half: bool = False
    on: int = -1


@dataclass(frozen=True)
class ClientGoes:
    half: bool = False
    to: int = 0


@dataclass(frozen=True)
class Wait:
    """So many seconds pass."""

    seconds: float


@dataclass(frozen=True)
class Drain:
    """The process begins to leave; `now`: its patience is over."""

    now: bool = False


@dataclass(frozen=True)
class Change:
    """Other objects are read."""

    objects: Objects


@dataclass(frozen=True)
class AtOnce:
    """These happen before the loop has its turn."""

    steps: tuple[Step, ...]


Step = Say | Answer | EngineGoes | ClientGoes | Wait | Drain | Change | AtOnce

WARM: Sequence[Step] = [Say(request(), to=99), Answer(), Say(request(), to=99), Answer()]
"""After this a model is known, and an engine's connection waits."""

_ID = re.compile(rb"\b[0-9a-f]{32}\b")
_DATE = re.compile(rb"Date: [^\r]*\r\n")
_OF_THE_PROCESS = re.compile(rb"^(process|python)_|_timestamp_seconds|_lag_")
_WHEN = re.compile(rb"^\[[^]]*\]|\"timestamp\":\"[^\"]*\"")


class Loop(in_memory.Loop):
    """Its time passes when a conversation says so."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, callback: Any, *arguments: Any, context: Any = None) -> Any:  # type: ignore[override]
        # Bodies come late when a conversation waits.
        never = 1e6 if getattr(callback, "__func__", None) is short_way.Lane.go_on else 0.0
        return super().call_later(delay + never, callback, *arguments, context=context)

    def call_at(self, when: float, callback: Any, *arguments: Any, context: Any = None) -> Any:  # type: ignore[override]
        # Deadlines pass when a conversation waits.
        never = 1e6 if getattr(callback, "__func__", None) is Deadlines._pass else 0.0
        return super().call_at(when + never, callback, *arguments, context=context)


class Talk:
    """A gateway, its clients and its engines."""

    def __init__(self, runner: asyncio.Runner, gateway: app.Gateway, source: running.Given) -> None:
        assert gateway._way is not None
        self.runner = runner
        self.source = source
        self.gateway = gateway
        self.way = gateway._way
        self.flights = 0
        """Requests that went the short way."""
        self.unfolded = 0
        self.is_tls = False
        """Whether clients speak TLS, as far as transports tell."""
        self._seen: list[tuple[str, int, bytes]] = []
        self.clients: dict[int, in_memory.Transport] = {}
        self.engines: list[in_memory.Transport] = []
        self._asked = 0
        loop = runner.get_loop()
        assert isinstance(loop, Loop)
        self.loop = loop
        loop.on_connect = self._on_engine
        turns = self.way.journey._turns
        if turns is not None:
            # The window moves on with a conversation, and what leaves it is swept where a request meets it.
            turns.terms.wall = lambda: 1.7e9 + loop.now
            turns.stop()
        log = gateway._access_log
        if log is not None and log._writer is not None:
            log._writer.write = self._write  # type: ignore[method-assign]

    def _write(self, line: bytes) -> None:
        self._seen.append(("line", 0, _WHEN.sub(b"", _ID.sub(b"<id>", line))))

    def play(self, script: Sequence[Step], *, stay: bool = False) -> dict[str, Any]:
        """Take these steps, with new clients, who `stay` or close their connections at the end; what was seen, and what
        is left behind."""
        return self.runner.run(self._play(script, stay))

    async def _play(self, script: Sequence[Step], stay: bool) -> dict[str, Any]:
        self._seen = []
        self.clients = {}
        for step in script:
            self._take(step)
            await self._turns()
        if not stay:
            for client in self.clients.values():
                client.close()
            await self._turns()
        return {
            "seen": self._seen,
            "left": self._left(),
            "metrics": self._metrics(),
        }

    async def _turns(self) -> None:
        # uvloop takes what was called soon in the next turn, timers of no time in the one after it.
        for _ in range(6):
            await asyncio.sleep(0)

    def _take(self, step: Step) -> None:
        match step:
            case Say(data, to):
                client = self._client(to)
                if not client.ended:
                    client.protocol.data_received(data)
            case ClientGoes(half, to):
                client = self._client(to)
                if half and not client.is_closing():
                    if not client.protocol.eof_received():
                        client.close()
                else:
                    client.close()
            case Answer(_, on) | EngineGoes(_, on) if self.engines:
                self._of_engine(self.engines[self._asked if on < 0 else on], step)
            case Wait(seconds):
                self._wait(seconds)
            case Change(changed):
                self.source.change(changed)
            case AtOnce(steps):
                for each in steps:
                    self._take(each)
            case Drain(now):
                self.gateway.state.draining = True
                self.way.close()
                if now:
                    self.gateway.state.abort_all()

    def _wait(self, seconds: float) -> None:
        self.loop.now += seconds
        for lane in list(self.way.lanes):
            if isinstance(lane, short_way.Lane) and seconds > short_way.PATIENCE:
                lane.go_on()
        deadlines = self.way.deadlines
        if deadlines._due and deadlines._due[0] * GRANULARITY <= self.loop.now:
            # Nobody wakes it early here.
            deadlines._timer_at = 0
            deadlines._pass()

    def _of_engine(self, engine: in_memory.Transport, step: Answer | EngineGoes) -> None:
        if engine.is_closing():
            return
        match step:
            case Answer(data):
                engine.protocol.data_received(data)
            case EngineGoes(half=True):
                engine.protocol.eof_received()
            case EngineGoes():
                engine.close()

    def _client(self, number: int) -> in_memory.Transport:
        found = self.clients.get(number)
        if found is None:
            protocol = self.way.accept()
            found = self.clients[number] = in_memory.Transport(protocol)
            found.on_write = lambda data: self._note("client", number, data)
            if self.is_tls:
                found._extra["sslcontext"] = self  # type: ignore[attr-defined]
            protocol.connection_made(found)
        return found

    def _on_engine(self, transport: in_memory.Transport) -> None:
        number = len(self.engines)
        self.engines.append(transport)

        def asked(data: bytes) -> None:
            self._asked = number
            self._note("engine", number, data)

        transport.on_write = asked

    def _note(self, who: str, number: int, data: bytes) -> None:
        # Whether a client is still there is asked by the kernel's clock.
        if data != b"HTTP/1.1 100 Continue\r\n\r\n":
            self._seen.append((who, number, _DATE.sub(b"", _ID.sub(b"<id>", data))))

    def _left(self) -> dict[str, Any]:
        """What the process holds, and what it has learned."""
        state, turns = self.gateway.state, self.way.journey._turns
        pods = state.snapshot.pods.values()
        kept = [None if pod.connections is None else pod.connections.idle for pod in pods]
        return {
            "serving": len(state.serving),
            "held": self.way.budget.held,
            "deadlines": len(self.way.deadlines),
            "in flight": [pod.in_flight for pod in pods],
            "idle": kept,
            "open": [not engine.is_closing() for engine in self.engines],
            "turns": None if turns is None else report.document(turns, self.loop.now),
            "pace": None if turns is None else [queue.ratios.tokens_per_second for queue in turns.queues.values()],
            "called": None if turns is None else [queue.called_at for queue in turns.queues.values()],
            "pins": None if turns is None else [turns.ledger.pins[row] for row in range(20)],
        }

    def _metrics(self) -> list[bytes]:
        text, _ = self.gateway.registry.render()
        return [line for line in text.splitlines() if not _OF_THE_PROCESS.search(line)]


def play(short: Talk, ordinary: Talk, script: Sequence[Step]) -> None:
    """Have both take these steps; AssertionError where that looks different."""
    one, other = short.play(script), ordinary.play(script)
    for name, found in one.items():
        if found != other[name]:
            pairs = itertools.zip_longest(found, other[name])
            raise AssertionError(
                [pair for pair in pairs if pair[0] != pair[1]] if isinstance(found, list) else (found, other[name])
            )


@contextlib.contextmanager
def talk(
    lane: Any, *, pods: int = 1, given: Any = None, read: Objects | None = None, **settings: Any
) -> Iterator[Talk]:
    """A gateway whose connections begin in this lane: over one server of so many pods, or over what was `read`."""
    with asyncio.Runner(loop_factory=Loop) as runner:
        closing = contextlib.AsyncExitStack()
        addresses = [f"10.0.0.{number + 1}:8000" for number in range(pods)]
        source = running.Given(read or running.objects(addresses, **(given or {})))
        options = app.Options("127.0.0.1", 0, metrics_port=0, debug_port=0, own_sockets=False)
        # What is asked in the background is no part of a conversation.
        chosen: dict[str, Any] = {"access_log_output": "/dev/null", "metrics_scrape_interval": 86_400.0}
        knobs = Settings(**(chosen | settings))
        gateway = runner.run(closing.enter_async_context(app.running(options, knobs, source)))
        runner.run(source.begun.wait())
        made = Talk(runner, gateway, source)
        made.way.lane = lane
        try:
            yield made
        finally:
            runner.run(closing.aclose())
    # A gateway freezes what there is when it has started, the one before it among that.
    gc.unfreeze()


@contextlib.contextmanager
def both(**made_with: Any) -> Iterator[tuple[Talk, Talk]]:
    """By the short way, whose requests are counted, and by the ordinary one."""
    with (
        pytest.MonkeyPatch.context() as patch,
        talk(short_way.Lane, **made_with) as short,
        talk(_lane_py.Lane, **made_with) as ordinary,
    ):
        set_out, unfold = flight.Flight.set_out, flight.Flight._unfold

        def counted(self: Any) -> None:
            short.flights += 1
            set_out(self)

        def unfolded(self: Any) -> Any:
            short.unfolded += 1
            return unfold(self)

        patch.setattr(flight.Flight, "set_out", counted)
        patch.setattr(flight.Flight, "_unfold", unfolded)
        yield short, ordinary
