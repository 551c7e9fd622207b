"""Whether an object may be stored, and what is to be said about it.

1. A deletion, a subresource, and an update whose `spec` is the stored one are allowed: whatever the rules are now.
2. Everything else is held to the CRD's schema and rules (the cluster may still have upstream's, which are laxer), to
   the webhook's rules, and to the stored object: what a route's `modelName` was at its creation, it stays. Upstream
   lets it be removed, and then any other be set.
3. All reasons come at once; warnings come whether the object is refused or not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from kthena_fast.resources import admission, announcements, cautions, decoding, endpoints, size
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.resources.model_server import ENDPOINTS, ModelServer
from kthena_fast.telemetry import one_line
from kthena_fast.webhook.cluster import Cluster
from kthena_fast.webhook.reviews import MAX_REASONS, BadReview, Reason, Review

MAX_WARNINGS = 12
"""Warnings of one review. The API server passes on 4,096 characters, which this webhook may share with others."""

MAX_WARNING = 256
"""Characters of a warning, which is as many as the API server passes on when there are many."""

MAX_VALUE = 128
"""Characters of an object's own value in a reason."""

_GENERATED = "00000"
"""Stands for what the API server appends to `generateName`."""


class Verdict(NamedTuple):
    """An object without reasons is allowed."""

    reasons: list[Reason]
    warnings: list[str]
    route: ModelRoute | None = None
    """What the cluster is to be asked about."""


ALLOWED = Verdict([], [])


def judge(review: Review) -> Verdict:
    """The verdict on a review, by itself; BadReview where it holds what can be no object. Needs no loop."""
    if review.operation in {"DELETE", "CONNECT"} or review.subresource:
        return ALLOWED
    try:
        if review.operation == "UPDATE" and review.object.get("spec") == review.old_object.get("spec"):
            return Verdict([], list(_on_metadata(review)))
        if not review.is_cut:
            return _on_object(review)
    except RecursionError:
        pass
    raise BadReview("request.object is nested deeper than any object of ours can be")


def warnings(verdict: Verdict, cluster: Cluster) -> list[str]:
    """All that is to be said beside a verdict, within the API server's limits."""
    told = verdict.warnings
    if verdict.route is not None:
        told = [*map(str, cluster.cautions(verdict.route)), *told]
    texts = [_cut(one_line.printable(text), MAX_WARNING) for text in told[:MAX_WARNINGS]]
    left = len(told) - MAX_WARNINGS
    if left > 0:
        texts[-1] = f"and {one_line.counted(left + 1, 'further warning')}"
    return texts


def _on_object(review: Review) -> Verdict:
    obj = _named(review)
    warnings: list[str] = []
    if size.is_too_large(review.object.get("spec")):
        warnings.append(f"spec: {size.TOO_LARGE}")
    route = None
    try:
        resource = decoding.decode(obj)
    except decoding.Rejected as refusal:
        violations = list(refusal.violations)
        # Mending copies the object for every fault, so it is for those that a person has made.
        if len(violations) < MAX_REASONS:
            violations += admission.further_violations(obj, refusal)
    else:
        violations = admission.violations(resource)
        refused = {violation.path for violation in violations}
        # What is not obeyed comes first: nobody should have to find that out from how it behaves.
        found = (found for found in announcements.announcements(resource) if found.path not in refused)
        warnings += (f"{found.path}: {found.reason}" for found in found)
        warnings += map(str, cautions.cautions(resource))
        route = resource if isinstance(resource, ModelRoute) else None
    reasons = [_reason(violation) for violation in violations]
    said = {reason.path for reason in reasons}
    reasons += [reason for reason in _immutability(review) if reason.path not in said]
    return Verdict(reasons, warnings, route)


def _named(review: Review) -> Mapping[str, Any]:
    """The object with the name and namespace that it is going to have."""
    meta = dict(review.object["metadata"])
    if not meta.get("name"):
        generated = meta.get("generateName")
        # 58 is where the API server cuts it.
        meta["name"] = review.name or (f"{generated[:58]}{_GENERATED}" if isinstance(generated, str) else "")
    if not meta.get("namespace") and review.namespace:
        meta["namespace"] = review.namespace
    return {**review.object, "metadata": meta}


def _reason(violation: decoding.Violation) -> Reason:
    kind = f"FieldValue{violation.kind}"
    value = violation.value
    if violation.kind == "Required" or not isinstance(value, str | int | float) or value == "":
        return Reason(kind, violation.path, violation.message)
    # As the API server writes it: the value, and then what is allowed.
    what = "Unsupported value" if violation.kind == "NotSupported" else "Invalid value"
    return Reason(kind, violation.path, f"{what}: {_cut(json.dumps(value), MAX_VALUE)}: {violation.message}")


def _immutability(review: Review) -> Iterator[Reason]:
    if review.kind != ModelRoute.KIND or review.operation != "UPDATE":
        return
    before, after = (_model_name(obj.get("spec")) for obj in (review.old_object, review.object))
    if before == after:
        return
    if not after:
        message = f"modelName is immutable: it is {before!r} and cannot be removed; delete the route instead"
    elif not before:
        message = f"modelName is immutable: the route was created without one; create another route for {after!r}"
    else:
        message = f"modelName is immutable: it is {before!r}; create another route for {after!r}"
    yield Reason("FieldValueInvalid", "spec.modelName", message)


def _model_name(spec: object) -> str:
    name = spec.get("modelName") if isinstance(spec, Mapping) else None
    return name if isinstance(name, str) else ""


def _on_metadata(review: Review) -> Iterator[str]:
    """What a change of metadata alone, which is never refused, does to the gateway."""
    if review.kind != ModelServer.KIND:
        return
    text, before = (_annotation(obj) for obj in (review.object, review.old_object))
    if text == before:
        return
    try:
        endpoints.parse(text)
    except ValueError as fault:
        yield f"metadata.annotations[{ENDPOINTS}]: {fault}; the gateway sets the ModelServer aside until it is mended"


def _annotation(obj: Mapping[str, Any]) -> str:
    meta = obj.get("metadata")
    annotations = meta.get("annotations") if isinstance(meta, Mapping) else None
    text = annotations.get(ENDPOINTS) if isinstance(annotations, Mapping) else None
    return text if isinstance(text, str) else ""


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
