"""What the webhook takes: reviews a second at the pace of a busy cluster, and objects as large as the API server takes.

    python -m benchmarks.webhook --rate 200 --seconds 20
    python -m benchmarks.webhook --peaks

A real `kthena-fast webhook` behind TLS, without a cluster; callers keep their connections as an API server does. CPU
time and memory are the process's own, from /proc.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import psutil
import trustme
import uvloop

from kthena_fast.webhook.endpoint import KINDS
from tests.gateway import processes
from tests.resources import corpus
from tests.webhook import asking

CONNECTIONS = 25
"""Idle connections that an API server keeps to a webhook."""

MEGABYTE = 10**6

FROM_AN_API_SERVER = 5
"""How many of `large` come from one; it holds the others to their CRD, and sends them to nobody."""


def mixed(number: int) -> bytes:
    """One of the reviews of ordinary days: creations, changes, what is refused and what is warned of."""
    route = corpus.route(
        modelName=f"model-{number}",
        loraAdapters=[f"adapter-{number}"],
        rules=[
            corpus.rule(modelMatch={"headers": {"x-tier": {"regex": f"^(gold|silver)-{number}$"}}}),
            corpus.rule(targetModels=[corpus.target(weight=70), corpus.target(weight=30)]),
        ],
        rateLimit={"inputTokensPerUnit": 10_000, "unit": "minute"},
    )
    kinds: list[dict[str, Any]] = [
        asking.review(route),
        asking.review(asking.changed(route, rules=[corpus.rule()]), route),
        asking.review(corpus.server(trafficPolicy={"timeout": "10s", "retry": {"attempts": 2}})),
        asking.review(corpus.provider(headers={"x-org": "a"})),
        asking.review(corpus.route(loraAdapters=[""], rules=[corpus.rule(modelMatch={"uri": {"regex": "("}})])),
        asking.review(corpus.route(rules=[corpus.rule(), corpus.rule()])),
    ]
    return orjson.dumps(kinds[number % len(kinds)])


def large(size: int) -> dict[str, dict[str, Any]]:
    """Objects of about so many bytes, each of another sort."""
    headers = {f"x-header-{number:07}": {"exact": "v" * 64} for number in range(size // 100)}
    good = corpus.matching(headers=headers)
    expressions = {f"x{number}": {"regex": f"^a{number}(b|c)*[d-z]+$"} for number in range(size // 43)}
    labels = {f"k{number:08}": "v" * 10 for number in range(size // 26)}
    wrong = {f"k{number:08}": number for number in range(size // 22)}
    return {
        f"a route, {len(headers):,} header conditions": asking.review(good),
        "the same, its spec changed": asking.review(asking.changed(good, loraAdapters=["a"]), good),
        "the same, its metadata changed": asking.review(good, good),
        f"a route, {len(expressions):,} expressions": asking.review(corpus.matching(headers=expressions)),
        f"a server, {len(labels):,} labels": asking.review(corpus.server(workloadSelector={"matchLabels": labels})),
        f"a server, {len(wrong):,} labels that are none": asking.review(
            corpus.server(workloadSelector={"matchLabels": wrong})
        ),
        f"a route, {size // 46:,} rules": asking.review(corpus.route(rules=[corpus.rule()] * (size // 46))),
    }


@dataclass
class Subject:
    """The webhook's process and a caller's session."""

    url: str
    process: psutil.Process
    session: aiohttp.ClientSession
    context: Any

    async def ask(self, body: bytes) -> float:
        """Seconds from a review to its answer."""
        kind = next(kind for kind in KINDS if f'"kind":"{kind}"'.encode() in body)
        began = time.perf_counter()
        async with self.session.post(
            self.url + asking.path(kind),
            data=io.BytesIO(body),
            headers={"Content-Type": "application/json"},
            ssl=self.context,
        ) as response:
            answer = await response.read()
        seconds = time.perf_counter() - began
        assert response.status == 200, answer
        return seconds

    def cpu(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def rss(self) -> float:
        return float(self.process.memory_info().rss) / 2**20

    def most(self) -> float:
        """The most memory so far, in MiB: what a limit has to hold."""
        (line,) = (
            line
            for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
            if line.startswith("VmHWM:")
        )
        return float(line.split()[1]) / 2**10


@contextlib.asynccontextmanager
async def subject() -> AsyncIterator[Subject]:
    authority = trustme.CA()
    with tempfile.TemporaryDirectory() as folder:
        pair = asking.write_pair(authority.issue_cert("127.0.0.1"), Path(folder) / "certs")
        arguments = (
            *("webhook", "--host", "127.0.0.1", "--port", "0", "--metrics-port", "0", "--cluster-warnings=false"),
            *("--tls-cert-file", str(pair[0]), "--tls-private-key-file", str(pair[1])),
        )
        async with processes.program(*arguments, LOG_LEVEL="info") as program:
            line = await program.says("reviews on 127.0.0.1:")
            await program.says("ready: reviews are answered")
            port = int(line.partition("127.0.0.1:")[2].partition(",")[0])
            connector = aiohttp.TCPConnector(limit=CONNECTIONS)
            async with (
                asking.caller(authority.cert_pem.bytes().decode()) as (_, context),
                aiohttp.ClientSession(connector=connector) as session,
            ):
                yield Subject(f"https://127.0.0.1:{port}", psutil.Process(program.pid), session, context)


def percentiles(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    shown = ((f"p{share}", ordered[min(len(ordered) - 1, len(ordered) * share // 100)]) for share in (50, 99))
    return ", ".join(f"{name} {value * 1000:.1f} ms" for name, value in (*shown, ("most", ordered[-1])))


async def paced(subject: Subject, rate: float, seconds: float, seed: int) -> list[float]:
    """Reviews as they come, whether or not those before are answered."""
    chance, loop = random.Random(seed), asyncio.get_running_loop()
    asked: list[asyncio.Task[float]] = []
    bodies = [mixed(number) for number in range(240)]
    due = loop.time()
    until = due + seconds
    while due < until:
        asked.append(asyncio.create_task(subject.ask(chance.choice(bodies))))
        due += chance.expovariate(rate)
        await asyncio.sleep(max(0.0, due - loop.time()))
    return list(await asyncio.gather(*asked))


async def flat_out(subject: Subject, seconds: float) -> int:
    """How many reviews are answered where each caller asks again as soon as it is answered."""
    until = time.perf_counter() + seconds
    bodies = [mixed(number) for number in range(240)]

    async def caller(first: int) -> int:
        count = 0
        while time.perf_counter() < until:
            await subject.ask(bodies[(first + count) % len(bodies)])
            count += 1
        return count

    return sum(await asyncio.gather(*(caller(number) for number in range(CONNECTIONS))))


async def run(rate: float, seconds: float, seed: int, size: int) -> None:
    async with subject() as webhook:
        print(f"idle: {webhook.rss():.0f} MiB")
        cpu = webhook.cpu()
        latencies = await paced(webhook, rate, seconds, seed)
        spent = webhook.cpu() - cpu
        print(
            f"{rate:g} reviews/s for {seconds:g} s ({len(latencies)}): {percentiles(latencies)}; "
            f"{spent / len(latencies) * 1000:.2f} ms of CPU each, {spent / seconds:.0%} of a core"
        )
        cpu = webhook.cpu()
        count = await flat_out(webhook, seconds / 2)
        each = (webhook.cpu() - cpu) / count * 1000
        print(f"{CONNECTIONS} callers, flat out: {count / seconds * 2:.0f} reviews/s, {each:.2f} ms of CPU each")
        print(f"{webhook.rss():.0f} MiB")
        await large_ones(webhook, size)
        beside = asyncio.create_task(again_and_again(webhook, size, max(1, int(seconds / 2))))
        latencies = await paced(webhook, rate / 2, seconds / 2, seed)
        print(f"{rate / 2:g} reviews/s beside one large one after the other: {percentiles(latencies)}")
        print(f"the large ones: {percentiles(await beside)}")
        print(f"{webhook.rss():.0f} MiB, at most {webhook.most():.0f} MiB")


async def large_ones(webhook: Subject, size: int) -> None:
    """One after the other, three times each."""
    for name, review in large(size).items():
        body = orjson.dumps(review)
        taken: list[float] = []
        spent: list[float] = []
        for _ in range(3):
            cpu = webhook.cpu()
            taken.append(await webhook.ask(body))
            spent.append(webhook.cpu() - cpu)
        seconds, cpu = statistics.median(taken), statistics.median(spent)
        print(f"{name} ({len(body) / MEGABYTE:.1f} MB): {seconds:.2f} s, CPU {cpu:.2f} s; {webhook.rss():.0f} MiB")


async def peaks(rate: float, seconds: float, seed: int, size: int) -> None:
    """The most memory that objects take a fresh process to, of those that an API server lets through to it."""
    sent = [(name, orjson.dumps(review)) for name, review in large(size).items()][:FROM_AN_API_SERVER]
    (changed_name, changed), (expressions_name, expressions) = sent[1], sent[3]
    rounds = [(name, [body], 3) for name, body in sent]
    rounds.append((f"five at once: {changed_name}", [changed] * 5, 2))
    rounds.append((f"ten at once: {expressions_name}", [expressions] * 10, 1))
    for name, bodies, times in rounds:
        async with subject() as webhook:
            for _ in range(times):
                await asyncio.gather(*(webhook.ask(body) for body in bodies))
            print(f"{name}: at most {webhook.most():.0f} MiB")
    async with subject() as webhook:

        async def all_of_them() -> None:
            for _, body in sent * 2:
                await webhook.ask(body)

        beside = asyncio.create_task(all_of_them())
        print(f"all of them beside {rate:g} reviews/s: {percentiles(await paced(webhook, rate, seconds, seed))}")
        await beside
        print(f"at most {webhook.most():.0f} MiB")


async def again_and_again(webhook: Subject, size: int, times: int) -> list[float]:
    body = orjson.dumps(next(iter(large(size).values())))
    return [await webhook.ask(body) for _ in range(times)]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.webhook", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=200.0, help="reviews a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each part")
    parser.add_argument("--megabytes", type=float, default=3.0, help="of the large objects")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peaks", action="store_true", help="only the most memory that large objects take")
    arguments = parser.parse_args()
    os.environ.pop("KUBECONFIG", None)
    size = int(arguments.megabytes * MEGABYTE)
    measure = peaks if arguments.peaks else run
    uvloop.run(measure(arguments.rate, arguments.seconds, arguments.seed, size))
    return 0


if __name__ == "__main__":
    sys.exit(main())
