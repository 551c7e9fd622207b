"""Of a pod, what routing asks: a record of a few hundred bytes, made of the mapping that the API server sends."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Mapping
from typing import Any

from kthena_fast.routing.objects import Reason


class Malformed(Exception):
    """The pod cannot be understood; says where and why."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.reason = Reason(path, message)


class PodRecord:
    """A pod as `routing.objects.PodObject` has it; never changed."""

    __slots__ = ("ip", "is_terminating", "key", "labels", "name", "namespace", "ready", "uid")

    def __init__(
        self,
        namespace: str,
        name: str,
        uid: str,
        ip: str,
        labels: Mapping[str, str],
        *,
        ready: bool,
        is_terminating: bool,
    ) -> None:
        self.key = f"{namespace}/{name}"
        self.namespace = namespace
        self.name = name
        self.uid = uid
        self.ip = ip
        self.labels = labels
        """Only those whose key some selector names."""
        self.ready = ready
        """Running, ready, not being deleted, and reachable at an address."""
        self.is_terminating = is_terminating

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PodRecord) and all(
            getattr(self, name) == getattr(other, name) for name in self.__slots__
        )

    __hash__ = None  # type: ignore[assignment]  # compared by what it says

    def __repr__(self) -> str:
        state = "terminating" if self.is_terminating else "ready" if self.ready else "not ready"
        return f"<PodRecord {self.key} {self.uid} at {self.ip or 'no address'}, {state}, {dict(self.labels)}>"


def project(obj: Mapping[str, Any], keys: frozenset[str], before: PodRecord | None = None) -> PodRecord:
    """The record of a pod, with those of its labels whose key is among `keys`; Malformed where it is none.

    `before` is the record of the same pod, whose address need not be looked at again if it is still that.
    """
    meta = _mapping(obj, "metadata", "metadata")
    status = _mapping(obj, "status", "status")
    labels = _mapping(meta, "labels", "metadata.labels")
    kept: dict[str, str] = {}
    for key in keys & labels.keys():
        value = labels[key]
        if not isinstance(value, str):
            raise Malformed(f"metadata.labels[{key}]", "must be a string")
        # A few keys, and often few values, on very many pods.
        kept[sys.intern(key)] = sys.intern(value)
    ip = _text(status, "podIP", "status.podIP") or _first(status.get("podIPs"))
    if ip and (before is None or before.ip != ip):
        _check(ip)
    is_terminating = meta.get("deletionTimestamp") is not None
    ready = bool(ip) and not is_terminating and status.get("phase") == "Running" and _is_ready(status.get("conditions"))
    return PodRecord(
        sys.intern(_text(meta, "namespace", "metadata.namespace")),
        _text(meta, "name", "metadata.name"),
        _text(meta, "uid", "metadata.uid"),
        ip,
        kept,
        ready=ready,
        is_terminating=is_terminating,
    )


def _mapping(obj: Mapping[str, Any], name: str, path: str) -> Mapping[str, Any]:
    value = obj.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Malformed(path, "must be an object")
    return value


def _text(obj: Mapping[str, Any], name: str, path: str) -> str:
    value = obj.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed(path, "must be a string")
    return value


def _first(ips: Any) -> str:
    if not isinstance(ips, list):
        return ""
    for entry in ips:
        if isinstance(entry, dict) and entry.get("ip"):
            return _text(entry, "ip", "status.podIPs[].ip")
    return ""


def _check(ip: str) -> None:
    """It goes into the Host header and into logs; a zone could hold anything."""
    try:
        if "%" in ip:
            raise ValueError
        ipaddress.ip_address(ip)
    except ValueError:
        raise Malformed("status.podIP", f"must be an IP address without a zone, and is {ip!r}") from None


def _is_ready(conditions: Any) -> bool:
    return isinstance(conditions, list) and any(
        isinstance(condition, dict) and condition.get("type") == "Ready" and condition.get("status") == "True"
        for condition in conditions
    )
