"""A token bucket: how often something may be done."""

from __future__ import annotations


class Bucket:
    """`burst` at once, then `rate` a second. `now` is of a clock that never goes back."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: int, now: float) -> None:
        if not (rate > 0 and burst >= 1):
            raise ValueError(f"a bucket needs a rate above 0 and a burst of at least 1, not {rate} and {burst}")
        self._rate = rate
        self._burst = float(burst)
        self._tokens = float(burst)
        self._at = now

    def take(self, now: float) -> float:
        """0: one was taken; else the seconds until there is one."""
        wait = self.wait(now)
        if not wait:
            self._tokens -= 1.0
        return wait

    def wait(self, now: float) -> float:
        """The seconds until one can be taken; nothing is."""
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        return max(0.0, (1.0 - self._tokens) / self._rate)

    def is_full(self, now: float) -> bool:
        """Whether it is as if nothing had ever been taken."""
        return self._tokens + (now - self._at) * self._rate >= self._burst

    def drain(self, now: float) -> None:
        """What was saved up is lost; the rate goes on."""
        self._tokens, self._at = 0.0, now
