"""`kthena-fast webhook`: flags and the environment become an admission webhook that runs until it is told to stop."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kthena_fast.cli import flags
from kthena_fast.cli.gateway import read_settings

if TYPE_CHECKING:
    from kthena_fast.kube import configuration

_FILE = click.Path(path_type=Path)


@click.command(context_settings={"show_default": True})
@click.option("--host", default="::", help="Address of both ports; :: is IPv6 and IPv4.")
@click.option("--port", type=flags.PORT, default=8443, help="HTTPS: the reviews, /healthz and /readyz.")
@click.option(
    "--metrics-port",
    type=flags.PORT,
    default=9090,
    help="HTTP: /metrics, /healthz and /readyz; open before there is a certificate, so probes belong here.",
)
@click.option(
    "--tls-cert-file", type=_FILE, default=Path("/etc/webhook/certs/tls.crt"), help="Certificate (PEM); reloaded."
)
@click.option(
    "--tls-private-key-file", type=_FILE, default=Path("/etc/webhook/certs/tls.key"), help="Its key (PEM); reloaded."
)
@click.option(
    "--cert-secret-name",
    default="kthena-router-webhook-certs",
    metavar="NAME",
    help="Secret of this namespace for certificates of the webhook's own making; empty: it makes none.",
)
@click.option(
    "--webhook-service-name",
    default="kthena-router-webhook",
    metavar="NAME",
    help="Service that the API server calls: what such certificates are for, and how configurations are known.",
)
@click.option(
    "--webhook-configuration-name",
    default="",
    metavar="NAME",
    help="The one ValidatingWebhookConfiguration whose caBundle is kept; empty: all that name the service.",
)
@flags.boolean("--cluster-warnings", True, "Warn of targets that do not exist and of names that are served already.")
@click.option(
    "-v", "--v", "verbosity", type=flags.Verbosity(), default=0, help="Upstream's log level: 4 and above logs at debug."
)
@flags.klogs_own
def webhook(
    host: str,
    port: int,
    metrics_port: int,
    tls_cert_file: Path,
    tls_private_key_file: Path,
    cert_secret_name: str,
    webhook_service_name: str,
    webhook_configuration_name: str,
    cluster_warnings: bool,
    verbosity: int,
    **klogs_own: Any,
) -> None:
    """Run the admission webhook, which the API server asks about every object of ours before it is stored.

    \b
    kthena-fast webhook --cert-secret-name webhook-certs --webhook-service-name webhook
    kthena-fast webhook --tls-cert-file tls.crt --tls-private-key-file tls.key --cluster-warnings=false
    """
    flags.settle_upstreams_own(klogs_own, lambda line: click.echo(line, err=True))
    settings = read_settings()
    if verbosity >= 4:
        settings = settings.model_copy(update={"log_level": "debug"})

    from kthena_fast.webhook import app, process

    options = app.Options(
        host=host,
        port=port,
        metrics_port=metrics_port,
        tls_cert_file=tls_cert_file,
        tls_private_key_file=tls_private_key_file,
        cert_secret_name=cert_secret_name,
        webhook_service_name=webhook_service_name,
        webhook_configuration_name=webhook_configuration_name,
        cluster_warnings=cluster_warnings,
    )
    raise SystemExit(process.run(options, settings, _kube()))


def _kube() -> configuration.Cluster | str:
    """The API server, or why none is known."""
    from kthena_fast.kube import configuration

    try:
        return configuration.find(os.environ)
    except configuration.BadConfiguration as problem:
        return str(problem)
