from __future__ import annotations

import pytest

from kthena_fast.kube.bucket import Bucket


def test_a_bucket_gives_a_burst_and_then_its_rate() -> None:
    bucket = Bucket(10, 3, 100.0)
    assert [bucket.take(100.0) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(100.0) == pytest.approx(0.1)
    assert bucket.take(100.05) == pytest.approx(0.05)
    assert bucket.take(100.11) == 0
    # What is not used is not saved beyond the burst.
    assert [bucket.take(500.0) == 0 for _ in range(4)] == [True, True, True, False]


def test_what_is_only_asked_for_is_not_taken() -> None:
    bucket = Bucket(10, 1, 0.0)
    assert (bucket.wait(0.0), bucket.take(0.0)) == (0.0, 0.0)
    assert bucket.wait(0.0) == bucket.take(0.0) == pytest.approx(0.1)
    assert not bucket.is_full(0.05)
    assert bucket.is_full(0.1)
    bucket.drain(7.0)
    assert bucket.wait(7.0) == pytest.approx(0.1)


@pytest.mark.parametrize(("rate", "burst"), [(0, 1), (-1, 1), (1, 0)])
def test_a_bucket_that_gives_nothing_is_refused(rate: float, burst: int) -> None:
    with pytest.raises(ValueError, match="a bucket needs"):
        Bucket(rate, burst, 0.0)
