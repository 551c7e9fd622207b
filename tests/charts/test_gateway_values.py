"""Values that the gateway reads: refused where it would refuse them, and taken where it takes them."""

from typing import Any

import pytest

from kthena_fast import settings
from tests.charts import helm
from tests.charts.refusing import FAIRNESS, refusal


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
