"""The conditions of a ModelRoute or ModelServer, in the terms of the Gateway API, from what was found of it.

1. Two types. `Accepted`: whether the gateway serves by the object; `ResolvedRefs`: whether what it refers to is there
   (for a ModelServer: a pod that it selects is ready). Reasons are the Gateway API's where it has one.
2. A message is a sentence that names what is wrong and what to do. It holds no count and no time, so it is written
   again only when something else is true.
3. `lastTransitionTime` changes only with `status`. Conditions of other types are somebody else's and are kept as they
   are; the list is written whole, for it is an atomic one in the CRDs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from kthena_fast.resources import announcements
from kthena_fast.resources.announcements import Announcement
from kthena_fast.resources.model_server import ModelServer
from kthena_fast.routing.findings import Dangling, Finding, OfRoute, OfServer, Refused, Shadow

Status = Literal["True", "False", "Unknown"]

ACCEPTED = "Accepted"
RESOLVED_REFS = "ResolvedRefs"
TYPES = (ACCEPTED, RESOLVED_REFS)

MOST_SAID = 5
"""Faults that a message names; of more it gives the number."""

MOST_CHARACTERS = 4096
"""Of a message: the API server takes 32,768, and who reads it wants the beginning."""


class Reason(NamedTuple):
    """One reason that is given, of which type and status, and when: `docs/kubernetes.md` has the table."""

    type: str
    status: Status
    name: str
    when: str


SERVED = Reason(ACCEPTED, "True", "Accepted", "it is in service, and all of it is obeyed")
PARTIALLY_INVALID = Reason(
    ACCEPTED,
    "True",
    "PartiallyInvalid",
    "it is in service, but an expression does not compile: that rule never matches",
)
FIELD_NOT_OBEYED = Reason(ACCEPTED, "True", "FieldNotObeyed", "it is in service, but a field of it has no effect here")
PARTIALLY_SHADOWED = Reason(
    ACCEPTED,
    "True",
    "PartiallyShadowed",
    "it is in service, but an older route takes every request for one of its names",
)
UNSUPPORTED_VALUE = Reason(
    ACCEPTED,
    "False",
    "UnsupportedValue",
    "it breaks its schema, no request can match it, or its selector selects nothing",
)
NO_MATCHING_PARENT = Reason(ACCEPTED, "False", "NoMatchingParent", "it has parentRefs, and Gateways are not read")
NO_RULES = Reason(ACCEPTED, "False", "NoRules", "spec.rules is empty")
SHADOWED = Reason(ACCEPTED, "False", "Shadowed", "older routes take every request for all of its names")

RESOLVED = Reason(RESOLVED_REFS, "True", "ResolvedRefs", "every target is there; of a ModelServer: it has a ready pod")
BACKEND_NOT_FOUND = Reason(RESOLVED_REFS, "False", "BackendNotFound", "a target does not exist")
INVALID_KIND = Reason(RESOLVED_REFS, "False", "InvalidKind", "a target is an ExternalModelProvider")
NO_READY_PODS = Reason(RESOLVED_REFS, "False", "NoReadyPods", "no pod that the ModelServer selects is ready")
NOT_ACCEPTED = Reason(RESOLVED_REFS, "Unknown", "NotAccepted", "it breaks its schema, so nothing more is known of it")

REASONS = tuple(value for value in list(globals().values()) if isinstance(value, Reason))


class Verdict(NamedTuple):
    """One condition, but for when and of which generation."""

    reason: Reason
    message: str


def verdicts(finding: Finding) -> tuple[Verdict, Verdict]:
    """`Accepted` and `ResolvedRefs` of an object."""
    if isinstance(finding, Refused):
        return _refused(finding)
    if isinstance(finding, OfRoute):
        return _route_accepted(finding), _targets(finding)
    return _server_accepted(finding.server), _pods(finding)


def written(finding: Finding, status: Any, generation: int, now: datetime) -> dict[str, Any] | None:
    """What the object's status should hold, to be merged over what it holds; None: it stands already.

    `status` is what the API server has, which may be anything. None too where that was said of a later generation.
    """
    before = _listed_in(status)
    ours: dict[str, Mapping[str, Any]] = {}
    for entry in before:
        if entry.get("type") in TYPES:
            ours.setdefault(entry["type"], entry)
    if any(_generation(entry) > generation for entry in ours.values()):
        return None
    at = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    wanted = {verdict.reason.type: _condition(verdict, ours, generation, at) for verdict in verdicts(finding)}
    if len(before) == len(others := [entry for entry in before if entry.get("type") not in TYPES]) + len(ours) and all(
        wanted[type_] == ours.get(type_) for type_ in TYPES
    ):
        return None
    return {"observedGeneration": generation, "conditions": [*others, *wanted.values()]}


def are_in(status: Any) -> bool:
    """Whether both conditions stand in a status."""
    types = [entry.get("type") for entry in _listed_in(status)]
    return all(type_ in types for type_ in TYPES)


def _listed_in(status: Any) -> list[Mapping[str, Any]]:
    listed = status.get("conditions") if isinstance(status, Mapping) else None
    return [entry for entry in listed if isinstance(entry, Mapping)] if isinstance(listed, list) else []


def _generation(entry: Mapping[str, Any]) -> int:
    observed = entry.get("observedGeneration")
    return observed if isinstance(observed, int) else 0


def _condition(verdict: Verdict, ours: Mapping[str, Mapping[str, Any]], generation: int, now: str) -> dict[str, Any]:
    reason = verdict.reason
    before = ours.get(reason.type, {})
    since = before.get("lastTransitionTime")
    return {
        "type": reason.type,
        "status": reason.status,
        "observedGeneration": generation,
        "lastTransitionTime": since if since and before.get("status") == reason.status else now,
        "reason": reason.name,
        "message": verdict.message,
    }


def _refused(finding: Refused) -> tuple[Verdict, Verdict]:
    rejection = finding.rejection
    faults = _listed(str(reason) for reason in rejection.reasons)
    kept = "its last good version serves on" if rejection.kept else "it is not served"
    return (
        Verdict(UNSUPPORTED_VALUE, _message(f"Until this is mended, {kept}: {faults}")),
        Verdict(NOT_ACCEPTED, "What it refers to is looked at once it is accepted"),
    )


def _route_accepted(finding: OfRoute) -> Verdict:
    route = finding.route
    spec = route.spec
    if not spec.rules:
        return Verdict(NO_RULES, "spec.rules is empty, so it takes no request: add a rule with targetModels")
    announced = announcements.announcements(route)
    parents = [entry for entry in announced if entry.field == "spec.parentRefs"]
    if parents:
        advice = "remove it to have the route served on the gateway's own port"
        return Verdict(NO_MATCHING_PARENT, _message(f"{_announced(parents)}; {advice}"))
    invalid = [entry for entry in announced if entry.field.endswith(".regex")]
    if len({entry.path.partition("]")[0] for entry in invalid}) == len(spec.rules):
        return Verdict(UNSUPPORTED_VALUE, _message(f"No rule of it can match: {_announced(invalid)}"))
    names = {name for name in (spec.model_name, *spec.lora_adapters) if name}
    if not names:
        return Verdict(UNSUPPORTED_VALUE, "spec.loraAdapters: an adapter needs a name, or no request can ask for it")
    shadows = finding.shadows
    if len(shadows) == len(names):
        return Verdict(SHADOWED, _message(_shadowed(shadows)))
    # What the other condition says is not said twice.
    ignored = [entry for entry in announced if entry not in invalid and not entry.field.endswith("ProviderName")]
    return _in_service(invalid, ignored, shadows)


def _server_accepted(server: ModelServer) -> Verdict:
    announced = announcements.announcements(server)
    empty = [entry for entry in announced if entry.field == "spec.workloadSelector.matchLabels"]
    if empty:
        return Verdict(UNSUPPORTED_VALUE, _message(f"{_announced(empty)}; name the labels of its pods"))
    return _in_service([], announced, ())


def _in_service(invalid: Sequence[Announcement], ignored: Sequence[Announcement], shadows: Sequence[Shadow]) -> Verdict:
    """In service, with what is not as the object says; the gravest gives the reason."""
    if not invalid and not ignored and not shadows:
        return Verdict(SERVED, "It is in service")
    said = []
    if invalid:
        said.append(_announced(invalid))
    if ignored:
        said.append(f"not obeyed: {_announced(ignored)}")
    if shadows:
        said.append(_shadowed(shadows))
    reason = PARTIALLY_INVALID if invalid else FIELD_NOT_OBEYED if ignored else PARTIALLY_SHADOWED
    return Verdict(reason, _message(f"It is in service, but {'; '.join(said)}"))


def _targets(finding: OfRoute) -> Verdict:
    namespace = finding.route.metadata.namespace
    if finding.dangling:
        missing = _listed(_missing(entry) for entry in finding.dangling)
        return Verdict(
            BACKEND_NOT_FOUND, _message(f"{missing}; create it in the namespace {namespace}, or name another")
        )
    providers = [
        f"spec.rules[{index}].targetModels[{place}]"
        for index, rule in enumerate(finding.route.spec.rules)
        for place, target in enumerate(rule.target_models)
        if not target.model_server_name
    ]
    if providers:
        why = "an ExternalModelProvider cannot be called yet, so others take its share; name a modelServerName"
        return Verdict(INVALID_KIND, _message(f"{_listed(providers)}: {why}"))
    return Verdict(RESOLVED, "Every target is there; whether its pods are ready is said by each ModelServer")


def _missing(entry: Dangling) -> str:
    return f"spec.rules[{entry.rule}].targetModels[{entry.target}]: the {entry.kind} {entry.key} does not exist"


def _pods(finding: OfServer) -> Verdict:
    server = finding.server
    if finding.has_pods:
        return Verdict(RESOLVED, "A pod that it selects is ready" if not server.endpoints else "Its endpoints are used")
    selector = server.spec.workload_selector
    if not selector.match_labels:
        return Verdict(NO_READY_PODS, "Its selector has no labels, so it selects no pod")
    labels = ",".join(f"{key}={value}" for key, value in selector.match_labels.items())
    what = "pod that decodes" if selector.pd_group is not None else "pod"
    return Verdict(
        NO_READY_PODS,
        _message(
            f"No {what} with the labels {labels} is ready, so requests for it are answered with 503; "
            f"see: kubectl get pods -n {server.metadata.namespace} -l {labels}"
        ),
    )


def _shadowed(shadows: Iterable[Shadow]) -> str:
    advice = "use another name, or narrow or remove the other route"
    return f"{_listed(_shadow(entry) for entry in shadows)}; {advice}"


def _shadow(entry: Shadow) -> str:
    if entry.is_tier:
        return f"{entry.model!r} is the modelName of ModelRoute {entry.by}, which takes every request for it"
    return (
        f"ModelRoute {entry.by} is older and takes every request for {entry.model!r} "
        "as long as one of its targets has a ready pod"
    )


def _announced(entries: Iterable[Announcement]) -> str:
    return _listed(f"{entry.path}: {entry.reason}" for entry in entries)


def _listed(entries: Iterable[str]) -> str:
    said = list(entries)
    more = [f"and {len(said) - MOST_SAID} more"] if len(said) > MOST_SAID else []
    return "; ".join([*said[:MOST_SAID], *more])


def _message(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
