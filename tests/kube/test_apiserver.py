import signal

import pytest

from tests.kube import apiserver
from tests.kube.apiserver import KubeApiServer


def test_a_pod_is_as_ready_as_its_status_says(kube_apiserver: KubeApiServer, kube_namespace: str) -> None:
    pod = apiserver.pod(kube_namespace, "engine-0", "10.0.0.1", {"app": "llama"})
    kube_apiserver.apply(pod)
    assert kube_apiserver.get(pod)["status"]["podIP"] == "10.0.0.1"
    kube_apiserver.set_status(pod, apiserver.pod_status("10.0.0.1", is_ready=False))
    assert kube_apiserver.get(pod)["status"]["conditions"][0]["status"] == "False"
    kube_apiserver.delete(pod, grace_seconds=30)
    assert "deletionTimestamp" in kube_apiserver.get(pod)["metadata"]
    kube_apiserver.delete(pod)
    with pytest.raises(apiserver.Refused, match="404"):
        kube_apiserver.get(pod)


def test_rights_are_those_that_are_bound(kube_apiserver: KubeApiServer, kube_namespace: str) -> None:
    token = kube_apiserver.service_account(kube_namespace, "reader")
    path = f"/api/v1/namespaces/{kube_namespace}/pods"
    with pytest.raises(apiserver.Refused, match="cannot list resource"):
        kube_apiserver.request("GET", path, token=token)


def test_a_server_that_was_killed_comes_back_with_what_it_held(own_kube_apiserver: KubeApiServer) -> None:
    namespace = own_kube_apiserver.create_namespace()
    own_kube_apiserver.stop_apiserver(signal.SIGKILL)
    with pytest.raises(OSError):  # noqa: PT011 - refused or reset, as it comes
        own_kube_apiserver.get(apiserver.namespace(namespace))
    own_kube_apiserver.start()
    assert own_kube_apiserver.get(apiserver.namespace(namespace))["metadata"]["name"] == namespace
