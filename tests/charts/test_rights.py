"""What the two ServiceAccounts may do, in full: a right that is not here is not given."""

import pytest

from tests.charts import helm
from tests.charts.helm import GATEWAY, NAMESPACE, WEBHOOK
from tests.charts.test_webhook_templates import MANUAL

GROUP = "networking.serving.volcano.sh"
KINDS = ("externalmodelproviders", "modelroutes", "modelservers")

READS = {(GROUP, kind, verb, "") for kind in KINDS for verb in ("list", "watch")} | {
    ("", "pods", "list", ""),
    ("", "pods", "watch", ""),
}
WRITES_STATUS = {(GROUP, kind, "get", "") for kind in KINDS[1:]} | {
    (GROUP, f"{kind}/status", "patch", "") for kind in KINDS[1:]
}
LEASE = {
    ("coordination.k8s.io", "leases", "get", GATEWAY),
    ("coordination.k8s.io", "leases", "update", GATEWAY),
}
WARNS = {(GROUP, kind, verb, "") for kind in KINDS for verb in ("list", "watch")}
TELLS = {
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations", verb, f"{WEBHOOK}-{NAMESPACE}")
    for verb in ("list", "watch", "patch")
}
KEEPS = {("", "secrets", verb, f"{WEBHOOK}-certs-auto") for verb in ("get", "update")}

Right = tuple[str, str, str, str]
"""API group, resource, verb, and the one object's name where it is restricted to it."""


def rights(rendered: helm.Rendered, account: str) -> dict[str, set[Right]]:
    """What is bound to a ServiceAccount, by namespace; "" is all of them."""
    found: dict[str, set[Right]] = {}
    for binding in [*rendered.of("RoleBinding"), *rendered.of("ClusterRoleBinding")]:
        if [subject["name"] for subject in binding["subjects"]] != [account]:
            continue
        assert binding["subjects"][0]["namespace"] == NAMESPACE
        where = binding["metadata"].get("namespace", "")
        (role,) = (
            role
            for role in rendered.of(binding["roleRef"]["kind"])
            if (role["metadata"]["name"], role["metadata"].get("namespace", "")) == (binding["roleRef"]["name"], where)
        )
        for rule in role["rules"]:
            found.setdefault(where, set()).update(
                (group, resource, verb, name)
                for group in rule["apiGroups"]
                for resource in rule["resources"]
                for verb in rule["verbs"]
                for name in rule.get("resourceNames", [""])
            )
    return found


def test_the_gateway_reads_objects_and_pods_and_writes_status() -> None:
    assert rights(helm.default(), GATEWAY) == {"": READS | WRITES_STATUS, NAMESPACE: LEASE}


def test_a_gateway_that_writes_no_status_only_reads() -> None:
    rendered = helm.render("networking.inferGateway.status.enabled=false")
    assert rights(rendered, GATEWAY) == {"": READS}
    assert rendered.environment(GATEWAY)["STATUS_UPDATES"] == "false"


def test_with_a_list_of_namespaces_there_are_roles_only() -> None:
    rendered = helm.render("networking.namespaces={team-a,team-b}", "networking.webhook.enabled=false")
    assert rights(rendered, GATEWAY) == {
        "team-a": READS | WRITES_STATUS,
        "team-b": READS | WRITES_STATUS,
        NAMESPACE: LEASE,
    }
    assert rendered.of("ClusterRole") == rendered.of("ClusterRoleBinding") == []


def test_the_releases_own_namespace_may_be_one_of_the_list() -> None:
    rendered = helm.render(f"networking.namespaces={{{NAMESPACE}}}", "networking.webhook.enabled=false")
    assert rights(rendered, GATEWAY) == {NAMESPACE: READS | WRITES_STATUS | LEASE}


@pytest.mark.parametrize("mode", [{"global": {"certManagementMode": "cert-manager"}}, MANUAL])
def test_a_release_of_some_namespaces_has_no_cluster_role_where_it_makes_no_certificate(mode: helm.Object) -> None:
    rendered = helm.render(values={**mode, "networking": {"namespaces": ["team-a"]}})
    assert rights(rendered, WEBHOOK) == {}
    assert rendered.of("ClusterRole") == rendered.of("ClusterRoleBinding") == []
    # With a certificate of its own making there is one, for what is of the whole cluster itself.
    (role,) = helm.render("networking.namespaces={team-a}").of("ClusterRole")
    assert [rule["resources"] for rule in role["rules"]] == [["validatingwebhookconfigurations"]]


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        ((), {"": WARNS | TELLS, NAMESPACE: KEEPS}),
        (("networking.webhook.clusterWarnings=false",), {"": TELLS, NAMESPACE: KEEPS}),
        (("networking.namespaces={team-a}",), {"": TELLS, NAMESPACE: KEEPS}),
        (("global.certManagementMode=cert-manager",), {"": WARNS}),
        (("global.certManagementMode=cert-manager", "networking.webhook.clusterWarnings=false"), {}),
    ],
)
def test_the_webhook_may_do_what_its_certificate_and_its_warnings_need(
    sets: tuple[str, ...], expected: dict[str, set[Right]]
) -> None:
    """Upstream's may read every Secret of the cluster and write every webhook configuration (6.4 C6)."""
    assert rights(helm.render(*sets), WEBHOOK) == expected


def test_what_is_not_to_be_created_by_the_programs_is_there() -> None:
    """A right to create cannot be bound to a name: whoever may create Secrets may have any ServiceAccount's token."""
    rendered = helm.default()
    assert rendered.one("Secret", f"{WEBHOOK}-certs-auto").get("data") is None
    assert "spec" not in rendered.one("Lease", GATEWAY)
    mounted = helm.render("global.certManagementMode=cert-manager", "networking.inferGateway.status.enabled=false")
    assert mounted.of("Secret") == mounted.of("Lease") == []
