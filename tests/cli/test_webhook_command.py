"""`kthena-fast webhook`: flags in all of upstream's spellings become options and settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kthena_fast.cli import flags, main
from kthena_fast.kube import configuration
from kthena_fast.settings import Settings
from kthena_fast.webhook import app, process

FIRST_WEBHOOK = ("--port=8443", "--tls-cert-file=/etc/webhook/certs/tls.crt")
"""Arguments of the webhook of Kthena's first chart (reference, 2.4 and 4.1)."""

KLOG = {
    "--add_dir_header": "false",
    "--alsologtostderr": "false",
    "--alsologtostderrthreshold": "2",
    "--legacy_stderr_threshold_behavior": "true",
    "--log_backtrace_at": ":0",
    "--log_dir": "/tmp",
    "--log_file": "/tmp/log",
    "--log_file_max_size": "1800",
    "--logtostderr": "true",
    "--one_output": "false",
    "--skip_headers": "false",
    "--skip_log_headers": "false",
    "--stderrthreshold": "INFO",
    "--vmodule": "a=1",
}


class Started:
    """What `process.run` was given."""

    options: app.Options
    settings: Settings
    kube: configuration.Cluster | str


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    seen = Started()

    def run(options: app.Options, settings: Settings, kube: configuration.Cluster | str) -> int:
        seen.options, seen.settings, seen.kube = options, settings, kube
        return 0

    monkeypatch.setattr(process, "run", run)
    return seen


def webhook(*arguments: str, **variables: str) -> Result:
    environment = {"KUBECONFIG": "", "KUBERNETES_SERVICE_HOST": "", "HOME": "/nowhere", **variables}
    return CliRunner(env=environment).invoke(main, ["webhook", *arguments])


def test_without_flags_it_is_what_the_reference_says(started: Started) -> None:
    result = webhook()
    assert (result.exit_code, result.output) == (0, "")
    assert started.options == app.Options()
    assert started.options.port == 8443
    assert started.options.tls_cert_file == Path("/etc/webhook/certs/tls.crt")
    assert isinstance(started.kube, str)


def test_arguments_of_the_first_chart_are_taken_as_they_are(started: Started) -> None:
    result = webhook(*FIRST_WEBHOOK, "--tls-private-key-file=/etc/webhook/certs/tls.key", "-v=2")
    assert (result.exit_code, result.output) == (0, "")
    assert started.options == app.Options()


@pytest.mark.parametrize("flag", KLOG)
def test_every_flag_of_klog_is_taken_and_said_to_change_nothing(flag: str, started: Started) -> None:
    result = webhook(*FIRST_WEBHOOK, f"{flag}={KLOG[flag]}")
    assert result.exit_code == 0, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"{flag} is accepted and has no effect: ")
    assert started.options == app.Options()


def test_these_are_all_flags_of_klog() -> None:
    assert set(KLOG) == {*flags.KLOG, *flags.KLOG_BOOLEANS}


@pytest.mark.parametrize("flag", flags.KLOG_BOOLEANS)
def test_a_boolean_of_klog_may_stand_alone_and_is_one(flag: str, started: Started) -> None:
    assert webhook(flag, *FIRST_WEBHOOK).exit_code == 0
    result = webhook(f"{flag}=maybe")
    assert result.exit_code == 2
    assert "'maybe' is not a boolean" in result.stderr


@pytest.mark.parametrize(("verbosity", "level"), [("-v=2", "warning"), ("--v=4", "debug"), ("-v4", "debug")])
def test_verbosity_is_taken_as_go_takes_it(verbosity: str, level: str, started: Started) -> None:
    assert webhook(verbosity, LOG_LEVEL="warning").exit_code == 0
    assert started.settings.log_level == level


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--port=65536",), "65536 is not in the range 0<=x<=65535"),
        (("--cluster-warnings=perhaps",), "'perhaps' is not a boolean; true and false are allowed"),
        (("--tls-cert=x",), "Did you mean"),
        (("--enable-gateway-api",), "No such option"),
    ],
    ids=["a port", "a boolean", "a flag of the gateway's", "another of the gateway's"],
)
def test_a_command_line_that_is_wrong_says_why_and_exits_with_2(
    arguments: tuple[str, ...], why: str, started: Started
) -> None:
    result = webhook(*arguments)
    assert result.exit_code == 2, result.output
    assert why in " ".join(result.stderr.split())
    assert not hasattr(started, "options")
