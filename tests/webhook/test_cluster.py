from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.resources import decoding, structure
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.routing import table
from kthena_fast.webhook.cluster import Cluster, Names, Routes
from tests.resources import corpus


def stored(name: str, day: int = 1, namespace: str = "default", **fields: Any) -> dict[str, Any]:
    """A route as the API server holds it."""
    obj = corpus.route(**fields)
    obj["metadata"] = {
        "name": name,
        "namespace": namespace,
        "creationTimestamp": f"2026-01-{day:02}T00:00:00Z",
    }
    return obj


def fill(store: Names | Routes, *objects: Any) -> None:
    store.begin()
    for obj in objects:
        store.put(obj)
    store.flush()
    store.settle()


def told(cluster: Cluster, obj: dict[str, Any]) -> list[str]:
    route = decoding.decode(obj)
    assert isinstance(route, ModelRoute)
    return [str(caution) for caution in cluster.cautions(route)]


def named(kind: str, name: str, namespace: str = "default") -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace}}


def test_before_a_kind_is_known_nothing_is_said_about_it() -> None:
    cluster = Cluster()
    cluster.servers.begin()
    assert told(cluster, stored("a")) == []
    cluster.servers.settle()
    (warning,) = told(cluster, stored("a"))
    assert warning == (
        "spec.rules[0].targetModels[0].modelServerName: the namespace 'default' has no ModelServer 's' yet: "
        "until then it gets no requests"
    )


def test_targets_are_looked_for_in_the_namespace_of_the_route_and_each_is_told_of_once() -> None:
    cluster = Cluster()
    fill(cluster.servers, named("ModelServer", "there"), named("ModelServer", "s", "elsewhere"))
    fill(cluster.providers)
    targets = [corpus.target(), {"modelServerName": "there"}, {"externalModelProviderName": "p"}]
    obj = stored("a", rules=[corpus.rule(targetModels=targets), corpus.rule(targetModels=targets)])
    assert [text.partition(": ")[0] for text in told(cluster, obj)] == [
        "spec.rules[0].targetModels[0].modelServerName",
        "spec.rules[0].targetModels[2].externalModelProviderName",
    ]
    cluster.servers.put(named("ModelServer", "s"))
    cluster.providers.put(named("ExternalModelProvider", "p"))
    assert told(cluster, obj) == []
    cluster.servers.drop(named("ModelServer", "s"))
    assert len(told(cluster, obj)) == 1


def test_only_what_is_older_comes_first() -> None:
    cluster = Cluster()
    fill(cluster.routes, stored("older", 1), stored("newer", 3))
    (warning,) = told(cluster, stored("mine", 2))
    assert warning == (
        "spec.modelName: 'm' is served by the older ModelRoute default/older already, which is asked first"
    )
    # What is not stored yet is the youngest.
    assert "default/older" in told(cluster, corpus.route())[0]
    # A route does not come before itself, nor does one of another name.
    assert told(cluster, stored("older", 1)) == []
    assert told(cluster, stored("mine", 9, modelName="other")) == []


def test_an_adapter_comes_after_a_model_name_of_any_age() -> None:
    cluster = Cluster()
    fill(cluster.routes, stored("base", 9, modelName="x"), stored("lora", 1, modelName="y", loraAdapters=["x", "z"]))
    assert told(cluster, stored("mine", 5, loraAdapters=["x", "z"])) == [
        "spec.loraAdapters[0]: 'x' is the modelName of the ModelRoute default/base, which is asked first",
        "spec.loraAdapters[1]: 'z' is served by the older ModelRoute default/lora already, which is asked first",
    ]
    assert told(cluster, stored("mine", 5, modelName="z")) == []


def test_routes_of_gateways_are_left_out_on_both_sides() -> None:
    cluster = Cluster()
    refs = [{"name": "gateway"}]
    fill(cluster.routes, stored("older", 1, parentRefs=refs))
    assert told(cluster, stored("mine", 2)) == []
    fill(cluster.routes, stored("older", 1))
    assert told(cluster, stored("mine", 2, parentRefs=refs)) == []


def test_a_list_forgets_what_is_gone_and_a_change_of_names_moves_a_route() -> None:
    cluster = Cluster()
    fill(cluster.routes, stored("older", 1, loraAdapters=["l"]))
    cluster.routes.put(stored("older", 1, modelName="n"))
    assert told(cluster, stored("mine", 2, loraAdapters=["l"])) == []
    assert len(told(cluster, stored("mine", 2, modelName="n"))) == 1
    fill(cluster.routes)
    assert told(cluster, stored("mine", 2, modelName="n")) == []
    cluster.routes.put(stored("older", 1))
    cluster.routes.drop(stored("older", 1))
    assert told(cluster, stored("mine", 2)) == []


def test_a_target_that_a_list_no_longer_holds_is_gone() -> None:
    cluster = Cluster()
    fill(cluster.servers, named("ModelServer", "s"))
    fill(cluster.providers)
    assert told(cluster, stored("a")) == []
    fill(cluster.servers)
    assert len(told(cluster, stored("a"))) == 1


RUBBISH: list[Any] = [
    None,
    [],
    {},
    {"metadata": 1},
    {"metadata": {"name": "x"}, "spec": []},
    {"metadata": {"name": []}, "spec": {"modelName": 1, "loraAdapters": [1]}},
]


@pytest.mark.parametrize("rubbish", RUBBISH)
def test_objects_of_any_shape_are_borne(rubbish: Any) -> None:
    cluster = Cluster()
    for store in (cluster.routes, cluster.servers, cluster.providers):
        fill(store, rubbish)
        store.put(rubbish)
        store.drop(rubbish)
    assert all("ModelRoute" not in text for text in told(cluster, stored("a")))


NAMES = st.sampled_from("abc")
ROUTE = st.tuples(st.integers(1, 3), NAMES | st.just(""), st.lists(NAMES, max_size=2))
NAMED = ROUTE.filter(lambda route: bool(route[1] or route[2]))


@given(routes=st.dictionaries(st.sampled_from(["r1", "r2", "r3", "r4"]), NAMED, min_size=1))
def test_a_route_is_warned_of_the_one_that_the_gateway_asks_before_it(
    routes: dict[str, tuple[int, str, list[str]]],
) -> None:
    cluster = Cluster()
    objects = [
        stored(name, day, modelName=model, loraAdapters=adapters) for name, (day, model, adapters) in routes.items()
    ]
    fill(cluster.routes, *objects)
    decoded = [decoding.decode(obj) for obj in objects]
    compiled = table.compile_table({route.metadata.key: route for route in decoded if isinstance(route, ModelRoute)})
    for route in decoded:
        assert isinstance(route, ModelRoute)
        warned = {caution.location[1:]: caution.message for caution in cluster.cautions(route)}
        spec = route.spec
        places: list[tuple[structure.Location, str]] = [(("modelName",), spec.model_name)] if spec.model_name else []
        # A name that a route has twice is asked of it as its modelName.
        places += (
            (("loraAdapters", at), name) for at, name in enumerate(spec.lora_adapters) if name != spec.model_name
        )
        for place, name in places:
            candidates = compiled.by_name[name]
            first = (candidates.base or candidates.adapters)[0].match.route
            assert (place in warned) == (first != route.metadata.key)
            assert place not in warned or f" {first}" in warned[place]
