"""The three CRDs, made from the types that decoding uses."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML

from kthena_fast.resources import structure
from kthena_fast.resources.decoding import GROUP, NETWORKING
from kthena_fast.resources.status import Status

_STANDS: tuple[tuple[str, str, str], ...] = (
    ("Accepted", "string", '.status.conditions[?(@.type=="Accepted")].status'),
    ("Resolved", "string", '.status.conditions[?(@.type=="ResolvedRefs")].status'),
)
"""What has become of an object, which upstream says of none."""

_COLUMNS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "ModelRoute": (
        ("Model", "string", ".spec.modelName"),
        *_STANDS,
        ("Age", "date", ".metadata.creationTimestamp"),
    ),
    "ModelServer": (
        ("Engine", "string", ".spec.inferenceEngine"),
        ("Port", "integer", ".spec.workloadPort.port"),
        ("Protocol", "string", ".spec.workloadPort.protocol"),
        *_STANDS,
        ("Age", "date", ".metadata.creationTimestamp"),
    ),
    # Upstream declares none; the API server then shows the age, which must be said once another column is.
    "ExternalModelProvider": (
        ("Provider", "string", ".spec.providerType"),
        ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
        ("Age", "date", ".metadata.creationTimestamp"),
    ),
}

_COMMON: Mapping[str, dict[str, Any]] = {
    "apiVersion": {"description": "Version of the schema of this object.", "type": "string"},
    "kind": {"description": "Kind of this object.", "type": "string"},
    # The API server has a schema of its own for metadata and refuses a CRD that says more, were it a description.
    "metadata": {"type": "object"},
}


def all() -> list[dict[str, Any]]:  # noqa: A001 - `crds.all()` is how it reads
    """The CRDs as the API server takes them, in a stable order."""
    return [_crd(kind) for kind in NETWORKING]


def as_yaml() -> str:
    """The CRDs as one stream of YAML documents, the same text for the same types."""
    yaml = YAML(typ="rt")
    # One line a description: folded, a change in one word would move many lines.
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.explicit_start = True
    # Parts of the schema that are one object here are still written out wherever they stand.
    yaml.representer.ignore_aliases = lambda _: True
    stream = io.StringIO()
    yaml.dump_all(all(), stream)
    return stream.getvalue()


def _crd(kind: str) -> dict[str, Any]:
    model = NETWORKING[kind]
    schema = structure.schema(model)
    singular = kind.lower()
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{singular}s.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {"kind": kind, "listKind": f"{kind}List", "plural": f"{singular}s", "singular": singular},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": model.API_VERSION.rpartition("/")[2],
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {"name": name, "type": type_, "jsonPath": path} for name, type_, path in _COLUMNS[kind]
                    ],
                    "schema": {
                        "openAPIV3Schema": {
                            "description": schema["description"],
                            "type": "object",
                            "required": ["spec"],
                            "properties": {
                                **_COMMON,
                                "spec": schema["properties"]["spec"],
                                "status": structure.schema(Status),
                            },
                        }
                    },
                }
            ],
        },
    }
