"""The records a request reads while it is routed: immutable, compiled when objects change, never locked.

1. A snapshot is replaced whole. A request matches on one and draws its target and pod on the one of its turn.
2. A `Pod` stays the same object from one snapshot to the next as long as it is the same pod at the same address, since
   its one mutable part, the count of requests in flight, and the connections kept to it, outlive a snapshot.
3. Everything that does not depend on the request is computed when the snapshot is built: names joined, regular
   expressions compiled, weights summed, rewrites encoded.
"""

from __future__ import annotations

from typing import Any


class Pod:
    """One engine pod, as one ModelServer reaches it.

    Identity (`key`): ModelServer, pod and uid, scheme, host, port and prefix. `connections` belongs to `upstream`,
    which keeps its pool there so that a request needs no look-up; `in_flight` belongs to whoever holds an attempt.
    """

    __slots__ = ("authority", "connections", "host", "in_flight", "key", "name", "namespace", "port", "prefix", "tls")

    def __init__(
        self, key: str, namespace: str, name: str, host: str, port: int, *, tls: bool = False, prefix: bytes = b""
    ) -> None:
        self.key = key
        self.namespace = namespace
        self.name = name
        self.host = host
        """An IP address without brackets, or a name to be resolved."""
        self.port = port
        self.tls = tls
        self.prefix = prefix
        """Put before the request's path (`--backend http://host/prefix`); no slash at its end."""
        self.authority = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}").encode()
        """What the engine gets as `Host`."""
        self.in_flight = 0
        self.connections: Any = None

    def __repr__(self) -> str:
        return f"<Pod {self.namespace}/{self.name} at {self.authority.decode()} in_flight={self.in_flight}>"


class Server:
    """A ModelServer with the pods that are ready now (`pods`, in the order of their keys)."""

    __slots__ = ("engine", "key", "model", "pods", "retry_attempts", "retry_interval", "timeout", "turn")

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


class Target:
    """One weighted target of a rule; `server` is None where it cannot serve (dangling, or a provider)."""

    __slots__ = ("name", "server", "weight")

    def __init__(self, name: str, weight: int, server: Server | None) -> None:
        self.name = name
        """`namespace/name` of the ModelServer or ExternalModelProvider."""
        self.weight = weight
        self.server = server


class Match:
    """What a request matched: made when the snapshot is built, shared by all requests that match it."""

    __slots__ = ("lora", "model", "route", "rule", "targets")

    def __init__(self, model: str, route: str, rule: int, targets: tuple[Target, ...], *, lora: bool) -> None:
        self.model = model
        """The name clients use: the ModelRoute's `modelName` or one of its adapters."""
        self.route = route
        """`namespace/name` of the ModelRoute."""
        self.rule = rule
        """The rule's index in the route."""
        self.targets = targets
        self.lora = lora
