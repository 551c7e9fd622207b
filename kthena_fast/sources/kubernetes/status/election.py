"""Which of several replicas leads: the decisions about a Lease of coordination.k8s.io/v1, without clock or socket.

1. A candidate takes a Lease that nobody holds, that was released, or whose holder has not renewed it for the duration
   that it names. How long that is each candidate measures on its own clock, from when it saw the last renewal:
   clocks of two machines are never compared. (So does client-go, whose terms these are.)
2. A write names the resourceVersion that was read. Of two candidates who write at once the API server refuses one.
3. A leader acts only until `renew_deadline` after it *sent* the last renewal that was taken. Others may take the Lease
   `duration` after they *saw* it, which is later; the difference is what clocks may run apart by.
4. A leader that is told of a conflict, or that the Lease is another's or gone, leads no longer from that moment on.
5. After a failure nobody knows whether the write was taken, so the Lease is read before it is written again.

`TRANSITIONS` is all there is of states; `docs/kubernetes.md` draws it.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

API_VERSION = "coordination.k8s.io/v1"


class State(enum.Enum):
    """What a candidate is."""

    FOLLOWING = "following"
    LEADING = "leading"
    ENDED = "ended"


class Event(enum.Enum):
    """What happens to a candidate; the value says it in words."""

    TOOK = "its write was taken"
    LOST = "the Lease is another's, or gone, or was written by another"
    FAILED = "the API server did not answer, or not well"
    EXPIRED = "the renewal is too long ago"
    STOPPED = "the process leaves"


TRANSITIONS: Final[Mapping[State, Mapping[Event, State]]] = {
    State.FOLLOWING: {
        Event.TOOK: State.LEADING,
        Event.LOST: State.FOLLOWING,
        Event.FAILED: State.FOLLOWING,
        Event.STOPPED: State.ENDED,
    },
    State.LEADING: {
        Event.TOOK: State.LEADING,
        Event.LOST: State.FOLLOWING,
        Event.FAILED: State.LEADING,
        Event.EXPIRED: State.FOLLOWING,
        Event.STOPPED: State.ENDED,
    },
    State.ENDED: {},
}
"""What may follow what; an event that is not there cannot happen in that state."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Seconds, each less than the one before it."""

    duration: float = 15.0
    """Without a renewal for this long, the Lease may be taken."""
    renew_deadline: float = 10.0
    """Without a renewal for this long, the leader stops acting."""
    retry_period: float = 2.0
    """Between renewals, and between looks at a Lease that is another's."""

    def __post_init__(self) -> None:
        if not self.duration > self.renew_deadline > self.retry_period > 0:
            raise ValueError(f"of {self} each must be less than the one before it, and above 0")


class Election:
    """One candidate. `now` is of a clock that never goes back; `wall` is only written down for people."""

    def __init__(self, name: str, namespace: str, identity: str, terms: Terms) -> None:
        self.name = name
        self.namespace = namespace
        self.identity = identity
        self.terms = terms
        self.state = State.FOLLOWING
        self._lease: Mapping[str, Any] | None = None
        """As it was read or written last; None: there is none."""
        self._unread = True
        self._seen_at = 0.0
        """When the last renewal by another was seen."""
        self._until = 0.0
        """When a leader stops acting."""

    @property
    def holder(self) -> str:
        """Who holds the Lease, as far as is known; empty: nobody."""
        return _text(_spec(self._lease).get("holderIdentity"))

    @property
    def is_unread(self) -> bool:
        """Whether the Lease has to be read before anything can be decided."""
        return self._unread

    def leads(self, now: float) -> bool:
        """Whether the candidate may act."""
        return self.state is State.LEADING and now < self._until

    def on_event(self, event: Event) -> None:
        """Go to the next state; RuntimeError for what cannot happen now."""
        following = TRANSITIONS[self.state].get(event)
        if following is None:
            raise RuntimeError(f"{event.name} cannot happen while {self.state.value}")
        if event is not Event.TOOK:
            self._unread = True
        self.state = following

    def on_time(self, now: float) -> None:
        """See whether the last renewal is too long ago."""
        if self.state is State.LEADING and now >= self._until:
            self.on_event(Event.EXPIRED)

    def on_read(self, lease: Mapping[str, Any] | None, now: float) -> None:
        """The Lease as the API server has it; None: there is none."""
        if _renewal(lease) != _renewal(self._lease) or self._lease is None:
            self._seen_at = now
        self._lease = lease
        if self.state is State.LEADING and self.holder != self.identity:
            self.on_event(Event.LOST)
        self._unread = False

    def on_taken(self, lease: Mapping[str, Any], sent: float) -> None:
        """A write was taken that was sent then; `lease` is what the API server made of it."""
        self._lease = lease
        self._until = sent + self.terms.renew_deadline
        self.on_event(Event.TOOK)

    def claim(self, now: float, wall: datetime) -> dict[str, Any] | None:
        """The Lease to be written now, with a resourceVersion if there is one; None: it is another's."""
        if self._unread or not self._is_free(now):
            return None
        before = _spec(self._lease)
        is_ours = self.holder == self.identity
        transitions = before.get("leaseTransitions")
        count = transitions if isinstance(transitions, int) else 0
        at = _micro_time(wall)
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(self.terms.duration),
            "acquireTime": _text(before.get("acquireTime")) or at if is_ours else at,
            "renewTime": at,
            "leaseTransitions": count if is_ours or self._lease is None else count + 1,
        }
        return self._written({**before, **spec})

    def release(self, wall: datetime) -> dict[str, Any] | None:
        """The Lease to be written by a leader that leaves; None: it holds none."""
        if self._unread or self.holder != self.identity:
            return None
        # An empty name lets the next candidate take it at its next look.
        spec = {**_spec(self._lease), "holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _micro_time(wall)}
        return self._written(spec)

    def _is_free(self, now: float) -> bool:
        if self._lease is None or self.holder in ("", self.identity):
            return True
        named = _spec(self._lease).get("leaseDurationSeconds")
        duration = named if isinstance(named, int) and named > 0 else self.terms.duration
        return now >= self._seen_at + duration

    def _written(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        metadata = (self._lease or {}).get("metadata", {"name": self.name, "namespace": self.namespace})
        return {"apiVersion": API_VERSION, "kind": "Lease", "metadata": metadata, "spec": dict(spec)}


def _spec(lease: Mapping[str, Any] | None) -> Mapping[str, Any]:
    spec = (lease or {}).get("spec")
    return spec if isinstance(spec, Mapping) else {}


def _renewal(lease: Mapping[str, Any] | None) -> tuple[Any, ...]:
    spec = _spec(lease)
    return spec.get("holderIdentity"), spec.get("renewTime"), spec.get("leaseTransitions")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _micro_time(wall: datetime) -> str:
    return wall.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
