"""Which of a rule's targets gets a request."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kthena_fast.routing.snapshot import Match, Snapshot
from tests.routing import given
from tests.routing.given import to

A, B, C = (given.server(name, f"127.0.0.1:{port}") for port, name in enumerate("abc", 1))
DOWN = given.server("down")
JUST_BELOW_ONE = 1 - 2**-53


def nobody_asks() -> float:
    raise AssertionError("there was nothing to choose")


def matched(snapshot: Snapshot) -> Match:
    found = snapshot.match("m", "/v1/completions", [])
    assert found is not None
    return found


def drawn(snapshot: Snapshot, random: Callable[[], float], match: Match | None = None) -> str | None:
    server = snapshot.draw(match or matched(snapshot), random)
    return server.key.removeprefix("default/") if server is not None else None


@pytest.mark.parametrize(
    ("point", "expected"),
    [(0.0, "a"), (0.4999, "a"), (0.5, "b"), (0.7999, "b"), (0.8, "c"), (JUST_BELOW_ONE, "c")],
)
def test_weights_share_the_interval_in_the_order_of_the_targets(point: float, expected: str) -> None:
    snapshot = given.snapshot(given.route("r", to(a=50, b=30, c=20)), A, B, C)
    assert drawn(snapshot, lambda: point) == expected


def test_weights_are_relative_and_need_not_sum_up_to_100() -> None:
    snapshot = given.snapshot(given.route("r", to(a=50, b=30)), A, B)
    assert drawn(snapshot, lambda: 0.624) == "a"
    assert drawn(snapshot, lambda: 0.625) == "b"


def test_an_absent_weight_counts_100() -> None:
    snapshot = given.snapshot(given.route("r", to("a", b=25)), A, B)
    assert drawn(snapshot, lambda: 0.799) == "a"
    assert drawn(snapshot, lambda: 0.8) == "b"


def test_a_target_without_pods_loses_its_share_to_the_others() -> None:
    """Upstream lets it keep its share and answers 503, or 404 if there is no such ModelServer."""
    snapshot = given.snapshot(given.route("r", to(down=50, missing=10, a=30, b=10)), A, B, DOWN)
    assert drawn(snapshot, lambda: 0.0) == "a"
    assert drawn(snapshot, lambda: 0.7499) == "a"
    assert drawn(snapshot, lambda: 0.75) == "b"


def test_a_target_of_weight_0_gets_nothing_though_the_others_are_down() -> None:
    snapshot = given.snapshot(given.route("r", to(a=0, down=100)), A, DOWN)
    assert drawn(snapshot, nobody_asks) is None
    three = given.snapshot(given.route("r", to(a=0, b=1, c=1)), A, B, C)
    assert drawn(three, lambda: 0.0) == "b"


def test_chance_is_not_asked_where_there_is_nothing_to_choose() -> None:
    assert drawn(given.snapshot(given.route("r", to("a")), A), nobody_asks) == "a"
    assert drawn(given.snapshot(given.route("r", to("a", "down")), A, DOWN), nobody_asks) == "a"


def test_a_number_that_rounds_up_to_the_end_still_draws_a_server() -> None:
    snapshot = given.snapshot(given.route("r", to("a", "b")), A, B)
    assert drawn(snapshot, lambda: 1.0) == "b"


def test_a_match_made_on_one_snapshot_draws_on_the_servers_of_another() -> None:
    """A request waits for its turn in between; what came up or went down meanwhile counts."""
    before = given.snapshot(given.route("r", to("a", "down")), A, DOWN)
    waiting = matched(before)
    after = given.snapshot(given.server("down", "127.0.0.1:9"), previous=before)
    assert drawn(after, nobody_asks, waiting) == "down"
    assert after.draw(waiting, nobody_asks) is after.servers["default/down"]
    gone = given.snapshot(previous=after)
    assert drawn(gone, nobody_asks, waiting) is None
