"""From flags or a folder of manifests to an answer: what someone without Kubernetes does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from kthena_fast.gateway import app
from kthena_fast.mock_engine import EngineConfig, MockEngine
from kthena_fast.settings import Settings
from kthena_fast.sources import Source
from kthena_fast.sources.backend import BackendSource
from kthena_fast.sources.manifests import ManifestsSource
from tests.gateway import running

MANIFEST = """
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: chat
  annotations: {{networking.kthena-fast.io/endpoints: "127.0.0.1:{port}"}}
spec:
  inferenceEngine: vLLM
  workloadSelector: {{}}
  workloadPort: {{port: 8000}}
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata: {{name: chat}}
spec:
  modelName: {model}
  rules: [{{targetModels: [{{modelServerName: chat}}]}}]
"""


@contextlib.asynccontextmanager
async def served(engine: MockEngine, source: Source) -> AsyncIterator[running.Scene]:
    """A gateway over that source, once it is ready."""
    options = app.Options(host="127.0.0.1", port=0, metrics_port=0, debug_port=0)
    async with (
        app.running(options, Settings(access_log_enabled=False), source) as gateway,
        contextlib.AsyncExitStack() as closing,
    ):
        scene = running.Scene(gateway, running.Given(None), [engine], [], "127.0.0.1", closing)
        await until_ready(scene, "/readyz")
        yield scene


async def until_ready(scene: running.Scene, path: str) -> None:
    """Ask again until it answers 200: a folder tells nobody when it was read."""
    async with asyncio.timeout(running.PATIENCE):
        while (await scene.get(path)).status != 200:  # noqa: ASYNC110 - a folder has no event to wait for
            await asyncio.sleep(0.01)


async def test_a_backend_with_a_path_in_its_url() -> None:
    engine = MockEngine(EngineConfig(models=("a/b", "c")))
    async with engine.running() as server, served(engine, BackendSource([server.url], ["a/b", "c"])) as scene:
        for model in ("a/b", "c"):
            assert (await scene.ask(running.chat(model=model))).status == 200
        assert (await scene.ask(running.chat(model="d"))).code == "model_not_found"
        listed = (await scene.get("/v1/models")).json()["data"]
        assert [entry["id"] for entry in listed] == ["a/b", "c"]
    async with engine.running() as server, served(engine, BackendSource([f"{server.url}/prefix/"], ["c"])) as scene:
        await scene.ask(running.chat(model="c"))
        assert engine.requests[-1].path == "/prefix/v1/chat/completions"


async def test_a_folder_of_manifests_and_a_change_to_it(tmp_path: Path) -> None:
    engine = MockEngine(EngineConfig(models=("first", "second")))
    async with engine.running() as server:
        file = tmp_path / "chat.yaml"
        file.write_text(MANIFEST.format(port=server.port, model="first"))
        async with served(engine, ManifestsSource(tmp_path)) as scene:
            assert (await scene.ask(running.chat(model="first"))).status == 200
            file.write_text(MANIFEST.format(port=server.port, model="second"))
            await until_ready(scene, "/v1/models/second")
            assert (await scene.ask(running.chat(model="second"))).status == 200
            assert (await scene.ask(running.chat(model="first"))).code == "model_not_found"
