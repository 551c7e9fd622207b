"""docs/fairness.md shows what the simulator finds."""

import re

import pytest

from kthena_fast.simulator import workloads
from tests.simulator import fairness_doc

PAGE = fairness_doc.PAGE.read_text(encoding="utf-8")
PARTS = dict(fairness_doc.parts(PAGE))


def test_the_page_has_every_workload_every_comparison_and_every_plot() -> None:
    assert set(PARTS) == {*workloads.SYNTHETIC, *fairness_doc.COMPARISONS}
    plots = set(re.findall(r"\]\(fairness/([^)]+)\)", PAGE))
    assert plots == {f"{name}.svg" for name in workloads.SYNTHETIC}
    assert plots == {path.name for path in fairness_doc.PLOTS.iterdir()}


@pytest.mark.parametrize("name", ["overload", "on_off_less"])
def test_its_tables_are_what_the_simulator_finds(name: str) -> None:
    # python -m tests.simulator.fairness_doc writes them anew.
    assert PARTS[name] == fairness_doc.part(name)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(PARTS.keys() - {"overload", "on_off_less"}))
def test_all_its_tables_are_what_the_simulator_finds(name: str) -> None:
    assert PARTS[name] == fairness_doc.part(name)
