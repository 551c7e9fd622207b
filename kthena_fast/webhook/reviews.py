"""AdmissionReview of `admission.k8s.io/v1`: what the API server asks and how it is answered, as bytes.

`read` raises BadReview for what is no review of the kind that its path is for, and nothing else, whatever it is given.
What is wrong with the object in it is not its business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import orjson

from kthena_fast.resources import decoding
from kthena_fast.telemetry import one_line
from kthena_fast.wire import nesting

API_VERSION = "admission.k8s.io/v1"

Operation = Literal["CREATE", "UPDATE", "DELETE", "CONNECT"]

MAX_REASONS = 100
"""Reasons told of one object; the others are counted."""

MAX_REASON = 1024
"""Characters of a reason; an object's own texts may have megabytes."""


class BadReview(Exception):
    """The call is wrong, not the object; the text is one sentence for whoever registered the webhook."""


@dataclass(frozen=True, slots=True)
class Review:
    """One question."""

    uid: str
    operation: Operation
    kind: str
    subresource: str
    """`status`; empty: the object itself."""
    namespace: str
    name: str
    """Empty where the API server is to make one of `generateName`."""
    user: str
    object: Mapping[str, Any]
    """As it would be stored; empty for a deletion."""
    old_object: Mapping[str, Any]
    """As it is stored; empty for a creation."""
    is_cut: bool = False
    """Whether parts are missing for which an object is nested too deep."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an object is refused: `kind` is what the API server calls it, `path` is empty for the whole object."""

    kind: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def read(body: bytes, kind: str) -> Review:
    """The review in a body that was posted to the path of `kind`."""
    try:
        return _read(body, kind)
    except RecursionError:
        raise BadReview("the review is nested deeper than any object of ours can be") from None


def _read(body: bytes, kind: str) -> Review:
    try:
        review, is_cut = nesting.loads(body)
    except orjson.JSONDecodeError as fault:
        raise BadReview(f"the body is not JSON: {fault}") from None
    if not isinstance(review, dict):
        raise BadReview("the body must be an AdmissionReview, which is a JSON object")
    if review.get("kind") != "AdmissionReview" or review.get("apiVersion") != API_VERSION:
        raise BadReview(
            f"the body must be an AdmissionReview of {API_VERSION}, not {_shown(review.get('kind'))} of "
            f"{_shown(review.get('apiVersion'))}: register the webhook with admissionReviewVersions: [v1]"
        )
    request = review.get("request")
    if not isinstance(request, dict):
        raise BadReview("request must be an object")
    user = request.get("userInfo")
    read = Review(
        uid=_text(request, "uid", required=True),
        operation=_operation(request),
        kind=_kind(request, kind),
        subresource=_text(request, "subResource"),
        namespace=_text(request, "namespace"),
        name=_text(request, "name"),
        user=_text(user, "username") if isinstance(user, dict) else "",
        object=_object(request, "object"),
        old_object=_object(request, "oldObject"),
        is_cut=is_cut,
    )
    _check(read, request)
    return read


def _text(request: Mapping[str, Any], field: str, *, required: bool = False) -> str:
    text = request.get(field)
    if text is None and not required:
        return ""
    if not isinstance(text, str) or (required and not text):
        wanted = "a string and not empty" if required else "a string"
        raise BadReview(f"request.{field} must be {wanted}, not {_shown(text)}")
    return text


def _operation(request: Mapping[str, Any]) -> Operation:
    operation = request.get("operation")
    for known in get_args(Operation):
        if operation == known:
            return known  # type: ignore[no-any-return]  # get_args forgets what it is given
    raise BadReview(f"request.operation must be one of {', '.join(get_args(Operation))}, not {_shown(operation)}")


def _kind(request: Mapping[str, Any], kind: str) -> str:
    asked = request.get("kind")
    if not isinstance(asked, dict):
        raise BadReview(f"request.kind must be an object with group, version and kind, not {_shown(asked)}")
    if request.get("subResource"):
        # The kind of a subresource may be another, such as Scale.
        return kind
    if asked.get("kind") != kind or asked.get("group") not in (decoding.GROUP, decoding.OLD_GROUP):
        raise BadReview(
            f"this path is for {kind} of {decoding.GROUP}, and request.kind is {_shown(asked.get('kind'))} of "
            f"{_shown(asked.get('group'))}: the webhook's rules and its path do not fit together"
        )
    return kind


def _object(request: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    found = request.get(field)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise BadReview(f"request.{field} must be an object, not {_shown(found)}")
    return found


def _check(review: Review, request: Mapping[str, Any]) -> None:
    """That the parts of a review fit together."""
    if review.subresource:
        return
    needed = {"CREATE": ("object",), "UPDATE": ("object", "oldObject")}.get(review.operation, ())
    for field in needed:
        found = request.get(field)
        if not found:
            raise BadReview(f"request.{field} is missing, and {review.operation} needs it")
        if found.get("kind") != review.kind:
            raise BadReview(f"request.{field} is a {_shown(found.get('kind'))}, and request.kind is {review.kind}")
        if not isinstance(found.get("metadata"), dict):
            raise BadReview(f"request.{field}.metadata must be an object, not {_shown(found.get('metadata'))}")
    if needed:
        _check_identity(review, request["kind"])


def _check_identity(review: Review, asked: Mapping[str, Any]) -> None:
    given = review.object.get("apiVersion")
    version = f"{asked.get('group')}/{asked.get('version')}"
    if given != version:
        raise BadReview(f"request.object is of {_shown(given)}, and request.kind is of {_shown(version)}")
    for field, wanted in (("name", review.name), ("namespace", review.namespace)):
        given = review.object["metadata"].get(field)
        if wanted and given and given != wanted:
            raise BadReview(f"request.object has the {field} {_shown(given)}, and request.{field} is {_shown(wanted)}")


def _shown(value: object) -> str:
    """What somebody sent, short enough for a sentence."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = one_line.printable(repr(value))
    return text if len(text) <= 80 else f"{text[:79]}…"


def allow(uid: str, warnings: Iterable[str]) -> bytes:
    """The answer to what may be stored."""
    return _answer(uid, {"allowed": True}, warnings)


def refuse(review: Review, reasons: list[Reason], warnings: Iterable[str]) -> bytes:
    """The answer to what may not: an `Invalid` as the API server's own, a line for each reason in kubectl."""
    told = [Reason(reason.kind, *map(_line, (reason.path, reason.message))) for reason in reasons[:MAX_REASONS]]
    left = len(reasons) - len(told)
    if left:
        told.append(Reason("FieldValueInvalid", "", f"and at least {one_line.counted(left, 'further reason')}"))
    status = {
        "status": "Failure",
        "code": 422,
        "reason": "Invalid",
        "message": "\n".join(("validation failed:", *(f"  - {reason}" for reason in told))),
        "details": {
            "name": review.name,
            "group": decoding.GROUP,
            "kind": review.kind,
            "causes": [{"reason": reason.kind, "field": reason.path, "message": reason.message} for reason in told],
        },
    }
    return _answer(review.uid, {"allowed": False, "status": status}, warnings)


def _line(text: str) -> str:
    return one_line.printable(text if len(text) <= MAX_REASON else f"{text[: MAX_REASON - 1]}…")


def _answer(uid: str, response: dict[str, Any], warnings: Iterable[str]) -> bytes:
    told = list(warnings)
    if told:
        response["warnings"] = told
    return orjson.dumps({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": {"uid": uid, **response}})
