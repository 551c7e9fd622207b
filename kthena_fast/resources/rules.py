"""What the schema's keywords cannot say, once in CEL for the API server and once in Python for the gateway.

1. The Python side is given the object as the API server would store it (defaults not filled in, nulls and unknown
   fields dropped) and must bear any type in it: a wrong type is the schema's to report.
2. The CEL side guards every optional field with `has()`. Upstream's rules do not, so their users see "no such key"
   instead of the message (test_a_route_without_names_is_refused_with_the_intended_message).
3. A rule that compares with the old object has no Python side: only the API server knows the old object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from kthena_fast import durations

Kind = Literal["Required", "Invalid", "NotSupported"]


@dataclass(frozen=True, slots=True)
class Rule:
    """`holds` None: a transition rule. `at` is where below the ruled value the violation is reported."""

    cel: str
    message: str
    holds: Callable[[Any], bool] | None
    kind: Kind = "Invalid"
    at: tuple[str, ...] = ()

    def as_schema(self) -> dict[str, Any]:
        entry = {"rule": self.cel, "message": self.message, "reason": f"FieldValue{self.kind}"}
        if self.at:
            entry["fieldPath"] = "".join(f".{name}" for name in self.at)
        return entry


def schema(*rules: Rule) -> dict[str, Any]:
    """The extension of a structural schema that carries these rules."""
    return {"x-kubernetes-validations": [rule.as_schema() for rule in rules]}


def _is_set(value: Any, key: str) -> bool:
    return isinstance(value, Mapping) and bool(value.get(key))


def _is_within_go(duration: Any) -> bool:
    try:
        durations.parse(duration)
    except (TypeError, ValueError):
        return not isinstance(duration, str)
    return True


NAMES_A_MODEL = Rule(
    "(has(self.modelName) && size(self.modelName) > 0) || (has(self.loraAdapters) && size(self.loraAdapters) > 0)",
    "either modelName must be set or loraAdapters must have an entry",
    lambda spec: _is_set(spec, "modelName") or _is_set(spec, "loraAdapters"),
    kind="Required",
)
MODEL_NAME_STAYS = Rule("self == oldSelf", "modelName is immutable", None)
ONE_TARGET = Rule(
    "(has(self.modelServerName) && size(self.modelServerName) > 0)"
    " != (has(self.externalModelProviderName) && size(self.externalModelProviderName) > 0)",
    "exactly one of modelServerName and externalModelProviderName must be set",
    lambda target: _is_set(target, "modelServerName") != _is_set(target, "externalModelProviderName"),
)
SECRET_NOT_OPTIONAL = Rule(
    "!has(self.secretRef) || !has(self.secretRef.optional) || !self.secretRef.optional",
    "secretRef.optional must be absent or false: without the secret the provider cannot be called",
    lambda auth: not (_is_set(auth, "secretRef") and _is_set(auth["secretRef"], "optional")),
    at=("secretRef", "optional"),
)
# Go holds a duration in 64 bits of nanoseconds, so a pattern alone lets pass what a Go client cannot decode
# (upstream's "poison object"); CEL's duration() fails on it, which refuses the object. It must not fail on more:
# where a rule does not hold for what was there before, the API server bears with it, so that the object can be labelled
# and mended; where a rule fails, it does not (test_an_install_over_upstreams_crds_takes_them_over_only_when_told).
DURATION_FITS = Rule(
    f"self.matches(r'{durations.PATTERN}') && duration(self) == duration(self)",
    f"must not exceed {durations.show(float(int(durations.MAX_SECONDS)))}",
    _is_within_go,
)

BY_CEL = {rule.cel: rule for rule in (NAMES_A_MODEL, MODEL_NAME_STAYS, ONE_TARGET, SECRET_NOT_OPTIONAL, DURATION_FITS)}
