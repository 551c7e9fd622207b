"""What a source has read: the good objects by kind, and what was refused.

`Objects` is the whole state, not a difference: every snapshot is built from all of it. An object that did not change
is the same Python object as before, which is how `build` knows what it need not compile again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from kthena_fast.resources.external_model_provider import ExternalModelProvider
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.resources.model_server import ModelServer


def _none() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine that is known by its address and not by a pod, and counts as always ready."""

    name: str
    """For logs and metrics."""
    host: str
    """An IP address without brackets, or a name to be resolved at every connection."""
    port: int
    tls: bool = False
    prefix: bytes = b""
    """Put before the request's path; no slash at its end."""
    server_name: str = ""
    """The name that `host` is an address of: asked for as `Host` and in TLS. Empty: `host` itself."""


class PodObject(Protocol):
    """What routing needs to know of a pod. `resources.core_v1.Pod` is one; a source may keep less of each."""

    @property
    def key(self) -> str:
        """`namespace/name`."""

    @property
    def namespace(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def uid(self) -> str: ...

    @property
    def labels(self) -> Mapping[str, str]:
        """At least those whose keys some ModelServer's selector names."""

    @property
    def ip(self) -> str:
        """Where it is reached; empty: nowhere yet."""

    @property
    def ready(self) -> bool:
        """As Kubernetes counts endpoints: running, ready, not being deleted, and reachable at an address."""


@dataclass(frozen=True, slots=True)
class Objects:
    """Objects by `namespace/name`; each is decoded and accepted."""

    routes: Mapping[str, ModelRoute] = field(default_factory=_none)
    servers: Mapping[str, ModelServer] = field(default_factory=_none)
    providers: Mapping[str, ExternalModelProvider] = field(default_factory=_none)
    pods: Mapping[str, PodObject] = field(default_factory=_none)
    engines: Mapping[str, tuple[Engine, ...]] = field(default_factory=_none)
    """By ModelServer: engines that take the place of its annotation and its pods."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for a refusal: which field, and what is wrong with it in a sentence."""

    path: str
    """As people write it, `spec.rules[0].targetModels`; empty: the whole object or file."""
    message: str
    line: int = 0
    """In the file, from 1; 0: not known."""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


@dataclass(frozen=True, slots=True)
class Rejection:
    """An object, or a document that is none, which was set aside; the others are in service all the same."""

    kind: str
    namespace: str
    name: str
    """Kind, namespace and name are empty where the document does not say."""
    reasons: tuple[Reason, ...]
    file: str = ""
    """Path of the manifest; empty: it did not come from a file."""
    line: int = 0
    """Where the object begins, from 1; 0: not known."""
    kept: bool = False
    """Whether the last good version of it stays in service."""

    def __str__(self) -> str:
        what = f"{self.kind} {self.namespace}/{self.name}" if self.name else self.kind or "a document"
        where = f" ({self.file}:{self.line})" if self.line else f" ({self.file})" if self.file else ""
        reasons = "; ".join(str(reason) for reason in self.reasons)
        return f"{what}{where} is set aside: {reasons}" + ("; its last good version serves on" if self.kept else "")


class Unsupported(NamedTuple):
    """What an object that is in service asks for and does not get."""

    kind: str
    namespace: str
    name: str
    path: str
    """Where in the object."""
    field: str
    """The path without indexes and names of entries: as a metric's label it takes few values."""
    reason: str
    """A sentence on what happens instead."""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}: {self.path} is not obeyed: {self.reason}"
