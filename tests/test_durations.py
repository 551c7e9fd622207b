"""Durations are read as Go reads them, since upstream's objects and variables were written for Go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast import durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("0s", 0.0),
        ("300ms", 0.3),
        ("10s", 10.0),
        ("1.5h", 5400.0),
        ("2h45m", 9900.0),
        ("1m30s", 90.0),
        (".5s", 0.5),
        ("5.s", 5.0),
        ("100us", 1e-4),
        ("100µs", 1e-4),
        ("1ns", 1e-9),
        ("-1m", -60.0),
        ("+1m", 60.0),
    ],
)
def test_a_go_duration_is_read(text: str, seconds: float) -> None:
    assert durations.parse(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "10", "1d", "1 s", "s", "1s ", "1s\n", "--1s", "1e3s", ".s", "٣s"])
def test_what_go_would_refuse_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        durations.parse(text)


def test_a_duration_beyond_int64_nanoseconds_is_refused() -> None:
    with pytest.raises(ValueError, match="about 292 years"):
        durations.parse("9999999h")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"),
        (0.25, "250ms"),
        (1e-6, "1us"),
        (90.0, "1m30s"),
        (3600.0, "1h"),
        (5400.5, "1h30m0.5s"),
        (-60.0, "-1m"),
    ],
)
def test_a_duration_is_shown_as_people_write_it(seconds: float, text: str) -> None:
    assert durations.show(seconds) == text


@given(st.integers(0, 10**14))
def test_what_is_shown_is_read_back(nanoseconds: int) -> None:
    seconds = nanoseconds / 1e9
    assert durations.parse(durations.show(seconds)) == pytest.approx(seconds, rel=1e-5)
