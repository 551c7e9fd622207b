"""The policies that are compared: an order of the heap, what is charged in advance, and what is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    order: str
    """The policy of `core.heap`."""
    reserve: Literal["", "mean", "oracle"] = ""
    """Output that is charged when the permit is given: none, the client's recent mean answer, or the true length."""
    per_minute: int | None = None
    """Requests of one client in any minute; those beyond are refused."""

    @property
    def is_bounded(self) -> bool:
        """Whether the bound on the gap is promised."""
        return self.order == "vtc"


NAMED: Final = {
    policy.name: policy
    for policy in (
        Policy("fcfs", "fcfs"),
        Policy("lcf", "lcf"),
        Policy("window", "window"),
        Policy("window-predict", "window", "mean"),
        Policy("vtc", "vtc"),
        Policy("vtc-predict", "vtc", "mean"),
        Policy("vtc-oracle", "vtc", "oracle"),
    )
}

EVERY: Final = ("fcfs", "rpm:30", "lcf", "window", "window-predict", "vtc", "vtc-predict", "vtc-oracle")
"""Those that are compared when none is named: the paper's, and the gateway's."""


def policy(name: str) -> Policy:
    """The policy of a name; ValueError says which names there are."""
    found = NAMED.get(name)
    if found is not None:
        return found
    limit = re.fullmatch(r"rpm:([1-9][0-9]{0,8})", name)
    if limit is None:
        raise ValueError(f"{name!r} is not a policy; there are {', '.join(NAMED)} and rpm:N")
    return Policy(name, "fcfs", per_minute=int(limit[1]))
