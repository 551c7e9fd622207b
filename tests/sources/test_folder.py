"""What a folder of manifests holds at each look, and what of it serves."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kthena_fast.routing.objects import Rejection
from kthena_fast.sources import Observation, manifest_files
from kthena_fast.sources.manifests import Folder
from tests.kube import kubelet
from tests.sources import manifest
from tests.sources.manifest import documents, route, server

POD = """\
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: s}}
status: {phase: Running, podIP: 10.0.0.1, conditions: [{type: Ready, status: "True"}]}
"""


class Watched:
    """A folder with what was last seen of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = Folder(root)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        manifest.put(path, text)

    def look(self) -> Observation:
        observation = self.folder.look()
        assert observation is not None
        return observation


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def only(observation: Observation) -> Rejection:
    (rejection,) = observation.rejected
    return rejection


def model_of(observation: Observation, key: str = "default/r") -> str | None:
    return observation.objects.routes[key].spec.model_name


def test_objects_of_every_kind_are_read_from_one_file(watched: Watched) -> None:
    watched.write("a.yaml", documents(route(), server(), POD))
    objects = watched.look().objects
    assert list(objects.routes) == ["default/r"]
    assert list(objects.servers) == ["default/s"]
    assert list(objects.pods) == ["default/p"]


def test_an_empty_folder_holds_nothing_and_is_read_all_the_same(watched: Watched) -> None:
    observation = watched.look()
    assert observation.synced
    assert observation.objects.routes == {}


def test_a_folder_that_is_not_there_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Folder(tmp_path / "missing").look()


def test_folders_in_the_folder_are_read_and_other_files_are_not(watched: Watched) -> None:
    watched.write("deep/er/a.yml", route("yml"))
    watched.write(
        "b.json",
        '{"apiVersion": "networking.serving.volcano.sh/v1alpha1", "kind": "ModelRoute",'
        ' "metadata": {"name": "json"}, "spec": {"modelName": "\\ud83d\\ude00", "rules": []}}',
    )
    watched.write("README.md", "a: [")
    watched.write(".hidden.yaml", "a: [")
    watched.write(".git/a.yaml", "a: [")
    (watched.root / "pipe.yaml").unlink(missing_ok=True)
    os.mkfifo(watched.root / "pipe.yaml")
    (watched.root / "nothing.yaml").symlink_to("nowhere")
    observation = watched.look()
    assert sorted(observation.objects.routes) == ["default/json", "default/yml"]
    assert model_of(observation, "default/json") == "\N{GRINNING FACE}"
    assert observation.rejected == ()


def test_a_folder_that_links_to_one_it_lies_in_is_read_once(watched: Watched) -> None:
    watched.write("deep/a.yaml", route())
    (watched.root / "deep" / "up").symlink_to(watched.root)
    observation = watched.look()
    assert list(observation.objects.routes) == ["default/r"]
    assert observation.rejected == ()


def test_kinds_that_are_not_read_here_are_passed_over(watched: Watched) -> None:
    watched.write("a.yaml", documents("apiVersion: apps/v1\nkind: Deployment\n", "# nothing\n", route(), "\n"))
    observation = watched.look()
    assert list(observation.objects.routes) == ["default/r"]
    assert observation.rejected == ()


@pytest.mark.parametrize("kind", ["List", "ModelRouteList"])
def test_a_list_is_taken_apart(watched: Watched, kind: str) -> None:
    items = "".join("- " + route(name).replace("\n", "\n  ").rstrip(" ") for name in ("a", "b"))
    watched.write("a.yaml", f"apiVersion: v1\nkind: {kind}\nitems:\n{items}")
    assert list(watched.look().objects.routes) == ["default/a", "default/b"]


def test_nothing_is_said_when_nothing_changed(watched: Watched) -> None:
    watched.write("a.yaml", route())
    watched.look()
    assert watched.folder.look() is None
    watched.write("a.yaml", route())
    assert watched.folder.look() is None


def test_an_object_whose_document_did_not_change_stays_the_same_wherever_it_stands(watched: Watched) -> None:
    watched.write("a.yaml", documents(route("a"), route("b")))
    before = watched.look()
    watched.write("a.yaml", documents(route("c"), route("b", "other"), route("a")))
    after = watched.look()
    assert after.objects.routes["default/a"] is before.objects.routes["default/a"]
    assert after.objects.routes["default/b"] is not before.objects.routes["default/b"]


def test_a_removed_object_and_a_removed_file_are_gone(watched: Watched) -> None:
    watched.write("a.yaml", documents(route("a"), route("b")))
    watched.write("c.yaml", route("c"))
    watched.look()
    watched.write("a.yaml", route("a"))
    (watched.root / "c.yaml").unlink()
    assert list(watched.look().objects.routes) == ["default/a"]


CHART = {
    "Chart.yaml": "apiVersion: v2\nname: kthena\nversion: 1.0.0\n",
    "values.yaml": "global: {}\n---\nnetworking: {enabled: true}\n",
    "kustomization.yaml": "resources: [a.yaml]\n",
    "package.json": '{"name": "kthena"}',
    "words.yaml": "just text\n",
}


def test_files_that_hold_no_objects_are_passed_over_and_each_is_named_once(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    for name, text in CHART.items():
        watched.write(name, text)
    watched.write("a.yaml", route())
    for model in ("m", "new"):
        watched.write("a.yaml", route(model=model))
        observation = watched.look()
        assert model_of(observation) == model
        assert observation.rejected == ()
    assert caplog.messages == [
        f"the file {watched.root / name} is passed over: nothing in it is an object with apiVersion and kind"
        for name in sorted(CHART)
    ]
    watched.write("values.yaml", route("values"))
    assert set(watched.look().objects.routes) == {"default/r", "default/values"}


@pytest.mark.parametrize("text", [CHART["values.yaml"], route().replace("kind:", "kid:")], ids=["foreign", "misspelt"])
def test_beside_an_object_nothing_is_passed_over(watched: Watched, text: str) -> None:
    watched.write("a.yaml", documents(route("good"), text))
    observation = watched.look()
    assert list(observation.objects.routes) == ["default/good"]
    assert observation.rejected
    assert all(reason.path in ("apiVersion", "kind") for entry in observation.rejected for reason in entry.reasons)


def test_a_refused_object_is_reported_with_file_line_and_path_and_stops_no_other(watched: Watched) -> None:
    """Upstream freezes on the whole list of its kind."""
    watched.write("deep/a.yaml", documents(route("good"), route("bad", weight=101)))
    observation = watched.look()
    assert list(observation.objects.routes) == ["default/good"]
    rejection = only(observation)
    assert (rejection.kind, rejection.namespace, rejection.name) == ("ModelRoute", "default", "bad")
    first = len(route().splitlines()) + 1
    assert (rejection.file, rejection.line, rejection.kept) == ("deep/a.yaml", first + 1, False)
    (reason,) = rejection.reasons
    assert reason.path == "spec.rules[0].targetModels[0].weight"
    assert reason.line == first + manifest.BAD_WEIGHT_LINE
    assert "between 0 and 100" in reason.message


def test_the_last_good_version_serves_while_an_object_is_malformed(watched: Watched) -> None:
    watched.write("a.yaml", documents(route(model="good"), route("other")))
    watched.look()
    watched.write("a.yaml", documents(route(model="bad", weight="x"), route("other")))
    observation = watched.look()
    assert model_of(observation) == "good"
    assert only(observation).kept
    assert "its last good version serves on" in str(only(observation))
    watched.write("a.yaml", documents(route(model="mended"), route("other")))
    observation = watched.look()
    assert model_of(observation) == "mended"
    assert observation.rejected == ()


def test_a_malformed_object_goes_when_it_is_removed(watched: Watched) -> None:
    watched.write("a.yaml", documents(route(), route("other")))
    watched.look()
    watched.write("a.yaml", documents(route(weight="x"), route("other")))
    watched.look()
    watched.write("a.yaml", route("other"))
    assert list(watched.look().objects.routes) == ["default/other"]


def test_a_malformed_object_keeps_no_other_object_of_its_file(watched: Watched) -> None:
    watched.write("a.yaml", documents(route(), route("other")))
    watched.look()
    watched.write("a.yaml", route(weight="x"))
    assert list(watched.look().objects.routes) == ["default/r"]


@pytest.mark.parametrize(
    "broken",
    ["a: [\n", "a: 1\na: 2\n", route().replace("ModelRoute", "ModelRout"), route("''"), "just text\n", "a: &x [*x]\n"],
    ids=["no YAML", "a key twice", "unknown kind of our group", "no name", "no object", "endless alias"],
)
def test_what_a_document_held_stays_while_it_does_not_say_what_it_is(watched: Watched, broken: str) -> None:
    watched.write("a.yaml", documents(route("a"), route("b")))
    watched.look()
    watched.write("a.yaml", documents(route("a", "new"), broken))
    observation = watched.look()
    assert model_of(observation, "default/a") == "new"
    assert model_of(observation, "default/b") == "m"
    assert only(observation).line >= len(route().splitlines()) + 1
    watched.write("a.yaml", route("a", "new"))
    assert list(watched.look().objects.routes) == ["default/a"]


def test_a_broken_document_stops_no_other_document_of_its_file(watched: Watched) -> None:
    watched.write("a.yaml", documents(route("a"), "b: [\n", route("c")))
    observation = watched.look()
    assert list(observation.objects.routes) == ["default/a", "default/c"]
    assert not only(observation).kept


@pytest.mark.parametrize("content", [b"\xff\xfe", b"# \xe4\n"], ids=["UTF-16", "Latin-1"])
def test_a_file_that_is_no_text_leaves_what_was_read_from_it(watched: Watched, content: bytes) -> None:
    watched.write("a.yaml", route())
    watched.look()
    (watched.root / "a.yaml").write_bytes(content)
    observation = watched.look()
    assert model_of(observation) == "m"
    assert only(observation).reasons[0].message == "is not UTF-8"


def test_a_file_that_is_emptied_leaves_what_was_read_from_it_until_it_is_written(watched: Watched) -> None:
    """A shell empties the file when a command starts, and the command writes it when it is done."""
    watched.write("a.yaml", route())
    watched.look()
    watched.write("a.yaml", "")
    observation = watched.look()
    assert model_of(observation) == "m"
    assert only(observation).kept
    watched.write("a.yaml", "")
    assert watched.folder.look() is None
    watched.write("a.yaml", "# all gone\n")
    observation = watched.look()
    assert observation.objects.routes == {}
    assert observation.rejected == ()


def test_a_file_that_always_was_empty_is_nothing_to_report(watched: Watched) -> None:
    watched.write("a.yaml", "")
    assert watched.look().rejected == ()
    watched.write("a.yaml", "")
    assert watched.folder.look() is None


def test_a_file_that_is_too_large_leaves_what_was_read_from_it(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.write("a.yaml", route())
    watched.look()
    monkeypatch.setattr(manifest_files, "MAX_FILE_BYTES", 100)
    watched.write("a.yaml", route("b"))
    observation = watched.look()
    assert model_of(observation) == "m"
    assert "is larger than" in only(observation).reasons[0].message


def test_a_file_that_may_not_be_read_leaves_what_was_read_from_it(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.write("a.yaml", route())
    watched.look()

    def denied(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    # The tests may run as root, who may read everything.
    monkeypatch.setattr(manifest_files, "read", denied)
    watched.write("a.yaml", route("b"))
    observation = watched.look()
    assert model_of(observation) == "m"
    assert only(observation).reasons[0].message == "cannot be read: Permission denied"


def test_an_object_that_two_files_define_is_taken_from_the_first_by_name(watched: Watched) -> None:
    watched.write("b.yaml", route(model="second"))
    watched.write("a.yaml", server() + "---\n" + route(model="first"))
    observation = watched.look()
    assert model_of(observation) == "first"
    rejection = only(observation)
    assert rejection.file == "b.yaml"
    assert rejection.reasons[0].message == f"is already defined at a.yaml:{len(server().splitlines()) + 2}"
    (watched.root / "a.yaml").unlink()
    observation = watched.look()
    assert model_of(observation) == "second"
    assert observation.rejected == ()


def test_a_malformed_first_definition_does_not_hand_over_to_the_second(watched: Watched) -> None:
    watched.write("a.yaml", route(model="first"))
    watched.write("b.yaml", route(model="second"))
    watched.look()
    watched.write("a.yaml", route(model="first", weight="x"))
    assert model_of(watched.look()) == "first"
    watched.write("a.yaml", "a: [")
    assert model_of(watched.look()) == "first"


def test_a_first_definition_that_never_was_good_leaves_the_second_in_service(watched: Watched) -> None:
    watched.write("a.yaml", route(model="first", weight="x"))
    watched.write("b.yaml", route(model="second"))
    observation = watched.look()
    assert model_of(observation) == "second"
    assert [rejection.file for rejection in observation.rejected] == ["a.yaml"]


def test_a_config_map_is_swapped_by_a_link(watched: Watched) -> None:
    kubelet.fill(watched.root, {"a.yaml": route(model="old").encode()})
    observation = watched.look()
    assert model_of(observation) == "old"
    assert observation.rejected == ()
    kubelet.fill(watched.root, {"a.yaml": route(model="new").encode()})
    assert model_of(watched.look()) == "new"
    kubelet.fill(watched.root, {"b.yaml": route(model="elsewhere").encode()})
    assert model_of(watched.look()) == "elsewhere"
