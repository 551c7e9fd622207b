"""Looks at the self-made certificate, one by one, of a Secret and configurations that are made up."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from kthena_fast.kube import failures
from kthena_fast.webhook import authority
from kthena_fast.webhook.authority import Held
from kthena_fast.webhook.configurations import Configurations
from kthena_fast.webhook.secret import Found, Secret
from kthena_fast.webhook.self_made import SelfMade, Unusable, names

NAMES = names("webhook", "ns")
DAY = timedelta(days=1)


class Shared:
    """The Secret, to which other replicas write too."""

    name = "ns/certs"

    def __init__(self) -> None:
        self.held: Held | None = None

    async def read(self) -> Found:
        return Found(None, self.held, is_ours=True)

    async def write(self, found: Found, held: Held) -> bool:
        self.held = held
        return True


class Given:
    """Configurations that have their bundle at once."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.bundle = b""

    async def keep(self, bundle: bytes) -> bool:
        self.bundle = bundle
        return True

    def bare(self) -> list[str]:
        return []


class Replica:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)
        self.secret = Shared()
        self.configurations = Given()
        self.looking = SelfMade(
            cast("Secret", self.secret),
            cast("Configurations", self.configurations),
            NAMES,
            lambda: self.now,
            lambda context, ends: None,
        )

    async def look(self, now: datetime) -> Held:
        self.now = now
        await self.looking.look()
        assert self.secret.held is not None
        return self.secret.held


async def test_an_authority_of_another_replicas_signs_only_when_its_bundle_is_out() -> None:
    """Be it as old as it may: what is known of the bundle before says nothing of it."""
    replica = Replica()
    begin = replica.now
    await replica.look(begin)
    due = begin + authority.AUTHORITY_LIFE * 2 / 3 + DAY
    before = await replica.look(due - 2 * DAY)
    # This one was away while another one made the authority, and until it had settled.
    during = replica.secret.held = authority.renewed(before, NAMES, due)
    assert (during.chain, during.bundle != before.bundle) == (before.chain, True)
    settled = due + authority.SETTLE
    assert await replica.look(settled) == during
    assert replica.configurations.bundle == during.bundle
    after = await replica.look(settled)
    assert after.bundle == during.bundle
    assert after.chain != during.chain


@pytest.mark.parametrize(
    "problem",
    [
        failures.Unreachable("away"),
        failures.ApiError(403, "Forbidden", "no"),
        Unusable("somebody else's"),
        RuntimeError("a fault of ours"),
    ],
)
async def test_a_look_that_failed_is_not_repeated_at_once(problem: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor at a change of the configurations, which come and change all the time where the look itself fails."""
    replica = Replica()
    waited: list[float] = []

    async def read() -> Found:
        if len(waited) in {0, 1, 2, 4}:
            raise problem
        return Found(None, replica.secret.held, is_ours=True)

    async def wait(delay: float) -> None:
        waited.append(delay)
        if len(waited) == 5:
            raise asyncio.CancelledError

    monkeypatch.setattr(replica.secret, "read", read)
    monkeypatch.setattr(replica.looking, "_wait", wait)
    with pytest.raises(asyncio.CancelledError):
        await replica.looking.run()
    first, second, third, well, again = waited
    assert 0 < first < second < third
    assert well == 0
    assert 0 < again < third
