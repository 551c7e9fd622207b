"""The plainest ledger there is: a list of events, summed each time. It judges the two twins."""

SLOTS = 65


class Events:
    """One user's charges, by the number of the slot that they fell into."""

    def __init__(self, window: float) -> None:
        self.width = -(-int(window * 1_000_000_000) // (SLOTS - 1))
        self.events: list[list[int]] = []
        # The slot of the clock, and of the ledger: they part when the clock is set back.
        self.clock = 0
        self.slot = 0

    def at(self, now: float) -> None:
        clock = int(now * 1_000_000_000) // self.width
        if clock > self.clock:
            self.slot += clock - self.clock
            self.clock = clock
        elif self.clock - clock >= SLOTS:
            self.clock = clock

    def charge(self, units: int, now: float) -> None:
        self.at(now)
        self.events.append([self.slot, units])

    def service(self, now: float) -> int:
        self.at(now)
        return sum(units for slot, units in self.events if slot > self.slot - SLOTS)

    def refund(self, units: int, now: float) -> int:
        given = min(units, self.service(now))
        left = given
        for event in reversed(self.events):
            part = min(left, event[1])
            event[1] -= part
            left -= part
        return given
