"""`MockEngine`: requests in, answers in vLLM's shapes out, over a pool that fills and a queue that grows."""

import asyncio
import dataclasses
import itertools
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import orjson
from aiohttp import ClientPayloadError, web

from . import catalogue, controls, metrics, refusals, serving
from .apis import audio
from .config import EngineConfig
from .controls import Controls
from .delivery import Delivery
from .faults import Fault, FaultPlan
from .generation import ComputingCall, Demand, GeneratingCall, Generation, Script
from .journal import Journal, Record
from .pace import Gate, Pace
from .pool import KvPool

VLLM_VERSION = "0.11.0"
"""The release whose surface is presented."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Visit:
    """One request on its way through the engine."""

    request: web.BaseRequest
    record: Record
    control: Controls
    delivery: Delivery


class MockEngine:
    """One engine; `running()` puts it on a socket. Bound to one loop, like everything it holds."""

    def __init__(self, config: EngineConfig | None = None) -> None:
        self.config = config or EngineConfig()
        self.pool = KvPool(self.config.kv_pool_tokens, self.config.max_running)
        self.metrics = metrics.Metrics(self.config.models[0], self.pool)
        self._journal = Journal(self.config.keep_requests, self.config.keep_body_bytes)
        self._plan = FaultPlan(self.config.faults, self.config.seed)
        self._asked_plans: dict[Fault, FaultPlan] = {}
        self._gate = Gate(self._journal.note)
        self._names = frozenset((*self.config.models, *self.config.adapters))
        self._numbers = itertools.count(1)
        self._created = int(time.time())

    @property
    def requests(self) -> deque[Record]:
        """What arrived, oldest first, the last `keep_requests` of it."""
        return self._journal.records

    @property
    def arrivals(self) -> int:
        """Requests ever seen."""
        return self._journal.arrivals

    @property
    def held(self) -> int:
        """Answers that `X-Mock-Hold-After` holds back just now."""
        return self._gate.held

    def forget(self) -> None:
        """Drops the records, and what `X-Mock-Fault` has counted; what is under way goes on."""
        self._journal.clear()
        self._asked_plans.clear()

    def release(self) -> None:
        """Lets go of every answer held now."""
        self._gate.open()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Returns once `holds()`: asked again whenever a request arrives, sends a token, is held or ends."""
        await self._journal.until(holds)

    def running(
        self, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> AbstractAsyncContextManager[serving.RunningEngine]:
        """`async with engine.running() as server:` serves on a socket; leaving drops what is still open."""
        return serving.running(self.answer, self.config, host, port, tls)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The server's handler. Ends in CancelledError, and no other, if the client left or a fault broke it off."""
        loop = asyncio.get_running_loop()
        transport = request.transport
        peer = transport.get_extra_info("peername") if transport is not None else None
        record = Record(
            request.method,
            request.raw_path,
            (request.version.major, request.version.minor),
            request.raw_headers,
            tuple(peer[:2]) if peer else ("", 0),
            loop.time(),
        )
        self._journal.open(record)
        try:
            await self._read(request, record)
            return await self._respond(request, record)
        except (asyncio.CancelledError, ConnectionError, ClientPayloadError) as error:
            if not record.over:
                record.aborted = True
                record.lost_at = loop.time()
            # aiohttp would answer, and log, whatever else came out of here.
            raise asyncio.CancelledError from error
        finally:
            record.over = True
            self._journal.note()

    async def _read(self, request: web.BaseRequest, record: Record) -> None:
        if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            # aiohttp does this in its router only, which is not used here.
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        pieces: list[bytes] = []
        try:
            async for piece in request.content.iter_any():
                pieces.append(piece)  # noqa: PERF401 - what came before a lost connection is recorded too
        finally:
            self._journal.take_body(record, b"".join(pieces))

    async def _respond(self, request: web.BaseRequest, record: Record) -> web.StreamResponse:
        delivery = Delivery(request, record)
        try:
            control = controls.read(request.headers, self.config)
            if (fault := self._fault_for(request.method, control)) is not None:
                delivery.meet(fault)
                await delivery.before()
            return await self._route(_Visit(request, record, control, delivery))
        except refusals.Refusal as refusal:
            return await delivery.whole(refusal.status, refusal.render(request.path), headers=refusal.headers)

    def _fault_for(self, method: str, control: Controls) -> Fault | None:
        asked = control.fault
        if asked is None:
            return self._plan.next() if method == "POST" else None
        if not asked.is_scheduled:
            return asked
        return self._asked_plans.setdefault(asked, FaultPlan([asked], self.config.seed)).next()

    async def _route(self, visit: _Visit) -> web.StreamResponse:
        path, body = visit.request.path, visit.record.body
        self._authenticate(visit.request)
        if path in catalogue.POSTS:
            if visit.request.method != "POST":
                raise refusals.wrong_method("POST")
            if decode := catalogue.GENERATING.get(path):
                return await self._generate(visit, decode(body))
            if compute := catalogue.COMPUTING.get(path):
                return await self._compute(visit, compute(body))
            if count := catalogue.COUNTING.get(path):
                return await self._count(visit, count(body))
            return await self._generate(visit, audio.decode(visit.request.headers.get("Content-Type", ""), body))
        page, content_type = self._page(path)
        if visit.request.method not in ("GET", "HEAD"):
            raise refusals.wrong_method("GET")
        return await visit.delivery.whole(200, page, content_type)

    def _authenticate(self, request: web.BaseRequest) -> None:
        if self.config.api_key is None or not request.path.startswith("/v1"):
            return
        if request.headers.get("Authorization") != f"Bearer {self.config.api_key}":
            raise refusals.unauthorized()

    def _page(self, path: str) -> tuple[bytes, str]:
        """What a GET of this path shows, and its content type."""
        json = "application/json"
        match path:
            case "/health" | "/ping":
                return b"", json
            case "/version":
                return orjson.dumps({"version": VLLM_VERSION}), json
            case "/metrics":
                return self.metrics.render(), metrics.CONTENT_TYPE
            case "/v1/models":
                cards = catalogue.models(self.config, self._created)
                return orjson.dumps({"object": "list", "data": cards}), json
            case _ if path.startswith(catalogue.MODEL_PREFIX):
                name = path.removeprefix(catalogue.MODEL_PREFIX)
                cards = catalogue.models(self.config, self._created)
                found = next((card for card in cards if card["id"] == name), None)
                if found is None:
                    raise refusals.unknown_model(name)
                return orjson.dumps(found), json
        raise refusals.unknown_path()

    async def _generate(self, visit: _Visit, call: GeneratingCall) -> web.StreamResponse:
        demand = call.demand()
        generation = self._generation(visit, demand, generates=True)
        script = call.script(generation)
        if demand.stream:
            await visit.delivery.begin()
        try:
            async with self.pool.room(generation.prompt_tokens + generation.completion_tokens):
                pace = Pace(visit.control, self._gate)
                if demand.stream:
                    await self._stream(visit, generation, script, pace)
                else:
                    await self._produce(visit, generation, pace)
        except asyncio.CancelledError:
            self.metrics.finished["abort"] += 1
            raise
        self.metrics.finished[generation.finish] += 1
        if demand.stream:
            return await visit.delivery.end(script.closing())
        return await visit.delivery.whole(200, script.whole(), script.content_type)

    async def _stream(self, visit: _Visit, generation: Generation, script: Script, pace: Pace) -> None:
        delivery, seen, loop = visit.delivery, self.metrics, asyncio.get_running_loop()
        last_at = visit.record.arrived_at
        for index in range(generation.output_tokens):
            await pace.token(index)
            now = loop.time()
            if index:
                seen.inter_token.observe(now - last_at, generation.choices)
            else:
                seen.prompt_tokens += generation.prompt_tokens
                seen.ttft.observe(now - last_at)
                await delivery.write(script.opening())
            seen.generation_tokens += generation.choices
            last_at = now
            await delivery.token(script.token(index))
            self._journal.note()

    async def _produce(self, visit: _Visit, generation: Generation, pace: Pace) -> None:
        """The same tokens, unseen."""
        await pace.last_of(generation.output_tokens)
        seen, interval = self.metrics, visit.control.token_interval
        elapsed = asyncio.get_running_loop().time() - visit.record.arrived_at
        rest = (generation.output_tokens - 1) * interval
        seen.prompt_tokens += generation.prompt_tokens
        seen.generation_tokens += generation.completion_tokens
        seen.ttft.observe(max(0.0, elapsed - rest))
        seen.inter_token.observe(interval, (generation.output_tokens - 1) * generation.choices)

    async def _compute(self, visit: _Visit, call: ComputingCall) -> web.StreamResponse:
        generation = self._generation(visit, call.demand(), generates=False)
        async with self.pool.room(generation.prompt_tokens):
            await Pace(visit.control, self._gate).last_of(1)
        self.metrics.prompt_tokens += generation.prompt_tokens
        self.metrics.finished["stop"] += 1
        return await visit.delivery.whole(200, call.answer(generation, self.config))

    async def _count(self, visit: _Visit, call: ComputingCall) -> web.StreamResponse:
        generation = self._generation(visit, call.demand(), generates=False)
        return await visit.delivery.whole(200, call.answer(generation, self.config))

    def _generation(self, visit: _Visit, demand: Demand, *, generates: bool) -> Generation:
        model = demand.model or self.config.models[0]
        if model not in self._names:
            raise refusals.unknown_model(model)
        limit = self.config.max_model_len
        if limit is not None and demand.prompt_tokens > limit:
            raise refusals.too_long(limit, demand.prompt_tokens)
        natural, asked = visit.control.output_tokens, demand.max_tokens
        if natural is None and asked is None:
            natural = self.config.output_tokens
        cut = asked is not None and (natural is None or asked < natural)
        length = asked if cut else natural
        return Generation(
            # vLLM names the answer after the request, where the client did.
            id=visit.request.headers.get("X-Request-Id") or f"{next(self._numbers):032x}",
            model=model,
            created=int(time.time()),
            prompt_tokens=demand.prompt_tokens,
            output_tokens=(length or 0) if generates else 0,
            choices=demand.choices,
            finish="length" if cut else "stop",
        )
