"""A self-made certificate in service, on every replica, and trusted by the API server, for as long as the process runs.

What is in the Secret decides: each look reads it, renews it where the time has come, gives its bundle to the
configurations, and only then serves it. So a configuration that another replica gave a newer bundle is never set back,
and who calls us trusts what we show.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from kthena_fast.kube import failures
from kthena_fast.kube.backoff import Backoff
from kthena_fast.serving import certificate
from kthena_fast.webhook import authority

if TYPE_CHECKING:
    import ssl

    from kthena_fast.webhook.authority import Held
    from kthena_fast.webhook.configurations import Configurations
    from kthena_fast.webhook.secret import Secret

log = logging.getLogger(__name__)

LOOK_EVERY = 30.0
"""Seconds between looks at the Secret, which tells nobody that it changed; the configurations do."""

FIRST_DELAY = 0.5
MAX_DELAY = 10.0
"""Seconds to wait after a look that failed: twice as long each time, and never all replicas in step."""

ATTEMPTS = 10
"""Reads of the Secret in one look, where others write it at the same time."""


class Unusable(Exception):
    """There is a Secret, it is somebody else's, and it cannot be served; says why."""


def names(service: str, namespace: str) -> tuple[str, ...]:
    """What the API server and others call the service."""
    return f"{service}.{namespace}.svc", f"{service}.{namespace}.svc.cluster.local", f"{service}.{namespace}"


class SelfMade:
    """Looks after the certificate. `serve` is given a context, and when it ends, whenever there is a new one."""

    def __init__(
        self,
        secret: Secret,
        configurations: Configurations,
        dns_names: tuple[str, ...],
        now: Callable[[], datetime],
        serve: Callable[[ssl.SSLContext, datetime], None],
    ) -> None:
        self.fault = ""
        """Why the last look failed; empty: it did not."""
        self._secret = secret
        self._configurations = configurations
        self._names = dns_names
        self._now = now
        self._serve = serve
        self._served: Held | None = None
        self._bundle_is_out = False

    async def run(self) -> None:
        """Look whenever something changed or time has passed, until cancelled."""
        backoff = Backoff(FIRST_DELAY, MAX_DELAY)
        while True:
            delay = 0.0
            self._configurations.changed.clear()
            try:
                await self.look()
            except (failures.KubeError, Unusable, certificate.BadCertificate) as problem:
                self._say(str(problem))
                delay = backoff.fail()
            except Exception as problem:
                log.exception("the certificate could not be looked after")
                self.fault = repr(problem)
                delay = backoff.fail()
            else:
                self._say("")
                backoff.succeed()
            await self._wait(delay)

    async def look(self) -> None:
        """Serve what the Secret holds, made or renewed where that is to be done; raises where it cannot be."""
        held = await self._held()
        refusal: Exception | None = None
        try:
            # Without a bundle the pair is somebody's own, and so are the configurations.
            self._bundle_is_out = bool(held.bundle) and await self._configurations.keep(held.bundle)
        except failures.KubeError as problem:
            # No reason not to serve: they may have had it already.
            self._bundle_is_out, refusal = False, problem
        bare = [] if held.bundle else self._configurations.bare()
        if bare:
            refusal = Unusable(
                f"the Secret {self._secret.name} holds somebody's own certificate without its authority (ca.crt), and "
                f"{', '.join(bare)} has no caBundle: the API server is unlikely to trust it, and then refuses every "
                "write; set the caBundle, add ca.crt, or delete the Secret for a certificate of our own"
            )
        if held != self._served:
            self._serve(certificate.context_of(held.chain, held.key), authority.ends(held.chain))
            self._served = held
            log.info("the certificate in the Secret %s is in service", self._secret.name)
        if refusal is not None:
            raise refusal

    async def _held(self) -> Held:
        for _ in range(ATTEMPTS):
            found = await self._secret.read()
            if not found.is_ours:
                if found.held is None:
                    raise Unusable(f"the Secret {self._secret.name} is somebody else's and holds no certificate yet")
                return found.held
            wanted = authority.renewed(
                found.held,
                self._names,
                self._now(),
                # Of the bundle that is in service here, and no other.
                bundle_is_out=self._bundle_is_out and found.held == self._served,
                trusted=self._served.bundle if self._served is not None else b"",
            )
            if wanted is found.held or await self._secret.write(found, wanted):
                return wanted
        raise Unusable(f"the Secret {self._secret.name} is being written by others all the time")

    def _say(self, fault: str) -> None:
        if fault and fault != self.fault:
            log.warning("%s; %s", fault, "the one in service stays" if self._served else "there is no certificate yet")
        self.fault = fault

    async def _wait(self, delay: float) -> None:
        """After a failure `delay` seconds; else until something changed, or it is time to look."""
        if delay:
            # Not for a change: what fails would fail in a loop.
            await asyncio.sleep(delay)
            return
        try:
            async with asyncio.timeout(LOOK_EVERY * random.uniform(0.5, 1.0)):  # noqa: S311 - spreads load, hides nothing
                await self._configurations.changed.wait()
        except TimeoutError:
            pass
