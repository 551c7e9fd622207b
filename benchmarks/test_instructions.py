"""The guard as a test, and a test of the guard: it fails where the hot path is a fifth slower."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.instructions import accepted, counting, operations, profile
from kthena_fast.core import _choice

BUILD = accepted.Build("3.11.7", "GCC 12.2.0", "x86_64", "compiled")
PLANTED = 0.2
REPEATS = 0.005
"""A count may differ by as much from one run to the next, so that a tolerance of some percent means something."""

LINES_OF_ONE = 20
"""Of memory: what each request needs stays in the caches. How well, depends on where it lies: 0.4 to 5 were found."""
LINES_OF_MANY = 70
"""What a model has to itself is in no cache when it is asked for again; ten are the line in the access log."""

slow = [pytest.mark.slow, pytest.mark.timeout(counting.LIMIT)]


def _counts(folder: Path, planted: Mapping[str, int] | None = None) -> dict[str, float]:
    if lacking := counting.missing():
        pytest.skip(f"a tool is missing: {lacking}")
    return counting.counts(operations.OPERATIONS, folder, {"KTHENA_FAST_PLANTED": json.dumps(planted or {})})


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    return _counts(tmp_path_factory.mktemp("counts"))


class TestTheHotPath:
    pytestmark = slow

    def test_it_needs_no_more_instructions_than_are_accepted(self, figures: dict[str, float]) -> None:
        against, verdicts = accepted.Accepted().judge(accepted.this_build(), figures)
        slower = [verdict for verdict in verdicts if verdict.is_slower]
        assert not slower, f"{against}; see `python -m benchmarks.instructions`"

    def test_every_operation_has_an_accepted_figure(self, figures: dict[str, float]) -> None:
        _, verdicts = accepted.Accepted().judge(accepted.this_build(), figures)
        assert {verdict.name for verdict in verdicts if verdict.accepted is not None} == set(operations.OPERATIONS) - {
            accepted.CALIBRATION
        }

    def test_a_fifth_more_work_fails_and_counts_repeat(self, figures: dict[str, float], tmp_path: Path) -> None:
        folders = [tmp_path / name for name in ("price", "planted")]
        for folder in folders:
            folder.mkdir()
        tried = counting.counts(
            [accepted.CALIBRATION], folders[0], {"KTHENA_FAST_PLANTED": json.dumps({accepted.CALIBRATION: 1000})}
        )
        price = (tried[accepted.CALIBRATION] - figures[accepted.CALIBRATION]) / 1000
        planted = {
            name: round(figure * PLANTED / price) for name, figure in figures.items() if name != accepted.CALIBRATION
        }
        again = _counts(folders[1], planted)
        assert again[accepted.CALIBRATION] == pytest.approx(figures[accepted.CALIBRATION], rel=REPEATS)
        before = accepted.Accepted(tmp_path / "accepted.json")
        before.accept(BUILD, figures)
        for build in (BUILD, dataclasses.replace(BUILD, compiler="another")):
            _, verdicts = before.judge(build, again)
            assert {verdict.name for verdict in verdicts if verdict.is_slower} == set(planted)
            # Each of two counts may be off, and what was planted is added to both.
            off = 2 * (1 + PLANTED) * REPEATS
            assert [verdict.change for verdict in verdicts] == pytest.approx([PLANTED] * len(verdicts), abs=off)


if not _choice.NO_EXTENSIONS:

    class TestManyModels:
        pytestmark = slow

        def test_a_request_of_one_of_many_fetches_no_more_memory_than_is_accepted(self, tmp_path: Path) -> None:
            if lacking := counting.missing():
                pytest.skip(f"a tool is missing: {lacking}")
            found = counting.lines(["request", "request_models"], tmp_path)
            assert found["request"] < LINES_OF_ONE, "what each request needs stays in the caches"
            assert LINES_OF_ONE < found["request_models"] <= LINES_OF_MANY, (
                "`python -m benchmarks.instructions --lines request_models`"
            )


def _given(path: Path, *builds: accepted.Build) -> accepted.Accepted:
    """Accepted figures, of which those of the n-th build need n times as many instructions."""
    made = accepted.Accepted(path / "accepted.json")
    for times, build in enumerate(builds, 1):
        made.accept(build, {accepted.CALIBRATION: 1000.0 * times, "request": 3000.0 * times})
    return accepted.Accepted(path / "accepted.json")


def _judged(given: accepted.Accepted, build: accepted.Build, **figures: float) -> accepted.Verdict:
    _, (verdict,) = given.judge(build, {accepted.CALIBRATION: 1000.0, **figures})
    return verdict


def test_a_figure_within_its_tolerance_passes(tmp_path: Path) -> None:
    given = _given(tmp_path, BUILD)
    assert not _judged(given, BUILD, request=3149.0).is_slower
    assert _judged(given, BUILD, request=3151.0).is_slower
    assert _judged(given, BUILD, request=2849.0).is_faster


def test_what_is_new_has_to_be_accepted_and_fails_nothing(tmp_path: Path) -> None:
    verdict = _judged(_given(tmp_path, BUILD), BUILD, another=5.0)
    assert (verdict.accepted, verdict.is_slower, verdict.is_faster) == (None, False, False)


def test_another_build_is_held_to_ratios(tmp_path: Path) -> None:
    given = _given(tmp_path, BUILD)
    other = dataclasses.replace(BUILD, compiler="Clang 18")
    against, (verdict,) = given.judge(other, {accepted.CALIBRATION: 500.0, "request": 1500.0})
    assert verdict.accepted == 1500.0
    assert not verdict.is_slower
    assert "Clang 18" in against
    assert "by their ratio to the calibration" in against
    _, (verdict,) = given.judge(other, {accepted.CALIBRATION: 500.0, "request": 1800.0})
    assert verdict.is_slower


def test_ratios_are_those_of_the_nearest_build(tmp_path: Path) -> None:
    others = [dataclasses.replace(BUILD, python="3.13.0"), dataclasses.replace(BUILD, twins="pure")]
    given = _given(tmp_path, BUILD, *others)
    against, _ = given.judge(dataclasses.replace(BUILD, python="3.13.9"), {accepted.CALIBRATION: 1.0})
    assert against.endswith(f"those of {others[0]}")
    against, _ = given.judge(dataclasses.replace(BUILD, twins="pure", python="3.12.1"), {accepted.CALIBRATION: 1.0})
    assert against.endswith(f"those of {others[1]}")


def test_without_figures_of_such_twins_there_is_no_verdict(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="no figures of pure twins"):
        _given(tmp_path, BUILD).judge(dataclasses.replace(BUILD, twins="pure"), {})


def test_a_library_of_another_release_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = _given(tmp_path, BUILD)
    now = accepted.versions()
    monkeypatch.setattr(accepted, "versions", lambda: now | {"uvloop": "99"})
    against, _ = given.judge(BUILD, {accepted.CALIBRATION: 1000.0})
    assert f"uvloop {now['uvloop']} -> 99" in against


def test_accepting_one_operation_keeps_the_others(tmp_path: Path) -> None:
    given = _given(tmp_path, BUILD)
    given.accept(BUILD, {"steps": 7.0})
    _, verdicts = given.judge(BUILD, {accepted.CALIBRATION: 1000.0, "request": 3000.0, "steps": 7.0})
    assert [verdict.accepted for verdict in verdicts] == [3000, 7]


@pytest.mark.parametrize(
    ("mangled", "name"),
    [
        (
            "???:__pyx_f_11kthena_fast_7gateway_7_lane_c_4Lane__judge [/x/_lane_c.so]",
            "kthena_fast.gateway._lane_c.Lane._judge",
        ),
        (
            "???:__pyx_pw_11kthena_fast_8upstream_8_relay_c_5Relay_3receive [/x/_relay_c.so]",
            "kthena_fast.upstream._relay_c.Relay.receive",
        ),
        ("./Objects/dict.c:_Py_dict_lookup [/usr/bin/python3]", "_Py_dict_lookup [python3]"),
    ],
)
def test_compiled_functions_are_shown_by_their_names(mangled: str, name: str) -> None:
    assert profile.readable(mangled) == name
