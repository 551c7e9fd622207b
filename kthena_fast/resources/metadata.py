"""ObjectMeta as far as the gateway reads it; everything else in it is let through unread."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from kthena_fast.resources.value import StringMap, Value, frozen_map

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
DNS_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

UNREAD = frozenset(
    ("deletionGracePeriodSeconds", "finalizers", "generateName", "managedFields", "ownerReferences", "selfLink")
)
"""Names that metadata may hold and that are not fields here."""


def _instant(value: Any) -> Any:
    """RFC 3339 text, or the datetime that a YAML reader made of it, with its zone; a zone left out means UTC."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime) and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value


def _namespace(value: Any) -> Any:
    # Helm templates write `namespace: ""`, and kubectl takes that as not set.
    return "default" if value == "" else value


Instant = Annotated[datetime, BeforeValidator(_instant)]


class ObjectMeta(Value):
    """The object's metadata."""

    name: str = Field(description="Name within the namespace.", min_length=1, max_length=253, pattern=DNS_SUBDOMAIN)
    namespace: Annotated[str, BeforeValidator(_namespace)] = Field(
        "default", description="Namespace of the object.", max_length=63, pattern=DNS_LABEL
    )
    uid: str = Field("", description="Identity of this object, different from a later one of the same name.")
    resource_version: str = Field("", description="Opaque version of the stored object.")
    generation: int = Field(0, description="Counts the changes of the desired state.")
    creation_timestamp: Instant | None = Field(None, description="When the object was created.")
    deletion_timestamp: Instant | None = Field(None, description="When the object began to be deleted.")
    labels: StringMap = Field(default_factory=frozen_map, description="Labels, for selection.")
    annotations: StringMap = Field(default_factory=frozen_map, description="Annotations.")

    @property
    def key(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"
