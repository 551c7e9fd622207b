"""Pod and Secret of core/v1, as far as the gateway reads them."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from kthena_fast.resources.metadata import Instant, ObjectMeta
from kthena_fast.resources.value import Resource, StringMap, Value, frozen_map


def _address(text: str) -> str:
    # An address goes into the Host header and into logs; a zone could hold anything.
    if text and "%" not in text:
        return str(ipaddress.ip_address(text))
    if text:
        raise ValueError("must be an IP address without a zone")
    return text


Address = Annotated[str, AfterValidator(_address)]


class PodCondition(Value):
    """One aspect of a pod's state."""

    type: str = Field(description="Type of the condition.")
    status: str = Field(description="True, False or Unknown.")


class PodIP(Value):
    """An address of a pod."""

    ip: Address = Field("", description="The address.")


class PodStatus(Value):
    """What the kubelet saw of the pod."""

    phase: str = Field("", description="Pending, Running, Succeeded, Failed or Unknown.")
    pod_ip: Address = Field("", alias="podIP", description="The pod's first address.")
    pod_ips: tuple[PodIP, ...] = Field((), alias="podIPs", description="The pod's addresses, of one family each.")
    conditions: tuple[PodCondition, ...] = Field((), description="The aspects of the pod's state.")
    start_time: Instant | None = Field(None, description="When the kubelet took the pod.")


class PodSpec(Value):
    """Where the pod runs."""

    node_name: str = Field("", description="The node that the pod runs on.")


def _no_spec() -> PodSpec:
    return PodSpec.model_validate({})


def _no_status() -> PodStatus:
    return PodStatus.model_validate({})


class Pod(Resource):
    """An engine's pod."""

    KIND: ClassVar[str] = "Pod"
    API_VERSION: ClassVar[str] = "v1"

    metadata: ObjectMeta = Field(description="Standard metadata of the object.")
    spec: PodSpec = Field(default_factory=_no_spec, description="Where the pod runs.")
    status: PodStatus = Field(default_factory=_no_status, description="What the kubelet saw of the pod.")

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return self.metadata.key

    @property
    def namespace(self) -> str:
        return self.metadata.namespace

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def uid(self) -> str:
        return self.metadata.uid

    @property
    def labels(self) -> Mapping[str, str]:
        return self.metadata.labels

    @property
    def ip(self) -> str:
        """The pod's first address; empty: it has none yet."""
        return next(iter(self.ips), "")

    @property
    def ips(self) -> tuple[str, ...]:
        """The pod's addresses, the first one first."""
        return tuple(dict.fromkeys(ip for ip in (self.status.pod_ip, *(ip.ip for ip in self.status.pod_ips)) if ip))

    @property
    def ready(self) -> bool:
        """As Kubernetes counts endpoints: running, ready, not being deleted, and reachable at an address."""
        return (
            self.status.phase == "Running"
            and self.metadata.deletion_timestamp is None
            and any(condition.type == "Ready" and condition.status == "True" for condition in self.status.conditions)
            and bool(self.ips)
        )


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError("must be base64") from None


def _is_base64(data: Mapping[str, str]) -> Mapping[str, str]:
    for value in data.values():
        _decoded(value)
    return data


class Secret(Resource):
    """Named values that must not be seen: they are left out of `repr` and of violations."""

    KIND: ClassVar[str] = "Secret"
    API_VERSION: ClassVar[str] = "v1"

    metadata: ObjectMeta = Field(description="Standard metadata of the object.")
    type: str = Field("Opaque", description="What the Secret is for.")
    data: Annotated[StringMap, AfterValidator(_is_base64)] = Field(
        default_factory=frozen_map, repr=False, description="The values, in base64."
    )
    string_data: StringMap = Field(
        default_factory=frozen_map, repr=False, description="Values as plain text, which win over those in data."
    )

    @property
    def values(self) -> Mapping[str, bytes]:
        """The values by key, as bytes."""
        plain = {key: value.encode() for key, value in self.string_data.items()}
        return MappingProxyType({key: _decoded(value) for key, value in self.data.items()} | plain)
