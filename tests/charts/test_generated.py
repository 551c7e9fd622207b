"""values.yaml is the source: what is made from it is up to date, and what it says is what the gateway does."""

import io
import re
from typing import Any

import click
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

import kthena_fast
from kthena_fast import settings
from kthena_fast.cli.gateway import gateway
from kthena_fast.cli.webhook import webhook
from tests.charts import generated, helm, values
from tests.kube import binaries

TEXT = (generated.CHART / "values.yaml").read_text()
ENTRIES = values.entries(TEXT)

OF_THE_C_LIBRARY = {"MALLOC_MMAP_THRESHOLD_"}
"""What the gateway itself does not read; test_the_gateway_lives_within_its_memory_with_all_the_bodies_that_it_takes."""

NOT_OFFERED = {
    "KTHENA_FAST_LENIENT_ENV": "the schema refuses bad values before a pod is made",
    "POD_NAMESPACE": "Kubernetes says it",
    "FAIRNESS_PRIORITY_REFRESH_RETRIES": "of no effect",
    "FAIRNESS_REBUILD_THRESHOLD": "of no effect",
    "STREAM_COALESCING": "the same wherever it runs; extraEnv turns it off",
    "ENABLE_SESSION_BOOST": "refused",
    "REDIS_HOST": "of no effect yet",
    "REDIS_PORT": "of no effect yet",
    "REDIS_PASSWORD": "of no effect yet",
}

SET_ON_PURPOSE = {
    helm.GATEWAY: {
        # In a cluster endpoints take a moment to forget a pod.
        "DRAIN_DELAY": "5s",
        # Two releases in a namespace must not share a Lease.
        "STATUS_LEASE_NAME": helm.GATEWAY,
    },
    helm.WEBHOOK: {
        # The same, and the API server keeps its connections.
        "DRAIN_DELAY": "5s",
        # Nobody waits longer for a review than timeoutSeconds, and by default that is 5 s.
        "DRAIN_TIMEOUT": "10s",
    },
}
"""Where a default of the chart is not the program's own, by the program: what it is, and above it the reason."""

FLAGS_SET_ON_PURPOSE = {
    helm.GATEWAY: {"kubernetes": "where else would a chart's gateway read"},
    helm.WEBHOOK: {
        "cert-secret-name": "named after the release",
        "webhook-service-name": "named after the release",
        "webhook-configuration-name": "rights are for the one of the release",
    },
}


@pytest.mark.parametrize(("path", "content"), generated.files().items(), ids=lambda part: getattr(part, "name", ""))
def test_generated_files_are_up_to_date(path: Any, content: str) -> None:
    assert path.read_text() == content, "run `make docs`"


def test_every_value_says_when_to_use_it() -> None:
    assert [entry.name for entry in ENTRIES if not entry.comment and not values.is_section(entry)] == []
    # Fewer words have only said what it is.
    assert [entry.name for entry in ENTRIES if entry.comment and len(entry.comment.split()) < 8] == []


def test_every_key_of_the_file_is_an_entry() -> None:
    """The reader goes by lines; YAML itself says what is there."""

    def keys(node: Any, path: tuple[str, ...]) -> Any:
        if path:
            yield path
        if isinstance(node, dict) and (not path or values.is_section(entry_of[path])):
            for key, child in node.items():
                yield from keys(child, (*path, key))

    entry_of = {entry.path: entry for entry in ENTRIES}
    assert list(keys(YAML(typ="safe", pure=True).load(TEXT), ())) == list(entry_of)


@pytest.mark.parametrize("name", SET_ON_PURPOSE)
def test_the_defaults_are_the_programs_own(name: str) -> None:
    said: list[str] = []
    environment = helm.render("networking.inferGateway.fairness.enabled=true").environment(name)
    told = settings.read({**environment, "ENABLE_FAIRNESS_SCHEDULING": ""}, said.append)
    assert said == []
    own = settings.Settings()
    differ = {name for name, field in settings.variables().items() if getattr(told, field) != getattr(own, field)}
    assert {variable: environment[variable] for variable in differ} == SET_ON_PURPOSE[name]


@pytest.mark.parametrize(
    ("name", "program"), [(helm.GATEWAY, gateway), (helm.WEBHOOK, webhook)], ids=[helm.GATEWAY, helm.WEBHOOK]
)
def test_the_defaults_of_flags_are_the_programs_own(name: str, program: click.Command) -> None:
    """So that what the documents say of a flag holds in the chart, and the other way round."""
    arguments = helm.default().container(name)["args"][1:]
    told = program.make_context(name, list(arguments)).params
    own = program.make_context(name, []).params
    differ = {field for field in own if told[field] != own[field]}
    assert differ == {flag.replace("-", "_") for flag in FLAGS_SET_ON_PURPOSE[name]}


def test_every_setting_is_offered_unless_there_is_a_reason() -> None:
    rendered = helm.render(
        values=helm.gateway(
            fairness={"enabled": True, "maxQPS": 5, "shares": {"default": {"share": 1}}},
            trustedProxies=["10.0.0.0/8"],
            engines={"caConfigMap": "engines"},
        )
    )
    offered = set(rendered.environment(helm.GATEWAY)) - OF_THE_C_LIBRARY
    assert offered == set(settings.variables()) - set(NOT_OFFERED)


SETTING_OF = {
    "window": "FAIRNESS_WINDOW_SIZE",
    "positiveDuration": "DRAIN_TIMEOUT",
    "duration": "DRAIN_DELAY",
    "weight": "FAIRNESS_OUTPUT_TOKEN_WEIGHT",
    "size": "MAX_HEADER_BYTES",
    "userSource": "FAIRNESS_USER_SOURCES",
}


@pytest.mark.parametrize("kind", SETTING_OF)
@given(data=st.data())
def test_what_the_schema_takes_the_gateway_takes(kind: str, data: st.DataObject) -> None:
    """No value passes that ends the gateway at its start. (Proxies: test_gateway_values.py, with a template.)"""
    allowed = values.KINDS[kind]["if"]
    patterns = [allowed["pattern"]] if "pattern" in allowed else [part["pattern"] for part in allowed["allOf"]]
    text = data.draw(st.from_regex(patterns[0].removesuffix("$") + r"\Z", fullmatch=True))
    assume(all(re.search(pattern, text) for pattern in patterns))
    settings.read({SETTING_OF[kind]: text}, pytest.fail)


def test_the_chart_carries_the_version_of_the_product() -> None:
    for folder in (generated.CHART, generated.CHART / "charts/networking"):
        chart = YAML(typ="safe", pure=True).load((folder / "Chart.yaml").read_text())
        assert chart["appVersion"] == chart["version"] == kthena_fast.__version__


def test_versions_of_tools_are_those_of_make_tools() -> None:
    told = dict(
        re.findall(r"^(\w+_version)=(\S+)$", (generated.CHART.parents[1] / ".ci/tools").read_text(), re.MULTILINE)
    )
    assert f"helm-{told['helm_version']}" == binaries.HELM
    assert f"schemas-{told['cert_manager_version']}-{told['prometheus_operator_version']}" == binaries.SCHEMAS


def test_a_comment_belongs_to_the_key_below_it_alone() -> None:
    text = "# Head.\n\n# Of a.\na: 1\n# Of b,\n# in two lines.\n# @schema {minimum: 1}\nb: 2\nc:\n  d: x\n"
    found = values.entries(text)
    assert [(entry.name, entry.comment, entry.given) for entry in found] == [
        ("a", "Of a.", {}),
        ("b", "Of b, in two lines.", {"minimum": 1}),
        ("c", "", {}),
        ("c.d", "", {}),
    ]


def test_the_inside_of_what_is_the_users_has_no_entries() -> None:
    text = "# It.\n# @schema {additionalProperties: true}\nstrategy:\n  type: Recreate\n"
    assert [entry.name for entry in values.entries(text)] == ["strategy"]
    node = values.schema(text)["properties"]["strategy"]
    assert node["additionalProperties"] is True
    assert node["default"] == {"type": "Recreate"}


def test_the_values_of_the_subchart_render_what_those_of_the_whole_do() -> None:
    alone = {_key(found): found for found in helm.render(chart=generated.CHART / "charts/networking")}
    whole = {_key(found): found for found in helm.default() if found["kind"] != "CustomResourceDefinition"}
    assert alone == whole


def _key(found: helm.Object) -> tuple[str, str]:
    return found["kind"], found["metadata"]["name"]


def test_the_definitions_are_those_that_the_program_prints() -> None:
    from kthena_fast.resources import crds

    files = sorted((generated.CHART / "files/crds").glob("*.yaml"))
    held = [YAML(typ="safe", pure=True).load(io.StringIO(file.read_text())) for file in files]
    assert held == sorted(crds.all(), key=lambda crd: str(crd["metadata"]["name"]))
