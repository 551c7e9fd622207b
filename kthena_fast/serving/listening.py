"""Listening sockets: `::` is dual-stack, an address in use is a sentence, and the port that was given is known."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable
from typing import Any

BACKLOG = 4096
"""Connections the kernel holds until they are accepted; it bounds this by net.core.somaxconn itself."""


class CannotListen(Exception):
    """A port that cannot be opened; the text names host, port and reason."""


def open_socket(flag: str, host: str, port: int) -> socket.socket:
    """A bound, listening, non-blocking socket; `flag` is what CannotListen calls the port.

    `::` also takes IPv4; without IPv6 it falls back to `0.0.0.0`. Of a name's addresses IPv4 comes first: upstream's
    debug port is found at 127.0.0.1.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        if host == "::":
            found += socket.getaddrinfo("0.0.0.0", port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        else:
            found.sort(key=lambda entry: entry[0] != socket.AF_INET)
        return _bind_first(host, found)
    except OSError as problem:
        raise CannotListen(
            f"{flag} {port}: cannot listen on {show(host, port)}: {problem.strerror or problem}"
        ) from problem


def _bind_first(host: str, found: Iterable[tuple[int, int, int, str, tuple[Any, ...]]]) -> socket.socket:
    """The first address that this machine has; what else goes wrong is raised at once."""
    absent: OSError | None = None
    for family, kind, protocol, _, address in found:
        try:
            return _bind(socket.socket(family, kind, protocol), address, dual_stack=host == "::")
        except OSError as problem:
            if problem.errno not in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
                raise
            absent = absent or problem
    assert absent is not None
    raise absent


def _bind(opened: socket.socket, address: tuple[Any, ...], *, dual_stack: bool) -> socket.socket:
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if opened.family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if dual_stack else 1)
        opened.bind(address)
        opened.listen(BACKLOG)
        opened.setblocking(False)
    except BaseException:
        opened.close()
        raise
    return opened


def port_of(opened: socket.socket) -> int:
    """The port that a socket got, where 0 was asked for."""
    return int(opened.getsockname()[1])


def show(host: str, port: int) -> str:
    """`host:port`, as it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
