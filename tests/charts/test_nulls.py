"""A value that is null: Helm takes the key's default away, and templates find none."""

import copy
import functools
from collections.abc import Iterator
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.charts import helm, values
from tests.charts.generated import CHART

TEXT = (CHART / "values.yaml").read_text()

MUCH: dict[str, Any] = {
    "global": {"certManagementMode": "cert-manager"},
    "networking": {
        "inferGateway": {
            "fairness": {"enabled": True},
            "tls": {"enabled": True},
            "autoscaling": {"enabled": True},
            "podDisruptionBudget": {"enabled": True},
            "networkPolicy": {"enabled": True},
            "serviceMonitor": {"enabled": True},
        },
        "webhook": {"networkPolicy": {"enabled": True}, "serviceMonitor": {"enabled": True}},
    },
}
"""What has templates look at keys that they leave alone by default."""

INSTALLS = {"bare": {}, "much": MUCH}


def _paths(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if path:
        yield path
    if isinstance(node, dict):
        for key, child in node.items():
            yield from _paths(child, (*path, key))


PATHS = list(_paths(YAML(typ="safe", pure=True).load(TEXT)))
"""Every key that has a default, those within what is the user's too."""

TAKEN_AWAY = {entry.path for entry in values.entries(TEXT) if values.may_be_null(entry) and entry.default}
"""Keys of which null is known to leave nothing, and what is in them likewise."""

OF_KUBERNETES = {entry.path for entry in values.entries(TEXT) if entry.name.endswith(".strategy")}
"""Mappings that null cannot take away, and whose fields have another default without the chart's."""


OTHERWISE = {
    # Helm looks at it for the subchart's sake, and puts it back.
    "networking": "at '/networking': missing property 'enabled'",
    "networking.enabled": "at '/networking/enabled': got null, want boolean",
    # With what to scale by: bare, it is what null is for.
    "inferGateway.resource": "the autoscaler scales by a share of resource.requests.cpu",
    "seccompProfile.type": "seccompProfile': missing property 'type'",
    "podDisruptionBudget.maxUnavailable": "podDisruptionBudget has both or neither of minAvailable and maxUnavailable",
}
"""What is said, by the end of a key's name, where it is not that a default is taken away."""


def _with_null(given: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    found = copy.deepcopy(given)
    node = found
    for key in path[:-1]:
        node = node.setdefault(key, {})
    node[path[-1]] = None
    return found


@functools.cache
def _plain(install: str) -> str:
    return helm.render(values=INSTALLS[install]).text


@pytest.mark.parametrize("install", INSTALLS)
@pytest.mark.parametrize("path", PATHS, ids=[".".join(path) for path in PATHS])
def test_a_key_that_is_null_is_refused_or_is_as_by_default(path: tuple[str, ...], install: str) -> None:
    """Or is gone, where that is what null is said to be for."""
    try:
        rendered = helm.render(values=_with_null(INSTALLS[install], path))
    except helm.Refused as refused:
        said = str(refused)
        for name, words in OTHERWISE.items():
            if f".{'.'.join(path)}".endswith(f".{name}"):
                assert words in said
                return
        section = "".join(f"/{key}" for key in path[:-1])
        assert f"at '{section}': missing property '{path[-1]}'" in said
        assert f"at '{section}': value must be '{values.NULLS}'" in said
        assert path not in TAKEN_AWAY
        return
    if any(path[:length] in TAKEN_AWAY | OF_KUBERNETES for length in range(1, len(path) + 1)):
        assert rendered.objects
        for trace in ("<nil>", "<no value>", "%!"):
            assert trace not in rendered.text
    else:
        assert rendered.text == _plain(install)


def test_a_key_of_which_null_leaves_nothing_says_so() -> None:
    told = {entry.path for entry in values.entries(TEXT) if "`null`" in entry.comment and entry.default}
    assert told == TAKEN_AWAY
