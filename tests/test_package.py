"""What is published, and which twins an installation takes."""

import ast
import email
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kthena_fast

_ROOT = Path(__file__).parents[1]
_INSTALLED = Path(kthena_fast.__file__).parent


def _listed_twins() -> tuple[str, ...]:
    # Read, not imported: importing setup.py would build.
    for node in ast.parse((_ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "TWINS" and node.value is not None:
            twins: tuple[str, ...] = ast.literal_eval(node.value)
            return twins
    raise LookupError("setup.py has no TWINS")


def _out_of_date() -> Callable[[Path, Path], bool]:
    body = [node for node in ast.parse((_ROOT / "setup.py").read_text()).body if not isinstance(node, ast.Expr)]
    names: dict[str, Any] = {"__file__": str(_ROOT / "setup.py")}
    # All of it but the build.
    exec(compile(ast.Module(body, []), "setup.py", "exec"), names)
    is_out_of_date: Callable[[Path, Path], bool] = names["is_out_of_date"]
    return is_out_of_date


TWINS = _listed_twins()
# A twin without a chooser is a part of another, which takes the part of its own kind.
CHOSEN = tuple(listed for listed in TWINS if _INSTALLED.joinpath(f"{listed}.py").exists())

each_twin = pytest.mark.parametrize("listed", CHOSEN)


def _modules(listed: str) -> tuple[str, str, str]:
    """Chooser, compiled twin and pure twin of ``"room/name"``."""
    room, name = listed.split("/")
    return f"kthena_fast.{room}.{name}", f"kthena_fast.{room}._{name}_c", f"kthena_fast.{room}._{name}_py"


def _python(script: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own, where no twin has been imported yet."""
    kept = {name: value for name, value in os.environ.items() if name != "KTHENA_FAST_NO_EXTENSIONS"}
    command = [sys.executable, "-c", script]
    return subprocess.run(command, check=False, env=kept | env, cwd=_INSTALLED.parent, capture_output=True, text=True)


def _imports(listed: str) -> str:
    chooser, compiled, pure = _modules(listed)
    return f"import sys, {chooser}; print({compiled!r} in sys.modules, {pure!r} in sys.modules)"


# An import hook under which every extension of ours is missing, or broken.
_WITHOUT_EXTENSIONS = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("kthena_fast.") and name.endswith("_c"):
            raise {error}("seen", name=name)
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.extensions
@each_twin
def test_the_compiled_twin_is_preferred_by_default(listed: str) -> None:
    ran = _python(_imports(listed))
    assert (ran.stdout, ran.stderr) == ("True False\n", "")


@each_twin
def test_the_environment_can_ask_for_the_pure_twin(listed: str) -> None:
    ran = _python(_imports(listed), KTHENA_FAST_NO_EXTENSIONS="1")
    assert (ran.stdout, ran.stderr) == ("False True\n", "")


@each_twin
def test_a_missing_extension_falls_back_to_the_pure_twin(listed: str) -> None:
    ran = _python(_WITHOUT_EXTENSIONS.format(error="ModuleNotFoundError") + _imports(listed))
    assert (ran.stdout, ran.stderr) == ("False True\n", "")


@each_twin
def test_a_broken_extension_raises(listed: str) -> None:
    ran = _python(_WITHOUT_EXTENSIONS.format(error="ImportError") + _imports(listed))
    assert ran.returncode == 1
    assert ran.stderr.endswith("ImportError: seen\n")


@pytest.mark.extensions
def test_the_core_in_use_is_the_compiled_one() -> None:
    choosers = ", ".join(_modules(listed)[0] for listed in CHOSEN)
    compiled = {_modules(listed)[1] for listed in TWINS}
    ran = _python(
        f"import sys, {choosers}\n"
        "from kthena_fast.core import _choice\n"
        f"print(_choice.loaded_core(), {compiled!r} - set(sys.modules))"
    )
    assert (ran.stdout, ran.stderr) == ("compiled set()\n", "")


def test_every_pure_twin_is_listed_to_be_compiled() -> None:
    found = {f"{path.parent.name}/{path.stem[1:-3]}" for path in _INSTALLED.glob("*/_*_py.py")}
    assert found == set(TWINS)


@pytest.mark.extensions
def test_the_version_command_says_that_the_core_is_compiled() -> None:
    ran = _python("from kthena_fast.cli import main; main(['version'])")
    assert ran.stderr == ""
    assert kthena_fast.__version__ in ran.stdout
    assert "(compiled core, " in ran.stdout


def test_the_version_command_says_that_the_core_is_pure() -> None:
    ran = _python("from kthena_fast.cli import main; main(['version'])", KTHENA_FAST_NO_EXTENSIONS="1")
    assert "(pure core, " in ran.stdout


def _names_in_wheel(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.mark.extensions
@pytest.mark.timeout(600)
def test_the_wheel_holds_both_twins_and_the_types_marker(dist: Path) -> None:
    [wheel] = dist.glob("*.whl")
    names = _names_in_wheel(wheel)
    assert "kthena_fast/py.typed" in names
    for listed in TWINS:
        room, name = listed.split("/")
        assert f"kthena_fast/{room}/_{name}_py.py" in names
        assert [found for found in names if found.startswith(f"kthena_fast/{room}/_{name}_c.")], listed


@pytest.mark.timeout(600)
def test_the_wheel_holds_nothing_that_only_a_build_or_a_test_needs(dist: Path) -> None:
    [wheel] = dist.glob("*.whl")
    names = _names_in_wheel(wheel)
    assert not [name for name in names if name.endswith((".c", ".pxd", ".pyx", ".pyc"))]
    info = f"kthena_fast-{kthena_fast.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"kthena_fast", info}


@pytest.mark.timeout(600)
def test_the_wheel_names_its_licence_its_pythons_and_its_command(dist: Path) -> None:
    [wheel] = dist.glob("*.whl")
    info = f"kthena_fast-{kthena_fast.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        metadata = email.message_from_bytes(archive.read(f"{info}/METADATA"))
        scripts = archive.read(f"{info}/entry_points.txt").decode()
        assert b"Apache License" in archive.read(f"{info}/licenses/LICENSE")
    assert scripts.split("\n")[:2] == ["[console_scripts]", "kthena-fast = kthena_fast.cli:main"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"


@pytest.mark.timeout(600)
def test_the_sdist_holds_what_a_build_needs_and_nothing_that_it_makes(dist: Path) -> None:
    [sdist] = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.md", "pyproject.toml", "setup.py"} <= names
    for listed in TWINS:
        room, name = listed.split("/")
        assert f"kthena_fast/{room}/_{name}_c.pxd" in names
    assert not [name for name in names if name.endswith((".c", ".so", ".pyc"))]


@pytest.mark.timeout(600)
def test_a_build_without_extensions_gives_one_wheel_for_every_python(dist: Path, tmp_path: Path) -> None:
    [sdist] = dist.glob("*.tar.gz")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "-q"),
            "--no-deps",
            "--no-build-isolation",
            "--wheel-dir",
            tmp_path,
            sdist,
        ],
        env=os.environ | {"KTHENA_FAST_NO_EXTENSIONS": "1"},
        check=True,
    )
    [wheel] = tmp_path.iterdir()
    assert wheel.name == f"kthena_fast-{kthena_fast.__version__}-py3-none-any.whl"
    assert not [name for name in _names_in_wheel(wheel) if name.endswith(".so")]


@pytest.mark.parametrize(
    ("before", "environment", "is_told"),
    [((), {}, True), (("build/cython",), {}, False), ((), {"KTHENA_FAST_NO_EXTENSIONS": "1"}, False)],
    ids=["first", "again", "pure"],
)
def test_the_first_build_says_how_long_it_takes(
    tmp_path: Path, before: tuple[str, ...], environment: dict[str, str], is_told: bool
) -> None:
    """It is silent for a minute and a half, in which somebody who tries the demo would take it for stuck."""
    for name in ("Makefile", "pyproject.toml"):
        (tmp_path / name).write_bytes((_ROOT / name).read_bytes())
    for folder in (".venv/bin", *before):
        (tmp_path / folder).mkdir(parents=True)
    python = tmp_path / ".venv/bin/python"
    python.write_text('#!/bin/sh\necho "built by $*"\n')
    python.chmod(0o755)
    (tmp_path / ".venv/.installed").touch()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "KTHENA_"))}
    done = subprocess.run(
        ["make", "build"], cwd=tmp_path, env=kept | environment, check=True, capture_output=True, text=True
    )
    assert ("90 seconds" in done.stderr) == is_told
    # What is built before a benchmark writes nothing into the file of its figures.
    assert done.stdout == "built by setup.py -q build_ext --inplace\n"


def test_what_is_compiled_is_compiled_anew_after_a_change_of_how(tmp_path: Path) -> None:
    """How many freed objects of a class are kept, say: Cython compares the times of sources and no directives."""
    is_out_of_date, types, compiled = _out_of_date(), tmp_path / "_twin_c.pxd", tmp_path / "_twin_py.c"
    written = (_ROOT / "setup.py").stat().st_mtime
    types.touch()
    os.utime(types, (written - 20, written - 20))
    assert is_out_of_date(compiled, types)
    for age, is_old in ((-30, True), (-10, True), (10, False)):
        compiled.touch()
        os.utime(compiled, (written + age, written + age))
        assert is_out_of_date(compiled, types) == is_old
