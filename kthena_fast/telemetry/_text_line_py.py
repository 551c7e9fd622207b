"""The source of both twins; `text_line` is the contract."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final

from kthena_fast.telemetry import _layout as layout
from kthena_fast.telemetry import _plain as plain
from kthena_fast.telemetry import one_line
from kthena_fast.telemetry.one_line import cut, quoted

if TYPE_CHECKING:
    from kthena_fast.exchange.record import Exchange

MODEL_SERVER: Final = "model_server"

NO_WAIT: Final = " queue_time=0ms queue_position=0"
"""Of nearly every request, where any could have to wait."""

_MOST_KEPT: Final = 65536
"""Combinations of names that are remembered; then all are forgotten."""


def text(exchange: Exchange, now: float) -> bytes:
    """The line of a finished record; `now` is when it ended, unless it says so itself."""
    error = exchange.error
    failure = origin = ""
    if error is not None:
        failure = f" error={error.reason}:{quoted(error.message)}"
        origin = " error_origin=upstream" if error.origin == "upstream" else ""
    names = _names_of(exchange)
    request_id, user, client = exchange.request_id.decode("latin-1"), exchange.user, exchange.client
    pod = exchange.pod
    # Nearly always none must be quoted.
    if not plain.are_plain(request_id, user, client, pod):
        request_id, user, client, pod = quoted(request_id), quoted(user), quoted(client), quoted(pod)
    began = exchange.began
    ended = exchange.ended
    if ended is not None:
        now = ended
    # Half a microsecond, because 100.812 - 100.0 may be a little less than 0.812.
    total = reading = int((now - began) * 1000 + 0.0005)
    upstream = response = 0
    if exchange.model:
        parsed = exchange.parsed
        forwarded = parsed if exchange.forwarded is None else exchange.forwarded
        done = now if exchange.upstream_ended is None else exchange.upstream_ended
        reading = int((parsed - began) * 1000 + 0.0005)
        upstream = int((done - forwarded) * 1000 + 0.0005)
        response = int((now - done) * 1000 + 0.0005)
    ttft = -1
    if exchange.streaming and exchange.first_byte is not None:
        ttft = _milliseconds(exchange.first_byte - began)
    turn = standing = ""
    usage = None
    if exchange.policy:
        turn = NO_WAIT
        position = exchange.queue_position
        if exchange.queue_time or position:
            queued = _milliseconds(exchange.queue_time)
            turn = f" queue_time={queued}ms queue_position={position}"
        usage = exchange.usage_at_admission
        standing = _standing(exchange.share_at_admission, exchange.policy)
    # `one_line.timestamp`, the same to the digit.
    ticks = int(exchange.wall * 1e6 + 0.5)
    second = ticks // 1_000_000
    date, zone = one_line.of_second(second)
    return layout.line(
        exchange,
        date,
        ticks - second * 1_000_000,
        zone,
        _asked.by(exchange),
        failure,
        names.route,
        pod,
        request_id,
        names.backend,
        origin,
        exchange.input_tokens or exchange.prompt_estimate,
        exchange.output_tokens,
        total,
        reading,
        upstream,
        response,
        user,
        ttft,
        client,
        turn,
        usage,
        standing,
    )


class _Names:
    """What a line says that only names of objects decide: the same for many requests, whichever pod they go to."""

    __slots__ = ("_server", "_upstream_model", "backend", "route")

    def __init__(self, exchange: Exchange) -> None:
        server = exchange.server
        self._server = server
        self._upstream_model = exchange.upstream_model
        self.route = _fields(
            ("model_name", cut(exchange.model)),
            ("model_route", exchange.route),
            ("model_server", server),
        )
        self.backend = _fields(
            ("backend_type", MODEL_SERVER if server else ""),
            ("backend_name", server),
            ("upstream_model", exchange.upstream_model),
        )

    def fit(self, exchange: Exchange) -> bool:
        """Whether they are those of an exchange that matched the same."""
        return self._server == exchange.server and self._upstream_model == exchange.upstream_model


@functools.lru_cache(maxsize=64)
def _said(method: str, path: str, protocol: str) -> str:
    return f"{method} {one_line.inside_quotes(path)} {protocol}"


class _Asked:
    """What the last request asked for, as a line says it: nearly all requests ask for the same."""

    __slots__ = ("_method", "_path", "_protocol", "_said")

    def __init__(self) -> None:
        self._method = self._path = self._protocol = ""
        self._said = "  "

    def by(self, exchange: Exchange) -> str:
        if self._path != exchange.path or self._method != exchange.method or self._protocol != exchange.protocol:
            # First: if it fails, what is kept still belongs together.
            self._said = _said(exchange.method, exchange.path, exchange.protocol)
            self._method, self._path, self._protocol = exchange.method, exchange.path, exchange.protocol
        return self._said


_asked: Final = _Asked()

_known: dict[tuple[str, ...], _Names] = {}


def _names_of(exchange: Exchange) -> _Names:
    kept = exchange.kept
    if kept is None:
        return _found(exchange)
    names: _Names | None = kept.names
    # Another server's are found by all of their names.
    if names is None or not names.fit(exchange):
        names = kept.names = _found(exchange)
    return names


def _found(exchange: Exchange) -> _Names:
    # Only names of objects are kept: what matched no route may be any name, a new one each time.
    if not exchange.route:
        return _Names(exchange)
    key = (exchange.model, exchange.server, exchange.route, exchange.upstream_model)
    names = _known.get(key)
    if names is None:
        if len(_known) >= _MOST_KEPT:
            _known.clear()
        names = _known[key] = _Names(exchange)
    return names


def known_names() -> list[tuple[str, ...]]:
    """What is remembered, for a test to see."""
    return list(_known)


def _fields(*fields: tuple[str, str]) -> str:
    return "".join([f" {name}={quoted(value)}" for name, value in fields if value])


@functools.lru_cache(maxsize=1024)
def _standing(share: float | None, policy: str) -> str:
    if share is None:
        return f" policy={policy}"
    return f" share_at_admission={int(share) if share.is_integer() else round(share, 6)} policy={policy}"


def timings(exchange: Exchange, now: float) -> tuple[int, int, int, int]:
    """Milliseconds in all, until the body was understood, until the engine was done, and after that.

    As upstream measures them: a request that never reached an engine shows its wait in the third; one whose body was
    not understood is all in the second.
    """
    began = exchange.began
    parsed = exchange.parsed
    ended = now if exchange.ended is None else exchange.ended
    total = _milliseconds(ended - began)
    if not exchange.model:
        return total, total, 0, 0
    forwarded = parsed if exchange.forwarded is None else exchange.forwarded
    done = ended if exchange.upstream_ended is None else exchange.upstream_ended
    return total, _milliseconds(parsed - began), _milliseconds(done - forwarded), _milliseconds(ended - done)


def _milliseconds(seconds: float) -> int:
    # Half a microsecond, because 100.812 - 100.0 may be a little less than 0.812.
    return int(seconds * 1000 + 0.0005)
