"""What the webhook's templates make of its values, and how the API server is told of it."""

import base64

import pytest

from tests.charts import helm
from tests.charts.helm import NAMESPACE, WEBHOOK

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
    spec = helm.default().one("Deployment", WEBHOOK)["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] == 45


def test_with_auto_the_webhook_makes_its_certificate_and_tells_the_api_server() -> None:
    rendered = helm.default()
    assert flags(rendered)["cert-secret-name"] == f"{WEBHOOK}-certs"
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


@pytest.mark.parametrize(("warnings", "mounts"), [(True, True), (False, False)])
def test_a_webhook_that_asks_the_api_server_nothing_is_given_no_token(warnings: bool, mounts: bool) -> None:
    rendered = helm.render(values={**MANUAL, **helm.webhook(clusterWarnings=warnings)})
    spec = rendered.one("Deployment", WEBHOOK)["spec"]["template"]["spec"]
    assert spec.get("automountServiceAccountToken", True) is mounts
