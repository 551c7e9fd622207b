"""The engine as a program, with real signals."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator

import click.testing
import httpx
import pytest

from kthena_fast.mock_engine import command

MAIN = "from kthena_fast.mock_engine.command import mock_engine; mock_engine()"


class Program:
    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url


@pytest.fixture
async def program() -> AsyncIterator[Program]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", MAIN, "--port", "0", "--model", "a/b", "--fault", "status:503:first-1", "--grace", "30s",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    line = (await process.stdout.readline()).decode()
    yield Program(process, line.split()[3].rstrip(","))
    if process.returncode is None:
        process.kill()
    await process.wait()


BODY = {"messages": [{"role": "user", "content": "hi"}], "stream": True}


async def test_sigterm_lets_a_stream_finish_and_exits_with_0(program: Program) -> None:
    async with httpx.AsyncClient(base_url=program.url) as http:
        assert (await http.post("/v1/chat/completions", json=BODY)).status_code == 503
        slow = {"X-Mock-Token-Interval": "20ms"}
        async with http.stream("POST", "/v1/chat/completions", json=BODY, headers=slow) as answer:
            program.process.send_signal(signal.SIGTERM)
            assert (await answer.aread()).endswith(b"data: [DONE]\n\n")
        assert await program.process.wait() == 0


async def test_a_second_signal_cuts_a_stream_short(program: Program) -> None:
    async with httpx.AsyncClient(base_url=program.url) as http:
        await http.post("/v1/chat/completions", json=BODY)
        hang = {"X-Mock-Hold-After": "1"}
        async with http.stream("POST", "/v1/chat/completions", json=BODY, headers=hang) as answer:
            program.process.send_signal(signal.SIGTERM)
            # The listener is gone when the first signal has been taken.
            while await _is_listening(program.url):
                pass
            program.process.send_signal(signal.SIGTERM)
            with pytest.raises(httpx.RemoteProtocolError):
                await answer.aread()
        assert await program.process.wait() == 0


async def _is_listening(url: str) -> bool:
    try:
        async with httpx.AsyncClient() as http:
            await http.get(f"{url}/health")
    except httpx.TransportError:
        return False
    return True


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--fault", "explode"], "allowed are die-before-head"),
        (["--token-interval", "soon"], "'soon' is not a duration"),
        (["--token-interval", "-1"], "not a time from 0 up"),
    ],
)
def test_a_bad_option_is_refused_with_what_is_allowed(arguments: list[str], complaint: str) -> None:
    result = click.testing.CliRunner().invoke(command.mock_engine, arguments)
    assert result.exit_code == 2
    assert complaint in result.output
