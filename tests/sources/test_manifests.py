"""A real folder with a real watcher: what is written is published."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import watchfiles

from kthena_fast.sources import manifests
from kthena_fast.sources.manifests import ManifestsSource
from tests.kube import kubelet
from tests.sources.manifest import PATIENCE, documents, put, route, running, server


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The intervals are shorter than in service, so that what hangs on one comes soon."""
    monkeypatch.setattr(manifests, "QUIET_MS", 20)
    monkeypatch.setattr(manifests, "RETRY_SECONDS", 0.01)


async def test_the_first_observation_is_what_the_folder_holds(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(documents(route(), server()))
    async with running(ManifestsSource(tmp_path)) as observed:
        observation = await observed.next()
        assert observation.synced
        assert list(observation.objects.routes) == ["default/r"]
        assert list(observation.objects.servers) == ["default/s"]


async def test_an_empty_folder_is_published_too(tmp_path: Path) -> None:
    async with running(ManifestsSource(tmp_path)) as observed:
        assert (await observed.next()).synced


async def test_a_file_that_is_added_changed_and_removed_is_published(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    async with running(ManifestsSource(tmp_path)) as observed:
        assert not (await observed.next()).objects.routes
        put(file, route(model="old"))
        assert (await observed.next()).objects.routes["default/r"].spec.model_name == "old"
        put(file, route(model="new"))
        assert (await observed.next()).objects.routes["default/r"].spec.model_name == "new"
        file.unlink()
        assert not (await observed.next()).objects.routes


async def test_a_file_in_a_folder_that_is_made_later_is_published(tmp_path: Path) -> None:
    async with running(ManifestsSource(tmp_path)) as observed:
        await observed.next()
        made = tmp_path / "elsewhere"
        made.mkdir()
        put(made / "a.yaml", route())
        assert list((await observed.next()).objects.routes) == ["default/r"]


async def test_a_change_that_leaves_everything_good_as_it_was_is_published_with_its_reasons(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    put(file, route())
    async with running(ManifestsSource(tmp_path)) as observed:
        good = await observed.next()
        put(file, "a: [")
        broken = await observed.next()
        assert broken.objects.routes == good.objects.routes
        assert [rejection.file for rejection in broken.rejected] == ["a.yaml"]


async def test_a_config_map_that_is_swapped_is_published(tmp_path: Path) -> None:
    kubelet.fill(tmp_path, {"a.yaml": route(model="old").encode()})
    async with running(ManifestsSource(tmp_path)) as observed:
        assert (await observed.next()).objects.routes["default/r"].spec.model_name == "old"
        kubelet.fill(tmp_path, {"a.yaml": route(model="new").encode()})
        assert (await observed.next()).objects.routes["default/r"].spec.model_name == "new"


async def test_a_file_behind_a_link_out_of_the_folder_is_looked_at_from_time_to_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifests, "LOOK_ANYWAY_MS", 20)
    outside, folder = tmp_path / "outside.yaml", tmp_path / "manifests"
    outside.write_text(route(model="old"))
    folder.mkdir()
    (folder / "a.yaml").symlink_to(outside)
    async with running(ManifestsSource(folder)) as observed:
        await observed.next()
        put(outside, route(model="new"))
        assert (await observed.next()).objects.routes["default/r"].spec.model_name == "new"


async def test_a_folder_that_is_replaced_is_watched_again(tmp_path: Path) -> None:
    folder, fresh = tmp_path / "manifests", tmp_path / "fresh"
    folder.mkdir()
    fresh.mkdir()
    (folder / "a.yaml").write_text(route(model="old"))
    (fresh / "a.yaml").write_text(route(model="new"))
    async with running(ManifestsSource(folder)) as observed:
        await observed.next()
        folder.rename(tmp_path / "gone")
        # The watcher notices the move by itself or at its next look; either way what follows is seen.
        fresh.rename(folder)
        while (await observed.next()).objects.routes["default/r"].spec.model_name != "new":
            pass
        put(folder / "a.yaml", route(model="newest"))
        assert (await observed.next()).objects.routes["default/r"].spec.model_name == "newest"


async def test_a_folder_that_goes_away_leaves_what_was_read_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = asyncio.Event()

    def listen(line: str, *details: object) -> None:
        assert "is not there; what was read from it stays in service" in line
        said.set()

    monkeypatch.setattr(manifests.log, "warning", listen)
    monkeypatch.setattr(manifests, "LOOK_ANYWAY_MS", 20)
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "a.yaml").write_text(route())
    async with running(ManifestsSource(folder)) as observed:
        await observed.next()
        folder.rename(tmp_path / "away")
        async with asyncio.timeout(PATIENCE):
            await said.wait()
        assert observed.is_empty()
        (tmp_path / "away" / "a.yaml").write_text(route(model="back"))
        (tmp_path / "away").rename(folder)
        assert (await observed.next()).objects.routes["default/r"].spec.model_name == "back"


async def test_where_a_folder_cannot_be_watched_it_is_polled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As when the system has no inotify watches left."""
    awatch = watchfiles.awatch

    def limited(*paths: Path, force_polling: bool | None, **options: Any) -> object:
        if not force_polling:
            raise OSError(28, "No space left on device")
        return awatch(*paths, force_polling=True, poll_delay_ms=20, **options)

    monkeypatch.setattr(watchfiles, "awatch", limited)
    async with running(ManifestsSource(tmp_path)) as observed:
        await observed.next()
        put(tmp_path / "a.yaml", route())
        assert list((await observed.next()).objects.routes) == ["default/r"]
    assert "will be polled" in caplog.text


async def test_a_source_that_is_stopped_leaves_no_task_behind(tmp_path: Path) -> None:
    async with running(ManifestsSource(tmp_path)) as observed:
        await observed.next()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_source_that_is_stopped_while_it_looks_stops(tmp_path: Path) -> None:
    task = asyncio.create_task(ManifestsSource(tmp_path).run(lambda observation: None))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert asyncio.all_tasks() == {asyncio.current_task()}
