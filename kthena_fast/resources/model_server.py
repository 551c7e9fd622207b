"""ModelServer: the pods that serve a model, and how they are reached."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from kthena_fast import durations
from kthena_fast.resources import endpoints, labels
from kthena_fast.resources.endpoints import Endpoint
from kthena_fast.resources.metadata import ObjectMeta
from kthena_fast.resources.value import Duration, Int32, Port, Resource, StringMap, Value, frozen_map

ENDPOINTS = "networking.kthena-fast.io/endpoints"
"""The annotation that names a ModelServer's engines where there are no pods: `host:port,...`."""

DEFAULT_RETRY_ATTEMPTS = 1
DEFAULT_RETRY_INTERVAL = "100ms"


class PDGroup(Value):
    """Pairs pods that only prefill with pods that only decode.

    The CRD lets empty labels pass (the webhook refuses them): they then match no pod. Decoding is tested first, so a
    pod that matches both decodes.
    """

    group_key: str = Field(description="Label key of the pods; only pods with the same value of it work together.")
    prefill_labels: StringMap = Field(description="Labels of the pods that prefill; all must be equal.")
    decode_labels: StringMap = Field(description="Labels of the pods that decode; all must be equal.")

    def role(self, pod_labels: Mapping[str, str]) -> Literal["prefill", "decode"] | None:
        """What a selected pod does; None: it takes no part (no role matches, or it is in no group)."""
        if not pod_labels.get(self.group_key):
            return None
        if labels.select(self.decode_labels, pod_labels):
            return "decode"
        return "prefill" if labels.select(self.prefill_labels, pod_labels) else None


class WorkloadSelector(Value):
    """Selects pods in the namespace of the ModelServer.

    The CRD lets an empty `matchLabels` pass (the webhook refuses it). It selects nothing; upstream's router would
    send requests to every pod of the namespace.
    """

    match_labels: StringMap = Field(
        default_factory=frozen_map, description="Labels of the pods; all must be equal. Empty: no pod is selected."
    )
    pd_group: PDGroup | None = Field(
        None, description="Pairs pods that prefill with pods that decode. Absent: every pod does both."
    )

    def selects(self, pod_labels: Mapping[str, str]) -> bool:
        return labels.select(self.match_labels, pod_labels)


class WorkloadPort(Value):
    """Where in a pod the engine listens."""

    port: Port = Field(description="Port of inference, of GET /metrics and of GET /v1/models.")
    protocol: Literal["http", "https"] = Field("http", description="Protocol that the engine speaks.")


class Retry(Value):
    """How failed requests are tried again."""

    attempts: Int32 | None = Field(
        None,
        description="Further tries on other pods after a failure that came once the request was sent. "
        "Absent: 1. Negative counts as 0.",
    )
    retry_interval: Duration = Field(
        DEFAULT_RETRY_INTERVAL, description="Time to wait before such a try. Negative counts as 0."
    )


class TrafficPolicy(Value):
    """How requests are sent to the pods."""

    timeout: Duration | None = Field(
        None, description="Time to the head of the engine's answer, for each try. Absent, 0 or negative: no limit."
    )
    retry: Retry | None = Field(None, description="How failed requests are tried again.")


class KVConnector(Value):
    """How prefilled state goes from pod to pod."""

    type: Literal["http", "lmcache", "nixl", "mooncake"] = Field(
        "http", description="The means of transfer. Has an effect only with a pdGroup."
    )


class ModelServerSpec(Value):
    """The desired state of a ModelServer."""

    model: str | None = Field(
        None,
        description="The model that the engine is asked for. Absent or empty: what the client asked for.",
        max_length=256,
    )
    inference_engine: Literal["vLLM", "SGLang"] = Field(description="The engine that the pods run.")
    workload_selector: WorkloadSelector = Field(description="The pods that serve the model.")
    workload_port: WorkloadPort = Field(description="Where in a pod the engine listens.")
    traffic_policy: TrafficPolicy | None = Field(None, description="How requests are sent to the pods.")
    kv_connector: KVConnector | None = Field(
        None, description="How prefilled state goes from pod to pod. Absent: what suits the engine."
    )


def _with_endpoints(annotations: Mapping[str, str]) -> Mapping[str, str]:
    try:
        endpoints.parse(annotations.get(ENDPOINTS, ""))
    except ValueError as error:
        raise ValueError(f"{ENDPOINTS}: {error}") from None
    return annotations


class ModelServerMeta(ObjectMeta):
    """The metadata of a ModelServer, one of whose annotations is ours."""

    annotations: Annotated[StringMap, AfterValidator(_with_endpoints)] = Field(
        default_factory=frozen_map, description=f"Annotations; {ENDPOINTS} names engines as host:port,..."
    )


class ModelServer(Resource):
    """The pods that serve a model, and how they are reached."""

    KIND: ClassVar[str] = "ModelServer"
    API_VERSION: ClassVar[str] = "networking.serving.volcano.sh/v1alpha1"

    metadata: ModelServerMeta = Field(description="Standard metadata of the object.")
    spec: ModelServerSpec = Field(description="The desired state of the ModelServer.")

    @property
    def rewrite_model(self) -> str | None:
        """What the request's `model` becomes, unless it names a LoRA adapter; None: it stays.

        Upstream takes an empty `spec.model` as set and asks the engine for a model without a name
        (test_an_empty_model_does_not_blank_the_request).
        """
        return self.spec.model or None

    @property
    def timeout(self) -> float | None:
        """Seconds to the head of the answer, for each try; None: no limit."""
        policy = self.spec.traffic_policy
        seconds = durations.parse(policy.timeout) if policy is not None and policy.timeout is not None else 0.0
        return seconds if seconds > 0 else None

    @property
    def retry_attempts(self) -> int:
        """Further tries once a request was sent, never negative."""
        retry = self.spec.traffic_policy.retry if self.spec.traffic_policy is not None else None
        if retry is None or retry.attempts is None:
            return DEFAULT_RETRY_ATTEMPTS
        return max(0, retry.attempts)

    @property
    def retry_interval(self) -> float:
        """Seconds before such a try, never negative."""
        retry = self.spec.traffic_policy.retry if self.spec.traffic_policy is not None else None
        return max(0.0, durations.parse(retry.retry_interval if retry is not None else DEFAULT_RETRY_INTERVAL))

    # Once: it is asked of every ModelServer that a pod's label selects, whenever the pod changes.
    @cached_property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The engines named by the annotation; empty: none are."""
        return endpoints.parse(self.metadata.annotations.get(ENDPOINTS, ""))
