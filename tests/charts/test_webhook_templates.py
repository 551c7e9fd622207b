"""What the webhook's templates make of its values, and how the API server is told of it."""

import base64

import pytest

from tests.charts import helm
from tests.charts.helm import NAMESPACE, WEBHOOK, pod

CONFIGURATION = f"{WEBHOOK}-{NAMESPACE}"
BUNDLE = base64.b64encode(b"-----BEGIN CERTIFICATE-----\n" + b"A" * 64 + b"\n-----END CERTIFICATE-----\n").decode()
MANUAL = {"global": {"certManagementMode": "manual", "webhook": {"caBundle": BUNDLE}}}


def webhooks(rendered: helm.Rendered) -> list[helm.Object]:
    found = rendered.one("ValidatingWebhookConfiguration", CONFIGURATION)["webhooks"]
    assert isinstance(found, list)
    return found


def flags(rendered: helm.Rendered) -> dict[str, str]:
    arguments = rendered.container(WEBHOOK)["args"]
    assert arguments[0] == "webhook"
    return dict(argument.removeprefix("--").split("=", 1) for argument in arguments[1:])


def test_creations_and_updates_of_the_three_kinds_are_reviewed_in_upstreams_names() -> None:
    asked = {entry["name"]: entry for entry in webhooks(helm.default())}
    assert list(asked) == [
        f"validate-{kind}.volcano.sh" for kind in ("modelroute", "modelserver", "externalmodelprovider")
    ]
    for name, entry in asked.items():
        kind = name.removeprefix("validate-").removesuffix(".volcano.sh")
        assert entry["rules"] == [
            {
                "apiGroups": ["networking.serving.volcano.sh"],
                "apiVersions": ["v1alpha1"],
                "operations": ["CREATE", "UPDATE"],
                "resources": [f"{kind}s"],
                "scope": "Namespaced",
            }
        ]
        assert entry["clientConfig"] == {
            "service": {"name": WEBHOOK, "namespace": NAMESPACE, "path": f"/validate/{kind}", "port": 443}
        }
        assert entry["admissionReviewVersions"] == ["v1"]
        assert entry["sideEffects"] == "None"
        assert entry["failurePolicy"] == "Fail"
        assert entry["timeoutSeconds"] == 5
        assert entry["matchPolicy"] == "Equivalent"
        (condition,) = entry["matchConditions"]
        assert "object.spec != oldObject.spec" in condition["expression"]


def test_failure_policy_and_timeout_are_values() -> None:
    for entry in webhooks(helm.render(values=helm.webhook(failurePolicy="Ignore", timeoutSeconds=10))):
        assert (entry["failurePolicy"], entry["timeoutSeconds"]) == ("Ignore", 10)


def test_the_service_leads_to_the_port_that_the_program_listens_on() -> None:
    rendered = helm.render("networking.webhook.port=9443")
    (port,) = rendered.one("Service", WEBHOOK)["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (443, "https")
    ports = {entry["name"]: entry["containerPort"] for entry in rendered.container(WEBHOOK)["ports"]}
    assert ports == {"https": 9443, "metrics": 9090}
    assert flags(rendered)["port"] == "9443"


def test_there_are_two_replicas_and_drains_of_nodes_take_one_at_a_time() -> None:
    rendered = helm.default()
    assert rendered.one("Deployment", WEBHOOK)["spec"]["replicas"] == 2
    assert rendered.one("PodDisruptionBudget", WEBHOOK)["spec"]["maxUnavailable"] == 1


def test_its_grace_period_is_its_drain_and_half_a_minute() -> None:
    spec = pod(helm.default(), WEBHOOK)
    assert spec["terminationGracePeriodSeconds"] == 45


def test_with_auto_the_webhook_makes_its_certificate_and_tells_the_api_server() -> None:
    rendered = helm.default()
    assert flags(rendered)["cert-secret-name"] == f"{WEBHOOK}-certs-auto"
    assert flags(rendered)["webhook-service-name"] == WEBHOOK
    assert flags(rendered)["webhook-configuration-name"] == CONFIGURATION
    # A mounted Secret would be there empty before it is made, and its content late.
    assert "volumeMounts" not in rendered.container(WEBHOOK)
    assert all("caBundle" not in entry["clientConfig"] for entry in webhooks(rendered))
    assert rendered.of("Certificate") == []


def test_with_cert_manager_the_certificate_is_mounted_and_the_authority_injected() -> None:
    rendered = helm.render("global.certManagementMode=cert-manager")
    certificate = rendered.one("Certificate", WEBHOOK)["spec"]
    assert certificate["dnsNames"] == [f"{WEBHOOK}.{NAMESPACE}.svc", f"{WEBHOOK}.{NAMESPACE}.svc.cluster.local"]
    assert certificate["secretName"] == f"{WEBHOOK}-certs"
    configuration = rendered.one("ValidatingWebhookConfiguration", CONFIGURATION)
    assert configuration["metadata"]["annotations"] == {"cert-manager.io/inject-ca-from": f"{NAMESPACE}/{WEBHOOK}"}
    assert all("caBundle" not in entry["clientConfig"] for entry in webhooks(rendered))
    mounted(rendered, f"{WEBHOOK}-certs")


def test_with_manual_the_secret_is_mounted_and_the_authority_given() -> None:
    rendered = helm.render(values={**MANUAL, **helm.webhook(tls={"secretName": "mine"})})
    assert {entry["clientConfig"]["caBundle"] for entry in webhooks(rendered)} == {BUNDLE}
    assert rendered.of("Certificate") == []
    mounted(rendered, "mine")


def mounted(rendered: helm.Rendered, secret: str) -> None:
    """The program is given the files of the Secret, and makes none of its own."""
    told = flags(rendered)
    assert told["cert-secret-name"] == ""
    (mount,) = rendered.container(WEBHOOK)["volumeMounts"]
    assert told["tls-cert-file"] == f"{mount['mountPath']}/tls.crt"
    assert told["tls-private-key-file"] == f"{mount['mountPath']}/tls.key"
    assert rendered.one("Deployment", WEBHOOK)["spec"]["template"]["spec"]["volumes"] == [
        {"name": mount["name"], "secret": {"secretName": secret}}
    ]


def test_an_authority_that_base64_broke_into_lines_is_joined() -> None:
    broken = "\n".join(BUNDLE[at : at + 76] for at in range(0, len(BUNDLE), 76)) + "\n"
    given = {"global": {"certManagementMode": "manual", "webhook": {"caBundle": broken}}}
    assert {entry["clientConfig"]["caBundle"] for entry in webhooks(helm.render(values=given))} == {BUNDLE}


OF_THE_CLUSTER = ("ClusterRole", "ClusterRoleBinding", "ValidatingWebhookConfiguration")


def of_the_cluster(release: str, namespace: str) -> list[tuple[str, str]]:
    """Kind and name of what lies outside namespaces; what the webhook is told of its configuration's name is so."""
    rendered = helm.render("crds.enabled=false", release=release, namespace=namespace)
    configuration = f"--webhook-configuration-name={rendered.of(OF_THE_CLUSTER[-1])[0]['metadata']['name']}"
    (deployment,) = (found for found in rendered.names("Deployment") if found.endswith("-webhook"))
    assert configuration in rendered.container(deployment)["args"]
    return [(kind, name) for kind in OF_THE_CLUSTER for name in rendered.names(kind)]


@pytest.mark.parametrize(
    "installed",
    [
        [("x-webhook", "y"), ("x", "webhook-y")],
        [("x-infer-gateway", "y"), ("x", "infer-gateway-y")],
        # The gateway's of one, and the webhook's of the other.
        [("x-webhook-y", "z"), ("x", "y-infer-gateway-z")],
        [("x", "webhook-webhook-y"), ("x-webhook", "webhook-y"), ("x-webhook-webhook", "y")],
    ],
)
def test_no_two_releases_have_an_object_of_one_name_outside_namespaces(installed: list[tuple[str, str]]) -> None:
    """Nor, so, one's webhook the rights on the configuration of another's."""
    found = [name for release in installed for name in of_the_cluster(*release)]
    assert len(found) == len(set(found)) == 5 * len(installed)


@pytest.mark.parametrize(
    ("release", "namespace"),
    [("kthena", "kthena-system"), ("infer-gateway", "x"), ("kthena", "infer-gateway"), ("webhook", "webhook")],
)
def test_a_name_that_can_be_read_in_one_way_is_without_a_hash(release: str, namespace: str) -> None:
    names = {name for _, name in of_the_cluster(release, namespace)}
    assert names == {f"{release}-infer-gateway-{namespace}", f"{release}-webhook-{namespace}"}


def test_with_a_list_of_namespaces_objects_elsewhere_are_not_its_business() -> None:
    rendered = helm.render("networking.namespaces={team-a,team-b}")
    for entry in webhooks(rendered):
        assert entry["namespaceSelector"] == {
            "matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["team-a", "team-b"]}
            ]
        }
    assert flags(rendered)["cluster-warnings"] == "false"
    assert flags(helm.default())["cluster-warnings"] == "true"


def test_every_probe_asks_the_metrics_port_which_is_open_before_there_is_a_certificate() -> None:
    container = helm.render(values=helm.webhook(livenessProbe={"initialDelaySeconds": 3})).container(WEBHOOK)
    assert {name: container[name].pop("httpGet") for name in ("startupProbe", "livenessProbe", "readinessProbe")} == {
        "startupProbe": {"path": "/healthz", "port": "metrics"},
        "livenessProbe": {"path": "/healthz", "port": "metrics"},
        "readinessProbe": {"path": "/readyz", "port": "metrics"},
    }
    assert container["livenessProbe"] == {
        "initialDelaySeconds": 3,
        "periodSeconds": 10,
        "timeoutSeconds": 5,
        "failureThreshold": 3,
    }


def test_its_network_policy_opens_its_two_ports_to_everybody_and_nothing_else() -> None:
    assert helm.default().of("NetworkPolicy") == []
    rendered = helm.render("networking.webhook.networkPolicy.enabled=true")
    spec = rendered.one("NetworkPolicy", WEBHOOK)["spec"]
    assert spec["podSelector"] == rendered.one("Deployment", WEBHOOK)["spec"]["selector"]
    assert spec["policyTypes"] == ["Ingress"]
    # By name: where the API server calls from is not known.
    assert spec["ingress"] == [{"ports": [{"port": "https"}, {"port": "metrics"}]}]
    assert {port["port"] for port in spec["ingress"][0]["ports"]} == {
        port["name"] for port in rendered.container(WEBHOOK)["ports"]
    }


def test_a_rollout_takes_no_replica_away_before_another_is_ready() -> None:
    strategy = helm.default().one("Deployment", WEBHOOK)["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    recreated = helm.render(values=helm.webhook(strategy={"type": "Recreate"}))
    assert recreated.one("Deployment", WEBHOOK)["spec"]["strategy"] == {"type": "Recreate"}


def test_its_replicas_are_spread_over_nodes_and_each_constraint_is_given_its_selector() -> None:
    selector = helm.default().one("Deployment", WEBHOOK)["spec"]["selector"]
    zone = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
    host = {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
    assert pod(helm.default(), WEBHOOK)["topologySpreadConstraints"] == [{**host, "labelSelector": selector}]
    rendered = helm.render(values=helm.webhook(topologySpreadConstraints=[zone]))
    assert pod(rendered, WEBHOOK)["topologySpreadConstraints"] == [{**zone, "labelSelector": selector}]
    assert "topologySpreadConstraints" not in pod(
        helm.render(values=helm.webhook(topologySpreadConstraints=[])), WEBHOOK
    )


def test_where_and_how_its_pods_run_is_the_operators_to_say() -> None:
    values = helm.webhook(
        replicas=3,
        nodeSelector={"pool": "system"},
        tolerations=[{"key": "CriticalAddonsOnly", "operator": "Exists"}],
        affinity={"podAntiAffinity": {}},
        priorityClassName="system-cluster-critical",
        podLabels={"team": "llm", "app.kubernetes.io/component": "other"},
        podAnnotations={"sidecar.istio.io/inject": "false"},
        image={"repository": "example.org/webhook", "tag": "7", "pullPolicy": "Always", "args": ["--v=4"]},
        resource={"limits": {"memory": "1Gi"}},
        podSecurityContext=None,
        securityContext={"runAsUser": 1000},
        extraEnv=[{"name": "TZ", "value": "UTC"}],
        extraVolumes=[{"name": "more", "emptyDir": {}}],
        extraVolumeMounts=[{"name": "more", "mountPath": "/more"}],
        serviceAccount={"create": False, "name": "mine"},
    )
    values["networking"]["imagePullSecrets"] = [{"name": "registry"}]
    rendered = helm.render(values=values)
    deployment = rendered.one("Deployment", WEBHOOK)["spec"]
    spec, container = pod(rendered, WEBHOOK), rendered.container(WEBHOOK)
    assert deployment["replicas"] == 3
    assert spec["nodeSelector"] == {"pool": "system"}
    assert spec["tolerations"] == [{"key": "CriticalAddonsOnly", "operator": "Exists"}]
    assert spec["affinity"] == {"podAntiAffinity": {}}
    assert spec["priorityClassName"] == "system-cluster-critical"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert "securityContext" not in spec
    assert spec["serviceAccountName"] == "mine"
    assert WEBHOOK not in rendered.names("ServiceAccount")
    for kind, name in (("ClusterRoleBinding", CONFIGURATION), ("RoleBinding", WEBHOOK)):
        assert [subject["name"] for subject in rendered.one(kind, name)["subjects"]] == ["mine"]
    metadata = deployment["template"]["metadata"]
    assert metadata["labels"] == {**deployment["selector"]["matchLabels"], "team": "llm"}
    assert metadata["annotations"] == {"sidecar.istio.io/inject": "false"}
    assert (container["image"], container["imagePullPolicy"]) == ("example.org/webhook:7", "Always")
    assert container["args"][-1] == "--v=4"
    assert container["resources"]["limits"] == {"cpu": "500m", "memory": "1Gi"}
    assert container["securityContext"]["runAsUser"] == 1000
    assert container["env"][-1] == {"name": "TZ", "value": "UTC"}
    assert spec["volumes"] == [{"name": "more", "emptyDir": {}}]
    assert container["volumeMounts"] == [{"name": "more", "mountPath": "/more"}]


@pytest.mark.parametrize("mode", [{"global": {"certManagementMode": "cert-manager"}}, MANUAL])
def test_volumes_of_ones_own_stand_beside_that_of_the_certificate(mode: helm.Object) -> None:
    own = {
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
    }
    rendered = helm.render(values={**mode, **helm.webhook(**own)})
    assert [volume["name"] for volume in pod(rendered, WEBHOOK)["volumes"]] == ["certs", "more"]
    assert [mount["name"] for mount in rendered.container(WEBHOOK)["volumeMounts"]] == ["certs", "more"]


def test_its_service_account_may_have_a_name_and_annotations() -> None:
    account = {"name": "checker", "annotations": {"example.org/identity": "checker"}}
    rendered = helm.render(values=helm.webhook(serviceAccount=account))
    assert rendered.one("ServiceAccount", "checker")["metadata"]["annotations"] == account["annotations"]
    assert pod(rendered, WEBHOOK)["serviceAccountName"] == "checker"


@pytest.mark.parametrize(("warnings", "mounts"), [(True, True), (False, False)])
def test_a_webhook_that_asks_the_api_server_nothing_is_given_no_token(warnings: bool, mounts: bool) -> None:
    rendered = helm.render(values={**MANUAL, **helm.webhook(clusterWarnings=warnings)})
    spec = rendered.one("Deployment", WEBHOOK)["spec"]["template"]["spec"]
    assert spec.get("automountServiceAccountToken", True) is mounts
