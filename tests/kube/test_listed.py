"""Everything that stores what a reflector reads keeps the names of a list, and of nothing else."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any, cast

import pytest

from kthena_fast.kube.client import Client
from kthena_fast.kube.listed import Listed
from kthena_fast.kube.reflector import Store
from kthena_fast.sources.kubernetes.inventory import Inventory, ObjectStore, PodStore
from kthena_fast.webhook.cluster import Names, Routes
from kthena_fast.webhook.configurations import Configurations

STORES: dict[str, Callable[[], Store]] = {
    "objects": lambda: ObjectStore(Inventory(lambda: None), "ModelServer", ""),
    "pods": lambda: PodStore(Inventory(lambda: None), "ns", frozenset(("app",))),
    "names": Names,
    "routes": Routes,
    "configurations": lambda: Configurations(cast("Client", None), "ns", "webhook"),
}

COUNT = 1000
LONG = "x" * 1000


def thing(number: int) -> dict[str, Any]:
    meta = {"namespace": "ns", "name": f"job-{number}-{LONG}", "uid": str(number), "generation": 1}
    return {"metadata": meta, "spec": {}, "status": {}}


@pytest.mark.parametrize("made", STORES.values(), ids=STORES)
def test_what_came_and_went_between_two_lists_leaves_nothing(made: Callable[[], Store]) -> None:
    """Pods of jobs come and go for as long as the program runs, and a list is read once."""
    store = made()
    store.begin()
    store.settle()

    def come_and_go(first: int) -> None:
        for number in range(first, first + COUNT):
            store.put(thing(number))
            store.drop(thing(number))
            store.flush()

    # What is grown and kept for good, such as the table of a dictionary.
    come_and_go(0)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        come_and_go(COUNT)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < COUNT * len(LONG) / 4


def test_a_list_that_begins_anew_holds_what_came_since() -> None:
    listed = Listed()
    listed.note("of a watch")
    listed.begin()
    listed.note("a")
    listed.begin()
    listed.note("b")
    assert listed.settle() == {"b"}
    listed.note("c")
    assert listed.settle() == set()
