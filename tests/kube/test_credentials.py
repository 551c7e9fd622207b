"""Credentials that age: files that are replaced, and programs that are asked."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from kthena_fast.kube import credentials, failures
from kthena_fast.kube.client import Client
from kthena_fast.kube.configuration import Cluster
from tests.kube import breaking

VERSION = credentials.EXEC_VERSIONS[0]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def token(source: credentials.Credentials) -> str:
    return (await source.prove()).headers["Authorization"].removeprefix("Bearer ")


async def test_a_token_is_read_again_as_it_ages_and_the_last_one_shown_while_it_cannot_be(tmp_path: Path) -> None:
    path, clock = tmp_path / "token", Clock()
    path.write_text("one\n")
    source = credentials.TokenFile(path, clock=clock)
    assert await token(source) == "one"
    path.write_text("two")
    assert await token(source) == "one"
    clock.now += credentials.TOKEN_AGE
    assert await token(source) == "two"
    path.unlink()
    clock.now += credentials.TOKEN_AGE
    assert await token(source) == "two"
    path.write_text("three")
    source.renew()
    assert await token(source) == "three"


async def test_a_token_that_never_was_is_told(tmp_path: Path) -> None:
    with pytest.raises(failures.Unreachable, match="cannot be read"):
        await credentials.TokenFile(tmp_path / "token").prove()


async def test_who_is_not_believed_is_asked_for_once_more(tmp_path: Path) -> None:
    """The kubelet has replaced the token, and it was read a moment too early."""
    path = tmp_path / "token"
    path.write_text("old")
    async with breaking.server(breaking.refusal(401, "Unauthorized"), breaking.raw(b"{}")) as api:
        cluster = Cluster(api.cluster.server, credentials.TokenFile(path))
        async with Client(cluster) as kube:
            assert await token(cluster.credentials) == "old"
            path.write_text("new")
            assert await kube.get("/x") == {}
            assert await token(cluster.credentials) == "new"
        assert len(api.asked) == 2


def plugin(folder: Path, body: str, **fields: Any) -> dict[str, Any]:
    """An exec plugin that is this shell script."""
    script = folder / "plugin"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"apiVersion": VERSION, "command": "./plugin", **fields}


def answer(**status: str) -> str:
    said = json.dumps({"apiVersion": VERSION, "kind": "ExecCredential", "status": status})
    return f"echo '{said}'"


async def test_a_plugin_is_asked_and_its_answer_kept_until_shortly_before_it_ends(tmp_path: Path) -> None:
    clock = Clock()
    counts = f"echo x >> {tmp_path}/asked"
    said = answer(token="t", expirationTimestamp="1970-01-01T00:20:00Z")
    source = credentials.Exec(plugin(tmp_path, f"{counts}; {said}"), tmp_path, "https://s", clock=clock)
    assert await token(source) == await token(source) == "t"
    clock.now = 1190.0
    assert await token(source) == "t"
    source.renew()
    assert await token(source) == "t"
    assert (tmp_path / "asked").read_text() == "x\n" * 3


async def test_a_plugin_is_told_what_it_is_asked_for(tmp_path: Path) -> None:
    said = answer(clientCertificateData="C", clientKeyData="K")
    asked = plugin(
        tmp_path,
        f'echo "$1 $SETTING $KUBERNETES_EXEC_INFO" > {tmp_path}/told; {said}',
        args=["--now"],
        env=[{"name": "SETTING", "value": "high"}],
        provideClusterInfo=True,
    )
    proof = await credentials.Exec(asked, tmp_path, "https://s", {"Impersonate-User": "x"}).prove()
    assert proof == credentials.Proof({"Impersonate-User": "x"}, credentials.Certificate("C", "K"))
    argument, setting, info = (tmp_path / "told").read_text().split(maxsplit=2)
    assert (argument, setting) == ("--now", "high")
    assert json.loads(info) == {
        "apiVersion": VERSION,
        "kind": "ExecCredential",
        "spec": {"interactive": False, "cluster": {"server": "https://s"}},
    }


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("echo no; echo 'log in first' >&2; exit 3", "ended with status 3: log in first"),
        ("echo no", "did not answer with an ExecCredential"),
        ("echo '[]'", "did not answer with an ExecCredential"),
        ('echo \'{"apiVersion": "v9", "status": {}}\'', "answered in 'v9'"),
        (answer(), "neither a token nor a certificate"),
        (answer(token="t", expirationTimestamp="soon"), "did not answer with an ExecCredential"),
    ],
    ids=["a failure", "no JSON", "no object", "another version", "nothing", "no time"],
)
async def test_a_plugin_that_fails_is_told_in_one_line(body: str, why: str, tmp_path: Path) -> None:
    source = credentials.Exec(plugin(tmp_path, body), tmp_path, "https://s")
    with pytest.raises(failures.Unreachable, match=why):
        await source.prove()


async def test_a_plugin_that_is_not_there_is_told_with_the_hint_of_its_maker(tmp_path: Path) -> None:
    missing = {"apiVersion": VERSION, "command": "no-such-plugin", "installHint": "brew install it"}
    with pytest.raises(failures.Unreachable, match=r"no-such-plugin cannot be run: .*\. brew install it"):
        await credentials.Exec(missing, tmp_path, "https://s").prove()


def is_running(pid_file: Path) -> bool:
    return Path("/proc", pid_file.read_text().strip()).exists()


async def test_a_plugin_that_does_not_answer_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "EXEC_TIMEOUT", 0.2)
    source = credentials.Exec(plugin(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60"), tmp_path, "https://s")
    with pytest.raises(failures.Unreachable, match=r"within 0.2 s"):
        await source.prove()
    assert not is_running(tmp_path / "pid")


async def test_who_no_longer_waits_for_a_plugin_leaves_none_behind(tmp_path: Path) -> None:
    pipe = tmp_path / "begun"
    asked = plugin(tmp_path, f"echo $$ > {tmp_path}/pid; mv {tmp_path}/pid {pipe}; exec sleep 60")
    asking = asyncio.create_task(credentials.Exec(asked, tmp_path, "https://s").prove())
    async with asyncio.timeout(20):
        while not pipe.exists():  # noqa: ASYNC110 - another process sets no event here
            await asyncio.sleep(0.01)
    asking.cancel()
    await asyncio.wait((asking,))
    assert asking.cancelled()
    assert not is_running(pipe)
