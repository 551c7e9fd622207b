"""What a writer knows during one lead; it begins the next one with nothing of it."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Literal

from kthena_fast.routing import conditions
from kthena_fast.routing.findings import Finding, Findings, Identity, OfRoute, OfServer
from kthena_fast.sources.kubernetes.status.line import Allowances, Line
from kthena_fast.sources.kubernetes.status.review import Review
from kthena_fast.sources.kubernetes.status.update import Prepared

if TYPE_CHECKING:
    from kthena_fast.routing.snapshot import Snapshot

REFUSALS = 3
"""Objects of a kind that are refused before the kind is left alone."""

Stopped = Literal["pruned", "forbidden", "refused", "absent"]


class Term:
    """One lead."""

    def __init__(self) -> None:
        self.findings = Findings()
        self.looked_at: Snapshot | None = None
        self.look_at = -math.inf
        self.review: Review | None = None
        """The one that is under way."""
        self.review_at = -math.inf
        self.unread: set[Identity] = set()
        """Objects of the first snapshot that no list has shown yet."""
        self.line = Line()
        self.prepared_for: dict[Identity, int] = {}
        """Of those in line whose change is prepared, what had been found, as a number."""
        self.allowances = Allowances()
        self.standing: dict[Identity, int] = {}
        """What was seen to stand, or was written, as a number: other writes to an object change nothing of it."""
        self.stopped: dict[str, Stopped] = {}
        """Kinds that are left alone until the next review."""
        self.trying: set[str] = set()
        """Kinds whose status was pruned, and of which one object may be tried."""
        self.taken: set[str] = set()
        """Kinds of which a status was written."""
        self._refused: Counter[str] = Counter()

    def is_of_one(self, kind: str) -> bool:
        """Whether a refusal, which is counted, says more of the object than of its kind."""
        self._refused[kind] += 1
        return kind in self.taken or self._refused[kind] < REFUSALS

    def settle(self, identity: Identity, finding: Finding) -> None:
        self.standing[identity] = number(finding)
        self.forget(identity)

    def stands(self, identity: Identity, finding: Finding) -> bool:
        return self.standing.get(identity) == number(finding)

    def forget(self, identity: Identity) -> None:
        """Nothing is to be written of it."""
        self.line.remove(identity)
        self.prepared_for.pop(identity, None)

    def hold(self, identity: Identity, until: float) -> None:
        self.line.hold(identity, until)
        self.prepared_for.pop(identity, None)

    def take(self, identity: Identity, finding: Finding) -> Prepared | None:
        """Its change, unless something else was found since that was prepared."""
        change = self.line.remove(identity)
        return change if self.prepared_for.pop(identity, None) == number(finding) else None

    def waiting(self) -> int:
        return len(self.line) + len(self.unread)


def generation(finding: Finding) -> tuple[str, int] | None:
    """Of the object that was looked at; None: it does not say."""
    if isinstance(finding, OfRoute):
        return finding.route.metadata.uid, finding.route.metadata.generation
    if isinstance(finding, OfServer):
        return finding.server.metadata.uid, finding.server.metadata.generation
    return None


def number(finding: Finding) -> int:
    """Equal for findings that say the same of the same generation."""
    return hash((generation(finding), conditions.verdicts(finding)))
