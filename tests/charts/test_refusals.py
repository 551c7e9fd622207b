"""What Helm says of values that cannot be: the key, the value, and what is allowed."""

import re

import pytest

from tests.charts import helm, values
from tests.charts.generated import CHART
from tests.charts.refusing import FAIRNESS, refusal


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
