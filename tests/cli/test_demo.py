"""`kthena-fast demo`: what it prints can be pasted, and its manifests can be edited."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shlex
import shutil
import signal
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway import processes

ROOT = Path(__file__).parents[2]
PORTS = ("--port", "0", "--metrics-port", "0", "--debug-port", "0")


@contextlib.asynccontextmanager
async def demo() -> AsyncIterator[processes.Program]:
    async with processes.program("demo", *PORTS) as program:
        await program.says("Ctrl-C")
        yield program


def commands(guide: str) -> list[str]:
    """The commands to paste, continuation lines included."""
    return re.findall(r"^  (curl .*(?:\n    .*)*)", guide, re.MULTILINE)


def fetch(url: str, data: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, data, headers or {})
    try:
        answer = opener.open(request, timeout=processes.PATIENCE)
    except urllib.error.HTTPError as refusal:
        # What curl shows too.
        answer = refusal
    with answer:
        content: bytes = answer.read()
        return content


async def paste(command: str) -> bytes:
    """What a shell shows; without curl on this machine, what the same request is answered."""
    if shutil.which("curl"):
        shell = await asyncio.create_subprocess_shell(
            command.replace("curl ", "curl --silent --noproxy '*' ", 1), stdout=asyncio.subprocess.PIPE
        )
        shown, _ = await shell.communicate()
        assert shell.returncode == 0
        return shown
    words = [word for word in shlex.split(command.replace("\\\n", "")) if word != "-N"]
    _, url, *rest = words
    if not rest:
        return await asyncio.to_thread(fetch, url)
    _, header, _, body = rest
    name, _, value = header.partition(": ")
    return await asyncio.to_thread(fetch, url, body.encode(), {name: value})


def edit(folder: Path, old: str, new: str) -> None:
    """Replace a text in the one manifest that has it."""
    (manifest,) = [path for path in folder.iterdir() if old in path.read_text()]
    manifest.write_text(manifest.read_text().replace(old, new))


async def test_what_the_demo_prints_can_be_pasted_and_its_manifests_edited() -> None:
    async with demo() as program:
        guide = "\n".join(program.lines)
        plain, streamed, served = commands(guide)
        assert b'"finish_reason":' in await paste(plain)
        assert (await paste(streamed)).rstrip().endswith(b"data: [DONE]")

        (field,) = re.findall(r'`("user": "alice")`', guide)
        assert b'"alice"' not in await paste(served)
        await paste(plain.replace('{"model"', f'{{{field}, "model"'))
        assert b'"alice"' in await paste(served)
        (document,) = re.findall(r"\((\S+) says who goes first\)", guide)
        assert (ROOT / document).read_text().startswith("# Fairness")

        metrics, debug = re.findall(r"(?:Metrics|Debug) +(http://\S+)", guide)
        assert b"kthena_router_requests_total" in await asyncio.to_thread(fetch, metrics)
        assert b'"demo-lora"' in await asyncio.to_thread(fetch, debug)

        found = re.search(r"Manifests +(\S+)", guide)
        assert found is not None
        folder = Path(found.group(1))
        edit(folder, "modelName: demo", "modelName: edited")
        edited = plain.replace('"model": "demo"', '"model": "edited"')

        async def is_live() -> bool:
            return b'"finish_reason":' in await paste(edited)

        await processes.until(is_live)
        assert b"model_not_found" in await paste(plain)

        program.send(signal.SIGINT)
        assert await program.ended() == 0
        with pytest.raises(FileNotFoundError):
            edit(folder, "", "")


async def test_a_port_in_use_says_which_flag_chooses_another() -> None:
    async with processes.program("demo", "--host", "127.0.0.1", *PORTS) as first:
        match = processes.SERVING.search(await first.says("serving on"))
        assert match is not None
        taken = ("demo", "--host", "127.0.0.1", "--port", match.group(1), "--metrics-port", "0", "--debug-port", "0")
        async with processes.program(*taken) as second:
            assert await second.ended() == 1
            (line,) = second.complaints
            assert f"--port {match.group(1)}" in line
            assert "choose others" in line
