"""A second opinion: what a structural schema says of an object, read from the CRD with nothing of pydantic's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kthena_fast.resources import rules

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": (list, tuple),
    "string": str,
    "integer": int,
    "boolean": bool,
}


def _is_of(kind: str, value: Any) -> bool:
    return isinstance(value, _TYPES[kind]) and not (kind == "integer" and isinstance(value, bool))


def faults(schema: dict[str, Any], value: Any, path: str = "") -> Iterator[str]:
    """The paths at which an object, without unknown fields and nulls in maps, is at odds with a schema."""
    kind = schema["type"]
    if not _is_of(kind, value):
        yield path
        return
    size = {"array": "Items", "string": "Length"}.get(kind)
    amount, within = (len(value), (f"min{size}", f"max{size}")) if size else (value, ("minimum", "maximum"))
    least, most = (schema.get(bound) for bound in within)
    if (
        (least is not None and amount < least)
        or (most is not None and amount > most)
        or value not in schema.get("enum", [value])
        or ("pattern" in schema and not re.search(schema["pattern"].replace("$", r"\Z"), value, re.ASCII))
    ):
        yield path
        return
    for entry in schema.get("x-kubernetes-validations", ()):
        rule = rules.BY_CEL[entry["rule"]]
        if rule.holds is not None and not rule.holds(value):
            yield path + entry.get("fieldPath", "")
    if kind == "array":
        for index, part in enumerate(value):
            yield from faults(schema["items"], part, f"{path}[{index}]")
    elif kind == "object" and "properties" in schema:
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{path}.{name}"
        for name, part in value.items():
            yield from faults(schema["properties"][name], part, f"{path}.{name}")
    elif kind == "object":
        for name, part in value.items():
            yield from faults(schema["additionalProperties"], part, f"{path}[{name}]")
