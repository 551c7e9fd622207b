"""`kthena-fast gateway`: flags in all of upstream's spellings become options, settings and one source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kthena_fast.cli import flags, main
from kthena_fast.gateway import app, process
from kthena_fast.settings import Settings
from kthena_fast.sources import Reporter, Source
from kthena_fast.sources.backend import BackendSource
from kthena_fast.sources.kubernetes.source import KubernetesSource
from kthena_fast.sources.kubernetes.status.reporter import StatusReporter
from kthena_fast.sources.manifests import ManifestsSource

BACKEND = ("--backend", "http://127.0.0.1:8000", "--model", "llama")

UPSTREAMS_OWN = {
    "--port": "8080",
    "--tls-cert": "",
    "--tls-key": "",
    "--enable-gateway-api": "false",
    "--enable-gateway-api-inference-extension": "false",
    "--debug-port": "15000",
    "--metrics-port": "9090",
    "--expose-metrics-on-router-port": "false",
    "--enable-webhook": "true",
    "--webhook-port": "8443",
    "--webhook-tls-cert-file": "/etc/tls/tls.crt",
    "--webhook-tls-private-key-file": "/etc/tls/tls.key",
    "--cert-secret-name": "kthena-router-webhook-certs",
    "--webhook-service-name": "kthena-router-webhook",
    "--kube-api-qps": "0",
    "--kube-api-burst": "0",
    # Those of klog.
    "--add_dir_header": "false",
    "--alsologtostderr": "false",
    "--alsologtostderrthreshold": "2",
    "--legacy_stderr_threshold_behavior": "false",
    "--log_backtrace_at": ":0",
    "--log_dir": "/tmp",
    "--log_file": "/tmp/log",
    "--log_file_max_size": "1800",
    "--logtostderr": "true",
    "--one_output": "false",
    "--skip_headers": "false",
    "--skip_log_headers": "false",
    "--stderrthreshold": "2",
    "--v": "2",
    "--vmodule": "a=1",
}
"""Every flag of Kthena's router with the default that its documents show (reference, 1.1)."""

SETTABLE = {"--port", "--tls-cert", "--tls-key", "--debug-port", "--metrics-port", "--v"}
OBEYED = {*SETTABLE, "--expose-metrics-on-router-port", *flags.REFUSED_WHEN_TRUE}


class Started:
    """What `process.run` was given."""

    options: app.Options
    settings: Settings
    source: Source
    reporter: Reporter | None


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    seen = Started()

    def run(options: app.Options, settings: Settings, source: Source, reporter: Reporter | None) -> int:
        seen.options, seen.settings, seen.source, seen.reporter = options, settings, source, reporter
        return 0

    monkeypatch.setattr(process, "run", run)
    return seen


def gateway(*arguments: str, **variables: str) -> Result:
    return CliRunner(env=variables).invoke(main, ["gateway", *arguments])


def test_backends_and_models_are_one_source(started: Started) -> None:
    result = gateway(*BACKEND, "--backend", "http://[::1]:9/v2", "--model", "meta/llama")
    assert (result.exit_code, result.output) == (0, "")
    assert isinstance(started.source, BackendSource)


def test_a_folder_of_manifests_is_another(started: Started, tmp_path: Path) -> None:
    assert gateway("--manifests", str(tmp_path)).exit_code == 0
    assert isinstance(started.source, ManifestsSource)


def test_without_flags_it_is_what_the_reference_says(started: Started) -> None:
    assert gateway(*BACKEND).exit_code == 0
    assert started.options == app.Options()
    options = app.Options()
    assert (options.host, options.port, options.metrics_port, options.debug_port) == ("::", 8080, 9090, 15000)


@pytest.mark.parametrize("flag", UPSTREAMS_OWN)
def test_every_flag_of_upstream_is_known(flag: str, started: Started, tmp_path: Path) -> None:
    value = UPSTREAMS_OWN[flag]
    pair: tuple[str, ...] = ()
    if flag.startswith("--tls"):
        value = str(tmp_path / "pem")
        pair = ("--tls-key" if flag == "--tls-cert" else "--tls-cert", value)
    result = gateway(*BACKEND, f"{flag}={value}", *pair)
    assert result.exit_code == 0, result.output
    said = result.stderr.splitlines()
    if flag in OBEYED:
        assert said == []
    else:
        (line,) = said
        assert line.startswith(f"{flag} is accepted and has no effect: ")


BOOLEANS = [
    "--kubernetes",
    "--expose-metrics-on-router-port",
    *flags.NO_EFFECT_BOOLEANS,
    *flags.REFUSED_WHEN_TRUE,
]


@pytest.mark.parametrize("flag", BOOLEANS)
def test_a_boolean_takes_a_value_behind_an_equals_sign_only_if_it_is_one(flag: str, started: Started) -> None:
    assert gateway(*BACKEND, f"{flag}=false").exit_code == 0
    result = gateway(*BACKEND, f"{flag}=maybe")
    assert result.exit_code == 2
    assert "'maybe' is not a boolean; true and false are allowed" in result.stderr


@pytest.mark.parametrize(
    ("spelling", "value"),
    [
        (("--expose-metrics-on-router-port",), True),
        (("--expose-metrics-on-router-port=true",), True),
        (("--expose-metrics-on-router-port=T",), True),
        (("--expose-metrics-on-router-port=1",), True),
        (("--expose-metrics-on-router-port=false",), False),
        (("--expose-metrics-on-router-port=0",), False),
        ((), False),
    ],
)
def test_a_boolean_may_stand_alone_or_say_its_value(spelling: tuple[str, ...], value: bool, started: Started) -> None:
    # In front of another flag, where it must not take that for its value, and at the end.
    for arguments in ((*spelling, *BACKEND), (*BACKEND, *spelling)):
        assert gateway(*arguments).exit_code == 0
        assert started.options.metrics_on_inference_port is value


@pytest.mark.parametrize("flag", [*flags.REFUSED_WHEN_TRUE])
@pytest.mark.parametrize("value", ["", "=true"])
def test_what_is_not_built_is_refused(flag: str, value: str, started: Started) -> None:
    result = gateway(*BACKEND, f"{flag}{value}")
    assert result.exit_code == 2
    assert flag in result.stderr
    assert "not built yet" in result.stderr
    assert not hasattr(started, "options")


@pytest.mark.parametrize("spelling", [("-v", "4"), ("-v4",), ("-v=4",), ("--v=4",), ("--v", "4")])
def test_verbosity_is_taken_as_go_takes_it(spelling: tuple[str, ...], started: Started) -> None:
    assert gateway(*BACKEND, *spelling).exit_code == 0
    assert started.settings.log_level == "debug"


def test_little_verbosity_changes_nothing(started: Started) -> None:
    assert gateway(*BACKEND, "-v=2", LOG_LEVEL="warning").exit_code == 0
    assert started.settings.log_level == "warning"


NO_SOURCE = "exactly one source is needed"
PAIR = "--backend and --model are given together"
REFUSED: dict[str, tuple[tuple[str, ...], str]] = {
    "no source": ((), NO_SOURCE),
    "two sources": ((*BACKEND, "--manifests", "."), NO_SOURCE),
    "two others": ((*BACKEND, "--kubernetes"), NO_SOURCE),
    "a namespace of nothing": ((*BACKEND, "--namespace", "a"), "--namespace needs --kubernetes"),
    "a namespace that is none": (("--kubernetes", "--namespace", "A/b"), "'A/b' is not the name of a namespace"),
    "a backend without a model": (("--backend", "http://a"), PAIR),
    "a model without a backend": (("--model", "a"), PAIR),
    "a folder and a model": (("--manifests", ".", "--model", "a"), PAIR),
    "a folder that is not there": (("--manifests", "/nowhere"), "'/nowhere' does not exist"),
    "a backend that is no URL": (("--backend", "host:80", "--model", "a"), "--backend 'host:80' must be http://"),
    "a model without a name": (("--backend", "http://a", "--model", " "), "--model ' ' must be a name"),
    "a certificate without a key": (
        (*BACKEND, "--tls-cert", "a"),
        "--tls-cert and --tls-key are given both or neither",
    ),
    "a key without a certificate": ((*BACKEND, "--tls-key", "a"), "--tls-cert and --tls-key are given both or neither"),
    "a port that is none": ((*BACKEND, "--port", "65536"), "65536 is not in the range 0<=x<=65535"),
    "a port that is a word": ((*BACKEND, "--metrics-port", "http"), "'http' is not a valid integer"),
    "a verbosity that is a word": ((*BACKEND, "-v=much"), "'=much' is not a whole number"),
    "an unknown flag": ((*BACKEND, "--webhok-port=1"), "Did you mean"),
    "a word too many": ((*BACKEND, "true"), "unexpected extra argument"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_command_line_that_is_wrong_says_why_and_exits_with_2(what: str, started: Started) -> None:
    arguments, why = REFUSED[what]
    result = gateway(*arguments)
    assert result.exit_code == 2, result.output
    # The terminal's width breaks lines.
    assert why in " ".join(result.stderr.split())
    assert not hasattr(started, "options")


KUBECONFIG = """
current-context: c
clusters: [{name: c, cluster: {server: "https://127.0.0.1:6443"}}]
contexts: [{name: c, context: {cluster: c}}]
"""


def test_kubernetes_is_a_source(tmp_path: Path, started: Started) -> None:
    config = tmp_path / "config"
    config.write_text(KUBECONFIG)
    assert gateway("--kubernetes", "--namespace", "a", "--namespace=b", KUBECONFIG=str(config)).exit_code == 0
    assert isinstance(started.source, KubernetesSource)


def test_without_a_cluster_kubernetes_says_where_it_looked(tmp_path: Path, started: Started) -> None:
    result = gateway("--kubernetes", KUBECONFIG="", KUBERNETES_SERVICE_HOST="", HOME=str(tmp_path))
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "KUBECONFIG is not set" in line
    assert f"there is no {tmp_path}/.kube/config" in line


def test_a_bad_variable_is_one_line_and_exits_with_1(started: Started) -> None:
    result = gateway(*BACKEND, MAX_BODY_BYTES="much")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "MAX_BODY_BYTES='much' is not allowed: it must be a number of bytes above 0" in line


def test_a_misspelt_variable_is_warned_of(started: Started) -> None:
    result = gateway(*BACKEND, ACCESS_LOG_FROMAT="json")
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert "did you mean ACCESS_LOG_FORMAT?" in line


def test_flags_become_options(started: Started, tmp_path: Path) -> None:
    expected: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 1,
        "metrics_port": 2,
        "debug_port": 3,
        "tls_cert": tmp_path / "crt",
        "tls_key": tmp_path / "key",
        "router_config": tmp_path / "routerConfiguration.yaml",
    }
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in expected.items()]
    assert gateway(*BACKEND, *arguments).exit_code == 0
    assert started.options == app.Options(**expected)


KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: test, context: {cluster: test, user: test, namespace: of-the-context}}]
users: [{name: test, user: {token: x}}]
current-context: test
"""


@pytest.mark.parametrize(
    ("variables", "lease"),
    [
        ({}, ("of-the-context", "kthena-fast-status")),
        ({"POD_NAMESPACE": "default"}, ("default", "kthena-fast-status")),
        (
            {"POD_NAMESPACE": "kthena", "STATUS_LEASE_NAME": "release-infer-gateway"},
            ("kthena", "release-infer-gateway"),
        ),
    ],
    ids=["of the context", "as told", "with a name"],
)
def test_with_kubernetes_status_is_written_under_a_lease(
    variables: dict[str, str], lease: tuple[str, str], started: Started, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text(KUBECONFIG)
    result = gateway("--kubernetes", KUBECONFIG=str(tmp_path / "config"), **variables)
    assert (result.exit_code, result.output) == (0, "")
    assert isinstance(started.reporter, StatusReporter)
    assert (started.reporter.lease.namespace, started.reporter.lease.name) == lease


def test_no_status_is_written_where_that_is_turned_off_or_there_is_no_kubernetes(
    started: Started, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text(KUBECONFIG)
    assert gateway("--kubernetes", KUBECONFIG=str(tmp_path / "config"), STATUS_UPDATES="false").exit_code == 0
    assert started.reporter is None
    assert gateway(*BACKEND).exit_code == 0
    assert started.reporter is None


@pytest.mark.parametrize("name", ["Upper", "a_b", "-a", "a" * 254])
def test_a_lease_has_a_name_that_kubernetes_takes(name: str, started: Started) -> None:
    result = gateway(*BACKEND, STATUS_LEASE_NAME=name)
    assert result.exit_code == 1
    assert "it must be a name as Kubernetes gives them, such as kthena-fast-status" in result.stderr
