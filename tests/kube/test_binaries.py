"""Which of the places that may hold the programs of a test is taken."""

import lzma
import os
from pathlib import Path

import pytest

from tests.kube import binaries


class Places:
    """The three places of kube-apiserver, in folders of the test's own; each holds its own name."""

    def __init__(self, folder: Path) -> None:
        self.assets = folder / "assets"
        self.clone = folder / "clone"
        self.cache = folder / "cache"
        self.packed = folder / "shared/kube/kube-apiserver.xz"

    def fill(self, place: str) -> None:
        if place == "packed":
            self.packed.parent.mkdir(parents=True, exist_ok=True)
            self.packed.write_bytes(lzma.compress(place.encode()))
        else:
            folder: Path = getattr(self, place)
            folder.mkdir(exist_ok=True)
            (folder / "kube-apiserver").write_text(place)


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    made = Places(tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in (*binaries.NEEDED, "etcd"):
        (programs / name).touch(0o755)
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(made.assets))
    monkeypatch.setattr(binaries, "CLONE", made.clone)
    monkeypatch.setattr(binaries, "CACHE", made.cache)
    return made


def chosen() -> str:
    program = binaries.kube_apiserver() / "kube-apiserver"
    return program.read_text()


def test_the_assets_come_before_the_packed_one_beside_the_clone_and_that_before_the_cache(places: Places) -> None:
    with pytest.raises(binaries.Missing, match="make tools"):
        binaries.kube_apiserver()
    for place in ("cache", "packed", "assets"):
        places.fill(place)
        assert chosen() == place


def test_without_the_variable_the_others_are_looked_at(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("assets", "packed", "cache"):
        places.fill(place)
    monkeypatch.delenv("KUBEBUILDER_ASSETS")
    assert chosen() == "packed"
    places.packed.unlink()
    assert chosen() == "cache"


def test_the_packed_one_is_unpacked_once_and_anew_when_it_is_another(places: Places) -> None:
    places.fill("packed")
    folder = binaries.kube_apiserver()
    assert os.access(folder / "kube-apiserver", os.X_OK)
    assert folder.parent == places.cache
    (folder / "kube-apiserver").write_text("unpacked before")
    assert chosen() == "unpacked before"
    places.packed.write_bytes(lzma.compress(b"another, of another size"))
    assert chosen() == "another, of another size"
    assert [path.name for path in folder.iterdir()] == ["kube-apiserver"]


@pytest.mark.parametrize("program", binaries.NEEDED)
def test_a_program_that_the_starter_needs_is_named_with_its_package(places: Places, program: str) -> None:
    places.fill("cache")
    (places.assets.parent / "bin" / program).unlink()
    with pytest.raises(binaries.Missing, match=f"{program} is missing: apt-get install {program}"):
        binaries.kube_apiserver()


def test_etcd_may_lie_in_the_assets_too(places: Places) -> None:
    places.fill("assets")
    (places.assets.parent / "bin/etcd").unlink()
    with pytest.raises(binaries.Missing, match="etcd is missing"):
        binaries.kube_apiserver()
    (places.assets / "etcd").touch()
    assert chosen() == "assets"
