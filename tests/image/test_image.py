"""What comes out of the Dockerfile: built by Docker, or its steps run one by one where there is no daemon."""

import re
import shutil
import subprocess
import tarfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.image import dockerfile, run_dockerfile_steps

# Compiles every twin and downloads every dependency.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

Command = Callable[..., list[str]]


def _docker_answers() -> bool:
    docker = shutil.which("docker")
    return docker is not None and subprocess.run([docker, "info"], check=False, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def command(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """``command("version")`` is the argv that runs ``kthena-fast version`` in the image, its root read-only."""
    # What is published is what is built from: the sdist holds all that the Dockerfile copies.
    [sdist] = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder := tmp_path_factory.mktemp("context"), filter="data")
    [context] = folder.iterdir()
    recipe = Path(__file__).parents[2] / "Dockerfile"
    if _docker_answers():
        subprocess.run(["docker", "build", "-q", "-t", "kthena-fast:test", "-f", recipe, context], check=True)
        yield lambda *words: ["docker", "run", "--rm", "--read-only", "--network=host", "kthena-fast:test", *words]
        return
    if not run_dockerfile_steps.is_possible():
        pytest.skip("needs a Docker daemon, or root to run the Dockerfile's steps without one")
    with run_dockerfile_steps.image(dockerfile.read(recipe.read_text()), context) as (stage, root):
        yield lambda *words: root.argv(
            [*stage.entrypoint, *words], env=stage.env, workdir=stage.workdir, user=stage.user, read_only=True
        )


def test_the_image_runs_the_compiled_core_from_a_read_only_root(command: Command) -> None:
    said = subprocess.run(command("version"), check=True, capture_output=True, text=True).stdout
    assert "(compiled core, " in said


def test_the_image_serves_from_a_read_only_root_and_ends_when_told_to(command: Command) -> None:
    # Nothing listens on port 1: a gateway without its engine is alive all the same.
    flags = ["--backend", "http://127.0.0.1:1", "--model", "m", "--host", "127.0.0.1"]
    ports = ["--port", "0", "--metrics-port", "0", "--debug-port", "0"]
    with subprocess.Popen(command("gateway", *flags, *ports), stderr=subprocess.PIPE, text=True) as gateway:
        assert gateway.stderr is not None
        serving = next(found for line in gateway.stderr if (found := re.search(r"serving on (127\S+:\d+)", line)))
        with urllib.request.urlopen(f"http://{serving[1]}/healthz") as answer:
            assert answer.status == 200
        gateway.terminate()
        gateway.stderr.read()
    assert gateway.returncode == 0
