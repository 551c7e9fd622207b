"""What Helm says of values that cannot be: the key, the value, and what is allowed."""

import re
from typing import Any

import pytest

from kthena_fast import settings
from tests.charts import helm, values
from tests.charts.generated import CHART

FAIRNESS = "networking.inferGateway.fairness"


def refusal(*sets: str, values: dict[str, Any] | None = None) -> str:
    with pytest.raises(helm.Refused) as refused:
        helm.render(*sets, values=values)
    return str(refused.value)


@pytest.mark.parametrize(
    "window", ["2h", "30s", "59s", "61m", "3601s", "60m1s", "0", "10", "10 m", "-5m", "ten minutes", "1.5"]
)
def test_a_window_out_of_range_is_refused_with_the_range(window: str) -> None:
    # As a file has it: `--set` would make numbers of some.
    said = refusal(values=helm.gateway(fairness={"windowSize": window}))
    (line,) = said.strip().splitlines()[2:]
    assert line.endswith("fairness/windowSize': value must be 'a duration from 1m to 1h, such as 90s, 10m or 1h'")


@pytest.mark.parametrize("window", ["1m", "60s", "90s", "1m30s", "10m", "59m59s", "60m", "3600s", "1h"])
def test_a_window_in_range_reaches_the_gateway(window: str) -> None:
    rendered = helm.render(f"{FAIRNESS}.enabled=true", f"{FAIRNESS}.windowSize={window}")
    assert rendered.environment(helm.GATEWAY)["FAIRNESS_WINDOW_SIZE"] == window


@pytest.mark.parametrize(
    "key", ["inputTokenWeight", "outputTokenWeight", "priorityTokenWeight", "priorityRequestNumWeight"]
)
def test_a_weight_out_of_range_is_refused_with_the_range(key: str) -> None:
    # To `--set` what is no whole number is a text.
    for weight in ("-1", "-0.5", "1000001", "1000000.5", "1e400", "much"):
        said = refusal(f"{FAIRNESS}.{key}={weight}")
        assert (
            f"at '/networking/inferGateway/fairness/{key}': value must be 'a number from 0 to 1000000, such as 2.5'"
            in said
        )


@pytest.mark.parametrize("weight", ["1000000", "1000000.0", "999999.5", "0.001", "007"])
def test_a_weight_in_range_reaches_the_gateway(weight: str) -> None:
    rendered = helm.render(f"{FAIRNESS}.enabled=true", f"{FAIRNESS}.outputTokenWeight={weight}")
    assert float(rendered.environment(helm.GATEWAY)["FAIRNESS_OUTPUT_TOKEN_WEIGHT"]) == float(weight)


def test_a_weight_that_helm_writes_as_a_power_of_ten_is_read_as_what_it_is() -> None:
    rendered = helm.render(values=helm.gateway(fairness={"enabled": True, "inputTokenWeight": 0.0000001}))
    told = settings.read(rendered.environment(helm.GATEWAY), pytest.fail)
    assert told.fairness_input_token_weight == 0.0000001


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("networking.inferGateway.fairnes.enabled=true", "inferGateway': additional properties 'fairnes' not allowed"),
        (
            f"{FAIRNESS}.window=10m",
            "at '/networking/inferGateway/fairness': additional properties 'window' not allowed",
        ),
        ("gateway.replicas=2", "at '': additional properties 'gateway' not allowed"),
        ("networking.inferGateway.replicas=two", "at '/networking/inferGateway/replicas': got string, want integer"),
        ("networking.inferGateway.replicas=-1", "at '/networking/inferGateway/replicas': minimum: got -1, want 0"),
        (f"{FAIRNESS}.enabled=yes", "at '/networking/inferGateway/fairness/enabled': got string, want boolean"),
        (f"{FAIRNESS}.windowSize=10", "fairness/windowSize': value must be 'a duration from 1m to 1h, such as"),
        (f"{FAIRNESS}.policy=fair", "fairness/policy': value must be one of 'window', 'vtc'"),
        (f"{FAIRNESS}.maxQueue=0", "fairness/maxQueue': minimum: got 0, want 1"),
        (f"{FAIRNESS}.queueTimeout=0s", "a duration above 0, such as 300ms, 10s or 5m"),
        (f"{FAIRNESS}.userSources[0]=jwt:sub", "value must be 'one of body:FIELD, header:NAME and anonymous'"),
        (f"{FAIRNESS}.userSources[0]=body:a\\,b", "value must be 'one of body:FIELD, header:NAME and anonymous'"),
        (f"{FAIRNESS}.userSources[0]=header:X User", "value must be 'one of body:FIELD, header:NAME and anonymous'"),
        (f"{FAIRNESS}.imageTokens=100001", "fairness/imageTokens': maximum: got 100,001, want 100,000"),
        ("networking.inferGateway.limits.maxBufferedBytes=9999999999GiB", "a number of bytes above 0, such as 65536"),
        (f"{FAIRNESS}.maxUsers=16777217", "fairness/maxUsers': value must be 'a whole number from 1 to 16777216'"),
        (f"{FAIRNESS}.topUsers=513", "fairness/topUsers': maximum: got 513, want 512"),
        (f"{FAIRNESS}.shares.users.alice.share=0", "fairness/shares/users/alice/share': minimum: got 0, want 0.001"),
        (f"{FAIRNESS}.shares.users.alice.shares=2", "additional properties 'shares' not allowed"),
        ("networking.inferGateway.port=99999", "at '/networking/inferGateway/port': maximum: got 99,999, want 65,535"),
        (
            "networking.inferGateway.limits.maxBodyBytes=32MB",
            "a number of bytes above 0, such as 65536, 64KiB or 32MiB",
        ),
        ("networking.inferGateway.limits.maxBodyBytes=0", "a number of bytes above 0, such as 65536, 64KiB or 32MiB"),
        ("networking.inferGateway.drain.delay=5", "a duration of 0 or more, such as 0s, 10s or 5m"),
        ("networking.inferGateway.drain.timeout=1.2.3s", "a duration above 0, such as 300ms, 10s or 5m"),
        ("networking.inferGateway.drain.timeout=9999999h", "a duration above 0, such as 300ms, 10s or 5m"),
        ("networking.inferGateway.drain.timeout=soon", "a duration above 0, such as 300ms, 10s or 5m"),
        (
            "networking.inferGateway.image.repository=example.org/gateway:7",
            "an image without its tag, such as ghcr.io/volcano-sh/infer-gateway",
        ),
        ("networking.inferGateway.image.repository=", "an image without its tag, such as"),
        ("networking.webhook.image.repository=https://example.org/gateway", "an image without its tag, such as"),
        ("networking.webhook.image.tag=:7", "empty or the tag of an image, such as 0.1.0"),
        ("networking.inferGateway.tls.dnsName=http://x", "a host name, such as llm.example.org"),
        ("networking.inferGateway.trustedProxies={proxy}", "an address or a network, such as 10.0.0.0/8 or fd00::/8"),
        ("networking.inferGateway.trustedProxies={10.0.0.256}", "an address or a network, such as"),
        ("networking.inferGateway.trustedProxies={10.0.0.0/33}", "an address or a network, such as"),
        ("networking.inferGateway.trustedProxies={fd00::/129}", "an address or a network, such as"),
        ("networking.inferGateway.trustedProxies={fd00}", "an address or a network, such as"),
        ("networking.inferGateway.trustedProxies={1:2:3:4:5:6:7:8:9}", "an address or a network, such as"),
        ("networking.inferGateway.service.loadBalancerSourceRanges={10.0.0.1}", "a network, such as 10.0.0.0/8"),
        ("networking.inferGateway.service.loadBalancerSourceRanges={office}", "a network, such as 10.0.0.0/8"),
        ("networking.inferGateway.service.nodePort=0", "service/nodePort': minimum: got 0, want 1"),
        ("networking.inferGateway.service.nodePort=70000", "service/nodePort': maximum: got 70,000, want 65,535"),
        ("networking.inferGateway.accessLog.output=access.log", "stdout, stderr or the whole path of a file"),
        ("networking.inferGateway.engines.caKey=../ca.crt", "a key of a ConfigMap, such as ca.crt"),
        ("networking.inferGateway.routerConfiguration.scheduler=least-request", "scheduler': got string, want null or"),
        ("networking.inferGateway.extraArgs={verbose}", "a flag of `kthena-fast gateway` with its value, in one text"),
        ("networking.inferGateway.extraArgs={--v,4}", "extraArgs/0': value must be 'a flag of `kthena-fast gateway`"),
        ("networking.inferGateway.extraArgs={--v=four}", "a flag of `kthena-fast gateway` with its value, in one text"),
        ("networking.inferGateway.extraArgs[0].v=4", "a flag of `kthena-fast gateway` with its value, in one text"),
        ("networking.webhook.image.args={--prot=8443}", "a flag of `kthena-fast webhook` with its value, in one text"),
        (
            "networking.inferGateway.service.type=ExternalName",
            "value must be one of 'LoadBalancer', 'ClusterIP', 'NodePort'",
        ),
        ("networking.webhook.failurePolicy=fail", "value must be one of 'Fail', 'Ignore'"),
        ("networking.webhook.timeoutSeconds=31", "at '/networking/webhook/timeoutSeconds': maximum: got 31, want 30"),
        (
            "networking.inferGateway.resource.limits.memory=1Gib",
            "resource/limits/memory': value must be 'a quantity such as 500m, 2 or 512Mi'",
        ),
        ("networking.webhook.resource.limits.memory=600000K", "memory': value must be 'a quantity such as 500m, 2 or"),
        ("networking.webhook.resource.requests.cpu=-1", "cpu': value must be 'a quantity such as 500m, 2 or 512Mi'"),
        ("networking.nameOverride=Mine", "a name that begins with a letter and has no dots, such as my-name"),
        ("networking.nameOverride=my.name", "a name that begins with a letter and has no dots, such as my-name"),
        ("networking.nameOverride=1st", "a name that begins with a letter and has no dots, such as my-name"),
        ("networking.webhook.tls.secretName=Mine", "a name as Kubernetes gives them, such as my-name"),
        ("networking.namespaces[0]=Team_A", "the name of a namespace, such as team-a"),
        ("networking.namespaces[0]=team.a", "the name of a namespace, such as team-a"),
        ("global.certManagementMode=self-signed", "value must be one of 'auto', 'cert-manager', 'manual'"),
        ("global.webhook.caBundle=-----BEGIN", "base64 of a PEM certificate"),
        ("crds.enable=false", "at '/crds': additional properties 'enable' not allowed"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(assignment: str, said: str) -> None:
    assert said in refusal(assignment)


@pytest.mark.parametrize(
    ("assignments", "said"),
    [
        (
            ["networking.kthenaRouter.fairness.enabled=true"],
            "a key of Kthena's own chart: here it is networking.inferGateway",
        ),
        (["global.certManager.enabled=false"], "here it is global.certManagementMode"),
        (["global.certManagementMode=manual"], "global.webhook.caBundle is empty"),
        (
            ["networking.webhook.image.args={--port=9443}"],
            'image.args has "--port=9443": the port is set by networking.webhook.port',
        ),
        (
            ["networking.webhook.image.args={--metrics-port=1}"],
            'image.args has "--metrics-port=1": it is set by networking.webhook.metrics.port',
        ),
        (
            ["networking.inferGateway.extraArgs={--namespace=a}"],
            'extraArgs has "--namespace=a": it is set by networking.namespaces',
        ),
        (
            ["networking.inferGateway.extraArgs={--port=1}"],
            'extraArgs has "--port=1": it is set by networking.inferGateway.port',
        ),
        (
            ["networking.inferGateway.extraArgs={--backend=http://engine}"],
            'extraArgs has "--backend=http://engine": a gateway of the chart reads its objects from the cluster',
        ),
        (
            ["networking.inferGateway.extraArgs={--enable-gateway-api=true}"],
            'extraArgs has "--enable-gateway-api=true": the Gateway API is not built yet',
        ),
        (
            ["networking.webhook.image.args={--cluster-warnings=false}"],
            'image.args has "--cluster-warnings=false": it is set by networking.webhook.clusterWarnings',
        ),
        (
            ["networking.inferGateway.limits.maxBodyBytes=300MiB"],
            "limits.maxBodyBytes is 300MiB: it must be at most maxBufferedBytes, which is 256MiB",
        ),
        (
            [
                "networking.inferGateway.limits.maxBodyBytes=2000000",
                "networking.inferGateway.limits.maxBufferedBytes=1MiB",
            ],
            "limits.maxBodyBytes is 2000000: it must be at most maxBufferedBytes, which is 1MiB",
        ),
        (
            ["networking.inferGateway.trustedProxies={10.0.0.1/8}"],
            'trustedProxies has "10.0.0.1/8", which is neither an address nor a network: the address has no /8, and',
        ),
        (
            ["networking.inferGateway.routerConfiguration.auth.jwksUri=https://keys"],
            'routerConfiguration.auth.jwksUri is "https://keys": it must be left out',
        ),
        (
            ["networking.inferGateway.accessLog.output=/logs/access.log"],
            "accessLog.output is /logs/access.log: it must be on a volume of networking.inferGateway.extraVolumeMounts",
        ),
        (
            [f"{FAIRNESS}.enabled=true", f"{FAIRNESS}.inputTokenWeight=0", f"{FAIRNESS}.outputTokenWeight=0"],
            "inputTokenWeight or outputTokenWeight must be above 0",
        ),
        ([f"{FAIRNESS}.enabled=true", f"{FAIRNESS}.priorityTokenWeight=0.0"], "and priorityTokenWeight with it"),
        (
            [
                f"{FAIRNESS}.enabled=true",
                f"{FAIRNESS}.shares.weights.inputToken=0",
                f"{FAIRNESS}.shares.weights.outputToken=0",
            ],
            "inputTokenWeight or outputTokenWeight must be above 0",
        ),
        (
            [f"{FAIRNESS}.enabled=true", f"{FAIRNESS}.outputTokenWeight=2000", f"{FAIRNESS}.priorityTokenWeight=1000"],
            "outputTokenWeight times priorityTokenWeight is 2000000: it must be at most 1000000",
        ),
        (
            [f"{FAIRNESS}.shares.default.share=1", f"{FAIRNESS}.sharesConfigMap=mine"],
            "are both set: it must be one of them",
        ),
        (
            ["networking.inferGateway.autoscaling.enabled=true", "networking.inferGateway.autoscaling.minReplicas=9"],
            "minReplicas is 9: it must be at most maxReplicas, which is 5",
        ),
        (["networking.inferGateway.metrics.port=8080"], "must differ"),
        (
            ["networking.webhook.metrics.port=8443"],
            "networking.webhook.metrics.port is 8443, which is networking.webhook.port too",
        ),
        (
            ["networking.webhook.podDisruptionBudget.minAvailable=1"],
            "networking.webhook.podDisruptionBudget has both or neither",
        ),
    ],
)
def test_what_the_schema_cannot_say_a_template_does(assignments: list[str], said: str) -> None:
    assert said in refusal(*assignments)


@pytest.mark.parametrize(
    ("type_", "key", "value", "types"),
    [
        ("ClusterIP", "nodePort", 30080, "LoadBalancer or NodePort"),
        ("ClusterIP", "externalTrafficPolicy", "Local", "LoadBalancer or NodePort"),
        *((of, "loadBalancerSourceRanges", ["10.0.0.0/8"], "LoadBalancer") for of in ("ClusterIP", "NodePort")),
        *((of, "loadBalancerClass", "example.org/lb", "LoadBalancer") for of in ("ClusterIP", "NodePort")),
    ],
)
def test_what_a_service_of_that_type_does_not_have_is_refused(type_: str, key: str, value: Any, types: str) -> None:
    """Left out, it would be missed when it counts: ranges keep networks away."""
    said = refusal(values=helm.gateway(service={"type": type_, key: value}))
    assert (
        f"networking.inferGateway.service.{key} is set, which a Service of type {type_} does not have: leave it out, "
        f"or set service.type to {types}\n"
    ) in said


@pytest.mark.parametrize("component", ["inferGateway", "webhook"])
@pytest.mark.parametrize(
    "repository",
    [
        *("ghcr.io/volcano-sh/kthena-router", "registry.example.org:5000/mirror/kthena-router", "kthena-router"),
        *(
            "ghcr.io/volcano-sh/infer-gateway-webhook",
            "ghcr.io/volcano-sh/infer-router",
            "example.org/infer-router-webhook",
        ),
    ],
)
def test_an_image_of_kthenas_own_programs_is_refused_with_what_to_do(component: str, repository: str) -> None:
    """Values that come from its chart have it, and its program would be started with flags of ours."""
    said = refusal(f"networking.{component}.image.repository={repository}")
    assert (
        f"networking.{component}.image.repository is {repository}, by which Kthena calls a program of its own" in said
    )
    assert "leave image out, tag included, or name an image that is built from this product's Dockerfile" in said


@pytest.mark.parametrize(
    "repository",
    [
        *("registry.example.org:5000/volcano-sh/infer-gateway", "kthena-router/infer-gateway", "kthena-fast"),
        *("example.org/not-kthena-router", "example.org/kthena-router/fast", "example.org/webhook"),
    ],
)
def test_a_copy_of_the_image_may_be_anywhere(repository: str) -> None:
    assignments = [f"networking.{component}.image.repository={repository}" for component in ("inferGateway", "webhook")]
    rendered = helm.render(*assignments)
    for name in (helm.GATEWAY, helm.WEBHOOK):
        assert rendered.container(name)["image"].rpartition(":")[0] == repository


@pytest.mark.parametrize("release", ["1st", "team.a"])
def test_a_release_by_which_no_service_can_be_called_is_refused(release: str) -> None:
    with pytest.raises(helm.Refused) as refused:
        helm.render(release=release)
    assert f'the release is called "{release}", by which Services cannot be called' in str(refused.value)
    assert helm.render("networking.nameOverride=first", release=release).of("Service")


KEYS_ELSEWHERE = [(section, key) for section, keys in values.ELSEWHERE.items() for key in keys]


@pytest.mark.parametrize(("section", "key"), KEYS_ELSEWHERE, ids=[".".join(pair) for pair in KEYS_ELSEWHERE])
def test_a_key_of_kthenas_own_charts_is_refused_with_what_became_of_it(section: str, key: str) -> None:
    name = ".".join(part for part in (section, key) if part)
    said = refusal(f"{name}.enabled=false")
    assert f"\n  {name}" in said
    assert re.search(r": here it is |: it |: leave it in a release of that one", said)


def test_values_of_kthenas_router_are_refused_key_by_key_once_their_section_is_renamed() -> None:
    """What somebody who moves has in a values file, `kthenaRouter` already written as `inferGateway`."""
    router = {
        "drainTimeout": "5m",
        "terminationGracePeriodSeconds": 330,
        "sessionBoost": {"enabled": False},
        "webhook": {"enabled": True, "servicePort": 443},
        "fairness": {"enabled": True, "windowSize": "1h"},
    }
    said = refusal(values=helm.gateway(**router))
    assert said.count("\n  networking.inferGateway.") == 4
    assert "networking.inferGateway.drainTimeout is not a key here: it is networking.inferGateway.drain.timeout" in said


@pytest.mark.parametrize(
    ("assignment", "missing"),
    [
        ("networking.inferGateway=null", "at '/networking': missing property 'inferGateway'"),
        ("networking.inferGateway.replicas=null", "at '/networking/inferGateway': missing property 'replicas'"),
        ("networking.webhook.tls=null", "at '/networking/webhook': missing property 'tls'"),
        ("global.webhook=null", "at '/global': missing property 'webhook'"),
        ("global=null", "at '': missing property 'global'"),
        ("crds=null", "at '': missing property 'crds'"),
    ],
)
def test_a_default_that_is_needed_cannot_be_taken_away(assignment: str, missing: str) -> None:
    said = refusal(assignment)
    assert missing in said
    place = missing.partition(":")[0]
    assert f"{place}: value must be 'what has all of its keys: null takes a default away, so leave the key out" in said
    assert said.count("- at ") == 2


@pytest.mark.parametrize("key", ["inferGateway", "kthenaRouter", "webhook"])
def test_a_component_outside_its_section_is_refused_with_where_it_belongs(key: str) -> None:
    name = "webhook" if key == "webhook" else "inferGateway"
    assert f"\n  {key} is not a key here: it is networking.{name}, with what is in it" in refusal(f"{key}.replicas=2")


@pytest.mark.parametrize("component", ["inferGateway", "webhook"])
def test_a_tag_that_yaml_reads_as_a_number_is_to_be_in_quotes(component: str) -> None:
    for number in (1.1, 7, 20260101):
        said = refusal(values={"networking": {component: {"image": {"tag": number}}}})
        assert 'in quotes where it looks like a number: "1.10" in a file, --set-string on the command line' in said
    rendered = helm.render(values={"networking": {component: {"image": {"tag": "1.10"}}}})
    name = {"inferGateway": helm.GATEWAY, "webhook": helm.WEBHOOK}[component]
    assert rendered.container(name)["image"].endswith(":1.10")


@pytest.mark.parametrize("mode", ["manual", "cert-manager"])
def test_a_secret_cannot_bear_a_name_that_the_webhooks_own_may_have(mode: str) -> None:
    said = refusal(
        f"global.certManagementMode={mode}",
        "networking.webhook.tls.secretName=mine-auto",
        "networking.inferGateway.tls.enabled=true",
        "networking.inferGateway.tls.secretName=kthena-webhook-certs-auto",
    )
    assert "networking.webhook.tls.secretName is mine-auto: names that end in -auto are kept for Secrets" in said
    assert "networking.inferGateway.tls.secretName is kthena-webhook-certs-auto: names that end in -auto are" in said


def test_the_longest_name_of_a_secret_is_one_with_which_the_webhooks_own_is_one_too() -> None:
    longest = "s" * 248
    (secret,) = helm.render(f"networking.webhook.tls.secretName={longest}").names("Secret")
    assert secret == f"{longest}-auto"
    assert len(secret) == 253
    assert "secretName': maxLength: got 249, want 248" in refusal(f"networking.webhook.tls.secretName={longest}s")


@pytest.mark.parametrize(
    ("names", "both"),
    [
        ({"inferGateway": "llm", "webhook": "llm"}, "llm"),
        ({"inferGateway": helm.WEBHOOK}, helm.WEBHOOK),
        ({"webhook": helm.GATEWAY}, helm.GATEWAY),
    ],
)
def test_two_service_accounts_of_one_name_are_refused(names: dict[str, str], both: str) -> None:
    """Helm makes the first, and then says of the second that it is there."""
    networking = {component: {"serviceAccount": {"name": name}} for component, name in names.items()}
    said = refusal(values={"networking": networking})
    assert f"serviceAccount are both to be made under the name {both}: give them two names" in said
    for component in ("inferGateway", "webhook"):
        shared = helm.render(f"networking.{component}.serviceAccount.create=false", values={"networking": networking})
        assert shared.names("ServiceAccount") == [both]
        alone = helm.render(f"networking.{component}.enabled=false", values={"networking": networking})
        assert len(alone.names("ServiceAccount")) == 1


@pytest.mark.parametrize("component", ["inferGateway", "webhook"])
def test_a_rollout_that_could_replace_no_pod_is_refused(component: str) -> None:
    rolling: dict[str, Any]
    for rolling in ({"maxSurge": 0}, {"maxSurge": "0%"}, {"maxSurge": 0, "maxUnavailable": "00%"}):
        said = refusal(values={"networking": {component: {"strategy": {"rollingUpdate": rolling}}}})
        assert f"networking.{component}.strategy.rollingUpdate has 0 for both maxSurge and maxUnavailable" in said
    for rolling in ({"maxSurge": None}, {"maxSurge": 0, "maxUnavailable": 1}, {"maxUnavailable": "10%"}):
        helm.render(values={"networking": {component: {"strategy": {"rollingUpdate": rolling}}}})
    replaced = {"type": "Recreate", "rollingUpdate": {"maxSurge": 0}}
    helm.render(values={"networking": {component: {"strategy": replaced}}})


def test_an_autoscaler_without_a_request_to_scale_by_is_refused() -> None:
    def scaled(resource: dict[str, Any] | None) -> dict[str, Any]:
        return helm.gateway(autoscaling={"enabled": True}, resource=resource)

    for resource in (None, {"requests": None, "limits": {"cpu": None}}, {"requests": {"cpu": 0}}):
        said = refusal(values=scaled(resource))
        assert "the autoscaler scales by a share of resource.requests.cpu, which is not there or 0: set it" in said
    # Kubernetes asks for the limit where nothing else is said.
    helm.render(values=scaled({"requests": {"cpu": None}}))
    helm.render(values=helm.gateway(resource=None))


@pytest.mark.parametrize(("component", "key"), [("inferGateway", "extraArgs"), ("webhook", "image.args")])
def test_an_address_that_probes_cannot_reach_is_refused(component: str, key: str) -> None:
    for host in ("127.0.0.1", "::1", "localhost", "10.0.0.1"):
        said = refusal(f"networking.{component}.{key}={{--host={host}}}")
        assert f'networking.{component}.{key} has "--host={host}": probes and Services come to the pod' in said
    name = helm.GATEWAY if component == "inferGateway" else helm.WEBHOOK
    for host in ("::", "0.0.0.0"):
        args = helm.render(f"networking.{component}.{key}={{--host={host}}}").container(name)["args"]
        assert args[-1] == f"--host={host}"


def test_everything_is_said_at_once() -> None:
    said = refusal(
        "networking.kthenaRouter.enabled=true", "global.certManager.enabled=true", "global.certManagementMode=manual"
    )
    assert said.count("\n  ") == 3


def test_lint_fails_on_what_the_schema_refuses_and_on_nothing_that_a_template_does() -> None:
    """To it a `fail` is none; the README says so, and names `helm template`."""
    with pytest.raises(helm.Refused):
        helm.run("lint", CHART, "--set", f"{FAIRNESS}.windowSize=2h")
    refusal("networking.kthenaRouter.enabled=true")
    passed = helm.run("lint", "--strict", "--with-subcharts", CHART, "--set", "networking.kthenaRouter.enabled=true")
    assert "0 chart(s) failed" in passed


def test_what_is_refused_comes_in_rounds() -> None:
    """As the README says of values that come from Kthena's chart."""
    both = ("networking.kthenaRouter.enabled=true", f"{FAIRNESS}.windowSize=2h")
    assert "kthenaRouter" not in refusal(*both)
    assert "workload" not in (said := refusal(both[0], "workload.enabled=false"))
    assert "kthenaRouter" in said


def test_the_sentence_of_a_refusal_is_refused_too() -> None:
    assert "windowSize': 'not' failed" in refusal(
        values=helm.gateway(fairness={"windowSize": "a duration from 1m to 1h, such as 90s, 10m or 1h"})
    )


NETWORKS = [
    *("10.0.0.1", "10.0.0.0/8", "10.0.0.1/8", "10.1.2.0/23", "10.1.2.0/22", "0.0.0.0/0", "1.2.3.4/32", "1.2.3.4/31"),
    *("::1", "::/0", "fd00::/8", "fd00::1/8", "fd00:1::/16", "fe80::/10", "fec0::/9", "2001:db8::1:0/112"),
    *("2001:db8:1:2:3:4:5:6/127", "2001:db8:1:2:3:4:5:7/127", "1::2::3", "::1:2:3:4:5:6:7", "1:2:3:4:5:6:7::"),
    *("010.0.0.1", "1.2.3", "1.2.3.4/", "::ffff", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7", "12345::", ":1", "1:", ":::"),
]


def test_proxies_are_taken_exactly_where_the_gateway_takes_them() -> None:
    taken = []
    for network in NETWORKS:
        try:
            settings.read({"TRUSTED_PROXIES": network}, pytest.fail)
        except settings.BadSetting:
            assert "trustedProxies" in refusal(values=helm.gateway(trustedProxies=[network]))
        else:
            taken.append(network)
    rendered = helm.render(values=helm.gateway(trustedProxies=taken))
    assert rendered.environment(helm.GATEWAY)["TRUSTED_PROXIES"] == ",".join(taken)
    assert 10 < len(taken) < len(NETWORKS) - 10


@pytest.mark.parametrize(
    "weights",
    [
        {"inputTokenWeight": 0},
        {"outputTokenWeight": 0.0},
        {"inputTokenWeight": 0, "outputTokenWeight": 0, "priorityRequestNumWeight": 1},
        {"inputTokenWeight": 0, "outputTokenWeight": 0, "shares": {"weights": {"outputToken": 1}}},
        # Nobody but the gateway knows what is in it.
        {"inputTokenWeight": 0, "outputTokenWeight": 0, "sharesConfigMap": "mine"},
    ],
)
def test_weights_by_which_somebody_is_charged_are_taken(weights: dict[str, Any]) -> None:
    rendered = helm.render(values=helm.gateway(fairness={"enabled": True, **weights}))
    assert rendered.environment(helm.GATEWAY)["ENABLE_FAIRNESS_SCHEDULING"] == "true"


def test_an_access_log_may_be_a_file_on_a_volume() -> None:
    values = helm.gateway(
        accessLog={"output": "/logs/access.log"},
        extraVolumes=[{"name": "logs", "emptyDir": {}}],
        extraVolumeMounts=[{"name": "logs", "mountPath": "/logs"}],
    )
    assert helm.render(values=values).environment(helm.GATEWAY)["ACCESS_LOG_OUTPUT"] == "/logs/access.log"


@pytest.mark.parametrize("component", ["inferGateway", "webhook"])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"podSecurityContext": {"runAsRoot": False}}, "podSecurityContext': additional properties 'runAsRoot'"),
        ({"securityContext": {"capabilities": {"dropp": ["ALL"]}}}, "capabilities': additional properties 'dropp'"),
        ({"securityContext": {"runAsUser": "root"}}, "securityContext/runAsUser': got string, want integer"),
        ({"tolerations": [{"key": "gpu", "operater": "Exists"}]}, "tolerations/0': additional properties 'operater'"),
        ({"tolerations": [{"effect": "NoStart"}]}, "tolerations/0/effect': value must be one of 'NoExecute',"),
        ({"affinity": {"nodeAfinity": {}}}, "affinity': additional properties 'nodeAfinity'"),
        ({"affinity": {"nodeAffinity": {"required": {}}}}, "nodeAffinity': additional properties 'required'"),
        ({"topologySpreadConstraints": [{"maxSkew": 1}]}, "0': missing properties 'topologyKey', 'whenUnsatisfiable'"),
        ({"topologySpreadConstraints": [{"skew": 1}]}, "topologySpreadConstraints/0': additional properties 'skew'"),
        ({"strategy": {"rollingUpdate": {"maxSurges": 1}}}, "rollingUpdate': additional properties 'maxSurges'"),
        ({"strategy": {"type": "Rolling"}}, "strategy/type': value must be one of 'Recreate', 'RollingUpdate'"),
        ({"resource": {"limits": {"cpus": "1"}}}, "resource/limits': additional properties 'cpus'"),
        ({"resource": {"requests": {"mem": "1Gi"}}}, "resource/requests': additional properties 'mem'"),
        ({"resource": {"claims": []}}, "resource': additional properties 'claims'"),
        ({"extraEnv": [{"name": "A", "val": "b"}]}, "extraEnv/0': additional properties 'val'"),
        ({"extraEnv": [{"name": "A", "value": 1}]}, "extraEnv/0/value': got number, want string"),
        ({"extraVolumes": [{"name": "a", "emptydir": {}}]}, "extraVolumes/0': additional properties 'emptydir'"),
        ({"extraVolumeMounts": [{"name": "a", "mountpath": "/a"}]}, "additional properties 'mountpath' not allowed"),
        ({"livenessProbe": {"period": 1}}, "livenessProbe': additional properties 'period'"),
    ],
)
def test_a_field_that_kubernetes_does_not_have_is_refused(component: str, given: dict[str, Any], said: str) -> None:
    assert f"/networking/{component}/" in (told := refusal(values={"networking": {component: given}}))
    assert said in told


LABELS = ("podLabels", "nodeSelector", "serviceMonitor.labels")
ANNOTATIONS = ("podAnnotations", "serviceAccount.annotations")


def _nested(name: str, value: Any) -> Any:
    for key in reversed(name.split(".")):
        value = {key: value}
    return value


@pytest.mark.parametrize("component", ["inferGateway", "webhook"])
@pytest.mark.parametrize("key", LABELS)
@pytest.mark.parametrize("text", ["a b", "-a", "a.", "ä", "a/b", "a" * 64])
def test_what_is_no_value_of_a_label_is_refused(component: str, key: str, text: str) -> None:
    said = refusal(values={"networking": {component: _nested(key, {"team": text})}})
    assert f"/networking/{component}/{key.replace('.', '/')}/team': value must be 'a text of at most 63 letters" in said


@pytest.mark.parametrize("component", ["inferGateway", "webhook"])
@pytest.mark.parametrize("key", [*LABELS, *ANNOTATIONS])
@pytest.mark.parametrize("name", ["a b", "-a", "/a", "Example.org/a", "a/b/c", "a" * 64, ""])
def test_what_is_no_key_of_a_label_is_refused(component: str, key: str, name: str) -> None:
    said = refusal(values={"networking": {component: _nested(key, {name: "x"})}})
    assert f"/networking/{component}/{key.replace('.', '/')}': value must be 'keys of letters, digits" in said


@pytest.mark.parametrize("key", [*LABELS, *ANNOTATIONS])
def test_labels_and_annotations_are_taken_as_kubernetes_takes_them(key: str) -> None:
    given = {"a" * 63: "a" * 63, "example.org/A.b_c-d": "", "t3am": "A.b_c-d"}
    assert helm.render(values=helm.gateway(**_nested(key, given))).text
    assert helm.render(values=helm.gateway(podAnnotations={"a": "any text: ä"})).text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"autoscaling": {"behavior": {"scaledown": {}}}}, "autoscaling/behavior': additional properties 'scaledown'"),
        ({"networkPolicy": {"clients": [{"podselector": {}}]}}, "clients/0': additional properties 'podselector'"),
        ({"networkPolicy": {"scrapers": [{"ipBlock": {}}]}}, "scrapers/0/ipBlock': missing property 'cidr'"),
    ],
)
def test_so_it_is_where_only_the_gateway_has_it(given: dict[str, Any], said: str) -> None:
    assert said in refusal(values=helm.gateway(**given))


@pytest.mark.parametrize(
    ("component", "own", "path"),
    [("inferGateway", "tls", "/etc/kthena/tls"), ("webhook", "certs", "/etc/webhook/certs")],
)
def test_a_volume_beside_the_charts_own_has_a_name_and_a_place_of_its_own(component: str, own: str, path: str) -> None:
    """The API server, or the kubelet, would say so in the middle of an install, or never to whoever installs."""
    empty: dict[str, Any] = {"emptyDir": {}}
    mode = "cert-manager" if component == "webhook" else "auto"

    def given(volumes: list[Any], mounts: list[Any]) -> dict[str, Any]:
        extra = {"extraVolumes": volumes, "extraVolumeMounts": mounts}
        section = {**({"tls": {"enabled": True}} if component == "inferGateway" else {}), **extra}
        return {"global": {"certManagementMode": mode}, "networking": {component: section}}

    section = f"networking.{component}"
    for volumes in ([{"name": own, **empty}], [{"name": "a", **empty}, {"name": "a", **empty}]):
        name = volumes[-1]["name"]
        said = refusal(values=given(volumes, []))
        assert f'{section}.extraVolumes has "{name}", and another volume of the pod is called so' in said
    said = refusal(values=given([], [{"name": "a", "mountPath": "/a"}]))
    assert f'{section}.extraVolumeMounts mounts "a", which is no volume of the pod: it must be one of' in said
    for place in (path, f"{path}/", "/b"):
        mounts = [{"name": "a", "mountPath": "/b"}, {"name": "a", "mountPath": place}]
        said = refusal(values=given([{"name": "a", **empty}], mounts))
        assert f'{section}.extraVolumeMounts mounts "a" at {place}, where another volume is mounted' in said
    # The chart's may be seen elsewhere too, and a name that it does not use is anybody's.
    helm.render(values=given([], [{"name": own, "mountPath": "/again"}]))
    helm.render(values={"networking": {component: {"extraVolumes": [{"name": own, **empty}]}}})


@pytest.mark.parametrize("component", ["inferGateway", "webhook"])
@pytest.mark.parametrize(
    ("name", "request_", "limit"),
    [
        *(("cpu", "501m", "500m"), ("cpu", 0.6, "500m"), ("cpu", "1", "999m"), ("cpu", 2, 1.5), ("cpu", "1e3", 999)),
        *(("memory", "1Gi", "1G"), ("memory", "1Mi", 1048575), ("memory", "2e9", "1Gi"), ("memory", "1025Mi", "1Gi")),
        *(("memory", 3e9, "2.5Gi"), ("memory", "1Ti", "1023Gi"), ("memory", "1E", "1000Ti"), ("memory", "1.5M", "1e6")),
        ("ephemeral-storage", "2Gi", "1Gi"),
    ],
)
def test_a_request_above_the_limit_is_refused(component: str, name: str, request_: Any, limit: Any) -> None:
    resource = {"requests": {name: request_}, "limits": {name: limit}}
    said = refusal(values={"networking": {component: {"resource": resource}}})
    requests = rf"networking\.{component}\.resource\.requests\.{name}"
    found = re.search(rf"{requests} is (\S+): it must be at most limits\.{name}, which is (\S+)", said)
    assert found is not None
    for written, value in zip(found.groups(), (request_, limit), strict=True):
        assert written == value or float(written) == float(value)


def test_a_request_above_the_limit_of_the_chart_is_refused_too() -> None:
    said = refusal("networking.webhook.resource.requests.cpu=1")
    assert "networking.webhook.resource.requests.cpu is 1: it must be at most limits.cpu, which is 500m" in said


@pytest.mark.parametrize(
    ("name", "request_", "limit"),
    [
        *(("cpu", "100m", 0.1), ("cpu", 0.7, "700m"), ("cpu", "1.1", "1100m"), ("cpu", "1000m", 1)),
        *(("cpu", "1k", "1e3"), ("cpu", 0, "1m"), ("cpu", "999m", "1"), ("cpu", "1e3", "1E3"), ("cpu", 1, "1.")),
        *(("memory", "1G", "1Gi"), ("memory", "1024Mi", "1Gi"), ("memory", 1048576, "1Mi"), ("memory", "2e9", "2G")),
        *(("memory", "1Pi", "1024Ti"), ("memory", "1Ei", "1.2E"), ("memory", "1000T", "1P"), ("memory", 0, "1Mi")),
        ("memory", "536870912000m", "512Mi"),
    ],
)
def test_a_request_up_to_the_limit_is_taken(name: str, request_: Any, limit: Any) -> None:
    resource = {"requests": {name: request_}, "limits": {name: limit}}
    rendered = helm.render(values=helm.gateway(resource=resource))
    assert rendered.container(helm.GATEWAY)["resources"]["requests"][name] == request_


def test_what_has_no_limit_may_ask_for_anything() -> None:
    resource = {"requests": {"cpu": 8, "memory": "8Gi"}, "limits": None}
    rendered = helm.render(values=helm.gateway(resource=resource))
    assert rendered.container(helm.GATEWAY)["resources"] == {"requests": {"cpu": 8, "memory": "8Gi"}}


@pytest.mark.parametrize("component", ["inferGateway", "webhook"])
@pytest.mark.parametrize("kind", ["limits", "requests"])
@pytest.mark.parametrize("memory", [512, "512", "512m", 0.5, "900k", "1023Ki", 1048575])
def test_memory_of_a_few_bytes_is_refused_with_how_to_write_more(component: str, kind: str, memory: Any) -> None:
    resource = {"requests": {"memory": 0}, kind: {"memory": memory}}
    said = refusal(values={"networking": {component: {"resource": resource}}})
    assert f"networking.{component}.resource.{kind}.memory is {memory}, which is less than a MiB" in said
    assert "it must be a quantity such as 512Mi, since a bare number is of bytes" in said


def test_resources_of_other_names_that_kubernetes_has_are_taken() -> None:
    limits = {"ephemeral-storage": "1Gi", "hugepages-2Mi": "4Mi", "example.org/card": 1}
    rendered = helm.render(values=helm.gateway(resource={"limits": limits}))
    assert limits.items() <= rendered.container(helm.GATEWAY)["resources"]["limits"].items()
