"""What is kept of a pod."""

from __future__ import annotations

import sys
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given as examples

from kthena_fast.resources import core_v1, decoding
from kthena_fast.sources.kubernetes import pods
from kthena_fast.sources.kubernetes.pods import PodRecord

KEYS = frozenset(("app", "tier"))


def pod(**status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": "ns",
            "name": "p",
            "uid": "u",
            "labels": {"app": "s", "other": "x"},
            "managedFields": [{"manager": "kubelet"}],
        },
        "spec": {"containers": [{"name": "engine", "image": "vllm"}]},
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "True"}],
            **status,
        },
    }


def test_only_what_routing_asks_is_kept() -> None:
    record = pods.project(pod(), KEYS)
    assert repr(record) == "<PodRecord ns/p u at 10.0.0.1, ready, {'app': 's'}>"
    assert (record.key, record.ready, record.is_terminating) == ("ns/p", True, False)
    size = sum(sys.getsizeof(getattr(record, name)) for name in PodRecord.__slots__) + sys.getsizeof(record)
    assert size < 700


@examples(
    st.fixed_dictionaries(
        {},
        optional={
            "phase": st.sampled_from(("Running", "Pending", "Failed")),
            "podIP": st.sampled_from(("10.0.0.1", "fd00::1", "")),
            "podIPs": st.lists(st.sampled_from(({"ip": "10.0.0.2"}, {"ip": "fd00::2"})), max_size=2),
            "conditions": st.lists(
                st.fixed_dictionaries(
                    {
                        "type": st.sampled_from(("Ready", "Initialized")),
                        "status": st.sampled_from(("True", "False", "Unknown")),
                    }
                ),
                max_size=2,
            ),
        },
    ),
    st.booleans(),
)
def test_it_says_of_a_pod_what_a_manifest_of_it_would(status: dict[str, Any], is_terminating: bool) -> None:
    obj = pod(**status)
    if is_terminating:
        obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    record, decoded = pods.project(obj, KEYS), decoding.decode(obj)
    assert isinstance(decoded, core_v1.Pod)
    for name in ("key", "namespace", "name", "uid", "ip", "ready"):
        assert getattr(record, name) == getattr(decoded, name), name
    assert record.is_terminating == is_terminating
    assert record.labels.items() == {item for item in decoded.labels.items() if item[0] in KEYS}


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"metadata": 1}, "metadata"),
        ({"status": []}, "status"),
        ({"status": {"podIP": 1}}, "status.podIP"),
        ({"status": {"podIP": "10.0.0.1\r\nX: y"}}, "status.podIP"),
        ({"status": {"podIP": "fe80::1%eth0"}}, "status.podIP"),
        ({"status": {"podIPs": [{"ip": 7}]}}, "status.podIPs[].ip"),
        ({"metadata": {"labels": {"app": None}}}, "metadata.labels[app]"),
        ({"metadata": {"labels": "x"}}, "metadata.labels"),
    ],
    ids=str,
)
def test_a_pod_that_cannot_be_understood_says_where(change: dict[str, Any], path: str) -> None:
    with pytest.raises(pods.Malformed) as refused:
        pods.project(pod() | change, KEYS)
    assert refused.value.reason.path == path


@pytest.mark.parametrize("status", [None, {}, {"conditions": "x"}, {"conditions": [1]}, {"podIPs": "x"}])
def test_a_pod_that_says_little_is_not_ready(status: Any) -> None:
    obj = pod()
    obj["status"] = status
    assert not pods.project(obj, KEYS).ready


def test_records_are_equal_where_they_say_the_same() -> None:
    assert pods.project(pod(), KEYS) == pods.project(pod(), KEYS)
    assert pods.project(pod(), KEYS) != pods.project(pod(podIP="10.0.0.2"), KEYS)
    assert pods.project(pod(), KEYS) != pods.project(pod(), frozenset())
