"""What a transport promises. The loop's is asked first, so that what is asked of ours is what is so elsewhere."""

from __future__ import annotations

import asyncio
import functools
import random
import socket
import sys
from typing import Any

import pytest

from tests.transport.ends import Maker, Ours, Told, a_pair, connected, turns, until

MUCH = random.Random(1).randbytes(3_000_000)


# Reading


async def test_what_is_sent_arrives_whole_and_in_order(maker: Maker) -> None:
    async with connected(maker) as (told, _, peer):
        await peer.send(MUCH)
        await until(lambda: len(told.data) == len(MUCH))
        assert told.data == MUCH
        assert told.calls[0] == "made"


@pytest.mark.parametrize("last", [b"", b"small"])
async def test_behind_a_large_piece_whatever_comes_arrives(maker: Maker, last: bytes) -> None:
    async with connected(maker) as (told, _, peer):
        for size in (100_000, 200_000, 300_000):
            whole = told.data + MUCH[:size]
            await peer.send(MUCH[:size])
            await until(functools.partial(told.has, whole))
            await peer.send(last)
            await until(functools.partial(told.has, whole + last))
        peer.shut()
        await told.until_lost()
        assert (told.calls[-2:], told.failure) == (["eof", "lost"], None)


async def test_a_reset_behind_a_large_piece_is_told_as_the_failure(maker: Maker) -> None:
    async with connected(maker) as (told, _, peer):
        await peer.send(MUCH[:100_000])
        await until(lambda: len(told.data) == 100_000)
        peer.reset()
        await told.until_lost()
        assert isinstance(told.failure, ConnectionResetError)


async def test_a_small_piece_behind_a_large_one_holds_only_its_own_memory(ours: Ours) -> None:
    class Keeping(Told):
        last = b""

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.last = data

    told = Keeping()
    async with connected(ours, told) as (_, _, peer):
        await peer.send(MUCH[:100_000])
        await until(lambda: len(told.data) == 100_000)
        await peer.send(b"small")
        await until(lambda: told.last == b"small")
        assert sys.getsizeof(told.last) == sys.getsizeof(b"small")


async def test_what_came_before_the_transport_is_received(maker: Maker) -> None:
    ours, theirs = a_pair()
    theirs.sendall(b"early")
    theirs.close()
    told = Told()
    await maker.adopt(ours, lambda: told)
    await told.until_lost()
    assert (told.data, told.calls) == (b"early", ["made", "data", "eof", "lost"])


async def test_nothing_is_received_while_paused_and_everything_after(maker: Maker) -> None:
    async with connected(maker) as (told, transport, peer):
        transport.pause_reading()
        await peer.send(b"one")
        await turns()
        assert not told.data
        assert not transport.is_reading()
        await peer.send(b"two")
        peer.shut()
        await turns()
        transport.resume_reading()
        assert not told.data
        await told.until_lost()
        assert (told.data, told.failure) == (b"onetwo", None)


async def test_pausing_within_a_call_holds_the_rest(maker: Maker) -> None:
    class Pausing(Told):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.pause_reading()

    async with connected(maker, Pausing()) as (told, transport, peer):
        sending = asyncio.create_task(peer.send(MUCH))
        while len(told.data) < len(MUCH):
            calls = len(told.calls)
            transport.resume_reading()
            await told.until_called()
            calls += 1
            await turns()
            assert len(told.calls) == calls
        await sending
        assert told.data == MUCH


async def test_pausing_and_resuming_any_number_of_times_tells_everything_once(maker: Maker) -> None:
    async with connected(maker) as (told, transport, peer):
        for number in range(30):
            transport.pause_reading()
            await peer.send(b"%02d" % number)
            await turns(2)
            transport.resume_reading()
            if number % 3:
                transport.pause_reading()
                transport.resume_reading()
            await turns(1)
        await until(lambda: len(told.data) == 60)
        assert told.data == b"".join(b"%02d" % number for number in range(30))


async def test_what_stands_behind_an_urgent_byte_arrives(maker: Maker) -> None:
    async with connected(maker) as (told, _, peer):
        await turns()
        peer.socket.send(b"abc!", socket.MSG_OOB)
        peer.socket.send(b"def")
        await until(lambda: told.data == b"abcdef")


# The end of what the peer says


async def test_a_protocol_that_wants_no_more_is_closed_at_the_end(maker: Maker) -> None:
    async with connected(maker) as (told, transport, peer):
        peer.shut()
        await told.until_lost()
        assert (told.calls, told.failure) == (["made", "eof", "lost"], None)
        assert transport.is_closing()
        assert await peer.read() == b""


async def test_a_protocol_that_stays_may_still_write(maker: Maker) -> None:
    async with connected(maker, Told(stays_open=True)) as (told, transport, peer):
        await peer.send(b"ask")
        peer.shut()
        await until(lambda: "eof" in told.calls)
        transport.write(b"answer")
        assert await peer.read_exactly(6) == b"answer"
        assert "lost" not in told.calls
        transport.close()
        await told.until_lost()
        assert told.calls == ["made", "data", "eof", "lost"]


async def test_a_peer_that_says_its_last_and_goes_is_noticed_though_nothing_is_read(ours: Ours) -> None:
    async with connected(ours, Told(stays_open=True)) as (told, _, peer):
        peer.shut()
        await until(lambda: "eof" in told.calls)
        peer.reset()
        await told.until_lost()
        assert isinstance(told.failure, ConnectionResetError)


async def test_a_peer_that_says_its_last_and_goes_at_the_same_time_is_noticed(ours: Ours) -> None:
    async with connected(ours, Told(stays_open=True)) as (told, _, peer):
        await turns()
        peer.shut()
        peer.reset()
        await told.until_lost()
        assert told.calls == ["made", "eof", "lost"]
        assert isinstance(told.failure, ConnectionResetError)


async def test_a_peer_that_went_while_reading_paused_is_noticed_behind_its_last(ours: Ours) -> None:
    async with connected(ours, Told(stays_open=True)) as (told, transport, peer):
        transport.pause_reading()
        await peer.send(b"last words")
        peer.shut()
        peer.reset()
        await turns()
        transport.resume_reading()
        await told.until_lost()
        assert told.calls == ["made", "data", "eof", "lost"]
        assert isinstance(told.failure, ConnectionResetError)


async def test_a_reset_is_told_as_the_failure(maker: Maker) -> None:
    async with connected(maker) as (told, _, peer):
        peer.reset()
        await told.until_lost()
        assert isinstance(told.failure, ConnectionResetError)
        assert told.calls == ["made", "lost"]


async def test_what_came_before_a_reset_is_received(ours: Ours) -> None:
    async with connected(ours) as (told, transport, peer):
        transport.pause_reading()
        await peer.send(b"last words")
        await turns()
        peer.reset()
        await turns()
        assert "lost" not in told.calls
        transport.resume_reading()
        await told.until_lost()
        assert told.data == b"last words"


async def test_an_answer_to_what_the_peer_does_not_read_to_its_end_is_received(maker: Maker) -> None:
    async with connected(maker, buffer=4096) as (told, transport, peer):
        transport.write(MUCH)
        await turns()
        peer.socket.send(b"too large")
        # Of what it has not read its kernel tells by a reset.
        peer.socket.close()
        await told.until_lost()
        assert told.data == b"too large"


# Writing


async def test_what_is_written_arrives_whole_and_in_order(maker: Maker) -> None:
    async with connected(maker) as (_, transport, peer):
        pieces = [MUCH[at : at + 70_001] for at in range(0, len(MUCH), 70_001)]
        for piece in pieces:
            transport.write(piece)
        assert await peer.read_exactly(len(MUCH)) == MUCH
        await until(lambda: transport.get_write_buffer_size() == 0)


async def test_all_kinds_of_bytes_are_written(maker: Maker) -> None:
    async with connected(maker) as (_, transport, peer):
        kept = bytearray(b"two")
        transport.write(b"one")
        transport.write(kept)
        transport.write(memoryview(b"three"))
        transport.write(b"")
        transport.writelines([b"four", bytearray(b"five")])
        assert await peer.read_exactly(19) == b"onetwothreefourfive"


@pytest.mark.parametrize("nonsense", [5, "text", [1]])
async def test_what_is_not_bytes_is_not_written(maker: Maker, nonsense: Any) -> None:
    async with connected(maker) as (_, transport, _):
        with pytest.raises(TypeError):
            transport.write(nonsense)


async def test_bytes_that_wait_are_not_those_that_the_caller_changes(maker: Maker) -> None:
    async with connected(maker, buffer=4096) as (_, transport, peer):
        kept = bytearray(MUCH[:1_000_000])
        transport.write(bytes(kept))
        last = bytearray(b"last")
        transport.write(last)
        if isinstance(maker, Ours):
            last[:] = b"lost"
        assert await peer.read_exactly(1_000_004) == MUCH[:1_000_000] + b"last"


async def test_a_slow_peer_pauses_and_resumes_the_writing(maker: Maker) -> None:
    async with connected(maker, buffer=4096) as (told, transport, peer):
        transport.set_write_buffer_limits(high=10_000)
        assert transport.get_write_buffer_limits() == (2_500, 10_000)
        transport.write(MUCH)
        await until(lambda: "pause" in told.calls)
        assert transport.get_write_buffer_size() > 10_000
        assert await peer.read_exactly(len(MUCH)) == MUCH
        await until(lambda: "resume" in told.calls)
        assert told.calls == ["made", "pause", "resume"]
        transport.write(MUCH)
        assert await peer.read_exactly(len(MUCH)) == MUCH
        await until(lambda: told.calls.count("resume") == 2)
        assert told.calls == ["made", "pause", "resume", "pause", "resume"]


async def test_limits_that_are_lowered_count_at_once(maker: Maker) -> None:
    async with connected(maker, buffer=4096) as (told, transport, _):
        transport.set_write_buffer_limits(high=len(MUCH))
        transport.write(MUCH)
        await turns()
        assert "pause" not in told.calls
        transport.set_write_buffer_limits(high=1000)
        assert "pause" in told.calls


async def test_the_kernel_is_asked_at_once(ours: Ours) -> None:
    async with connected(ours) as (_, transport, peer):
        transport.write(b"now")
        assert transport.get_write_buffer_size() == 0
        assert peer.socket.recv(3) == b"now"


@pytest.mark.parametrize("limits", [{"high": 1, "low": 2}, {"high": 1, "low": -1}, {"high": -1}])
async def test_limits_that_make_no_sense_are_refused(maker: Maker, limits: dict[str, int]) -> None:
    async with connected(maker) as (_, transport, _):
        with pytest.raises(ValueError, match="low"):
            transport.set_write_buffer_limits(**limits)


async def test_limits_have_the_defaults_of_asyncio(ours: Ours) -> None:
    async with connected(ours) as (_, transport, _):
        assert transport.get_write_buffer_limits() == (16_384, 65_536)
        transport.set_write_buffer_limits(low=10)
        assert transport.get_write_buffer_limits() == (10, 40)
        transport.set_write_buffer_limits()
        assert transport.get_write_buffer_limits() == (16_384, 65_536)


async def test_the_direction_of_writing_ends_behind_what_was_written(maker: Maker) -> None:
    async with connected(maker, buffer=4096) as (told, transport, peer):
        assert transport.can_write_eof()
        transport.write(MUCH)
        transport.write_eof()
        transport.write_eof()
        assert await peer.read_all() == MUCH
        await peer.send(b"still heard")
        await until(lambda: told.data == b"still heard")
        with pytest.raises(RuntimeError, match="write_eof"):
            transport.write(b"too late")


async def test_a_peer_that_is_gone_is_noticed_by_writing(maker: Maker) -> None:
    async with connected(maker, buffer=4096) as (told, transport, peer):
        transport.write(MUCH)
        await turns()
        peer.reset()
        await told.until_lost()
        assert isinstance(told.failure, ConnectionError)
        assert transport.get_write_buffer_size() == 0


async def test_a_write_to_a_peer_that_is_gone_fails_later_and_once(ours: Ours) -> None:
    async with connected(ours) as (told, transport, peer):
        peer.reset()
        transport.write(b"a")
        transport.write(b"b")
        assert "lost" not in told.calls
        await told.until_lost()
        transport.write(b"c")
        assert isinstance(told.failure, ConnectionError)
        assert told.calls == ["made", "lost"]


# The end


async def test_closing_waits_for_what_was_written(maker: Maker) -> None:
    async with connected(maker, buffer=4096) as (told, transport, peer):
        transport.write(MUCH)
        transport.close()
        transport.close()
        assert transport.is_closing()
        await turns()
        assert "lost" not in told.calls
        assert await peer.read_all() == MUCH
        await told.until_lost()
        assert told.failure is None


async def test_nothing_is_received_after_closing(maker: Maker) -> None:
    async with connected(maker, buffer=4096) as (told, transport, peer):
        transport.write(MUCH)
        transport.close()
        await peer.send(b"too late")
        await turns()
        assert not told.data


async def test_aborting_drops_what_waits_and_tells_of_it_later(maker: Maker) -> None:
    async with connected(maker, buffer=4096) as (told, transport, _):
        transport.write(MUCH)
        transport.abort()
        assert "lost" not in told.calls
        await told.until_lost()
        assert told.failure is None
        transport.abort()
        transport.close()
        await turns()
        assert told.calls.count("lost") == 1


async def test_nothing_is_written_and_nothing_raised_after_the_end(ours: Ours) -> None:
    async with connected(ours) as (told, transport, peer):
        transport.close()
        transport.write(b"no")
        await told.until_lost()
        transport.write(b"no")
        transport.resume_reading()
        transport.write_eof()
        assert await peer.read() == b""


@pytest.mark.parametrize("problem", [ZeroDivisionError, asyncio.CancelledError])
async def test_a_protocol_that_fails_loses_its_connection_and_no_other_does(
    maker: Maker, problem: type[BaseException]
) -> None:
    class Failing(Told):
        def data_received(self, data: bytes) -> None:
            raise problem

    told_of: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told_of.append(context))
    async with connected(maker, Failing()) as (failing, transport, bad), connected(maker) as (told, _, good):
        await turns()
        bad.socket.send(b"x")
        good.socket.send(b"x")
        await failing.until_lost()
        await until(lambda: told.data == b"x")
        assert isinstance(told_of[0]["exception"], problem)
        assert told_of[0]["transport"] is transport
        assert told.calls == ["made", "data"]


@pytest.mark.parametrize("method", ["connection_made", "eof_received", "pause_writing", "resume_writing"])
async def test_whatever_call_fails_the_connection_ends(ours: Ours, method: str) -> None:
    told_of: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told_of.append(context))

    class Failing(Told):
        def __getattribute__(self, name: str) -> Any:
            return super().__getattribute__("fail" if name == method else name)

        def fail(self, *_: object) -> None:
            raise ZeroDivisionError

    async with connected(ours, Failing(), buffer=4096) as (told, transport, peer):
        transport.write(MUCH)
        if method == "resume_writing":
            await peer.read_all()
        else:
            peer.shut()
        await told.until_lost()
        assert isinstance(told.failure, ZeroDivisionError)
        assert [type(context["exception"]) for context in told_of] == [ZeroDivisionError]


# The rest


async def test_another_protocol_may_take_over_within_a_call(maker: Maker) -> None:
    second = Told()

    class First(Told):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.set_protocol(second)
            second.connection_made(self.transport)

    async with connected(maker, First()) as (first, transport, peer):
        await peer.send(b"one")
        await until(lambda: first.data == b"one")
        assert transport.get_protocol() is second
        await peer.send(b"two")
        peer.shut()
        await second.until_lost()
        assert (second.data, second.calls) == (b"two", ["made", "data", "eof", "lost"])
        assert first.calls == ["made", "data"]
        # `connected` waits for it.
        first.lost.set_result(None)


async def test_it_tells_who_is_connected(maker: Maker) -> None:
    async with connected(maker) as (told, transport, peer):
        assert transport.get_extra_info("peername") == peer.socket.getsockname()
        assert transport.get_extra_info("sockname") == peer.socket.getpeername()
        assert transport.get_extra_info("sslcontext") is None
        assert transport.get_extra_info("other", 7) == 7
        opened = transport.get_extra_info("socket")
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        transport.close()
        await told.until_lost()


async def test_it_shows_what_it_is(ours: Ours) -> None:
    async with connected(ours) as (_, transport, _):
        transport.pause_reading()
        transport.close()
        assert repr(transport).endswith("closing paused buffered=0>")
