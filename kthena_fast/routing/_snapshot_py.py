"""The source of both twins; `snapshot` is the contract."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kthena_fast.exchange import _record_py as record
    from kthena_fast.routing.objects import Objects, Rejection, Unsupported
    from kthena_fast.routing.snapshot import Destination
    from kthena_fast.routing.table import Headers, Table
else:
    # A twin works with twins of its own kind, whatever the chooser chose.
    record = import_module(__name__.replace("routing._snapshot", "exchange._record"))

_PLACES: Final = {1 << place: place for place in range(64)}


class Census:
    """How many requests each of many pods has in flight, kept so that the least is found without a look at each of
    them: for each number a set of pods, 64 to a word."""

    __slots__ = ("_bits", "_counts", "_height", "_least", "_words", "is_current")

    def __init__(self, pods: Sequence[Pod]) -> None:
        """Count these pods from now on; who counted any of them before no longer does."""
        self._words = (len(pods) + 63) >> 6
        self._height = max([pod.in_flight for pod in pods]) + 1
        self._bits = array("Q", bytes(8 * self._words * self._height))
        self._counts = array("q", bytes(8 * self._height))
        self.is_current = True
        for place, pod in enumerate(pods):
            if pod.census is not None:
                pod.census.is_current = False
            pod.census = self
            pod.place = place
            self._bits[pod.in_flight * self._words + (place >> 6)] |= 1 << (place & 63)
            self._counts[pod.in_flight] += 1
        self._least = 0
        while self._counts[self._least] == 0:
            self._least += 1

    def move(self, place: int, before: int, after: int) -> None:
        """A pod has another number of requests in flight."""
        if after >= self._height:
            self._grow(after)
        # In two steps: a literal that is shifted is an int in C.
        bit = 1
        bit <<= place & 63
        self._bits[before * self._words + (place >> 6)] ^= bit
        self._bits[after * self._words + (place >> 6)] ^= bit
        self._counts[before] -= 1
        self._counts[after] += 1
        self._least = min(self._least, after)
        while self._counts[self._least] == 0:
            self._least += 1

    def first(self, start: int) -> int:
        """The first pod from `start` on, beginning anew at the end, of those that have the fewest."""
        base = self._least * self._words
        word = start >> 6
        bits = self._bits[base + word] >> (start & 63) << (start & 63)
        while bits == 0:
            word = word + 1 if word + 1 < self._words else 0
            bits = self._bits[base + word]
        return (word << 6) + _PLACES[bits & -bits]

    def _grow(self, most: int) -> None:
        """Have room for so many in flight."""
        height = 2 * most + 1
        self._bits = array("Q", bytes(self._bits) + bytes(8 * self._words * (height - self._height)))
        self._counts = array("q", bytes(self._counts) + bytes(8 * (height - self._height)))
        self._height = height


class Pod:
    """One engine pod, as one ModelServer reaches it.

    Identity (`key`): ModelServer, pod and uid, scheme, host, port and prefix. `connections` belongs to `upstream`,
    which keeps its pool there so that a request needs no look-up; `in_flight` belongs to whoever holds an attempt, who
    says so by `began` and `ended`; `census` and `place` belong to `scheduling`.
    """

    __slots__ = (
        "authority",
        "census",
        "connections",
        "host",
        "host_line",
        "in_flight",
        "key",
        "name",
        "namespace",
        "place",
        "port",
        "prefix",
        "server",
        "server_name",
        "tls",
    )

    def __init__(
        self,
        key: str,
        namespace: str,
        name: str,
        host: str,
        port: int,
        *,
        tls: bool = False,
        prefix: bytes = b"",
        server_name: str = "",
    ) -> None:
        self.key = key
        self.server = key.partition(" ")[0]
        """`namespace/name` of the ModelServer."""
        self.namespace = namespace
        self.name = name
        self.host = host
        """An IP address without brackets, or a name to be resolved."""
        self.port = port
        self.tls = tls
        self.prefix = prefix
        """Put before the request's path (`--backend http://host/prefix`); no slash at its end."""
        self.server_name = server_name or host
        """What TLS asks for and verifies: `host`, or the name that `host` is an address of."""
        called = self.server_name
        self.authority = (f"[{called}]:{port}" if ":" in called else f"{called}:{port}").encode()
        """What the engine gets as `Host`."""
        self.host_line = b"Host: %b\r\n" % self.authority
        """The header line that says so, with its CRLF."""
        self.in_flight = 0
        self.connections: Any = None
        self.census: Census | None = None
        """Where it is counted, if there are many pods."""
        self.place = 0
        """There."""

    def began(self) -> None:
        """An attempt is under way."""
        self.in_flight += 1
        if self.census is not None:
            self.census.move(self.place, self.in_flight - 1, self.in_flight)

    def ended(self) -> None:
        """An attempt that was under way is over."""
        self.in_flight -= 1
        if self.census is not None:
            self.census.move(self.place, self.in_flight + 1, self.in_flight)

    def __repr__(self) -> str:
        return f"<Pod {self.namespace}/{self.name} at {self.host} port {self.port} in_flight={self.in_flight}>"


class Server:
    """A ModelServer with the pods that are ready now (`pods`, in the order of their keys)."""

    __slots__ = ("census", "engine", "key", "model", "pods", "retry_attempts", "retry_interval", "timeout", "turn")

    def __init__(
        self,
        key: str,
        *,
        engine: str,
        model: str | None,
        pods: tuple[Pod, ...],
        timeout: float | None,
        retry_attempts: int,
        retry_interval: float,
    ) -> None:
        self.key = key
        """`namespace/name`."""
        self.engine = engine
        self.model = model
        """What the request's `model` is rewritten to, unless it came as a LoRA adapter's name; None: nothing."""
        self.pods = pods
        self.timeout = timeout
        """Seconds to response headers, per attempt; None: no limit."""
        self.retry_attempts = retry_attempts
        """Further tries after a failure that came once bytes were written (absent in the object: 1)."""
        self.retry_interval = retry_interval
        """Seconds to wait before such a try."""
        self.turn = 0
        """Where ties between pods were last broken; mutable, and of no meaning beyond that."""
        self.census: Census | None = None
        """Belongs to `scheduling`."""


class Target:
    """One weighted target of a rule."""

    __slots__ = ("is_provider", "name", "weight")

    def __init__(self, name: str, weight: int, *, is_provider: bool = False) -> None:
        self.name = name
        """`namespace/name` of the ModelServer or ExternalModelProvider, which may not exist."""
        self.weight = weight
        self.is_provider = is_provider
        """Providers cannot be called yet: such a target is never ready."""

    def __repr__(self) -> str:
        return f"<Target {self.name} weight={self.weight}>"


class Match(record.Kept):
    """What a request matched: made when the snapshot is built, shared by all requests that match it. What is kept of
    them is kept here.

    `queue` belongs to `queueing`, which keeps it there so that a request needs no look-up; it takes only what is its
    own, and still stands.
    """

    __slots__ = ("destination", "lora", "model", "queue", "route", "rule", "targets")

    def __init__(self, model: str, route: str, rule: int, targets: tuple[Target, ...], *, lora: bool) -> None:
        record.Kept.__init__(self)
        self.model = model
        """The name clients use: the ModelRoute's `modelName` or one of its adapters."""
        self.route = route
        """`namespace/name` of the ModelRoute."""
        self.rule = rule
        """The rule's index in the route."""
        self.targets = targets
        self.lora = lora
        self.destination: Destination = (model, tuple((target.name, target.weight) for target in targets))
        """What requests that wait for the same have in common: the name and the list of targets."""
        self.queue: Any = None

    def __repr__(self) -> str:
        return f"<Match {self.model!r} by {self.route} rule {self.rule}{' lora' * self.lora}>"


class Snapshot:
    """Everything that routing knows at one moment; made by `build`."""

    __slots__ = ("_direct", "objects", "pods", "rejected", "servers", "table", "unsupported")

    def __init__(
        self,
        *,
        objects: Objects,
        table: Table,
        servers: Mapping[str, Server],
        pods: Mapping[str, Pod],
        rejected: tuple[Rejection, ...],
        unsupported: tuple[Unsupported, ...],
    ) -> None:
        self.objects = objects
        """What the snapshot was built from."""
        self.table = table
        self._direct = table.direct
        self.servers = servers
        """By `namespace/name`."""
        self.pods = pods
        """Every pod of every server, by `Pod.key`: a pool of connections that belongs to none of them can go."""
        self.rejected = rejected
        """Set aside, with the reasons."""
        self.unsupported = unsupported
        """In service, but not all of it obeyed."""

    def models(self) -> tuple[str, ...]:
        """The names that clients may use, sorted, each once."""
        return self.table.models

    def knows(self, model: str) -> bool:
        """Whether a route has the name, so that it may become a metric's label."""
        return model in self.table.by_name

    def created(self, model: str) -> int:
        """Unix time of the oldest route that has the name; 0: not known."""
        candidates = self.table.by_name.get(model)
        return candidates.created if candidates is not None else 0

    def match(self, model: str, path: str, headers: Headers) -> Match | None:
        """The first usable rule that takes the request, else the first that takes it; None: no route does.

        Usable: `draw` would give a server now. `path` is percent-decoded, without its query; names in `headers` are in
        lower case.
        """
        direct = self._direct.get(model)
        if direct is not None:
            return direct
        candidates = self.table.by_name.get(model)
        return None if candidates is None else candidates.choose(path, headers, self.is_usable)

    def draw(self, match: Match, random: Callable[[], float]) -> Server | None:
        """A server that has pods now, by weight; those without pods lose their share. None: no target has any.

        `random` gives numbers from [0, 1) and is not asked where there is nothing to choose.
        """
        ready: list[tuple[int, Server]] = []
        total = 0
        for target in match.targets:
            if target.weight and not target.is_provider:
                server = self.servers.get(target.name)
                if server is not None and server.pods:
                    total += target.weight
                    ready.append((total, server))
        if len(ready) < 2:
            return ready[0][1] if ready else None
        point = random() * total
        for limit, server in ready:
            if point < limit:
                return server
        return ready[-1][1]

    def leads_to(self, destination: Destination) -> bool:
        """Whether some rule still takes requests of this name to this list of targets."""
        candidates = self.table.by_name.get(destination[0])
        return candidates is not None and any(
            candidate.match.destination == destination for candidate in (*candidates.base, *candidates.adapters)
        )

    def is_usable(self, match: Match) -> bool:
        """Whether some target of it has pods now."""
        for target in match.targets:
            if target.weight and not target.is_provider:
                server = self.servers.get(target.name)
                if server is not None and server.pods:
                    return True
        return False

    def __repr__(self) -> str:
        counts = f"{len(self.table.models)} models, {len(self.servers)} servers, {len(self.pods)} pods"
        return f"<Snapshot {counts}, {len(self.rejected)} rejected>"
