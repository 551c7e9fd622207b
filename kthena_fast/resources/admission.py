"""What the webhook refuses in an object that the CRD accepts: upstream's rules, every violation at once.

Differences from upstream, each with its test: a `baseURL` that ends in a bare `?` or `#`, and control characters in
the values of headers, are refused here, since upstream lets them pass only to find at run time that the provider
cannot be called; and so are regular expressions that are too large, alone or together (`expressions`). What our CRDs
refuse already (null rules, no target, no names) is not repeated here.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from kthena_fast.resources import decoding, expressions, labels, rules, structure
from kthena_fast.resources.decoding import AnyResource, Rejected, Violation
from kthena_fast.resources.external_model_provider import ExternalModelProvider, ExternalModelProviderSpec
from kthena_fast.resources.model_route import ModelRoute, ModelRouteSpec, Rule, StringMatch
from kthena_fast.resources.model_server import ModelServer, ModelServerSpec

RESERVED_HEADERS = frozenset(
    (
        "authorization",
        "connection",
        "content-length",
        "cookie",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-api-key",
    )
)
"""Headers that a provider's static headers may not set: framing and credentials are the gateway's."""

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f]|%(?![0-9A-Fa-f]{2})")

_Found = Iterator[tuple[structure.Location, str, rules.Kind, Any]]


def violations(resource: AnyResource) -> list[Violation]:
    """Every reason for which the webhook refuses the object, in the order of its fields."""
    if isinstance(resource, ModelRoute):
        found = _model_route(resource.spec)
    elif isinstance(resource, ModelServer):
        found = _model_server(resource.spec)
    elif isinstance(resource, ExternalModelProvider):
        found = _external_model_provider(resource.spec)
    else:
        return []
    schema = structure.schema(type(resource))
    return [
        Violation(structure.path(schema, ("spec", *at)), message, kind, value, ("spec", *at))
        for at, message, kind, value in itertools.islice(found, decoding.MAX_VIOLATIONS)
    ]


def further_violations(obj: Mapping[str, Any], refusal: Rejected) -> list[Violation]:
    """What else is wrong with an object that `decode` refused: what hid behind its faults, and what the webhook finds.

    The webhook's rules look at the parts that are sound. Nothing is said about a field that has been found fault
    with, about what is in it, or about what is missing because of it; items beyond the most that a list may have are
    not looked at.
    """
    try:
        sound = decoding.sound_parts(obj)
    except Rejected:
        # Its kind cannot be told, and that is all that can be said.
        return []
    said = {violation.path for violation in refusal.violations}
    hidden = [fault for fault in sound.faults if fault.path not in said]
    said |= {fault.path for fault in hidden}
    return hidden + [
        violation
        for violation in violations(sound.resource)
        if violation.path not in said
        and not any(violation.location[:length] in sound.replaced for length in range(len(violation.location)))
    ]


def _model_route(spec: ModelRouteSpec) -> _Found:
    for index, adapter in enumerate(spec.lora_adapters):
        if not adapter:
            yield ("loraAdapters", index), "lora adapter name cannot be an empty string", "Invalid", adapter
    compiler = expressions.Compiler()
    for index, rule in enumerate(spec.rules):
        for at, expression, reason in _uncompilable(rule, compiler):
            yield (
                ("rules", index, *at),
                f"must be a regular expression that RE2 accepts: {reason}",
                "Invalid",
                expression,
            )
        targets = rule.target_models
        for place, target in enumerate(targets):
            if spec.lora_adapters and target.external_model_provider_name:
                yield (
                    ("rules", index, "targetModels", place, "externalModelProviderName"),
                    "a route with loraAdapters cannot use a provider",
                    "Invalid",
                    target.external_model_provider_name,
                )
        if not any(target.weight for target in targets):
            yield ("rules", index, "targetModels"), "the weights must not sum up to 0", "Invalid", 0


def bad_expressions(spec: ModelRouteSpec) -> Iterator[tuple[structure.Location, str, str]]:
    """The expressions of a route that do not compile: where in its spec, the expression, and why.

    Where they are too large together the first that has no room ends it: those behind it have none either.
    """
    compiler = expressions.Compiler()
    for index, rule in enumerate(spec.rules):
        for at, expression, reason in _uncompilable(rule, compiler):
            yield ("rules", index, *at), expression, reason


def _uncompilable(rule: Rule, compiler: expressions.Compiler) -> Iterator[tuple[structure.Location, str, str]]:
    for at, expression in _expressions_of(rule):
        if compiler.is_spent:
            return
        reason = compiler.problem(expression)
        if reason:
            yield at, expression, reason


def _expressions_of(rule: Rule) -> Iterator[tuple[structure.Location, str]]:
    """The regular expressions of a rule, and where in the rule they are."""
    match = rule.model_match
    if match is None:
        return
    texts: list[tuple[structure.Location, StringMatch]] = [
        (("modelMatch", "headers", name), text) for name, text in match.headers.items()
    ]
    if match.uri is not None:
        texts.append((("modelMatch", "uri"), match.uri))
    for at, text in texts:
        if text.regex is not None:
            yield (*at, "regex"), text.regex


def _model_server(spec: ModelServerSpec) -> _Found:
    selector = spec.workload_selector
    selections: list[tuple[structure.Location, Mapping[str, str]]] = [
        (("workloadSelector", "matchLabels"), selector.match_labels)
    ]
    if selector.pd_group is not None:
        group = ("workloadSelector", "pdGroup")
        if not selector.pd_group.group_key:
            yield (*group, "groupKey"), "must not be empty", "Required", ""
        selections.append(((*group, "prefillLabels"), selector.pd_group.prefill_labels))
        selections.append(((*group, "decodeLabels"), selector.pd_group.decode_labels))
    for at, selection in selections:
        if not selection:
            yield at, "must have at least one label", "Required", {}
        for key, fault in labels.faults(selection):
            yield at, fault, "Invalid", {key: selection[key]}


def _external_model_provider(spec: ExternalModelProviderSpec) -> _Found:
    for fault in _base_url_faults(spec.base_url):
        yield ("baseURL",), fault, "Invalid", spec.base_url if "@" not in spec.base_url else decoding.HIDDEN
    for name, value in spec.headers.items():
        if not is_header_name(name):
            yield ("headers", name), "must be named as an HTTP header is", "Invalid", name
        if name.lower() in RESERVED_HEADERS:
            yield ("headers", name), "is set by the gateway and cannot be set here", "Invalid", name
        if _CONTROL.search(value):
            yield ("headers", name), "must not hold control characters", "Invalid", decoding.HIDDEN
    if spec.auth is not None:
        for key, text in (("name", spec.auth.secret_ref.name), ("key", spec.auth.secret_ref.key)):
            if not text:
                yield ("auth", "secretRef", key), "must not be empty", "Required", text


def is_header_name(name: str) -> bool:
    """Whether HTTP allows a header of this name."""
    return _HEADER_NAME.fullmatch(name) is not None


def _base_url_faults(text: str) -> Iterator[str]:
    if _NOT_IN_A_URL.search(text):
        yield "must be a URL, in which spaces and the like are percent-encoded"
        return
    try:
        url = urlsplit(text)
        # The port is looked at only when asked for.
        has_host = bool(url.hostname) and (url.port is None or url.port > 0)
        has_user = "@" in url.netloc
    except ValueError:
        has_host = has_user = False
    if not has_host:
        yield "must be https:// and a host, with a port if it has its own"
    if has_user:
        yield "must not hold a user or a password: use auth"
    if "?" in text or "#" in text:
        yield "must have no query and no fragment"
