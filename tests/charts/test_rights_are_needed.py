"""No right is there that is not used: each of the rendered ones, taken away, is asked for in vain."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.charts import helm, test_end_to_end, test_rights
from tests.charts.helm import GATEWAY, WEBHOOK
from tests.charts.running import Program, Release, until
from tests.charts.test_rights import Right
from tests.kube import apiserver
from tests.kube.apiserver import KubeApiServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ROLES = ("Role", "ClusterRole")


def without(role: helm.Object, right: Right) -> helm.Object:
    """A role with one right less."""
    group, resource, verb, name = right
    rules = []
    for rule in role["rules"]:
        for one in rule["resources"]:
            single = {**rule, "resources": [one]}
            if rule["apiGroups"] == [group] and one == resource and rule.get("resourceNames", [""]) == [name]:
                single["verbs"] = [left for left in rule["verbs"] if left != verb]
            if single["verbs"]:
                rules.append(single)
    return {**role, "rules": rules}


def may(release: Release, account: str, right: Right, namespace: str) -> bool:
    group, resource, verb, name = right
    resource, _, subresource = resource.partition("/")
    attributes = {"group": group, "resource": resource, "subresource": subresource, "verb": verb, "name": name}
    spec = {
        "user": f"system:serviceaccount:{release.namespace}:{account}",
        "groups": ["system:serviceaccounts", "system:authenticated"],
        "resourceAttributes": {**attributes, "namespace": namespace},
    }
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    return bool(release.server.request("POST", path, review)["status"]["allowed"])


@contextlib.contextmanager
def taken(release: Release, account: str, right: Right, namespace: str) -> Iterator[None]:
    """A ServiceAccount without one of its rights."""
    roles = [
        role for kind in ROLES for role in release.rendered.of(kind) if role["metadata"]["name"].startswith(account)
    ]
    assert may(release, account, right, namespace)
    try:
        release.server.apply(*(without(role, right) for role in roles))
        until(lambda: not may(release, account, right, namespace), f"{account} may no longer {right}")
        yield
    finally:
        release.server.apply(*roles)
        until(lambda: may(release, account, right, namespace), f"{account} may again {right}")


def is_denied(program: Program, right: Right) -> bool:
    """Whether the log says that it asked for what it may not, as the API server says it."""
    group, resource, verb, _ = right
    return f'cannot {verb} resource "{resource}" in API group "{group}"' in program.log


def where(right: Right) -> str:
    """The namespace in which a right is bound; empty: all."""
    return helm.NAMESPACE if right in test_rights.LEASE | test_rights.KEEPS else ""


def denied(release: Release, deployment: str, right: Right, meanwhile: Callable[[], object] = lambda: None) -> None:
    with taken(release, deployment, right, where(right)):
        program = release.start(deployment)
        try:
            meanwhile()
            until(lambda: is_denied(program, right) or not program.is_running, f"{deployment} asks for {right}")
            assert is_denied(program, right), program.log
        finally:
            program.stop()


@pytest.fixture(scope="module")
def objects(server: KubeApiServer, release: Release) -> list[helm.Object]:
    """Whose status is to be written, and a selector that has pods be watched. No webhook is running here."""
    server.delete(*release.rendered.of("ValidatingWebhookConfiguration"))
    namespace = server.create_namespace()
    made = [test_end_to_end.route(namespace, "m", "m", "m"), test_end_to_end.model_server(namespace, "m", 8000)]
    server.apply(*made, apiserver.pod(namespace, "m-0", "10.0.0.1", {"app": "m"}))
    return made


@pytest.mark.parametrize(
    "right", sorted(test_rights.READS | test_rights.WRITES_STATUS | test_rights.LEASE), ids="-".join
)
def test_the_gateway_needs_each_of_its_rights(release: Release, objects: list[helm.Object], right: Right) -> None:
    for found in objects:
        # What it said before would stand.
        release.server.set_status(found, {"conditions": None})
        release.server.patch(found, {"spec": found["spec"]})
    is_reread = right[1:3] in {("modelroutes", "get"), ("modelservers", "get")}
    denied(release, GATEWAY, right, (lambda: change(release.server, objects)) if is_reread else lambda: None)


def change(server: KubeApiServer, objects: list[helm.Object]) -> None:
    """Have something else be found of each, once what lists showed of them is written: then it is read by itself."""
    until(lambda: all(server.get(found).get("status", {}).get("conditions") for found in objects), "both are written")
    route, model_server = objects
    server.patch(route, {"spec": {"rules": [{"targetModels": [{"modelServerName": "nowhere"}]}]}})
    server.patch(model_server, {"spec": {"workloadSelector": {"matchLabels": {"app": "nobody"}}}})


@pytest.mark.parametrize("right", sorted(test_rights.WARNS | test_rights.TELLS | test_rights.KEEPS), ids="-".join)
def test_the_webhook_needs_each_of_its_rights(release: Release, right: Right) -> None:
    server = release.server
    server.apply(*release.rendered.of("ValidatingWebhookConfiguration"), *release.rendered.of("Secret"))
    # As on the first day.
    server.patch(release.rendered.one("Secret", f"{WEBHOOK}-certs-auto"), {"data": None})
    denied(release, WEBHOOK, right)
