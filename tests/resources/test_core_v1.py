from __future__ import annotations

import base64
from typing import Any

import pytest

from kthena_fast.resources import decoding
from kthena_fast.resources.core_v1 import Pod, Secret

READY = [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "True"}]


def pod(metadata: dict[str, Any] | None = None, **status: Any) -> Pod:
    whole = {"phase": "Running", "podIP": "10.0.0.1", "conditions": READY, **status}
    decoded = decoding.decode(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "p", **(metadata or {})},
            "spec": {"nodeName": "n", "containers": [{"name": "engine", "ports": [{"containerPort": 8000}]}]},
            "status": whole,
        }
    )
    assert isinstance(decoded, Pod)
    return decoded


def secret(**fields: Any) -> Secret:
    decoded = decoding.decode({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, **fields})
    assert isinstance(decoded, Secret)
    return decoded


def test_a_pod_is_ready_when_it_runs_is_ready_and_stays() -> None:
    assert pod().ready
    assert not pod(phase="Pending").ready
    assert not pod(conditions=[{"type": "Ready", "status": "False"}]).ready
    assert not pod(conditions=[]).ready
    assert not pod(conditions=None).ready
    assert not pod({"deletionTimestamp": "2026-01-31T12:00:00Z"}).ready
    assert not pod(podIP=None).ready
    assert pod({"deletionTimestamp": None}).ready


def test_a_pod_without_status_is_not_ready() -> None:
    decoded = decoding.decode({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}})
    assert isinstance(decoded, Pod)
    assert not decoded.ready
    assert decoded.ips == ()


def test_addresses_come_in_order_and_once() -> None:
    both = [{"ip": "10.0.0.1"}, {"ip": "fd00:0:0::1"}]
    assert pod(podIPs=both).ips == ("10.0.0.1", "fd00::1")
    assert pod(podIP="", podIPs=both[1:]).ips == ("fd00::1",)


@pytest.mark.parametrize("address", ["localhost", "10.0.0.1:80", "fe80::1%eth0", "10.0.0.1\r\nx: y", "10.0.0.256"])
def test_an_address_that_is_none_sets_the_pod_aside(address: str) -> None:
    with pytest.raises(decoding.Rejected) as refused:
        pod(podIP=address)
    assert [violation.path for violation in refused.value.violations] == ["status.podIP"]


def test_labels_node_and_uid_of_a_pod_are_kept() -> None:
    found = pod({"labels": {"app": "x"}, "uid": "u-1", "namespace": "ns"})
    assert (found.metadata.key, found.metadata.uid, dict(found.metadata.labels)) == ("ns/p", "u-1", {"app": "x"})
    assert found.spec.node_name == "n"


def test_the_values_of_a_secret_are_decoded_and_plain_ones_win() -> None:
    encoded = base64.b64encode(b"\x00key").decode()
    found = secret(data={"a": encoded, "b": encoded}, stringData={"b": "plain"})
    assert found.values == {"a": b"\x00key", "b": b"plain"}


def test_a_secret_is_never_shown() -> None:
    encoded = base64.b64encode(b"hush").decode()
    assert encoded not in repr(secret(data={"a": encoded}))
    assert "hush" not in repr(secret(stringData={"a": "hush"}))
    for wrong in ({"data": {"a": "hush!"}}, {"data": {"a": ["hush"]}}, {"stringData": ["hush"]}):
        with pytest.raises(decoding.Rejected) as refused:
            secret(**wrong)
        assert "hush" not in str(refused.value)
        assert {violation.value for violation in refused.value.violations} == {decoding.HIDDEN}
