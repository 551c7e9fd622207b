"""The system calls of a connection, for the twins that read and write sockets.

``_calls.pxd`` holds the same functions in C, and the compiled twins take those in place of these. A descriptor is
non-blocking; what goes wrong is an ``OSError``, and a signal in between is nothing that went wrong.
"""

import os
import select
from typing import Final

MOST_READ: Final = 256 * 1024
"""Bytes that one call takes from the kernel."""


def receive(descriptor: int) -> bytes | None:
    """What came, up to ``MOST_READ`` bytes, and no bytes at its end; None: nothing came."""
    try:
        return os.read(descriptor, MOST_READ)
    except BlockingIOError:
        return None


receive_much = receive
"""The same where much is awaited: in C what comes is written into place, not copied there, for a little more."""


def receive_into(descriptor: int, room: bytearray, at: int, end: int) -> int:
    """What came, up to its size, at its place in the room; how many bytes, 0 at the end; -1: nothing came."""
    try:
        return os.readv(descriptor, [memoryview(room)[at:end]])
    except BlockingIOError:
        return -1


def send(descriptor: int, data: bytes, at: int) -> int:
    """How many of the bytes from ``at`` on the kernel took."""
    try:
        return os.write(descriptor, memoryview(data)[at:] if at else data)
    except BlockingIOError:
        return 0


def room(most: int) -> list[tuple[int, int]]:
    """Where so many events find room."""
    return [(0, 0)] * most


def wait(epoll: select.epoll, descriptor: int, events: list[tuple[int, int]]) -> int:  # noqa: ARG001 - C asks that one
    """How many sockets something happened to, without waiting for it: at most as many as there is room for."""
    most = len(events)
    found = epoll.poll(0, most)
    events[: len(found)] = found
    return len(found)


def descriptor_of(events: list[tuple[int, int]], number: int) -> int:
    """Which socket it happened to."""
    return events[number][0]


def mask_of(events: list[tuple[int, int]], number: int) -> int:
    """What happened, as epoll's bits."""
    return events[number][1]
