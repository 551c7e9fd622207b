"""What the gateway's templates make of its values."""

import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from kthena_fast.gateway import router_config
from kthena_fast.queueing import shares
from tests.charts import helm
from tests.charts.generated import CHART
from tests.charts.helm import GATEWAY, gateway, pod
from tests.image import dockerfile


def mounts(rendered: helm.Rendered) -> dict[str, str]:
    return {entry["name"]: entry["mountPath"] for entry in rendered.container(GATEWAY).get("volumeMounts", ())}


def test_it_reads_the_cluster_and_listens_where_probes_and_services_look() -> None:
    container = helm.default().container(GATEWAY)
    assert container["args"] == ["gateway", "--kubernetes", "--port=8080", "--metrics-port=9090", "--debug-port=15000"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"http": 8080, "metrics": 9090}


def test_it_is_told_the_namespaces_that_it_is_to_read() -> None:
    args = helm.render("networking.namespaces={team-a,team-b}").container(GATEWAY)["args"]
    assert args[2:4] == ["--namespace=team-a", "--namespace=team-b"]


def test_it_lives_within_what_the_first_chart_gave_it() -> None:
    assert helm.default().container(GATEWAY)["resources"] == {
        "limits": {"cpu": "500m", "memory": "512Mi"},
        "requests": {"cpu": "100m", "memory": "128Mi"},
    }


def test_the_image_is_of_the_charts_version_unless_a_tag_is_given() -> None:
    version = YAML(typ="safe", pure=True).load((CHART / "Chart.yaml").read_text())["appVersion"]
    assert helm.default().container(GATEWAY)["image"] == f"ghcr.io/volcano-sh/infer-gateway:{version}"
    # `--set tag=7` is a number.
    assert helm.render(values=gateway(image={"tag": "7"})).container(GATEWAY)["image"].endswith(":7")


def test_the_image_is_run_as_the_dockerfile_makes_it() -> None:
    image = dockerfile.read((CHART.parents[1] / "Dockerfile").read_text())[-1]
    assert image.entrypoint == ("kthena-fast",)
    for name in (GATEWAY, helm.WEBHOOK):
        # Arguments of the entrypoint.
        assert "command" not in helm.default().container(name)
        context = pod(helm.default(), name)["securityContext"]
        # What an image of one's own may lack.
        assert helm.default().environment(GATEWAY)["MALLOC_MMAP_THRESHOLD_"] == image.env["MALLOC_MMAP_THRESHOLD_"]
        assert f"{context['runAsUser']}:{context['runAsGroup']}" == image.user


def test_it_runs_as_nobody_in_a_root_that_cannot_be_written() -> None:
    rendered = helm.default()
    for name in (GATEWAY, helm.WEBHOOK):
        assert pod(rendered, name)["securityContext"]["runAsNonRoot"] is True
        assert pod(rendered, name)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        context = rendered.container(name)["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_every_probe_asks_the_metrics_port_in_plain_http_also_under_tls() -> None:
    for rendered in (helm.default(), helm.render("networking.inferGateway.tls.enabled=true")):
        container = rendered.container(GATEWAY)
        asked = {name: container[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")}
        assert asked == {
            "startupProbe": {"path": "/healthz", "port": "metrics"},
            "livenessProbe": {"path": "/healthz", "port": "metrics"},
            "readinessProbe": {"path": "/readyz", "port": "metrics"},
        }


@pytest.mark.parametrize("component", ["inferGateway", "webhook"])
@pytest.mark.parametrize("probe", ["startupProbe", "livenessProbe", "readinessProbe"])
def test_a_probe_can_be_taken_away(component: str, probe: str) -> None:
    rendered = helm.render(f"networking.{component}.{probe}=null")
    name = GATEWAY if component == "inferGateway" else helm.WEBHOOK
    left = {key for key in rendered.container(name) if key.endswith("Probe")}
    assert left == {"startupProbe", "livenessProbe", "readinessProbe"} - {probe}


@pytest.mark.parametrize("component", ["inferGateway", "webhook"])
@pytest.mark.parametrize("gone", ["resource", "resource.limits", "resource.requests", "resource.limits.memory"])
def test_resources_can_be_taken_away(component: str, gone: str) -> None:
    rendered = helm.render(f"networking.{component}.{gone}=null")
    name = GATEWAY if component == "inferGateway" else helm.WEBHOOK
    found = rendered.container(name).get("resources") or {}
    for key in gone.split(".")[1:]:
        assert found
        found = found.get(key)
    assert not found


def test_a_configuration_of_upstreams_can_be_null() -> None:
    assert "routerConfiguration" not in str(helm.render("networking.inferGateway.routerConfiguration=null").objects)


def test_a_rollout_takes_no_pod_away_before_another_is_ready() -> None:
    strategy = helm.default().one("Deployment", GATEWAY)["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def test_a_strategy_of_another_type_is_not_given_what_belongs_to_the_default() -> None:
    rendered = helm.render(values=gateway(strategy={"type": "Recreate"}))
    assert rendered.one("Deployment", GATEWAY)["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize(
    ("delay", "timeout", "seconds"),
    [("5s", "5m", 335), ("0s", "1m30s", 120), ("1500ms", "1h", 3632), ("0", "0.5h", 1830), ("1h2m3.5s", "1us", 3754)],
)
def test_the_grace_period_is_the_drain_and_half_a_minute(delay: str, timeout: str, seconds: int) -> None:
    rendered = helm.render(values=gateway(drain={"delay": delay, "timeout": timeout}))
    assert pod(rendered)["terminationGracePeriodSeconds"] == seconds
    environment = rendered.environment(GATEWAY)
    assert (environment["DRAIN_DELAY"], environment["DRAIN_TIMEOUT"]) == (delay, timeout)


def test_shares_are_a_config_map_that_the_gateway_reads_and_reloads(tmp_path: Path) -> None:
    given = {
        "default": {"share": 1},
        "groups": {"research": {"share": 3, "class": 1, "users": ["alice", "1e3", "yes"]}},
    }
    rendered = helm.render(values=gateway(fairness={"enabled": True, "shares": given}))
    path = tmp_path / "shares.yaml"
    path.write_text(rendered.one("ConfigMap", f"{GATEWAY}-shares")["data"]["shares.yaml"])
    assert shares.read(path).of("1e3") == shares.Standing(3.0, 1)
    file = rendered.environment(GATEWAY)["FAIRNESS_SHARES_FILE"]
    assert file == f"{mounts(rendered)['shares']}/shares.yaml"
    # A subPath would never change.
    assert "subPath" not in str(rendered.container(GATEWAY)["volumeMounts"])
    assert pod(rendered)["volumes"] == [{"name": "shares", "configMap": {"name": f"{GATEWAY}-shares"}}]


def test_shares_may_come_from_a_config_map_of_ones_own() -> None:
    rendered = helm.render(values=gateway(fairness={"enabled": True, "sharesConfigMap": "mine"}))
    assert rendered.of("ConfigMap") == []
    assert pod(rendered)["volumes"] == [{"name": "shares", "configMap": {"name": "mine"}}]
    assert rendered.environment(GATEWAY)["FAIRNESS_SHARES_FILE"] == "/etc/kthena/shares/shares.yaml"


def test_without_fairness_nothing_is_said_of_it() -> None:
    rendered = helm.render(values=gateway(fairness={"shares": {"default": {"share": 1}}}))
    assert [name for name in rendered.environment(GATEWAY) if name.startswith("FAIRNESS_")] == []
    assert rendered.of("ConfigMap") == []
    assert "volumes" not in pod(rendered)


def test_an_upstream_router_configuration_is_passed_on_as_it_is(tmp_path: Path) -> None:
    given = {
        "scheduler": {
            "plugins": {"Filter": {"enabled": ["least-request"]}},
            "pluginConfig": [{"name": "prefix-cache", "args": {"maxHashCacheSize": 50_000_000}}],
        }
    }
    rendered = helm.render(values=gateway(routerConfiguration=given))
    path = tmp_path / "routerConfiguration.yaml"
    path.write_text(rendered.one("ConfigMap", f"{GATEWAY}-config")["data"]["routerConfiguration.yaml"])
    assert YAML(typ="safe", pure=True).load(path.read_text()) == given
    assert router_config.read(path).scheduler.plugins.Filter.enabled == ("least-request",)
    assert (
        f"--router-config={mounts(rendered)['config']}/routerConfiguration.yaml" in rendered.container(GATEWAY)["args"]
    )


def test_engines_are_verified_against_a_config_map() -> None:
    rendered = helm.render(values=gateway(engines={"caConfigMap": "engines-ca", "caKey": "root.pem"}))
    assert rendered.environment(GATEWAY)["UPSTREAM_CA_FILE"] == f"{mounts(rendered)['engines']}/root.pem"
    assert pod(rendered)["volumes"] == [{"name": "engines", "configMap": {"name": "engines-ca"}}]
    assert "UPSTREAM_CA_FILE" not in helm.default().environment(GATEWAY)


@pytest.mark.parametrize("mode", ["auto", "cert-manager"])
def test_tls_is_on_when_it_says_so_in_every_mode(mode: str) -> None:
    """Upstream serves plain HTTP unless cert-manager makes the certificate, and says nothing (6.4 C2)."""
    rendered = helm.render(f"global.certManagementMode={mode}", "networking.inferGateway.tls.enabled=true")
    args = rendered.container(GATEWAY)["args"]
    folder = mounts(rendered)["tls"]
    assert f"--tls-cert={folder}/tls.crt" in args
    assert f"--tls-key={folder}/tls.key" in args
    assert pod(rendered)["volumes"] == [{"name": "tls", "secret": {"secretName": "infer-gateway-tls"}}]
    assert bool([found for found in rendered.of("Certificate") if found["metadata"]["name"] == GATEWAY]) == (
        mode == "cert-manager"
    )


def test_a_certificate_is_for_the_name_that_clients_use() -> None:
    tls = {
        "enabled": True,
        "dnsName": "llm.example.org",
        "secretName": "llm",
        "issuerRef": {"name": "le", "kind": "ClusterIssuer"},
    }
    given = {"global": {"certManagementMode": "cert-manager"}, **gateway(tls=tls)}
    rendered = helm.render(values=given)
    spec = rendered.one("Certificate", GATEWAY)["spec"]
    # Alone, as its comment says: one name that an issuer cannot sign, and there is no certificate at all.
    assert spec["dnsNames"] == ["llm.example.org"]
    assert spec["secretName"] == "llm"
    assert spec["issuerRef"] == tls["issuerRef"]
    assert rendered.names("Issuer") == [helm.WEBHOOK, f"{helm.WEBHOOK}-self-signed"]


def test_a_certificate_without_a_name_is_for_the_service() -> None:
    rendered = helm.render("global.certManagementMode=cert-manager", "networking.inferGateway.tls.enabled=true")
    spec = rendered.one("Certificate", GATEWAY)["spec"]
    assert spec["dnsNames"] == [f"{GATEWAY}.{helm.NAMESPACE}.svc", f"{GATEWAY}.{helm.NAMESPACE}.svc.cluster.local"]
    assert spec["issuerRef"] == {"name": GATEWAY, "kind": "Issuer"}


@pytest.mark.parametrize("name", [GATEWAY, helm.WEBHOOK])
def test_a_certificate_is_of_an_authority_that_stays_when_it_is_renewed(name: str) -> None:
    """The API server hears of a self-signed one at once, and would refuse what the pods show for another minute."""
    rendered = helm.render("global.certManagementMode=cert-manager", "networking.inferGateway.tls.enabled=true")
    assert rendered.one("Certificate", name)["spec"]["issuerRef"] == {"name": name, "kind": "Issuer"}
    secret = rendered.one("Issuer", name)["spec"]["ca"]["secretName"]
    authority = rendered.one("Certificate", f"{name}-ca")["spec"]
    assert authority["secretName"] == secret
    assert secret not in {volume["secret"]["secretName"] for volume in pod(rendered, name)["volumes"]}
    assert (authority["isCA"], authority["duration"]) == (True, "87600h")
    first = rendered.one("Issuer", authority["issuerRef"]["name"])
    assert first["spec"] == {"selfSigned": {}}


def test_the_service_is_upstreams() -> None:
    spec = helm.default().one("Service", GATEWAY)["spec"]
    assert spec["type"] == "LoadBalancer"
    assert spec["ports"] == [{"name": "http", "port": 80, "targetPort": "http"}]


def test_under_tls_the_service_is_where_https_is_looked_for() -> None:
    spec = helm.render("networking.inferGateway.tls.enabled=true").one("Service", GATEWAY)["spec"]
    assert spec["ports"] == [{"name": "https", "port": 443, "targetPort": "http"}]


def test_the_service_can_be_shaped() -> None:
    service = {
        "type": "LoadBalancer",
        "port": 8000,
        "nodePort": 30080,
        "annotations": {"cloud.example.org/internal": "true"},
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "loadBalancerClass": "example.org/lb",
        "externalTrafficPolicy": "Local",
    }
    found = helm.render(values=gateway(service=service)).one("Service", GATEWAY)
    assert found["metadata"]["annotations"] == service["annotations"]
    assert found["spec"]["ports"] == [{"name": "http", "port": 8000, "targetPort": "http", "nodePort": 30080}]
    assert found["spec"]["loadBalancerSourceRanges"] == ["10.0.0.0/8"]
    assert found["spec"]["loadBalancerClass"] == "example.org/lb"
    assert found["spec"]["externalTrafficPolicy"] == "Local"


def test_a_service_of_a_node_port_has_what_such_a_service_may_have() -> None:
    service = {"type": "NodePort", "nodePort": 30080, "externalTrafficPolicy": "Local"}
    spec = helm.render(values=gateway(service=service)).one("Service", GATEWAY)["spec"]
    assert set(spec) == {"type", "selector", "ports", "externalTrafficPolicy"}
    assert spec["ports"] == [{"name": "http", "port": 80, "targetPort": "http", "nodePort": 30080}]


def test_services_select_the_pods_of_their_component_alone() -> None:
    rendered = helm.default()
    for service in rendered.of("Service"):
        selected = [
            found["metadata"]["name"]
            for found in rendered.of("Deployment")
            if service["spec"]["selector"].items() <= found["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert selected == [service["metadata"]["name"].removesuffix("-metrics")]


def test_pod_labels_of_ones_own_cannot_take_a_pod_out_of_its_service() -> None:
    labels = {"team": "llm", "app.kubernetes.io/instance": "other"}
    rendered = helm.render(values=gateway(podLabels=labels, podAnnotations={"sidecar.istio.io/inject": "false"}))
    metadata = rendered.one("Deployment", GATEWAY)["spec"]["template"]["metadata"]
    assert metadata["labels"]["team"] == "llm"
    assert metadata["labels"]["app.kubernetes.io/instance"] == helm.RELEASE
    assert metadata["annotations"] == {"sidecar.istio.io/inject": "false"}


def test_an_autoscaler_takes_the_place_of_replicas() -> None:
    rendered = helm.render(
        values=gateway(
            replicas=4, autoscaling={"enabled": True, "maxReplicas": 9, "targetCPUUtilizationPercentage": 150}
        )
    )
    # Without a cluster; with one: test_turning_the_autoscaler_on_takes_no_pods_away.
    assert "replicas" not in rendered.one("Deployment", GATEWAY)["spec"]
    spec = rendered.one("HorizontalPodAutoscaler", GATEWAY)["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 9)
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": GATEWAY}
    assert spec["metrics"][0]["resource"]["target"] == {"type": "Utilization", "averageUtilization": 150}
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 600


@pytest.mark.parametrize("component", ["inferGateway", "webhook"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"maxUnavailable": 1}),
        ({"maxUnavailable": "25%"}, {"maxUnavailable": "25%"}),
        ({"maxUnavailable": None, "minAvailable": 2}, {"minAvailable": 2}),
        ({"maxUnavailable": 0}, {"maxUnavailable": 0}),
    ],
)
def test_a_disruption_budget_is_what_it_is_asked_to_be(
    component: str, given: helm.Object, expected: helm.Object
) -> None:
    rendered = helm.render(values={"networking": {component: {"podDisruptionBudget": {"enabled": True, **given}}}})
    name = GATEWAY if component == "inferGateway" else helm.WEBHOOK
    spec = rendered.one("PodDisruptionBudget", name)["spec"]
    assert spec.pop("selector")["matchLabels"] == rendered.one("Deployment", name)["spec"]["selector"]["matchLabels"]
    assert spec == expected


def test_pods_are_spread_over_nodes_and_each_constraint_is_given_its_selector() -> None:
    zone = {"maxSkew": 2, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
    own = {**zone, "labelSelector": {"matchLabels": {"app": "mine"}}}
    (host,) = pod(helm.default())["topologySpreadConstraints"]
    labels = helm.default().one("Deployment", GATEWAY)["spec"]["selector"]
    assert host["topologyKey"] == "kubernetes.io/hostname"
    assert host["labelSelector"] == labels
    spread = pod(helm.render(values=gateway(topologySpreadConstraints=[zone, own])))["topologySpreadConstraints"]
    assert spread[0] == {**zone, "labelSelector": labels}
    assert spread[1]["labelSelector"]["matchLabels"]["app"] == "mine"


@pytest.mark.parametrize(("component", "name"), [("inferGateway", GATEWAY), ("webhook", helm.WEBHOOK)])
def test_a_service_monitor_scrapes_the_metrics_port_once(component: str, name: str) -> None:
    values = {
        "networking": {component: {"serviceMonitor": {"enabled": True, "interval": "15s", "labels": {"release": "p"}}}}
    }
    rendered = helm.render(values=values)
    monitor = rendered.one("ServiceMonitor", name)
    assert monitor["metadata"]["labels"]["release"] == "p"
    assert monitor["spec"]["endpoints"] == [{"port": "metrics", "path": "/metrics", "interval": "15s"}]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (service,) = (found for found in rendered.of("Service") if wanted <= found["metadata"]["labels"].items())
    assert service["metadata"]["name"] == f"{name}-metrics"
    assert [port["name"] for port in service["spec"]["ports"]] == ["metrics"]


@pytest.mark.parametrize(("component", "name"), [("inferGateway", GATEWAY), ("webhook", helm.WEBHOOK)])
def test_labels_of_a_service_monitor_take_the_place_of_none_of_the_charts(component: str, name: str) -> None:
    """Both written, the reader of the YAML would choose, and refuse it where it is strict."""
    own = helm.default().one("Deployment", name)["metadata"]["labels"]
    labels = {"release": "p", **dict.fromkeys(own, "other")}
    rendered = helm.render(values={"networking": {component: {"serviceMonitor": {"enabled": True, "labels": labels}}}})
    assert rendered.one("ServiceMonitor", name)["metadata"]["labels"] == {"release": "p", **own}


def test_a_network_policy_opens_the_two_ports_and_nothing_else() -> None:
    clients = [{"namespaceSelector": {"matchLabels": {"team": "apps"}}}]
    rendered = helm.render(values=gateway(networkPolicy={"enabled": True, "clients": clients}))
    spec = rendered.one("NetworkPolicy", GATEWAY)["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    of_clients, of_scrapers = spec["ingress"]
    assert of_scrapers == {"ports": [{"port": "metrics"}]}
    assert of_clients["ports"] == [{"port": "http"}]
    assert of_clients["from"][:-1] == clients


def test_helms_test_passes_a_network_policy_that_names_who_may_ask() -> None:
    peers = [{"podSelector": {"matchLabels": {"app": "mine"}}}]
    rendered = helm.render(values=gateway(networkPolicy={"enabled": True, "clients": peers, "scrapers": peers}))
    labels = rendered.one("Pod", f"{GATEWAY}-test")["metadata"]["labels"]
    for rule in rendered.one("NetworkPolicy", GATEWAY)["spec"]["ingress"]:
        (wanted,) = (peer["podSelector"]["matchLabels"] for peer in rule["from"] if peer not in peers)
        assert wanted.items() <= labels.items()


def test_where_and_how_pods_run_is_the_operators_to_say() -> None:
    values = gateway(
        nodeSelector={"pool": "cpu"},
        tolerations=[{"key": "cpu", "operator": "Exists"}],
        affinity={"nodeAffinity": {}},
        priorityClassName="high",
        extraEnv=[{"name": "TZ", "value": "UTC"}],
        extraArgs=["--v=4"],
        extraVolumes=[{"name": "logs", "emptyDir": {}}],
        extraVolumeMounts=[{"name": "logs", "mountPath": "/logs"}],
        podSecurityContext=None,
        serviceAccount={"create": False, "name": "mine"},
    )
    values["networking"]["imagePullSecrets"] = [{"name": "registry"}]
    rendered = helm.render(values=values)
    spec, container = pod(rendered), rendered.container(GATEWAY)
    assert spec["nodeSelector"] == {"pool": "cpu"}
    assert spec["tolerations"] == [{"key": "cpu", "operator": "Exists"}]
    assert spec["affinity"] == {"nodeAffinity": {}}
    assert spec["priorityClassName"] == "high"
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert "securityContext" not in spec
    assert spec["serviceAccountName"] == "mine"
    assert GATEWAY not in rendered.names("ServiceAccount")
    assert rendered.one("ClusterRoleBinding", f"{GATEWAY}-{helm.NAMESPACE}")["subjects"][0]["name"] == "mine"
    assert container["env"][-1] == {"name": "TZ", "value": "UTC"}
    assert container["args"][-1] == "--v=4"
    assert spec["volumes"] == [{"name": "logs", "emptyDir": {}}]
    assert container["volumeMounts"] == [{"name": "logs", "mountPath": "/logs"}]


@pytest.mark.parametrize(("component", "name"), [("inferGateway", GATEWAY), ("webhook", helm.WEBHOOK)])
def test_helms_test_runs_wherever_what_it_tests_does(component: str, name: str) -> None:
    """Elsewhere than on nodes kept for the component there may be none, or none that has the image."""
    where = {
        "nodeSelector": {"pool": "cpu"},
        "tolerations": [{"key": "cpu", "operator": "Exists"}],
        "priorityClassName": "high",
        "podSecurityContext": {"runAsUser": 7},
    }
    # Without the gateway it tests the webhook alone, by its image.
    values = {"inferGateway": {"enabled": False}, component: {**where, "enabled": True}}
    rendered = helm.render(values={"networking": {"imagePullSecrets": [{"name": "registry"}], **values}})
    test, tested = rendered.one("Pod", f"{name}-test")["spec"], pod(rendered, name)
    for key in ("nodeSelector", "tolerations", "priorityClassName", "imagePullSecrets", "securityContext"):
        assert test[key] == tested[key]
        assert test[key]
    # Of the component's own neighbours it is none: rules for them could keep it from every node.
    assert "affinity" not in test
    assert "topologySpreadConstraints" not in test


@pytest.mark.parametrize(("component", "name"), [("inferGateway", GATEWAY), ("webhook", helm.WEBHOOK)])
def test_a_variable_of_ones_own_takes_the_place_of_the_charts(component: str, name: str) -> None:
    """Two of one name are what Helm's next upgrade loses one of."""
    chosen = {"LOG_LEVEL": "debug", "POD_NAMESPACE": "x", "MALLOC_MMAP_THRESHOLD_": "1"}
    own = [{"name": variable, "value": value} for variable, value in chosen.items()]
    env = helm.render(values={"networking": {component: {"extraEnv": own}}}).container(name)["env"]
    names = [entry["name"] for entry in env]
    assert len(names) == len(set(names))
    assert env[-3:] == own
    default = [entry["name"] for entry in helm.default().container(name)["env"]]
    assert set(default) <= set(names)


def check(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run what `helm test` runs in its pod."""
    (container,) = helm.default().one("Pod", f"{GATEWAY}-test")["spec"]["containers"]
    assert container["command"] == ["python", "-c"]
    return subprocess.run(
        [sys.executable, "-c", container["args"][0], *arguments], check=False, capture_output=True, text=True
    )


def test_helms_test_asks_both_programs_by_their_services() -> None:
    rendered = helm.default()
    test = rendered.one("Pod", f"{GATEWAY}-test")
    assert test["metadata"]["annotations"]["helm.sh/hook"] == "test"
    (container,) = test["spec"]["containers"]
    assert container["args"][1:] == [
        f"http://{GATEWAY}.{helm.NAMESPACE}:80/v1/models=data",
        f"http://{GATEWAY}-metrics.{helm.NAMESPACE}:9090/readyz",
        f"http://{GATEWAY}-metrics.{helm.NAMESPACE}:9090/metrics=kthena_fast_build_info",
        f"https://{helm.WEBHOOK}.{helm.NAMESPACE}.svc/healthz",
    ]
    # It asks from a pod that must not be one of the Services' own.
    for service in rendered.of("Service"):
        assert not service["spec"]["selector"].items() <= test["metadata"]["labels"].items()


def test_helms_test_says_what_does_not_answer() -> None:
    done = check("http://127.0.0.1:1/healthz")
    assert done.returncode == 1
    assert "http://127.0.0.1:1/healthz: <urlopen error [Errno 111] Connection refused>" in done.stdout
