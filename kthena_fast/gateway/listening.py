"""Listening sockets: `::` is dual-stack, an address in use is a sentence, and the port that was given is known."""

from __future__ import annotations

import errno
import socket

BACKLOG = 4096
"""Connections the kernel holds until they are accepted; it bounds this by net.core.somaxconn itself."""


class CannotListen(Exception):
    """A port that cannot be opened; the text names host, port and reason."""


def open_socket(host: str, port: int) -> socket.socket:
    """A bound, listening, non-blocking socket. `::` also takes IPv4; without IPv6 it falls back to `0.0.0.0`."""
    try:
        return _bind(host, port)
    except OSError as problem:
        if host == "::" and problem.errno in {errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL}:
            return open_socket("0.0.0.0", port)
        raise CannotListen(f"cannot listen on {show(host, port)}: {problem.strerror or problem}") from problem


def _bind(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if host == "::" else 1)
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
