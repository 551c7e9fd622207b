"""`KvPool`: the cache that requests share, and the line of those who wait for a place in it."""

import asyncio
from collections import deque
from types import TracebackType


class KvPool:
    """Strictly first come, first served: a request that does not fit holds up those behind it, as in vLLM."""

    __slots__ = ("_waiting", "capacity", "max_running", "running", "used")

    def __init__(self, capacity: int, max_running: int) -> None:
        self.capacity = capacity
        self.max_running = max_running
        self.running = 0
        self.used = 0
        self._waiting: deque[Turn] = deque()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def usage(self) -> float:
        """Share of the pool in use, 0 to 1."""
        return self.used / self.capacity

    def room(self, tokens: int) -> "Turn":
        """`async with pool.room(n):` waits for n tokens of room and holds them; a cancelled wait leaves the line."""
        return Turn(self, min(tokens, self.capacity))

    def enter(self, turn: "Turn") -> bool:
        """Whether it is this turn's time now; else it stands in line and its future will say."""
        if not self._waiting and self._fits(turn):
            self._seat(turn)
            return True
        self._waiting.append(turn)
        return False

    def leave(self, turn: "Turn") -> None:
        """The turn is over, whether or not it ever came."""
        if turn.seated:
            turn.seated = False
            self.running -= 1
            self.used -= turn.tokens
        else:
            self._waiting.remove(turn)
        while self._waiting and self._fits(self._waiting[0]):
            following = self._waiting.popleft()
            self._seat(following)
            # One that was cancelled a moment ago has yet to wake up; it gives the place back when it does.
            if not following.called.cancelled():
                following.called.set_result(None)

    def _fits(self, turn: "Turn") -> bool:
        return self.running < self.max_running and self.used + turn.tokens <= self.capacity

    def _seat(self, turn: "Turn") -> None:
        turn.seated = True
        self.running += 1
        self.used += turn.tokens


class Turn:
    """One request's stay in the pool."""

    __slots__ = ("_pool", "called", "seated", "tokens")

    def __init__(self, pool: KvPool, tokens: int) -> None:
        self._pool = pool
        self.tokens = tokens
        self.seated = False
        self.called: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> None:
        if self._pool.enter(self):
            return
        try:
            await self.called
        except asyncio.CancelledError:
            self._pool.leave(self)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.leave(self)
