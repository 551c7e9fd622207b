"""The chart's values.yaml as what it is made into: a schema, a table, and the subchart's own values.

A key's comment is the lines right above it. One of them may be `@schema {...}`, which is not shown to readers and is
merged into the key's schema; what it leaves out follows from the default. `is: NAME` in it stands for an entry of
`KINDS`, whose words Helm shows when a value is refused, or for a type of Kubernetes'; `mayBeNull: true` says that null
leaves nothing of the default, as the comment then tells (test_nulls.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
from ruamel.yaml import YAML

from kthena_fast import settings
from kthena_fast.cli.gateway import gateway
from kthena_fast.cli.webhook import webhook
from kthena_fast.queueing import tariff
from tests.charts import kubernetes

Schema = dict[str, Any]

_LABEL = "[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_LINE = re.compile(r"^(?P<indent> *)(?:# ?(?P<comment>.*)|(?P<key>[A-Za-z][A-Za-z0-9]*):.*)$")
_SCHEMA = "@schema "


class BadValues(ValueError):
    """values.yaml is not written as this reader expects; the text names the key."""


def _worded(words: str, **what: Any) -> Schema:
    """A schema whose refusal is a sentence: of an `if` Helm shows nothing, and a `const` as "value must be '...'".

    The text itself is no value either.
    """
    return {"if": what, "else": {"const": words, "not": {"const": words}}}


def _text(words: str, *expressions: str) -> Schema:
    """A text that each of the expressions matches as a whole."""
    return _worded(words, type="string", allOf=[{"pattern": f"^(?:{expression})$"} for expression in expressions])


def _number(words: str, most: int) -> Schema:
    # `--set` hands over 3.0 as a text.
    below = rf"0*[0-9]{{1,{len(str(most)) - 1}}}(?:\.[0-9]+)?|0*{most}(?:\.0+)?"
    return _worded(words, type=["number", "string"], minimum=0, maximum=most, pattern=f"^(?:{below})$")


_FRACTION = r"(?:\.[0-9]{0,9})?"
_DURATION = rf"(?:[0-9]{{1,5}}{_FRACTION}h|[0-9]{{1,7}}{_FRACTION}m|[0-9]{{1,9}}{_FRACTION}(?:ns|us|µs|ms|s))"
"""One part of a duration; six of the longest are still shorter than the longest that can be."""
_DURATIONS = rf"{_DURATION}{{1,6}}"
_SECONDS_1M_TO_1H = "[6-9][0-9]|[1-9][0-9]{2}|[12][0-9]{3}|3[0-5][0-9]{2}|3600"
_WINDOW = (
    rf"(?:{_SECONDS_1M_TO_1H})s|(?:[1-9]|[1-5][0-9])m(?:[0-9]|[1-5][0-9])s|(?:[1-9]|[1-5][0-9]|60)m|1h(?:0m)?(?:0s)?"
)
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_GROUP = "[0-9a-fA-F]{1,4}"
_IPV6 = "|".join(
    [
        rf"(?:{_GROUP}:){{7}}{_GROUP}",
        *(rf"(?:{_GROUP}:){{{before}}}(?::{_GROUP}){{1,{7 - before}}}" for before in range(1, 7)),
        rf"(?:{_GROUP}:){{1,7}}:|:(?::{_GROUP}){{1,7}}|::",
    ]
)
_PREFIX_V4, _PREFIX_V6 = "/(?:3[0-2]|[12]?[0-9])", "/(?:12[0-8]|1[01][0-9]|[1-9]?[0-9])"
_IMAGE = "ghcr.io/volcano-sh/infer-gateway"
_REGISTRY = r"(?:[a-zA-Z0-9][-.a-zA-Z0-9]*|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
_PATH = "[a-z0-9]+(?:(?:[.]|__?|-+)[a-z0-9]+)*"
"""Parts of a reference to an image, as container runtimes take it."""
_KEYS: Schema = _worded(
    "keys of letters, digits, dashes, dots and underscores, with a domain and a slash before them or without, such as "
    "example.org/team",
    propertyNames={
        "pattern": rf"^(?:{_LABEL}(?:\.{_LABEL})*/)?[A-Za-z0-9](?:[-_.A-Za-z0-9]{{0,61}}[A-Za-z0-9])?$",
    },
)
"""What keys of labels and annotations are."""
_QUANTITY = _worded(
    "a quantity such as 500m, 2 or 512Mi",
    type=["string", "number"],
    minimum=0,
    pattern=r"^[0-9]+(?:\.[0-9]*)?(?:[mkMGTPE]|[KMGTPE]i|[eE][0-9]+)?$",
)
_QUANTITIES: Schema = {
    "type": "object",
    "additionalProperties": False,
    # Those of a domain are a device plugin's.
    "patternProperties": {"^(?:cpu|memory|ephemeral-storage|hugepages-.+|[^/]+/[^/]+)$": _QUANTITY},
}
_STANDING: Schema = {
    "share": {"type": "number", "minimum": 0.001, "maximum": 1_000_000},
    "class": {"type": "integer", "minimum": 0, "maximum": 1_000},
}
_PLUGINS: dict[str, Schema] = {
    "Filter": {"type": "string"},
    "Score": {
        "type": "object",
        "properties": {"name": {"type": ["string", "null"]}, "weight": {"type": ["integer", "null"]}},
    },
}
_MOST_BYTES = 10**18 - 1
"""Of which there are none, and which C's integers hold."""
_SIZE = "[1-9](?:[0-9]{0,17}|[0-9]{0,14}KiB|[0-9]{0,11}MiB|[0-9]{0,8}GiB)"


_VALUES = {
    "boolean": "(?:1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)",
    "float": r"-?[0-9]+(?:\.[0-9]+)?",
    "integer": "-?[0-9]+",
    "integer range": "[0-9]{1,5}",
}
"""What click takes for a value of a type; a text is anything."""


def _flags(program: click.Command) -> str:
    """What a flag of a program may look like, with its value in the same text."""
    found = []
    for option in program.params:
        if not isinstance(option, click.Option):
            continue
        value = _VALUES.get(option.type.name, ".+")
        for name in option.opts:
            assigned = f"={value}" if name.startswith("--") else f"=?{value}"
            found.append(f"{name}(?:{assigned})" + ("?" if option.type.name == "boolean" else ""))
    return "|".join(found)


KINDS: dict[str, Schema] = {
    "base64": _text("base64 of a PEM certificate", r"(?:[A-Za-z0-9+/]{40}[A-Za-z0-9+/\s]*={0,2}\s*)?"),
    "name": _text("a name as Kubernetes gives them, such as my-name", rf"(?:{_LABEL}(?:\.{_LABEL})*)?"),
    # Of Services' names, which are stricter than others.
    "prefix": _text(
        "a name that begins with a letter and has no dots, such as my-name", "(?:[a-z](?:[-a-z0-9]*[a-z0-9])?)?"
    ),
    "namespace": _text("the name of a namespace, such as team-a", r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"),
    "host": _text("a host name, such as llm.example.org", rf"(?:(?:\*\.)?{_LABEL}(?:\.{_LABEL})*)?"),
    "port": {"minimum": 1, "maximum": 65535},
    "window": _text(f"{settings.allowed('fairness_window_size')}, such as 90s, 10m or 1h", _WINDOW),
    "positiveDuration": _text(settings.allowed("drain_timeout"), _DURATIONS, ".*[1-9].*"),
    "duration": _text(settings.allowed("drain_delay"), rf"0|{_DURATIONS}"),
    "weight": _number(f"a number from 0 to {tariff.MOST}, such as 2.5", tariff.MOST),
    # Of a bound as large Helm shows a power of ten.
    "users": _worded(settings.allowed("fairness_max_users"), type="integer", minimum=1, maximum=2**24),
    "size": _worded(
        settings.allowed("max_body_bytes"),
        type=["integer", "string"],
        minimum=1,
        maximum=_MOST_BYTES,
        pattern=f"^(?:{_SIZE})$",
    ),
    "percentage": _worded(
        "a number of pods, or a percentage such as 25%",
        type=["integer", "string", "null"],
        minimum=0,
        pattern="^(?:[0-9]+%?)$",
    ),
    "userSource": _text(
        f"one of {settings.allowed('fairness_user_sources').partition(',')[0]}, header:NAME and anonymous",
        r"body:[^,\s]+|header:[-!#$%&'*+.^_`|~0-9A-Za-z]+|anonymous",
    ),
    "network": _text(
        "an address or a network, such as 10.0.0.0/8 or fd00::/8",
        f"{_IPV4}(?:{_PREFIX_V4})?|(?:{_IPV6})(?:{_PREFIX_V6})?",
    ),
    "cidr": _text("a network, such as 10.0.0.0/8", f"{_IPV4}{_PREFIX_V4}|(?:{_IPV6}){_PREFIX_V6}"),
    "repository": _text(f"an image without its tag, such as {_IMAGE}", rf"(?:{_REGISTRY}/)?{_PATH}(?:/{_PATH})*"),
    # Unquoted, 1.10 is the number 1.1 to YAML.
    "tag": _text(
        'empty or the tag of an image, such as 0.1.0, and in quotes where it looks like a number: "1.10" in a file, '
        "--set-string on the command line",
        r"(?:\w[-.\w]{0,127}(?:@sha256:[0-9a-f]{64})?)?",
    ),
    "gatewayFlag": _text("a flag of `kthena-fast gateway` with its value, in one text, such as --v=4", _flags(gateway)),
    "webhookFlag": _text("a flag of `kthena-fast webhook` with its value, in one text, such as --v=4", _flags(webhook)),
    "stream": _text(settings.allowed("access_log_output").replace("the path", "the whole path"), "stdout|stderr|/.+"),
    "key": _text("a key of a ConfigMap, such as ca.crt", "[-._a-zA-Z0-9]{1,253}"),
    "annotations": {"type": "object", "additionalProperties": {"type": "string"}, **_KEYS},
    "labels": {
        "type": "object",
        "additionalProperties": _text(
            "a text of at most 63 letters, digits, dashes, dots and underscores, which begins and ends with one of the "
            "first two",
            "(?:[A-Za-z0-9](?:[-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?)?",
        ),
        **_KEYS,
    },
    "resources": {
        "properties": {"limits": _QUANTITIES, "requests": _QUANTITIES},
    },
    "probe": {
        "properties": {
            "initialDelaySeconds": {"type": "integer", "minimum": 0},
            "periodSeconds": {"type": "integer", "minimum": 1},
            "timeoutSeconds": {"type": "integer", "minimum": 1},
            "failureThreshold": {"type": "integer", "minimum": 1},
        },
    },
    # Unknown keys pass, as the gateway lets them.
    "routerConfiguration": {
        "additionalProperties": True,
        "properties": {
            "scheduler": {
                "type": ["object", "null"],
                "properties": {
                    "pluginConfig": {
                        "type": ["array", "null"],
                        "items": {
                            "type": "object",
                            "properties": {"name": {"type": ["string", "null"]}, "args": {"type": ["object", "null"]}},
                        },
                    },
                    "plugins": {
                        "type": ["object", "null"],
                        "properties": {
                            stage: {
                                "type": ["object", "null"],
                                "properties": {
                                    key: {"type": ["array", "null"], "items": plugin} for key in ("enabled", "disabled")
                                },
                            }
                            for stage, plugin in _PLUGINS.items()
                        },
                    },
                },
            },
            "auth": {
                "type": ["object", "null"],
                "properties": {
                    "issuer": {"type": ["string", "null"]},
                    "audiences": {"type": ["array", "null"], "items": {"type": "string"}},
                    "jwksUri": {"type": ["string", "null"]},
                },
            },
        },
    },
    "shares": {
        "properties": {
            "default": {"type": "object", "additionalProperties": False, "properties": _STANDING},
            "groups": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {**_STANDING, "users": {"type": "array", "items": {"type": "string"}}},
                },
            },
            "users": {
                "type": "object",
                "additionalProperties": {"type": "object", "additionalProperties": False, "properties": _STANDING},
            },
            "weights": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "inputToken": {"type": "number", "minimum": 0, "maximum": 1_000_000},
                    "outputToken": {"type": "number", "minimum": 0, "maximum": 1_000_000},
                },
            },
        },
    },
}
"""What `is` may name: schemas that several keys share, and whose words are those of the gateway's own refusals."""

ELSEWHERE: dict[str, tuple[str, ...]] = {
    "": ("inferGateway", "kthenaRouter", "registry", "webhook", "workload"),
    "global": ("certManager",),
    "networking": ("kthenaRouter",),
    "networking.inferGateway": (
        "drainTimeout",
        "gatewayAPI",
        "kubeAPIBurst",
        "kubeAPIQPS",
        "resources",
        "sessionBoost",
        "terminationGracePeriodSeconds",
        "webhook",
    ),
    "networking.webhook": ("resources", "servicePort"),
    "networking.webhook.tls": ("certFile", "keyFile", "serviceName"),
}
"""Keys of Kthena's own charts, and of this one in the wrong place, by section. The schema lets them through to a
template, which refuses them with where they belong: those of a values file that comes from there all at once."""

NULLS = "what has all of its keys: null takes a default away, so leave the key out and it is as by default"
"""Helm itself only tells which one is missing."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One key."""

    path: tuple[str, ...]
    comment: str
    given: Schema
    """What `@schema` says."""
    default: Any

    @property
    def name(self) -> str:
        return ".".join(self.path)


def entries(text: str) -> list[Entry]:
    """Every key of values.yaml that is the chart's own, sections included, in its order.

    A mapping whose keys are a user's (`@schema` says so, or it is a list) is one entry.
    """
    document = YAML(typ="safe", pure=True).load(text)
    found: list[Entry] = []
    path: list[tuple[int, str]] = []
    comment: list[str] = []
    given: Schema = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None or match["key"] is None:
            said = (match["comment"] or "") if match else ""
            if not said:
                comment, given = [], {}
            elif said.startswith(_SCHEMA):
                given = YAML(typ="safe", pure=True).load(said.removeprefix(_SCHEMA))
            else:
                comment.append(said)
            continue
        indent = len(match["indent"])
        path = [*((depth, key) for depth, key in path if depth < indent), (indent, match["key"])]
        keys = tuple(key for _, key in path)
        if not _is_inside(found, keys):
            found.append(Entry(keys, " ".join(comment), given, _at(document, keys)))
        comment, given = [], {}
    return found


def _is_inside(found: list[Entry], keys: tuple[str, ...]) -> bool:
    """Whether a key belongs to the default of an entry whose inside is the user's."""
    return any(keys[: len(entry.path)] == entry.path and not is_section(entry) for entry in found)


def is_section(entry: Entry) -> bool:
    """Whether an entry is a mapping of keys of the chart's own, of which each has its comment."""
    return isinstance(entry.default, dict) and bool(entry.default) and not entry.given


def _at(document: Any, keys: tuple[str, ...]) -> Any:
    for key in keys:
        if not isinstance(document, dict) or key not in document:
            raise BadValues(f"{'.'.join(keys)} is not where its indentation says")
        document = document[key]
    return document


def _with_kind(node: Schema) -> Schema:
    """A schema with what its `is` stands for."""
    rest = {key: value for key, value in node.items() if key not in ("is", "mayBeNull")}
    if "items" in rest:
        rest["items"] = _with_kind(rest["items"])
    if "is" not in node:
        return rest
    return {**KINDS.get(node["is"], {"$ref": f"#/definitions/{node['is']}"}), **rest}


_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def node_of(entry: Entry) -> Schema:
    """The schema of one key that is no section."""
    node: Schema = {"description": entry.comment, "default": entry.default}
    if entry.default is not None:
        node["type"] = _TYPES[type(entry.default)]
    node |= _with_kind(entry.given)
    if "if" in node or "$ref" in node:
        # The kind says of which type it is, in its words.
        node.pop("type", None)
    elif node["type"] == "object":
        node.setdefault("additionalProperties", False)
    return node


def may_be_null(entry: Entry) -> bool:
    """Whether null is a value of a key: Helm takes it for its default's end and drops it before the schema is asked."""
    node = node_of(entry)
    return bool(entry.given.get("mayBeNull")) or "null" in node.get("if", node).get("type", ())


def schema(text: str) -> Schema:
    """The JSON Schema of the values, in which what is not known is refused."""
    root: Schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart kthena",
        "type": "object",
        "additionalProperties": False,
        "properties": {},
    }
    _let_through(root, "")
    for entry in entries(text):
        parent = root
        for key in entry.path[:-1]:
            parent = parent["properties"][key]
        if is_section(entry):
            node: Schema = {"type": "object", "additionalProperties": False, "properties": {}}
            if entry.comment:
                node = {"description": entry.comment, **node}
            _let_through(node, entry.name)
            # A subchart is given `global` by Helm, whatever its own values say.
            if entry.name == "networking":
                node["properties"]["global"] = {"type": "object"}
        else:
            node = node_of(entry)
        parent["properties"][entry.path[-1]] = node
        is_empty = entry.default is None or entry.default in ("", [], {})
        if is_section(entry) or not (is_empty or may_be_null(entry)):
            # Its null would take the default away, and be written as one. (An empty one is what templates do without.)
            parent.setdefault("required", []).append(entry.path[-1])
            parent |= {"if": {"required": parent["required"]}, "else": {"const": NULLS}}
    if types := kubernetes.needed(root, kubernetes.load()):
        root["definitions"] = types
    return root


def _let_through(node: Schema, section: str) -> None:
    for key in ELSEWHERE.get(section, ()):
        node["properties"][key] = {"description": "Refused: it has another name here, or none."}


def schema_text(text: str) -> str:
    return json.dumps(schema(text), indent=2, ensure_ascii=False) + "\n"


def _cell(value: Any) -> str:
    if value is None or value in ("", {}, []):
        return ""
    shown = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | bool) else str(value)
    return f"`{shown}`".replace("|", "\\|")


def table(text: str) -> str:
    """The table of the README: every key with its default and its comment."""
    lines = ["| value | default | what it is, and when to use it |", "| --- | --- | --- |"]
    lines += [
        f"| `{entry.name}` | {_cell(entry.default)} | {entry.comment.replace('|', chr(92) + '|')} |"
        for entry in entries(text)
        if not is_section(entry)
    ]
    return "\n".join(lines).replace("|  |", "| |") + "\n"


def subchart_text(text: str) -> str:
    """The values of `networking` on its own: that section, and `global`, which it reads too."""
    sections = dict(_top_level(text))
    networking = [line.removeprefix("  ") for line in sections["networking"]]
    # The switch is the parent's, by the condition in Chart.yaml.
    networking = networking[networking.index("enabled: true") + 1 :]
    return (
        "# Written from the values.yaml of the chart kthena by `make docs`.\n\n"
        + "\n".join(sections["global"]).rstrip()
        + "\n\n"
        + "\n".join(networking).rstrip()
        + "\n"
    )


def _top_level(text: str) -> Iterator[tuple[str, list[str]]]:
    name = ""
    lines: list[str] = []
    for line in text.splitlines():
        if line and line[0] not in " #":
            if name:
                yield name, lines
            name, lines = line.partition(":")[0], []
        lines.append(line)
    yield name, lines
