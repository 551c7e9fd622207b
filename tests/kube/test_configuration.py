"""Which cluster is taken, and as whom; and what is said of a configuration that is none."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import trustme

from kthena_fast.kube import configuration, credentials
from kthena_fast.kube.client import Client
from tests.kube.apiserver import KubeApiServer


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def write(path: Path, document: Any) -> Path:
    # JSON is YAML.
    path.write_text(json.dumps(document))
    return path


def kubeconfig(*, cluster: Any = None, user: Any = None, context: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "current-context": "c",
        "clusters": [{"name": "k", "cluster": {"server": "https://10.0.0.1:6443/"} | (cluster or {})}],
        "users": [{"name": "u", "user": user if user is not None else {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"} | (context or {})}],
        **more,
    }


async def headers(cluster: configuration.Cluster) -> dict[str, str]:
    return dict((await cluster.credentials.prove()).headers)


async def test_kubeconfig_comes_before_the_pods_account_and_that_before_the_home_folder(tmp_path: Path) -> None:
    account = tmp_path / "account"
    account.mkdir()
    (account / "token").write_text("of the pod\n")
    (account / "namespace").write_text("kthena\n")
    home = tmp_path / "home"
    (home / ".kube").mkdir(parents=True)
    write(home / ".kube" / "config", kubeconfig(user={"token": "of the home folder"}))
    named = write(tmp_path / "named", kubeconfig(user={"token": "of KUBECONFIG"}))
    environment = {"HOME": str(home), "KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}

    found = configuration.find({**environment, "KUBECONFIG": str(named)}, account)
    assert await headers(found) == {"Authorization": "Bearer of KUBECONFIG"}
    found = configuration.find(environment, account)
    assert await headers(found) == {"Authorization": "Bearer of the pod"}
    assert (found.server, found.namespace) == ("https://[fd00::1]:6443", "kthena")
    found = configuration.find({"HOME": str(home)}, account)
    assert await headers(found) == {"Authorization": "Bearer of the home folder"}
    with pytest.raises(configuration.BadConfiguration, match="KUBECONFIG is not set"):
        configuration.find({"HOME": str(tmp_path)}, account)
    with pytest.raises(configuration.BadConfiguration, match="there is no such file"):
        configuration.find({**environment, "KUBECONFIG": "/nowhere:/nor/here"}, account)


async def test_of_several_files_the_first_that_says_something_counts(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first = write(
        tmp_path / "one" / "config",
        {"users": [{"name": "u", "user": {"tokenFile": "token"}}], "contexts": None, "clusters": []},
    )
    second = write(tmp_path / "two" / "config", kubeconfig(context={"namespace": "n"}, user={"token": "other"}))
    (tmp_path / "one" / "token").write_text("beside the file that names it")
    found = configuration.find({"KUBECONFIG": f"{first}:/not/there:{second}"})
    assert await headers(found) == {"Authorization": "Bearer beside the file that names it"}
    assert (found.server, found.namespace) == ("https://10.0.0.1:6443", "n")


async def test_every_way_to_say_who_one_is(tmp_path: Path) -> None:
    def found(user: dict[str, Any]) -> configuration.Cluster:
        return configuration.from_files([write(tmp_path / "config", kubeconfig(user=user))])

    assert await headers(found({})) == {}
    assert await headers(found({"username": "a", "password": "b"})) == {"Authorization": f"Basic {encoded('a:b')}"}
    assert await headers(found({"token": "t", "as": "x", "as-groups": ["y"]})) == {
        "Authorization": "Bearer t",
        "Impersonate-User": "x",
        "Impersonate-Group": "y",
    }
    (tmp_path / "cert").write_text("C")
    pair = {"client-certificate": "cert", "client-key-data": encoded("K")}
    proof = await found(pair).credentials.prove()
    assert proof.certificate == credentials.Certificate("C", "K")
    assert "K" not in repr(proof)


REFUSED: dict[str, tuple[Any, str]] = {
    "no YAML": ("{", "is no YAML"),
    "a list": ("[]", "must be a mapping"),
    "nothing": ("", "no current-context is set"),
    "no context": (kubeconfig(**{"current-context": "d"}), "there is no context 'd'; there is c"),
    "no cluster": (kubeconfig(context={"cluster": "x"}), "there is no cluster 'x'; there is k"),
    "no user": (kubeconfig(context={"user": "x"}), "there is no user 'x'; there is u"),
    "no server": (kubeconfig(cluster={"server": "10.0.0.1"}), "server must be an http or https URL"),
    "a number": (kubeconfig(cluster={"server": 1}), "cluster 'k': server must be a string"),
    "a flag": (kubeconfig(cluster={"insecure-skip-tls-verify": "yes"}), "must be true or false"),
    "no base64": (kubeconfig(cluster={"certificate-authority-data": "é"}), "is not base64"),
    "half a pair": (kubeconfig(user={"client-key-data": encoded("K")}), "are given both or neither"),
    "a file that is not there": (kubeconfig(user={"client-certificate": "x"}), "client-certificate: .*cannot be read"),
    "what is gone": (kubeconfig(user={"auth-provider": {"name": "gcp"}}), "auth-provider is not supported; use exec"),
    "many groups": (kubeconfig(user={"as": "a", "as-groups": ["b", "c"]}), "more than one of as-groups"),
    "an old plugin": (kubeconfig(user={"exec": {"apiVersion": "v0", "command": "x"}}), "exec: apiVersion must be"),
    "no command": (
        kubeconfig(user={"exec": {"apiVersion": credentials.EXEC_VERSIONS[0]}}),
        "command must be a program",
    ),
    "a plugin that asks": (
        kubeconfig(
            user={"exec": {"apiVersion": credentials.EXEC_VERSIONS[0], "command": "x", "interactiveMode": "Always"}}
        ),
        "nobody is there to ask",
    ),
    "users that are none": ({"users": {}}, "users must be a list"),
    "a user without a name": ({"users": [{}]}, "each of users must have a name"),
    "a user that is none": ({"users": [{"name": "u", "user": 1}]}, "user 'u' must be a mapping"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_kubeconfig_that_is_wrong_is_refused_with_the_place(what: str, tmp_path: Path) -> None:
    content, why = REFUSED[what]
    path = tmp_path / "config"
    path.write_text(content) if isinstance(content, str) else write(path, content)
    with pytest.raises(configuration.BadConfiguration, match=why) as refused:
        configuration.from_files([path])
    assert str(path) in str(refused.value)


def test_a_kubeconfig_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config").write_bytes(b"\xff")
    for path in (tmp_path, tmp_path / "config"):
        with pytest.raises(configuration.BadConfiguration, match="cannot be read"):
            configuration.from_files([path])


async def test_a_client_certificate_is_shown(kube_apiserver: KubeApiServer, tmp_path: Path) -> None:
    """The API server of the tests knows none, and lets whoever shows one ask for its version all the same."""
    authority = trustme.CA()
    leaf = authority.issue_cert(common_name="someone")
    user = {
        "client-certificate-data": encoded(b"".join(pem.bytes() for pem in leaf.cert_chain_pems).decode()),
        "client-key-data": encoded(leaf.private_key_pem.bytes().decode()),
    }
    cluster = {"server": kube_apiserver.url, "certificate-authority": str(kube_apiserver.ca_file)}
    found = configuration.from_files([write(tmp_path / "config", kubeconfig(cluster=cluster, user=user))])
    async with Client(found) as kube:
        assert (await kube.get("/version"))["major"] == "1"
