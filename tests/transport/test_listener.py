from __future__ import annotations

import asyncio
import itertools
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from kthena_fast.serving import listening
from kthena_fast.transport import listener
from tests.transport.ends import Ours, Peer, Told, until


@contextmanager
def room_for(count: int) -> Iterator[None]:
    """So many more descriptors and no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as probe:
        lowest = probe.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Place:
    """A listening socket, and the protocols of what came to it."""

    def __init__(self, ours: Ours) -> None:
        self.told: list[Told] = []
        self.opened = listening.open_socket("--port", "127.0.0.1", 0)
        self.listener = listener.Listener(ours.sockets, asyncio.get_running_loop(), self.opened, self.accept)
        self.address = self.opened.getsockname()

    def accept(self) -> Told:
        self.told.append(Told())
        return self.told[-1]

    def connect(self) -> Peer:
        return Peer(socket.create_connection(self.address))


@pytest.fixture
async def place(ours: Ours) -> AsyncIterator[Place]:
    place = Place(ours)
    yield place
    place.listener.close()


async def end(place: Place, *peers: Peer) -> None:
    for peer in peers:
        peer.socket.close()
    for told in place.told:
        await told.until_lost()


async def test_each_connection_gets_a_protocol(place: Place) -> None:
    peers = [place.connect() for _ in range(3)]
    for number, peer in enumerate(peers):
        await peer.send(b"%d" % number)
    await until(lambda: sorted(told.data for told in place.told) == [b"0", b"1", b"2"])
    await end(place, *peers)


async def test_more_than_one_turn_takes_are_accepted(place: Place) -> None:
    peers = [place.connect() for _ in range(2 * listener.MOST_ACCEPTED + 3)]
    counts = [0]
    while counts[-1] < len(peers):
        await asyncio.sleep(0)
        counts.append(len(place.told))
    assert max(after - before for before, after in itertools.pairwise(counts)) == listener.MOST_ACCEPTED
    await end(place, *peers)


async def test_closing_accepts_no_more_and_keeps_what_was_accepted(place: Place) -> None:
    peer = place.connect()
    await until(lambda: bool(place.told))
    place.listener.close()
    place.listener.close()
    with pytest.raises(ConnectionRefusedError):
        place.connect()
    await peer.send(b"still here")
    await until(lambda: place.told[0].data == b"still here")
    await end(place, peer)


async def test_without_descriptors_it_says_so_and_tries_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listener, "DELAY", 0.01)
    peers = [place.connect() for _ in range(3)]
    with room_for(2):
        await until(lambda: "no connection is accepted for 0.01 s: Too many open files" in caplog.text)
        assert len(place.told) == 2
    await until(lambda: len(place.told) == 3)
    await end(place, *peers)


async def test_it_may_be_closed_while_it_waits_to_try_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listener, "DELAY", 60.0)
    peer = place.connect()
    with room_for(0):
        await until(lambda: bool(caplog.text))
    place.listener.close()
    assert not place.told
    peer.socket.close()


async def test_a_connection_that_cannot_be_served_costs_no_other(ours: Ours, caplog: pytest.LogCaptureFixture) -> None:
    place = Place(ours)
    made = place.listener._factory
    place.listener._factory = lambda: 1 // 0
    lost = place.connect()
    assert await lost.read() == b""
    assert "could not be served" in caplog.text
    place.listener._factory = made
    peer = place.connect()
    await peer.send(b"x")
    await until(lambda: bool(place.told) and place.told[0].data == b"x")
    await end(place, lost, peer)
    place.listener.close()
