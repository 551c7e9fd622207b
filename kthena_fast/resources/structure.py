"""The structural schema of a type, and what is done with an object along it.

A structural schema is what a CRD may hold of OpenAPI v3: no `$ref`, no alternatives, everything in its place. The same
dict that `crds` prints leads through an object here, so the two cannot differ.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import BaseModel

from kthena_fast.resources import rules

Schema = dict[str, Any]
Location = tuple[str | int, ...]
"""Keys and indexes from the object down to the value."""


class Broken(NamedTuple):
    """A rule that does not hold, where, and for what value."""

    location: Location
    rule: rules.Rule
    value: Any


@functools.cache
def schema(model: type[BaseModel]) -> Schema:
    """The structural schema of a type, shared: not to be changed."""
    generated = model.model_json_schema(by_alias=True, mode="validation")
    return _structural(generated, generated.get("$defs", {}))


def _structural(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    while "$ref" in node or "anyOf" in node:
        # What the field says goes before what its type says.
        own = {key: value for key, value in node.items() if key not in ("$ref", "anyOf")}
        if "$ref" in node:
            inner = definitions[node["$ref"].rpartition("/")[2]]
        else:
            # Every alternative here is "or absent": the API server drops nulls before it validates.
            (inner,) = (option for option in node["anyOf"] if option.get("type") != "null")
        node = {**inner, **own}
    kept: Schema = {key: node[key] for key in ("description", "type", "format") if key in node}
    kept |= {key: value for key, value in sorted(node.items()) if key not in (*kept, "$defs", "title")}
    if "description" in kept:
        # What a docstring says beyond its first paragraph is for who reads the code.
        kept["description"] = " ".join(kept["description"].split("\n\n")[0].split())
    if kept.get("default", ()) in (None, [], ()):
        kept.pop("default", None)
    if "properties" in kept:
        kept["properties"] = {name: _structural(child, definitions) for name, child in kept["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in kept:
            kept[key] = _structural(kept[key], definitions)
    return kept


def admit(node: Schema, value: Any) -> Any:
    """The value as the API server would look at it: without unknown fields and nulls, whole floats as integers.

    Nulls go from objects and from maps (kube-apiserver 1.34 does so, though validation code on its own refuses those
    in maps); in lists they stay and are refused. Lists become tuples. What does not fit the schema stays as it is,
    for validation to refuse.
    """
    if isinstance(value, Mapping):
        if "properties" in node:
            fields = node["properties"]
            return {
                name: admit(fields[name], part)
                for name, part in value.items()
                if isinstance(name, str) and name in fields and part is not None
            }
        if "additionalProperties" in node:
            rest = node["additionalProperties"]
            return {name: admit(rest, part) for name, part in value.items() if part is not None}
    elif isinstance(value, list | tuple):
        return tuple(admit(node.get("items", {}), part) for part in value)
    elif isinstance(value, float) and node.get("type") == "integer" and value.is_integer():
        return int(value)
    return value


def mended(node: Schema, value: Any, location: Location) -> Any:
    """An admitted value without what is at fault there, or with a stand-in for it where something has to be.

    A list that is too long is cut; so it must be mended after its items. What a map's entry that is at fault says is
    replaced, so that the map does not become empty. Mending at every fault leaves faults that were hidden, or none.
    """
    if not location:
        return value[: node["maxItems"]] if is_too_long(node, value) else _stand_in(node)
    key, below = location[0], location[1:]
    if isinstance(value, tuple):
        assert isinstance(key, int)
        return (*value[:key], mended(node["items"], value[key], below), *value[key + 1 :])
    if "properties" in node:
        child, part = node["properties"][key], value.get(key)
        if not below and key not in node.get("required", ()) and not is_too_long(child, part):
            return {name: other for name, other in value.items() if name != key}
        return value | {key: mended(child, part, below)}
    rest = node["additionalProperties"]
    if isinstance(key, str) and key in value:
        return value | {key: mended(rest, value[key], below)}
    # The key itself is at fault: it is no text, and the location has it as pydantic shows it.
    named = {name: part for name, part in value.items() if isinstance(name, str)}
    return {_PLAIN: _stand_in(rest)} | named


_PLAIN = "a"
"""A text that is a name, a key and a label, and that no rule finds fault with."""


def is_too_long(node: Schema, value: Any) -> bool:
    """Whether it is a list, as admitted, of more items than the schema has room for."""
    return isinstance(value, tuple) and len(value) > node.get("maxItems", len(value))


def _stand_in(node: Schema) -> Any:
    """The least that the schema accepts, of what fields are that are required, items, and entries of maps."""
    match node["type"]:
        case "object":
            return {name: _stand_in(node["properties"][name]) for name in node.get("required", ())}
        case "array":
            return (_stand_in(node["items"]),) * node.get("minItems", 0)
        case "integer":
            return node["minimum"]
    if "enum" in node:
        return node["enum"][0]
    return _PLAIN if re.search(node.get("pattern", ""), _PLAIN) else f"https://{_PLAIN}"


def broken(node: Schema, value: Any, location: Location = ()) -> Iterator[Broken]:
    """The rules of the schema that an admitted value does not obey, the outer ones first."""
    for entry in node.get("x-kubernetes-validations", ()):
        rule = rules.BY_CEL[entry["rule"]]
        if rule.holds is not None and not rule.holds(value):
            yield Broken((*location, *rule.at), rule, functools.reduce(lambda part, key: part[key], rule.at, value))
    for key, child, part in _children(node, value):
        yield from broken(child, part, (*location, key))


def unknown(node: Schema, value: Any, location: Location = ()) -> Iterator[tuple[Location, tuple[str, ...]]]:
    """Where the value has fields that the schema does not know, with the names that it knows there."""
    if isinstance(value, Mapping) and "properties" in node:
        known = tuple(node["properties"])
        yield from (((*location, name), known) for name in value if isinstance(name, str) and name not in known)
    for key, child, part in _children(node, value):
        yield from unknown(child, part, (*location, key))


def _children(node: Schema, value: Any) -> Iterator[tuple[str | int, Schema, Any]]:
    if isinstance(value, Mapping):
        fields, rest = node.get("properties", {}), node.get("additionalProperties")
        for name, part in value.items():
            child = fields.get(name, rest) if isinstance(name, str) else None
            if child is not None:
                yield name, child, part
    elif isinstance(value, list | tuple) and "items" in node:
        for index, part in enumerate(value):
            yield index, node["items"], part


def path(node: Schema, location: Location) -> str:
    """A location as people write it: `spec.rules[0].modelMatch.headers[x-tier].regex`."""
    text = ""
    for key, inside in zip(location, _down(node, location), strict=False):
        text += f"[{key}]" if _is_entry(inside, key) else f".{key}" if text else str(key)
    return text


def field(node: Schema, location: Location) -> str:
    """The path without indexes and names of map entries, so that it takes as many values as the type has fields."""
    return ".".join(
        str(key) for key, inside in zip(location, _down(node, location), strict=False) if not _is_entry(inside, key)
    )


def at(node: Schema, location: Location) -> Schema:
    """The schema of what is at the location; empty where nothing is known about it."""
    *_, last = _down(node, location)
    return last


def _down(node: Schema, location: Location) -> Iterator[Schema]:
    yield node
    for key in location:
        node = node.get("properties", {}).get(key) or node.get("items") or node.get("additionalProperties") or {}
        yield node


def _is_entry(node: Schema, key: str | int) -> bool:
    return isinstance(key, int) or (key not in node.get("properties", {}) and "additionalProperties" in node)
