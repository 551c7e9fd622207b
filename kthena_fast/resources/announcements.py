"""What an object asks for and does not get from this gateway: for the log, `/debug` and a metric, never silent."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from kthena_fast.resources import admission, structure
from kthena_fast.resources.decoding import AnyResource
from kthena_fast.resources.external_model_provider import ExternalModelProvider
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.resources.model_server import ModelServer

_ENTRY = re.compile(r"\[[^]]*\]")


class Announcement(NamedTuple):
    """`path` is where in the object; `reason` is a sentence on what happens instead."""

    path: str
    reason: str

    @property
    def field(self) -> str:
        """The path without indexes and names of entries: as a metric's label it takes few values."""
        return _ENTRY.sub("", self.path)


def announcements(resource: AnyResource) -> list[Announcement]:
    """What is not obeyed, in the order of the fields."""
    if isinstance(resource, ModelRoute):
        return list(_model_route(resource))
    if isinstance(resource, ModelServer):
        return list(_model_server(resource))
    if isinstance(resource, ExternalModelProvider):
        return [Announcement("spec", "providers cannot be called yet: targets that name one are never ready")]
    return []


def _model_route(route: ModelRoute) -> Iterator[Announcement]:
    spec = route.spec
    if spec.parent_refs:
        yield Announcement("spec.parentRefs", "Gateways are not read yet: the route is set aside")
    for index, rule in enumerate(spec.rules):
        for at, _, reason in admission.bad_expressions(rule):
            path = structure.path(structure.schema(ModelRoute), ("spec", "rules", index, *at))
            yield Announcement(path, f"the expression does not compile, so the rule never matches: {reason}")
        for place, target in enumerate(rule.target_models):
            if target.external_model_provider_name:
                yield Announcement(
                    f"spec.rules[{index}].targetModels[{place}].externalModelProviderName",
                    "providers cannot be called yet: the target is never ready and the others take its share",
                )
    limit = spec.rate_limit
    if limit is not None and (limit.input_tokens_per_unit or limit.output_tokens_per_unit):
        yield Announcement("spec.rateLimit", "tokens are not limited yet: the route is served without limit")


def _model_server(server: ModelServer) -> Iterator[Announcement]:
    selector = server.spec.workload_selector
    if not selector.match_labels and not server.endpoints:
        yield Announcement("spec.workloadSelector.matchLabels", "without labels no pod is selected")
    if selector.pd_group is not None:
        yield Announcement(
            "spec.workloadSelector.pdGroup", "prefill and decode are not split yet: the pods that decode do both"
        )
        if server.spec.kv_connector is not None:
            yield Announcement("spec.kvConnector", "prefill and decode are not split yet: nothing is transferred")
