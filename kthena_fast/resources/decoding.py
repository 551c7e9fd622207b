"""From the mapping a manifest or the API server holds to a typed object, or to every reason why not.

1. The verdict is that of our CRDs: refused here = refused by the API server = set aside by the gateway.
2. Unknown fields and nulls are dropped and schema defaults filled in, as the API server does; `status` is not read.
3. `decode` raises `Rejected` and `UnknownKind` and nothing else, whatever it is given.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from pydantic import ValidationError

from kthena_fast import durations
from kthena_fast.resources import metadata, rules, structure
from kthena_fast.resources.core_v1 import Pod, Secret
from kthena_fast.resources.external_model_provider import ExternalModelProvider
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.resources.model_server import ModelServer

AnyResource: TypeAlias = ModelRoute | ModelServer | ExternalModelProvider | Pod | Secret

API_VERSION = ModelRoute.API_VERSION
GROUP = API_VERSION.rpartition("/")[0]
OLD_GROUP = "networking.volcano.sh"

NETWORKING: Mapping[str, type[ModelRoute | ModelServer | ExternalModelProvider]] = {
    kind.KIND: kind for kind in (ModelRoute, ModelServer, ExternalModelProvider)
}
CORE: Mapping[str, type[Pod | Secret]] = {kind.KIND: kind for kind in (Pod, Secret)}

MAX_VIOLATIONS = 1000
"""Violations that are told of an object; one of megabytes may have 100,000, each of which takes time to tell."""

HIDDEN = "(hidden)"
"""Stands for the value of what is, or may be, a secret."""


class Violation(NamedTuple):
    """One reason why an object is refused. `path` is for people, `location` for finding the line."""

    path: str
    message: str
    kind: rules.Kind
    value: Any
    location: structure.Location

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class UnknownField(NamedTuple):
    """A field that is not obeyed because no such field is known; `nearest` is what may have been meant."""

    path: str
    nearest: str | None
    location: structure.Location

    def __str__(self) -> str:
        return f"{self.path}: unknown field" + (f"; did you mean {self.nearest}?" if self.nearest else "")


class UnknownKind(Exception):
    """The object is of a kind that the gateway does not read."""

    def __init__(self, api_version: str, kind: str) -> None:
        super().__init__(f"the kind {kind} of {api_version} is not read here")
        self.api_version = api_version
        self.kind = kind


class Rejected(Exception):
    """The object is refused, for all of `violations`; names are empty where the object gives none."""

    def __init__(self, kind: str, namespace: str, name: str, violations: tuple[Violation, ...]) -> None:
        reasons = "; ".join(str(violation) for violation in violations)
        super().__init__(f"{kind or 'object'} {namespace}/{name} is refused: {reasons}")
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.violations = violations


def decode(obj: Mapping[str, Any]) -> AnyResource:
    """The typed object, with schema defaults filled in; else Rejected, with every violation, or UnknownKind.

    Of more violations than anybody reads the first `MAX_VIOLATIONS` are told.
    """
    model = _model(obj)
    schema = structure.schema(model)
    admitted = structure.admit(schema, obj)
    decoded, violations = _validated(model, admitted)
    faulty = {violation.location for violation in violations}
    broken = (
        Violation(structure.path(schema, location), rule.message, rule.kind, value, location)
        for location, rule, value in structure.broken(schema, admitted)
        if location not in faulty
    )
    violations += itertools.islice(broken, MAX_VIOLATIONS)
    if decoded is None or violations:
        raise _rejected(obj, *violations)
    return decoded


class Sound(NamedTuple):
    """The sound parts of an object, as an object that has stand-ins for the others."""

    resource: AnyResource
    faults: tuple[Violation, ...]
    """All that stands in the way of decoding, also what hid behind other faults; rules are not looked at."""
    replaced: frozenset[structure.Location]
    """Where stand-ins are, or nothing; lists that were only cut are not among them."""


def sound_parts(obj: Mapping[str, Any]) -> Sound:
    """What can be read of an object; raises as `decode` does where its kind cannot be told."""
    model = _model(obj)
    schema = structure.schema(model)
    sound = structure.admit(schema, obj)
    found: list[Violation] = []
    decoded, faults = _validated(model, sound)
    while decoded is None:
        found += faults
        # Items before the list that they are in, which may have to be cut.
        for fault in sorted(faults, key=lambda fault: len(fault.location), reverse=True):
            sound = structure.mended(schema, sound, fault.location)
        decoded, faults = _validated(model, sound)
    replaced = (
        fault.location
        for fault in found
        if not structure.is_too_long(structure.at(schema, fault.location), fault.value)
    )
    return Sound(decoded, tuple(found), frozenset(replaced))


def _validated(model: type[AnyResource], admitted: Any) -> tuple[AnyResource | None, list[Violation]]:
    try:
        return model.model_validate(admitted), []
    except ValidationError as error:
        if error.error_count() > MAX_VIOLATIONS:
            # Each takes a kilobyte once it is told, so only those of the beginning are, unless there are none there.
            error = _invalid(model, _beginning(admitted)) or error
        faults = _faults(error, structure.schema(model), hide=model is Secret)
        return None, list(itertools.islice(faults, MAX_VIOLATIONS))


def _invalid(model: type[AnyResource], admitted: Any) -> ValidationError | None:
    try:
        model.model_validate(admitted)
    except ValidationError as error:
        return error
    return None


def _beginning(value: Any) -> Any:
    """The value with the first `MAX_VIOLATIONS` entries of each map and list in it."""
    if isinstance(value, Mapping):
        return {name: _beginning(part) for name, part in itertools.islice(value.items(), MAX_VIOLATIONS)}
    if isinstance(value, list | tuple):
        return tuple(_beginning(part) for part in value[:MAX_VIOLATIONS])
    return value


def unknown_fields(obj: Mapping[str, Any]) -> list[UnknownField]:
    """The fields that decoding drops from one of the three kinds of our group; none for any other kind."""
    model = NETWORKING.get(obj.get("kind", "")) if _is_ours(obj) else None
    if model is None:
        return []
    schema = structure.schema(model)
    found = []
    for location, known in structure.unknown(schema, obj):
        if location in _ALWAYS_THERE or (location[0] == "metadata" and location[-1] in metadata.UNREAD):
            continue
        nearest = difflib.get_close_matches(str(location[-1]), known, n=1)
        found.append(UnknownField(structure.path(schema, location), nearest[0] if nearest else None, location))
    return found


_ALWAYS_THERE = frozenset((("apiVersion",), ("kind",), ("status",)))
_KINDS: Mapping[str, rules.Kind] = {"missing": "Required", "literal_error": "NotSupported"}


def _is_ours(obj: Mapping[str, Any]) -> bool:
    return obj.get("apiVersion") == API_VERSION and isinstance(obj.get("kind"), str)


def _model(obj: Any) -> type[AnyResource]:
    if not isinstance(obj, Mapping):
        raise _rejected({}, Violation("", "must be an object with apiVersion and kind", "Invalid", obj, ()))
    missing = [
        Violation(name, "must be a string and not empty", "Required", obj.get(name), (name,))
        for name in ("apiVersion", "kind")
        if not isinstance(obj.get(name), str) or not obj[name]
    ]
    if missing:
        raise _rejected(obj, *missing)
    api_version, kind = obj["apiVersion"], obj["kind"]
    if api_version == "v1" and kind in CORE:
        return CORE[kind]
    if api_version == API_VERSION and kind in NETWORKING:
        return NETWORKING[kind]
    group = api_version.rpartition("/")[0]
    if group == OLD_GROUP:
        message = f"the API group {OLD_GROUP} was renamed to {GROUP}: write {API_VERSION}"
    elif group != GROUP:
        # Others' groups have kinds of the same names; Kubernetes' own, which have no dot, do not.
        if kind not in NETWORKING or ("." in group and not _is_like_ours(group)):
            raise UnknownKind(api_version, kind)
        message = f"must be {API_VERSION}"
    elif api_version != API_VERSION:
        message = f"must be {API_VERSION}, the only version of its group"
    else:
        message = f"must be one of {', '.join(NETWORKING)}"
        raise _rejected(obj, Violation("kind", message, "NotSupported", kind, ("kind",)))
    raise _rejected(obj, Violation("apiVersion", message, "NotSupported", api_version, ("apiVersion",)))


def is_of_others(obj: Any) -> bool:
    """Whether it is of a kind that is not read here."""
    try:
        _model(obj)
    except UnknownKind:
        return True
    except Rejected:
        return False
    return False


def is_foreign(obj: Any) -> bool:
    """Whether nothing tells that this was meant to be an object that is read here: what a chart's values look like.

    Who names one of our kinds or our group, or gives metadata and a spec, has misspelt the rest.
    """
    if isinstance(obj, list):
        return all(not isinstance(item, Mapping) or is_foreign(item) for item in obj)
    if not isinstance(obj, Mapping):
        return True
    api_version, kind = obj.get("apiVersion"), obj.get("kind")
    if isinstance(kind, str) and (kind in NETWORKING or kind in CORE):
        return False
    if isinstance(api_version, str) and (kind or _is_like_ours(api_version.rpartition("/")[0])):
        return False
    return not ("metadata" in obj and "spec" in obj)


def _is_like_ours(group: str) -> bool:
    return bool(difflib.get_close_matches(group, (GROUP, OLD_GROUP)))


def _rejected(obj: Mapping[str, Any], *violations: Violation) -> Rejected:
    meta = obj.get("metadata")
    names = meta if isinstance(meta, Mapping) else {}
    kind, namespace, name = (
        text if isinstance(text, str) else ""
        for text in (obj.get("kind"), names.get("namespace") or "default", names.get("name"))
    )
    return Rejected(kind, namespace, name, violations)


def _faults(error: ValidationError, schema: structure.Schema, *, hide: bool) -> Iterator[Violation]:
    for fault in error.errors(include_url=False):
        # pydantic marks a fault of a map's key, and not of its value, so.
        location = fault["loc"][:-1] if fault["loc"][-1:] == ("[key]",) else fault["loc"]
        wanted = structure.at(schema, location)
        if fault["type"] == "too_short" and len(fault["input"]) >= wanted.get("minItems", 0):
            # pydantic counts the items without those that it has found fault with.
            continue
        yield Violation(
            structure.path(schema, location),
            _sentence(fault["type"], fault["msg"], fault["input"], wanted),
            _KINDS.get(fault["type"], "Invalid"),
            HIDDEN if hide else fault["input"],
            location,
        )


def _sentence(fault: str, otherwise: str, value: Any, schema: structure.Schema) -> str:
    """What is allowed, said from the schema where pydantic's words would be about Python."""
    if schema.get("pattern") == durations.PATTERN and fault in ("string_pattern_mismatch", "string_type"):
        wanted = "must be a duration such as 300ms, 10s, 5m or 1h30m"
        is_bare = type(value) in (str, int, float) and _BARE_NUMBER.fullmatch(str(value))
        return f'{wanted}, and {value} has no unit: write "{value}s" for seconds' if is_bare else wanted
    if fault in ("greater_than_equal", "less_than_equal"):
        return f"must be between {schema['minimum']} and {schema['maximum']}"
    if fault == "literal_error":
        return f"must be one of {', '.join(schema['enum'])}"
    sentence = _SENTENCES.get(fault)
    return sentence.format_map(schema) if sentence is not None else otherwise.removeprefix("Value error, ")


_BARE_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_SENTENCES: Mapping[str, str] = {
    "missing": "is required",
    "string_type": "must be a string",
    "int_type": "must be a whole number",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "mapping_type": "must be an object",
    "model_type": "must be an object",
    "datetime_type": "must be a time such as 2026-01-31T12:00:00Z",
    "too_long": "must have at most {maxItems} items",
    "too_short": "must have at least {minItems} items",
    "string_too_long": "must have at most {maxLength} characters",
    "string_too_short": "must have at least {minLength} characters",
    "string_pattern_mismatch": "must match {pattern}",
}
