"""Which API server, and who we are there.

1. `KUBECONFIG` where it is set (several files, joined by the system's path separator; of two entries of one name the
   first counts, and a file that is not there is passed over), else the service account of the pod that we run in, else
   `~/.kube/config`.
2. Relative paths in a kubeconfig count from the folder of the file that holds them.
3. What a kubeconfig asks for and is not done here (`auth-provider`) is refused, never left out in silence.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kthena_fast.kube import credentials
from kthena_fast.kube.credentials import Certificate, Credentials

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class BadConfiguration(Exception):
    """Why there is no cluster to talk to, in one line."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """An API server, how it is trusted, and who we are there."""

    server: str
    """Its URL, without a slash at the end."""
    credentials: Credentials
    namespace: str = "default"
    """That of the context, or of our own pod."""
    ca_file: Path | None = None
    """Certificates that its own is verified with; read anew when it no longer fits, or could not be read. None: see
    `ca_data`."""
    ca_data: str = ""
    """The same, in PEM; empty, and no `ca_file`: those that the system trusts."""
    verify: bool = True
    server_name: str = ""
    """The name that its certificate must hold; empty: that of `server`."""
    proxy: str = ""
    """The HTTP proxy in front of it. The environment's proxies are not used."""
    source: str = ""
    """Where this was found, for the log."""


def find(environ: Mapping[str, str], service_account: Path | None = None) -> Cluster:
    """The cluster by rule 1; BadConfiguration where there is none or it cannot be used."""
    service_account = service_account or SERVICE_ACCOUNT
    if named := environ.get("KUBECONFIG"):
        paths = [Path(name) for name in named.split(os.pathsep) if name]
        there = [path for path in paths if path.exists()]
        if not there:
            raise BadConfiguration(f"KUBECONFIG={named!r}: there is no such file")
        return from_files(there)
    if environ.get("KUBERNETES_SERVICE_HOST") and (service_account / "token").exists():
        return in_cluster(environ, service_account)
    usual = Path(environ.get("HOME", "~")).expanduser() / ".kube" / "config"
    if usual.exists():
        return from_files([usual])
    raise BadConfiguration(
        f"no Kubernetes API server is known: KUBECONFIG is not set, this is no pod with a service account "
        f"({service_account}/token), and there is no {usual}"
    )


def in_cluster(environ: Mapping[str, str], service_account: Path) -> Cluster:
    """The API server of the cluster that this pod runs in, as its service account.

    It is verified with the authority beside the token and no other: what a public one vouches for is not shown a token.
    """
    host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT") or "443"
    if ":" in host:
        host = f"[{host}]"
    try:
        namespace = (service_account / "namespace").read_text().strip()
    except OSError:
        namespace = "default"
    return Cluster(
        server=f"https://{host}:{port}",
        credentials=credentials.TokenFile(service_account / "token"),
        namespace=namespace or "default",
        ca_file=service_account / "ca.crt",
        source=f"the pod's service account ({service_account})",
    )


def from_files(paths: list[Path]) -> Cluster:
    """The cluster of the current context of these kubeconfigs."""
    merged = _Merged()
    for path in paths:
        merged.add(path)
    return merged.cluster()


class _Entry:
    """A cluster, user or context of a kubeconfig, with the file that it came from."""

    def __init__(self, what: str, fields: Mapping[str, Any], path: Path) -> None:
        self._what = what
        self._fields = fields
        self._path = path

    def refuse(self, problem: str) -> BadConfiguration:
        return BadConfiguration(f"{self._path}: {self._what}: {problem}")

    def text(self, name: str) -> str:
        value = self._fields.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.refuse(f"{name} must be a string")
        return value

    def flag(self, name: str) -> bool:
        value = self._fields.get(name, False)
        if not isinstance(value, bool):
            raise self.refuse(f"{name} must be true or false")
        return value

    def mapping(self, name: str) -> Mapping[str, Any] | None:
        value = self._fields.get(name)
        if value is not None and not isinstance(value, Mapping):
            raise self.refuse(f"{name} must be a mapping")
        return value

    def names(self, name: str) -> tuple[str, ...]:
        value = self._fields.get(name) or ()
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            raise self.refuse(f"{name} must be a list of strings")
        return tuple(value)

    def file(self, name: str) -> Path | None:
        """Rule 2."""
        text = self.text(name)
        return self._path.parent / text if text else None

    def folder(self) -> Path:
        return self._path.parent

    def data(self, name: str) -> str:
        """What stands in base64."""
        try:
            return base64.b64decode(self.text(f"{name}-data"), validate=False).decode()
        except ValueError:
            raise self.refuse(f"{name}-data is not base64 of text") from None

    def pem(self, name: str) -> str:
        """The PEM that stands in `name`-data, or in the file that `name` names."""
        text = self.data(name)
        path = self.file(name)
        if text or path is None:
            return text
        try:
            return path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise self.refuse(f"{name}: {path} cannot be read: {error}") from None


class _Merged:
    """Several kubeconfigs as one."""

    def __init__(self) -> None:
        self._current = ""
        self._paths: list[Path] = []
        self._entries: dict[tuple[str, str], _Entry] = {}

    def add(self, path: Path) -> None:
        document = _read(path)
        self._paths.append(path)
        current = document.get("current-context")
        if not self._current and isinstance(current, str):
            self._current = current
        for lists, kind in (("clusters", "cluster"), ("users", "user"), ("contexts", "context")):
            for name, fields in _named(document.get(lists), kind, path):
                self._entries.setdefault((kind, name), _Entry(f"{kind} {name!r}", fields, path))

    def _entry(self, kind: str, name: str) -> _Entry:
        found = self._entries.get((kind, name))
        if found is None:
            known = ", ".join(sorted(key[1] for key in self._entries if key[0] == kind)) or "none"
            where = ", ".join(map(str, self._paths))
            raise BadConfiguration(f"{where}: there is no {kind} {name!r}; there is {known}")
        return found

    def cluster(self) -> Cluster:
        """The cluster of the current context."""
        if not self._current:
            raise BadConfiguration(f"{', '.join(map(str, self._paths))}: no current-context is set")
        context = self._entry("context", self._current)
        cluster = self._entry("cluster", context.text("cluster"))
        server = cluster.text("server").rstrip("/")
        if not server.startswith(("https://", "http://")):
            raise cluster.refuse(f"server must be an http or https URL, and is {server!r}")
        ca_data = cluster.data("certificate-authority")
        ca_file = cluster.file("certificate-authority") if not ca_data else None
        user = context.text("user")
        return Cluster(
            server=server,
            credentials=_credentials(self._entry("user", user), server) if user else credentials.Anonymous(),
            namespace=context.text("namespace") or "default",
            ca_file=ca_file,
            ca_data=ca_data,
            verify=not cluster.flag("insecure-skip-tls-verify"),
            server_name=cluster.text("tls-server-name"),
            proxy=cluster.text("proxy-url"),
            source=f"the context {self._current!r} of {', '.join(map(str, self._paths))}",
        )


def _credentials(user: _Entry, server: str) -> Credentials:
    """What the user's entry holds; `exec` last, as everything else is told and not asked for."""
    if user.mapping("auth-provider") is not None:
        raise user.refuse("auth-provider is not supported; use exec, as Kubernetes does since 1.26")
    acting = _acting_for(user)
    certificate = _certificate(user)
    if token := user.text("token"):
        return credentials.Fixed({"Authorization": f"Bearer {token}"} | acting, certificate)
    if (path := user.file("tokenFile")) is not None:
        return credentials.TokenFile(path, acting, certificate)
    if name := user.text("username"):
        basic = base64.b64encode(f"{name}:{user.text('password')}".encode()).decode()
        return credentials.Fixed({"Authorization": f"Basic {basic}"} | acting, certificate)
    plugin = user.mapping("exec")
    if plugin is not None:
        try:
            return credentials.Exec(plugin, user.folder(), server, acting)
        except ValueError as error:
            raise user.refuse(f"exec: {error}") from None
    return credentials.Fixed(acting, certificate)


def _certificate(user: _Entry) -> Certificate | None:
    certificate, key = user.pem("client-certificate"), user.pem("client-key")
    if bool(certificate) != bool(key):
        raise user.refuse("client-certificate and client-key are given both or neither")
    return Certificate(certificate, key) if certificate else None


def _acting_for(user: _Entry) -> dict[str, str]:
    """Impersonation: `as` and what belongs to it."""
    name = user.text("as")
    if not name:
        return {}
    groups = user.names("as-groups")
    if len(groups) > 1 or user.mapping("as-user-extra"):
        raise user.refuse("as-user-extra and more than one of as-groups are not supported")
    return {"Impersonate-User": name} | ({"Impersonate-Group": groups[0]} if groups else {})


def _named(entries: Any, kind: str, path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if entries is None:
        return
    if not isinstance(entries, list):
        raise BadConfiguration(f"{path}: {kind}s must be a list")
    for entry in entries:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            raise BadConfiguration(f"{path}: each of {kind}s must have a name")
        fields = entry.get(kind)
        if fields is not None and not isinstance(fields, Mapping):
            raise BadConfiguration(f"{path}: {kind} {entry['name']!r} must be a mapping")
        yield entry["name"], fields or {}


def _read(path: Path) -> Mapping[str, Any]:
    # A pod reads no YAML.
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        document = YAML(typ="safe", pure=True).load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"{path} cannot be read: {error}") from None
    except YAMLError as error:
        raise BadConfiguration(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if document is None:
        return {}
    if not isinstance(document, Mapping):
        raise BadConfiguration(f"{path} is no kubeconfig: it must be a mapping")
    return document
