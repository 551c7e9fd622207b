"""What Helm says of values that cannot be: the key, the value, and what is allowed."""

import re
from typing import Any

import pytest

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
    assert f"/networking/inferGateway/fairness/windowSize': '{window}' does not match" in said
    assert "a duration from 1m to 1h such as 90s, 10m or 1h" in said


@pytest.mark.parametrize("window", ["1m", "60s", "90s", "1m30s", "10m", "59m59s", "60m", "3600s", "1h"])
def test_a_window_in_range_reaches_the_gateway(window: str) -> None:
    rendered = helm.render(f"{FAIRNESS}.enabled=true", f"{FAIRNESS}.windowSize={window}")
    assert rendered.environment(helm.GATEWAY)["FAIRNESS_WINDOW_SIZE"] == window


@pytest.mark.parametrize(
    "key", ["inputTokenWeight", "outputTokenWeight", "priorityTokenWeight", "priorityRequestNumWeight"]
)
def test_a_negative_weight_is_refused(key: str) -> None:
    assert f"at '/networking/inferGateway/fairness/{key}': minimum: got -1, want 0" in refusal(f"{FAIRNESS}.{key}=-1")
    # To `--set` this is a text.
    said = refusal(f"{FAIRNESS}.{key}=-0.5")
    assert f"fairness/{key}': '-0.5' does not match" in said
    assert "a finite number of 0 or more such as 2.5" in said


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("networking.inferGateway.fairnes.enabled=true", "inferGateway': additional properties 'fairnes' not allowed"),
        (
            f"{FAIRNESS}.window=10m",
            "at '/networking/inferGateway/fairness': additional properties 'window' not allowed",
        ),
        ("inferGateway.replicas=2", "at '': additional properties 'inferGateway' not allowed"),
        ("networking.inferGateway.replicas=two", "at '/networking/inferGateway/replicas': got string, want integer"),
        ("networking.inferGateway.replicas=-1", "at '/networking/inferGateway/replicas': minimum: got -1, want 0"),
        (f"{FAIRNESS}.enabled=yes", "at '/networking/inferGateway/fairness/enabled': got string, want boolean"),
        (f"{FAIRNESS}.windowSize=10", "at '/networking/inferGateway/fairness/windowSize': got number, want string"),
        (f"{FAIRNESS}.policy=fair", "fairness/policy': value must be one of 'window', 'vtc'"),
        (f"{FAIRNESS}.maxQueue=0", "fairness/maxQueue': minimum: got 0, want 1"),
        (f"{FAIRNESS}.queueTimeout=0s", "a duration above 0, such as 300ms, 10s or 5m"),
        (f"{FAIRNESS}.userSources[0]=jwt:sub", "'jwt:sub' does not match pattern '$ one of body:FIELD, header:NAME"),
        (f"{FAIRNESS}.shares.users.alice.share=0", "fairness/shares/users/alice/share': minimum: got 0, want 0.001"),
        (f"{FAIRNESS}.shares.users.alice.shares=2", "additional properties 'shares' not allowed"),
        ("networking.inferGateway.port=99999", "at '/networking/inferGateway/port': maximum: got 99,999, want 65,535"),
        (
            "networking.inferGateway.limits.maxBodyBytes=32MB",
            "a number of bytes above 0, such as 65536, 64KiB or 32MiB",
        ),
        ("networking.inferGateway.drain.delay=5", "at '/networking/inferGateway/drain/delay': got number, want string"),
        ("networking.inferGateway.drain.timeout=soon", "a duration above 0, such as 300ms, 10s or 5m"),
        ("networking.inferGateway.tls.dnsName=http://x", "a host name such as llm.example.org"),
        (
            "networking.inferGateway.service.type=ExternalName",
            "value must be one of 'LoadBalancer', 'ClusterIP', 'NodePort'",
        ),
        ("networking.webhook.failurePolicy=fail", "value must be one of 'Fail', 'Ignore'"),
        ("networking.webhook.timeoutSeconds=31", "at '/networking/webhook/timeoutSeconds': maximum: got 31, want 30"),
        (
            "networking.inferGateway.resource.limits.memory=1Gib",
            "resource/limits/memory': '1Gib' does not match pattern '$ a quantity such as 500m, 2 or 512Mi",
        ),
        ("networking.webhook.resource.requests.cpu=-1", "resource/requests/cpu': minimum: got -1, want 0"),
        ("networking.namespaces[0]=Team_A", "a name as Kubernetes gives them such as my-name"),
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
            ["networking.inferGateway.extraArgs={--port,a}"],
            'extraArgs has "--port": it is set by networking.inferGateway.port',
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
    ],
)
def test_a_default_that_is_needed_cannot_be_taken_away(assignment: str, missing: str) -> None:
    assert missing in refusal(assignment)


def test_everything_is_said_at_once() -> None:
    said = refusal(
        "networking.kthenaRouter.enabled=true", "global.certManager.enabled=true", "global.certManagementMode=manual"
    )
    assert said.count("\n  ") == 3


def test_lint_refuses_what_install_does() -> None:
    with pytest.raises(helm.Refused):
        helm.run("lint", CHART, "--set", f"{FAIRNESS}.windowSize=2h")


def test_a_pattern_shows_its_words_and_matches_none_of_them() -> None:
    for kind in values.KINDS.values():
        if "pattern" in kind:
            words = kind["pattern"].partition("|")[0]
            assert words.startswith("$ ")
            assert not re.search(kind["pattern"], words.removeprefix("$")), kind
            assert not re.search(kind["pattern"], words.removeprefix("$ ")), kind
