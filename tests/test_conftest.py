"""The rules that tests/conftest.py lays on every test."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

_SKIPPING = {
    "a test": "import pytest\ndef test_it(): pytest.skip('why')",
    "a mark": "import pytest\n@pytest.mark.skip(reason='why')\ndef test_it(): pass",
    "a fixture": "import pytest\n@pytest.fixture\ndef f(): pytest.skip('why')\ndef test_it(f): pass",
    "a module": "import pytest\npytest.skip('why', allow_module_level=True)",
    "a missing library": "import pytest\npytest.importorskip('no_such_library', reason='why')",
}


def _run(folder: Path, test: str, ci: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    (folder / "test_it.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}", str(folder)]
    # The conftest that was copied imports from the tests beside which it was.
    env = os.environ | {"KTHENA_FAST_CI": ci, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(command, check=False, cwd=folder, env=env, capture_output=True, text=True)


@pytest.mark.parametrize("who", _SKIPPING)
def test_in_ci_a_skip_is_a_failure_that_says_why(who: str, tmp_path: Path) -> None:
    ran = _run(tmp_path, _SKIPPING[who], ci="1")
    assert ran.returncode != 0
    assert "KTHENA_FAST_CI=1 lets nothing skip" in ran.stdout
    assert "why" in ran.stdout


def test_outside_ci_a_skip_is_a_skip(tmp_path: Path) -> None:
    ran = _run(tmp_path, _SKIPPING["a test"], ci="")
    assert ran.returncode == 0
    assert "1 skipped" in ran.stdout


def test_in_ci_an_expected_failure_stays_one(tmp_path: Path) -> None:
    ran = _run(tmp_path, "import pytest\n@pytest.mark.xfail(reason='why')\ndef test_it(): assert 0", ci="1")
    assert ran.returncode == 0
    assert "1 xfailed" in ran.stdout


async def test_async_tests_run_on_the_loop_that_the_gateway_runs_on() -> None:
    assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
