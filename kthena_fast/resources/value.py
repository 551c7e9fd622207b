"""What all resource types are made of: frozen values with camelCase names, and the scalars they share.

`None` or an empty container as a field's default means "absent" and is no default in the schema; any other default is
a schema default, which the API server writes into the object and decoding fills in.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    model_serializer,
)
from pydantic.alias_generators import to_camel

from kthena_fast import durations
from kthena_fast.resources import rules

_V = TypeVar("_V")

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


class Value(BaseModel):
    """An immutable part of an object. Built from Python it takes its fields' Python names or their camelCase."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
        serialize_by_alias=True,
    )

    @model_serializer(mode="wrap")
    def _leave_out_the_absent(self, shown: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = shown(self)
        for name, field in type(self).model_fields.items():
            key = field.alias or name
            if name not in self.model_fields_set and fields[key] in (None, [], {}):
                del fields[key]
        return fields

    def as_object(self) -> dict[str, Any]:
        """The value as the JSON object it was decoded from, schema defaults filled in."""
        return self.model_dump(mode="json")


def frozen_map() -> Mapping[str, Any]:
    """The default of a map field: absent."""
    return MappingProxyType({})


FrozenMap = Annotated[Mapping[str, _V], AfterValidator(MappingProxyType), PlainSerializer(dict)]
StringMap = FrozenMap[str]

Int32 = Annotated[int, Field(ge=INT32_MIN, le=INT32_MAX, json_schema_extra={"format": "int32"})]
"""`format: int32` alone is not enforced for custom resources, so the bounds are spelled out."""
Port = Annotated[int, Field(ge=1, le=65535, json_schema_extra={"format": "int32"})]
Duration = Annotated[
    str,
    # The length bounds what CEL estimates its rule to cost.
    Field(max_length=64, pattern=durations.PATTERN, json_schema_extra=rules.schema(rules.DURATION_FITS)),
]
"""A Go duration, kept as written; `durations.parse` never fails on it."""


class Resource(Value):
    """What the kinds declare about themselves for the decoder and the CRDs."""

    KIND: ClassVar[str]
    API_VERSION: ClassVar[str]

    def as_object(self) -> dict[str, Any]:
        return {"apiVersion": self.API_VERSION, "kind": self.KIND} | super().as_object()
