"""Kubernetes' own types, as values pass them on: JSON Schemas that refuse a field which the type does not have.

`kubernetes.json` is what an API server's OpenAPI says of them, without the prose. `python -m tests.charts.kubernetes`
writes it anew, for a newer Kubernetes (docs/developing.md); on_a_cluster/test_objects.py compares.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

FILE = Path(__file__).with_suffix(".json")

TYPES = {
    "apis/apps/v1": (
        "Affinity",
        "DeploymentStrategy",
        "EnvVar",
        "PodSecurityContext",
        "SecurityContext",
        "Toleration",
        "TopologySpreadConstraint",
        "Volume",
        "VolumeMount",
    ),
    "apis/autoscaling/v2": ("HorizontalPodAutoscalerBehavior",),
    "apis/networking.k8s.io/v1": ("NetworkPolicyPeer",),
}
"""What values.yaml names in `is`, by the group whose OpenAPI has it."""


def load() -> dict[str, Schema]:
    """The types, and those that they are made of, by name."""
    found: dict[str, Schema] = json.loads(FILE.read_text())
    return found


def read(documents: Mapping[str, Any]) -> dict[str, Schema]:
    """The same out of an API server's OpenAPI documents, by group."""
    found: dict[str, Schema] = {}
    for group, names in TYPES.items():
        schemas = documents[group]["components"]["schemas"]
        by_name = {name.rpartition(".")[2]: node for name, node in schemas.items()}
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found[name] = _strict(by_name[name])
                waiting += _named(found[name])
    return dict(sorted(found.items()))


def _strict(node: Schema) -> Schema:
    """A node of OpenAPI as one of JSON Schema, in which what is not known is refused."""
    if "allOf" in node:
        (node,) = node["allOf"]
    if "$ref" in node:
        return {"$ref": f"#/definitions/{node['$ref'].rpartition('.')[2]}"}
    if "oneOf" in node:
        # A number with a unit, or without.
        return {"type": [option["type"] for option in node["oneOf"]]}
    strict: Schema = {key: node[key] for key in ("type", "enum", "required") if key in node}
    if "items" in node:
        strict["items"] = _strict(node["items"])
    if "properties" in node:
        strict["properties"] = {name: _strict(child) for name, child in node["properties"].items()}
        strict["additionalProperties"] = False
    elif "additionalProperties" in node:
        strict["additionalProperties"] = _strict(node["additionalProperties"])
    return strict


def _named(node: Any) -> Iterator[str]:
    """The types that a node is made of."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"].rpartition("/")[2]
        for child in node.values():
            yield from _named(child)


def needed(node: Any, types: Mapping[str, Schema]) -> dict[str, Schema]:
    """Those of the types that a schema names, and what they are made of."""
    found: dict[str, Schema] = {}
    waiting = list(_named(node))
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = types[name]
            waiting += _named(types[name])
    return dict(sorted(found.items()))


if __name__ == "__main__":
    from tests.conftest import running_kube_apiserver

    with tempfile.TemporaryDirectory() as folder, running_kube_apiserver(Path(folder)) as server:
        types = read({group: server.request("GET", f"/openapi/v3/{group}") for group in TYPES})
    FILE.write_text(json.dumps(types, indent=1) + "\n")
