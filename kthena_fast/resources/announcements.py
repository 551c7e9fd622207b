"""What an object asks for and does not get from this gateway: for the log, `/debug` and a metric, never silent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kthena_fast.resources import admission, expressions, structure
from kthena_fast.resources.decoding import AnyResource
from kthena_fast.resources.external_model_provider import ExternalModelProvider
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.resources.model_server import ModelServer


class Announcement(NamedTuple):
    """One thing that is not obeyed; `reason` is a sentence on what happens instead."""

    path: str
    reason: str
    field: str
    """The path without indexes and names of entries: as a metric's label it takes few values."""


def announcements(resource: AnyResource) -> list[Announcement]:
    """What is not obeyed, in the order of the fields."""
    if isinstance(resource, ModelRoute):
        found = _model_route(resource)
    elif isinstance(resource, ModelServer):
        found = _model_server(resource)
    elif isinstance(resource, ExternalModelProvider):
        found = iter([((), "providers cannot be called yet: targets that name one are never ready")])
    else:
        return []
    schema = structure.schema(type(resource))
    return [
        Announcement(structure.path(schema, ("spec", *at)), reason, structure.field(schema, ("spec", *at)))
        for at, reason in found
    ]


_Found = Iterator[tuple[structure.Location, str]]


def _model_route(route: ModelRoute) -> _Found:
    spec = route.spec
    if spec.parent_refs:
        yield ("parentRefs",), "Gateways are not read yet: the route is set aside"
    for at, _, reason in admission.bad_expressions(spec):
        what = (
            "none from here on is compiled, and their rules never match"
            if reason == expressions.TOO_MANY
            else ("the expression does not compile, so the rule never matches")
        )
        yield at, f"{what}: {reason}"
    for index, rule in enumerate(spec.rules):
        for place, target in enumerate(rule.target_models):
            if target.external_model_provider_name:
                yield (
                    ("rules", index, "targetModels", place, "externalModelProviderName"),
                    "providers cannot be called yet: the target is never ready and the others take its share",
                )
    limit = spec.rate_limit
    if limit is not None and (limit.input_tokens_per_unit or limit.output_tokens_per_unit):
        yield ("rateLimit",), "tokens are not limited yet: the route is served without limit"


def _model_server(server: ModelServer) -> _Found:
    selector = server.spec.workload_selector
    if not selector.match_labels and not server.endpoints:
        yield ("workloadSelector", "matchLabels"), "without labels no pod is selected"
    if selector.pd_group is not None:
        yield ("workloadSelector", "pdGroup"), "prefill and decode are not split yet: the pods that decode do both"
        if server.spec.kv_connector is not None:
            yield ("kvConnector",), "prefill and decode are not split yet: nothing is transferred"
