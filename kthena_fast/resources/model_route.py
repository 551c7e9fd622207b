"""ModelRoute: the names clients use for a model, and where their requests go."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, Field

from kthena_fast.resources import rules
from kthena_fast.resources.metadata import DNS_LABEL, DNS_SUBDOMAIN, ObjectMeta
from kthena_fast.resources.value import INT32_MAX, FrozenMap, Port, Resource, Value, frozen_map

Limit = Annotated[int, Field(ge=1, le=INT32_MAX, json_schema_extra={"format": "int32"})]
Weight = Annotated[int, Field(ge=0, le=100, json_schema_extra={"format": "int32"})]

Compared: TypeAlias = tuple[Literal["exact", "prefix", "regex"], str]


class StringMatch(Value):
    """How a text is compared: by exact, else by prefix, else by regex; with none of them every text matches.

    The CRD lets a `regex` pass that does not compile (the webhook refuses it): then the rule never matches and
    `announcements` names it.
    """

    exact: str | None = Field(None, description="The whole text, case-sensitive.")
    prefix: str | None = Field(
        None, description="The text's beginning, case-sensitive. Looked at when exact is absent."
    )
    regex: str | None = Field(
        None,
        description="An RE2 expression that matches somewhere in the text; anchor it with ^ and $ to match the whole. "
        "Looked at when exact and prefix are absent.",
    )

    @property
    def compared(self) -> Compared | None:
        """How a text is compared, and with what; None: every text passes."""
        if self.exact is not None:
            return "exact", self.exact
        if self.prefix is not None:
            return ("prefix", self.prefix) if self.prefix else None
        return ("regex", self.regex) if self.regex is not None else None


class BodyMatch(Value):
    """Conditions on the body of the request."""

    model: str | None = Field(
        None, description="The request's model, exactly. Tells several loraAdapters of one route apart."
    )


class ModelMatch(Value):
    """Conditions on a request; all of those that are set must hold."""

    headers: FrozenMap[StringMatch] = Field(
        default_factory=frozen_map,
        description="Conditions by header name, whose case does not matter. The first value of a header counts; "
        "a header that is absent counts as the empty string.",
    )
    uri: StringMatch | None = Field(None, description="Condition on the path of the URL, without its query.")
    body: BodyMatch | None = Field(None, description="Conditions on the body of the request.")


class TargetModel(Value):
    """One destination, with its weight among those of its rule."""

    model_config = ConfigDict(json_schema_extra=rules.schema(rules.ONE_TARGET))

    model_server_name: str | None = Field(
        None,
        description="Name of a ModelServer in the namespace of the route. Either this or externalModelProviderName.",
    )
    external_model_provider_name: str | None = Field(
        None,
        description="Name of an ExternalModelProvider in the namespace of the route. Either this or modelServerName.",
    )
    weight: Weight = Field(
        100, description="Share of the requests, relative to the sum of the weights in the rule; 0 means none."
    )


class Rule(Value):
    """Destinations for the requests that meet a condition."""

    name: str | None = Field(None, description="Name of the rule, for people.")
    model_match: ModelMatch | None = Field(
        None, description="Which requests the rule takes. Absent: every request of the route."
    )
    target_models: tuple[TargetModel, ...] = Field(
        description="Destinations; each request goes to one of them, drawn by weight.", min_length=1, max_length=16
    )


class Redis(Value):
    """A Redis server."""

    address: str = Field(description="host:port of the Redis server.")


class GlobalRateLimit(Value):
    """Where the state of a rate limit lives that all replicas of the gateway share."""

    redis: Redis | None = Field(
        None, description="The Redis server that keeps the state. Absent: each replica limits on its own."
    )


class RateLimit(Value):
    """Tokens that the route may take per unit of time."""

    input_tokens_per_unit: Limit | None = Field(None, description="Prompt tokens per unit. Absent: unlimited.")
    output_tokens_per_unit: Limit | None = Field(None, description="Generated tokens per unit. Absent: unlimited.")
    unit: Literal["second", "minute", "hour", "day", "month"] = Field(
        "second", description="Unit of time of the limits; a month is 30 days."
    )
    global_: GlobalRateLimit | None = Field(
        None, alias="global", description="Shares the limit among all replicas. Absent: each replica limits on its own."
    )


class ParentReference(Value):
    """A Gateway that the route attaches to."""

    group: str = Field(
        "gateway.networking.k8s.io",
        description="API group of the parent; only that of Gateways has an effect.",
        max_length=253,
        pattern=r"^$|" + DNS_SUBDOMAIN,
    )
    kind: str = Field(
        "Gateway",
        description="Kind of the parent; only Gateway has an effect.",
        min_length=1,
        max_length=63,
        pattern=r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$",
    )
    namespace: str | None = Field(
        None,
        description="Namespace of the parent. Absent: that of the route.",
        min_length=1,
        max_length=63,
        pattern=DNS_LABEL,
    )
    name: str = Field(description="Name of the parent.", min_length=1, max_length=253)
    section_name: str | None = Field(
        None,
        description="Name of a listener of the Gateway. Absent: all of them.",
        min_length=1,
        max_length=253,
        pattern=DNS_SUBDOMAIN,
    )
    port: Port | None = Field(None, description="Port of a listener of the Gateway. Absent: all of them.")


class ModelRouteSpec(Value):
    """The desired state of a ModelRoute."""

    model_config = ConfigDict(json_schema_extra=rules.schema(rules.NAMES_A_MODEL))

    model_name: str | None = Field(
        None,
        description="The name that clients put into model. May be any name; it need not be that of the weights. "
        "Cannot be changed. Either this or loraAdapters must be set.",
        json_schema_extra=rules.schema(rules.MODEL_NAME_STAYS),
    )
    lora_adapters: tuple[str, ...] = Field(
        (),
        description="Names of LoRA adapters that the route serves. A request for one of them keeps its model.",
        max_length=10,
    )
    parent_refs: tuple[ParentReference, ...] = Field(
        (), description="Gateways that the route attaches to. Absent: the gateway's own listener."
    )
    rules: tuple[Rule, ...] = Field(
        description="Tried in order; the first rule whose conditions hold and that can serve takes the request.",
        max_length=16,
    )
    rate_limit: RateLimit | None = Field(None, description="Limit on the tokens that the route may take.")


class ModelRoute(Resource):
    """Routes the requests for a model, or for LoRA adapters, to ModelServers and ExternalModelProviders."""

    KIND: ClassVar[str] = "ModelRoute"
    API_VERSION: ClassVar[str] = "networking.serving.volcano.sh/v1alpha1"

    metadata: ObjectMeta = Field(description="Standard metadata of the object.")
    spec: ModelRouteSpec = Field(description="The desired state of the ModelRoute.")
