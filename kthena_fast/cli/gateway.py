"""`kthena-fast gateway`: flags and the environment become a gateway that runs until it is told to stop."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kthena_fast import settings as knobs
from kthena_fast.cli import flags

if TYPE_CHECKING:
    from kthena_fast.kube.configuration import Cluster
    from kthena_fast.sources import Reporter, Source


def read_settings() -> knobs.Settings:
    """The environment's settings; a bad one ends the program with its one line."""
    try:
        return knobs.read(os.environ, lambda line: click.echo(line, err=True))
    except knobs.BadSetting as problem:
        raise click.ClickException(str(problem)) from problem


def _namespaces(context: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
            raise click.BadParameter(f"{name!r} is not the name of a namespace", context, parameter)
    return names


@click.command(context_settings={"show_default": True})
@click.option(
    "--backend", "backends", multiple=True, metavar="URL", help="An engine's URL; may be repeated. Needs --model."
)
@click.option(
    "--model", "models", multiple=True, metavar="NAME", help="A model that every --backend serves; may be repeated."
)
@click.option(
    "--manifests",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="A folder of ModelRoute, ModelServer and Pod YAML, watched.",
)
@flags.boolean(
    "--kubernetes",
    False,
    "Read objects from the API server of KUBECONFIG, of the pod's service account, or of ~/.kube/config.",
)
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    metavar="NS",
    callback=_namespaces,
    help="Read this namespace only; may be repeated. Needs --kubernetes. Without it all namespaces are read.",
)
@click.option("--host", default="::", help="Address of the inference and the metrics port; :: is IPv6 and IPv4.")
@click.option("--port", type=flags.PORT, default=8080, help="Inference port.")
@click.option("--metrics-port", type=flags.PORT, default=9090, help="Port of /metrics, /healthz and /readyz.")
@click.option("--debug-port", type=flags.PORT, default=15000, help="Port of /debug, on loopback only.")
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Certificate (PEM) of the inference port; reloaded.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its key (PEM).")
@click.option(
    "--router-config", type=click.Path(path_type=Path), metavar="PATH", help="Upstream's routerConfiguration.yaml."
)
@flags.boolean("--expose-metrics-on-router-port", False, "Serve /metrics on the inference port too.")
@click.option(
    "-v", "--v", "verbosity", type=flags.Verbosity(), default=0, help="Upstream's log level: 4 and above logs at debug."
)
@flags.routers_own
def gateway(
    backends: tuple[str, ...],
    models: tuple[str, ...],
    manifests: Path | None,
    kubernetes: bool,
    namespaces: tuple[str, ...],
    host: str,
    port: int,
    metrics_port: int,
    debug_port: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    router_config: Path | None,
    expose_metrics_on_router_port: bool,
    verbosity: int,
    **upstreams_own: Any,
) -> None:
    """Run the gateway, with exactly one source of objects.

    \b
    kthena-fast gateway --backend http://host:8000 --model NAME
    kthena-fast gateway --manifests DIR
    kthena-fast gateway --kubernetes
    """
    flags.settle_upstreams_own(upstreams_own, lambda line: click.echo(line, err=True))
    if bool(tls_cert) != bool(tls_key):
        raise click.UsageError("--tls-cert and --tls-key are given both or neither")
    settings = read_settings()
    if verbosity >= 4:
        settings = settings.model_copy(update={"log_level": "debug"})
    source = _source(backends, models, manifests, namespaces, kubernetes=kubernetes)
    reporter = _reporter(settings, namespaces) if kubernetes and settings.status_updates else None

    from kthena_fast.gateway import app, process

    options = app.Options(
        host=host,
        port=port,
        metrics_port=metrics_port,
        debug_port=debug_port,
        tls_cert=tls_cert,
        tls_key=tls_key,
        router_config=router_config,
        metrics_on_inference_port=expose_metrics_on_router_port,
    )
    raise SystemExit(process.run(options, settings, source, reporter=reporter))


def _source(
    backends: tuple[str, ...],
    models: tuple[str, ...],
    manifests: Path | None,
    namespaces: tuple[str, ...],
    *,
    kubernetes: bool,
) -> Source:
    """The one source that was asked for; UsageError for none, several or half of one."""
    if bool(backends) != bool(models):
        raise click.UsageError("--backend and --model are given together: every backend serves every model")
    if bool(backends) + (manifests is not None) + kubernetes != 1:
        raise click.UsageError("exactly one source is needed: --backend with --model, --manifests, or --kubernetes")
    if namespaces and not kubernetes:
        raise click.UsageError("--namespace needs --kubernetes")
    if kubernetes:
        return _kubernetes(namespaces)
    if manifests is not None:
        from kthena_fast.sources import manifests as manifests_source

        return manifests_source.ManifestsSource(manifests)
    from kthena_fast.sources import backend

    try:
        return backend.BackendSource(backends, models)
    except ValueError as problem:
        raise click.UsageError(str(problem)) from problem


def _kubernetes(namespaces: tuple[str, ...]) -> Source:
    from kthena_fast.sources.kubernetes import source

    return source.KubernetesSource(_cluster(), namespaces)


def _reporter(settings: knobs.Settings, namespaces: tuple[str, ...]) -> Reporter:
    from kthena_fast.sources.kubernetes.status import reporter

    cluster = _cluster()
    is_told = "pod_namespace" in settings.model_fields_set
    return reporter.StatusReporter(
        cluster,
        namespaces,
        lease_name=settings.status_lease_name,
        lease_namespace=settings.pod_namespace if is_told else cluster.namespace,
    )


def _cluster() -> Cluster:
    from kthena_fast.kube import configuration

    try:
        return configuration.find(os.environ)
    except configuration.BadConfiguration as problem:
        raise click.ClickException(str(problem)) from problem
