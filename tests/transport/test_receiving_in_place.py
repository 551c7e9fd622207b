"""What comes may be received where it belongs, for as long as its room lasts."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.transport.ends import Ours, connected, turns, until

MUCH = random.Random(1).randbytes(1_000_000)


class Room:
    """Bytes that are to be filled, and what was told of them."""

    def __init__(self, size: int) -> None:
        self.place = bytearray(size)
        self.told: list[int] = []

    def open_to(self, transport: Any, at: int = 0) -> None:
        """Have what comes received here."""
        transport.receive_into(self.place, at, self.told.append)

    def has(self, size: int) -> bool:
        return sum(self.told) == size


async def test_what_comes_is_in_its_place_and_what_follows_is_told(ours: Ours) -> None:
    async with connected(ours) as (told, transport, peer):
        room = Room(len(MUCH) - 1000)
        room.open_to(transport)
        await peer.send(MUCH)
        await until(lambda: len(told.data) == 1000)
        assert room.has(len(MUCH) - 1000)
        assert bytes(room.place) + told.data == MUCH
        await peer.send(b"more")
        await until(lambda: told.data.endswith(b"more"))


async def test_it_begins_where_it_is_told(ours: Ours) -> None:
    async with connected(ours) as (told, transport, peer):
        room = Room(8)
        room.open_to(transport, 3)
        await peer.send(b"abc")
        await until(lambda: room.has(3))
        await peer.send(b"defg")
        await until(lambda: room.has(5))
        assert bytes(room.place) == b"\0\0\0abcde"
        await until(lambda: told.data == b"fg")


async def test_the_next_room_is_taken_from_within_the_call(ours: Ours) -> None:
    async with connected(ours) as (told, transport, peer):
        rooms = [Room(4) for _ in range(3)]

        def go_on(size: int) -> None:
            number = sum(room.has(4) for room in rooms)
            rooms[number].told.append(size)
            if rooms[number].has(4) and number < 2:
                transport.receive_into(rooms[number + 1].place, 0, go_on)

        transport.receive_into(rooms[0].place, 0, go_on)
        await peer.send(b"0123456789abcdef")
        await until(lambda: told.data == b"cdef")
        assert b"".join(bytes(room.place) for room in rooms) == b"0123456789ab"


async def test_without_its_room_what_comes_is_told(ours: Ours) -> None:
    async with connected(ours) as (told, transport, peer):
        room = Room(100)
        room.open_to(transport)
        await peer.send(b"here")
        await until(lambda: room.has(4))
        transport.receive_into(None)
        await peer.send(b"there")
        await until(lambda: told.data == b"there")
        assert bytes(room.place) == b"here" + bytes(96)


async def test_nothing_comes_while_it_is_paused(ours: Ours) -> None:
    async with connected(ours) as (_, transport, peer):
        room = Room(100)
        room.open_to(transport)
        transport.pause_reading()
        await peer.send(b"here")
        await turns()
        assert not room.told
        transport.resume_reading()
        await until(lambda: room.has(4))


async def test_an_end_in_its_midst_is_told(ours: Ours) -> None:
    async with connected(ours) as (told, transport, peer):
        room = Room(100)
        room.open_to(transport)
        await peer.send(b"here")
        peer.shut()
        await told.until_lost()
        assert (room.told, told.calls[-2:], told.failure) == ([4], ["eof", "lost"], None)


async def test_a_reset_in_its_midst_is_the_failure(ours: Ours) -> None:
    async with connected(ours) as (told, transport, peer):
        room = Room(100)
        room.open_to(transport)
        peer.reset()
        await told.until_lost()
        assert isinstance(told.failure, ConnectionResetError)
        assert not room.told


async def test_who_fails_over_it_loses_the_connection(ours: Ours, caplog: pytest.LogCaptureFixture) -> None:
    async with connected(ours) as (told, transport, peer):
        transport.receive_into(bytearray(100), 0, lambda _: 1 // 0)
        await peer.send(b"here")
        await told.until_lost()
        assert isinstance(told.failure, ZeroDivisionError)
        assert "a protocol failed" in caplog.text


async def test_a_place_outside_of_the_room_is_an_error_and_overwrites_nothing(ours: Ours) -> None:
    async with connected(ours) as (told, transport, peer):
        room = Room(4)
        with pytest.raises(ValueError, match="room"):
            room.open_to(transport, 4)
        with pytest.raises(ValueError, match="room"):
            room.open_to(transport, -1)
        await peer.send(b"here")
        await until(lambda: told.data == b"here")
