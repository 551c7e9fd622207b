"""What comes is bounded, and asked for by no two in step."""

from __future__ import annotations

import pytest

from kthena_fast.kube import answers, client, failures
from kthena_fast.kube.client import Client
from tests.kube import breaking
from tests.kube.breaking import PATH


async def test_an_answer_is_held_up_to_its_largest_size_and_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"a": "%s"}' % (b"x" * 1000)
    monkeypatch.setattr(answers, "MAX_ANSWER_BYTES", len(body))
    async with breaking.server(breaking.raw(body), breaking.raw(body + b" ")) as api, Client(api.cluster) as kube:
        assert await kube.get(PATH) == {"a": "x" * 1000}
        with pytest.raises(failures.Malformed, match=f"the answer of {PATH} is larger than {len(body)} bytes"):
            await kube.get(PATH)


async def test_an_answer_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_ANSWER_BYTES", 1000)
    async with (
        breaking.server(breaking.watching(b"x" * 600, b"x" * 600, stays=True)) as api,
        Client(api.cluster) as kube,
    ):
        with pytest.raises(failures.Malformed, match="is larger than 1000 bytes"):
            await kube.get(PATH)


async def test_watches_are_not_asked_to_end_together() -> None:
    async with breaking.server(breaking.watching()) as api, Client(api.cluster) as kube:
        for _ in range(20):
            async with kube.watch(PATH, "1"):
                pass
    asked = [int(query["timeoutSeconds"]) for query in api.asked]
    first, last = client.WATCH_SECONDS
    assert all(first <= seconds <= last for seconds in asked)
    assert len(set(asked)) > 1
