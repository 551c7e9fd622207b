"""The status that all three kinds share. Decoding leaves it unread, as the API server does on a write of the object."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from kthena_fast.resources.value import Value

# No maximum: the API server keeps bounds as floats, in which that of an int64 wraps round and refuses every number.
Generation = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]


class Condition(Value):
    """One aspect of the object's state, as it was last seen."""

    type: str = Field(
        description="Type of the condition, in CamelCase.",
        max_length=316,
        pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"
        r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether the condition holds.")
    observed_generation: Generation | None = Field(
        None, description="The metadata.generation that the condition was set for."
    )
    last_transition_time: datetime = Field(description="When the status of the condition last changed.")
    reason: str = Field(
        description="Why the condition last changed, as one CamelCase word.",
        min_length=1,
        max_length=1024,
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
    )
    message: str = Field(description="Details of the last change, for people. May be empty.", max_length=32768)


class Status(Value):
    """What was last seen of the object."""

    observed_generation: Generation | None = Field(
        None, description="The metadata.generation that the status was written for."
    )
    conditions: tuple[Condition, ...] = Field((), description="The aspects of the object's state, one of each type.")
