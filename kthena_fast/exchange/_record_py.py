"""The source of both twins; `record` is the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kthena_fast.errors import GatewayError
    from kthena_fast.wire.multipart import Form
    from kthena_fast.wire.peek import Peek


class Kept:
    """What is kept of requests that matched the same, so that the next one needs no look-up: a base of what they
    matched.

    Both belong to `telemetry`, which takes only what is its own and still holds.
    """

    __slots__ = ("names", "series")

    def __init__(self) -> None:
        self.names: Any = None
        self.series: Any = None


class Exchange:
    """One request and its answer."""

    __slots__ = (
        "answer_lines",
        "attempts",
        "began",
        "body",
        "bytes_out",
        "client",
        "content_type",
        "ended",
        "error",
        "events",
        "first_byte",
        "form",
        "forwarded",
        "headers",
        "input_tokens",
        "kept",
        "lora",
        "method",
        "model",
        "output_tokens",
        "parsed",
        "path",
        "peek",
        "peer",
        "pod",
        "policy",
        "prompt_estimate",
        "protocol",
        "query",
        "queue_position",
        "queue_time",
        "request_id",
        "route",
        "scheme",
        "sent",
        "server",
        "share_at_admission",
        "status",
        "streaming",
        "target",
        "trusted",
        "upstream_ended",
        "upstream_model",
        "upstream_status",
        "usage_at_admission",
        "user",
        "wall",
    )

    def __init__(
        self,
        method: str,
        target: bytes,
        path: str,
        query: str,
        protocol: str,
        headers: list[tuple[bytes, bytes]],
        peer: str,
        client: str,
        scheme: str,
        request_id: bytes,
        now: float,
        wall: float,
    ) -> None:
        # arrival
        self.method = method
        self.target = target
        """The request target in origin form, exactly as received."""
        self.path = path
        """Percent-decoded, without the query."""
        self.query = query
        self.protocol = protocol
        """`HTTP/1.1` or `HTTP/1.0`."""
        self.headers = headers
        self.peer = peer
        """The address that the connection came from, without its port."""
        self.client = client
        """The peer; behind TRUSTED_PROXIES the first untrusted address that they tell of."""
        self.trusted = False
        """Whether the peer is one of TRUSTED_PROXIES."""
        self.scheme = scheme
        self.request_id = request_id
        self.began = now
        self.wall = wall
        self.content_type: bytes | None = None
        """As whoever read the head found it."""
        self.body = b""
        # peek
        self.peek: Peek | None = None
        """Of a JSON body."""
        self.form: Form | None = None
        """Of a multipart body."""
        self.model = ""
        """As the client named it; `""` until peeked."""
        self.streaming = False
        self.parsed = now
        """When the body was understood."""
        self.prompt_estimate = 0
        """Estimated input tokens."""
        # match
        self.kept: Kept | None = None
        """Of what it matched."""
        self.route = ""
        """`namespace/name` of the ModelRoute."""
        self.lora = False
        # identify
        self.user = ""
        # wait for a turn
        self.queue_time = 0.0
        self.queue_position = 0
        self.usage_at_admission: float | None = None
        self.share_at_admission: float | None = None
        self.policy = ""
        # pick
        self.server = ""
        """`namespace/name` of the ModelServer."""
        self.pod = ""
        """Name of the pod that answered, or was tried last."""
        self.upstream_model = ""
        # forward
        self.answer_lines = b""
        """Header lines, each with its CRLF, that the gateway adds to whatever the client gets."""
        self.forwarded: float | None = None
        """When the first attempt began."""
        self.attempts = 0
        self.sent = False
        """Whether a byte of it was written to an engine."""
        self.upstream_status = 0
        """Of the last attempt that had a response head."""
        self.status = 0
        """What the client got; 499 when it left before a head was written."""
        self.first_byte: float | None = None
        """When the first body byte went to the client."""
        self.upstream_ended: float | None = None
        self.bytes_out = 0
        """Body bytes passed to the client."""
        self.events = 0
        """Content events of a stream."""
        # settle
        self.input_tokens = 0
        """As the engine reported; 0 until it did."""
        self.output_tokens = 0
        self.ended: float | None = None
        self.error: GatewayError | None = None

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, by its lower-case name."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    def __repr__(self) -> str:
        facts: dict[str, Any] = {"model": self.model, "status": self.status, "pod": self.pod, "error": self.error}
        shown = " ".join(f"{name}={value!r}" for name, value in facts.items() if value)
        return f"<Exchange {self.method} {self.path} {shown}>"
