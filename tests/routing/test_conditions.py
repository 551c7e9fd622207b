"""What is said of an object, and what is written over what stands."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from kthena_fast.resources import decoding, structure
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.resources.status import Condition
from kthena_fast.routing import build, conditions
from kthena_fast.routing.conditions import Verdict
from kthena_fast.routing.findings import Findings, Identity
from kthena_fast.routing.objects import Reason, Rejection
from tests.routing import given
from tests.routing.given import Resource, to

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
OLD, YOUNG = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"


def said(kind: str, name: str, *resources: Resource, rejected: tuple[Rejection, ...] = ()) -> tuple[Verdict, Verdict]:
    findings = Findings()
    for _ in findings.look(build.build(given.objects(*resources), rejected=rejected)):
        pass
    finding = findings.get(Identity(kind, f"default/{name}"))
    assert finding is not None
    return conditions.verdicts(finding)


def of_route(*resources: Resource, name: str = "r") -> tuple[Verdict, Verdict]:
    return said("ModelRoute", name, *resources)


def of_server(*resources: Resource, name: str = "s") -> tuple[Verdict, Verdict]:
    return said("ModelServer", name, *resources)


SERVER = given.server("s", "127.0.0.1:1")


def test_a_route_whose_targets_are_there_is_accepted_and_resolved() -> None:
    accepted, resolved = of_route(given.route("r", to("s")), SERVER)
    assert accepted == Verdict(conditions.SERVED, "It is in service")
    assert resolved.reason == conditions.RESOLVED


def test_a_target_that_does_not_exist_is_named_with_its_place() -> None:
    accepted, resolved = of_route(given.route("r", to("s"), to("s", "missing")), SERVER)
    assert accepted.reason == conditions.SERVED
    assert resolved == Verdict(
        conditions.BACKEND_NOT_FOUND,
        "spec.rules[1].targetModels[1]: the ModelServer default/missing does not exist; "
        "create it in the namespace default, or name another",
    )


def test_a_target_in_another_namespace_does_not_exist() -> None:
    _, resolved = of_route(given.route("r", to("s")), given.server("s", "127.0.0.1:1", namespace="elsewhere"))
    assert resolved.reason == conditions.BACKEND_NOT_FOUND


def test_of_many_faults_the_first_are_named_and_the_others_counted() -> None:
    _, resolved = of_route(given.route("r", *[to(*(f"missing-{n}" for n in range(16)))] * 16))
    assert resolved.message.count("does not exist") == conditions.MOST_SAID
    assert "and 251 more" in resolved.message


def test_a_provider_that_exists_is_of_a_kind_that_cannot_be_called() -> None:
    rule = {"targetModels": [{"externalModelProviderName": "p"}]}
    accepted, resolved = of_route(given.route("r", rule), given.provider("p"))
    assert accepted.reason == conditions.SERVED
    assert resolved.reason == conditions.INVALID_KIND
    assert "spec.rules[0].targetModels[0]" in resolved.message


def test_a_provider_that_does_not_exist_is_missing() -> None:
    _, resolved = of_route(given.route("r", {"targetModels": [{"externalModelProviderName": "p"}]}))
    assert resolved.reason == conditions.BACKEND_NOT_FOUND
    assert "the ExternalModelProvider default/p does not exist" in resolved.message


def test_a_route_behind_an_older_one_is_not_accepted() -> None:
    accepted, _ = of_route(given.route("older", to("s"), created=OLD), given.route("r", to("s"), created=YOUNG), SERVER)
    assert accepted == Verdict(
        conditions.SHADOWED,
        "ModelRoute default/older is older and takes every request for 'm' as long as one of its targets has a "
        "ready pod; use another name, or narrow or remove the other route",
    )


def test_the_older_route_is_accepted() -> None:
    accepted, _ = of_route(
        given.route("r", to("s"), created=OLD), given.route("younger", to("s"), created=YOUNG), SERVER
    )
    assert accepted.reason == conditions.SERVED


@pytest.mark.parametrize(
    "rule",
    [to("s", when={"headers": {"x": {"exact": "a"}}}), to("missing"), to(s=0)],
    ids=["takes some", "leads nowhere", "has no weight"],
)
def test_an_older_route_that_does_not_take_every_request_shadows_nothing(rule: dict[str, Any]) -> None:
    accepted, _ = of_route(given.route("older", rule, created=OLD), given.route("r", to("s"), created=YOUNG), SERVER)
    assert accepted.reason == conditions.SERVED


def test_a_route_that_has_a_rule_before_the_wall_is_reached() -> None:
    older = given.route("older", to("s", when={"uri": {"prefix": "/x"}}), to("s"), created=OLD)
    accepted, _ = of_route(older, given.route("younger", to("s"), created=YOUNG), SERVER, name="older")
    assert accepted.reason == conditions.SERVED


def test_a_route_with_one_name_of_two_shadowed_is_accepted_in_part() -> None:
    accepted, _ = of_route(
        given.route("older", to("s"), created=OLD),
        given.route("r", to("s"), model="m", adapters=["lora"], created=YOUNG),
        SERVER,
    )
    assert accepted.reason == conditions.PARTIALLY_SHADOWED
    assert accepted.message.startswith("It is in service, but ModelRoute default/older is older")


def test_an_adapter_is_shadowed_by_a_model_name_whatever_its_age_and_whether_or_not_it_can_serve() -> None:
    accepted, _ = of_route(
        given.route("r", to("s"), model=None, adapters=["m"], created=OLD),
        given.route("younger", to("missing"), created=YOUNG),
        SERVER,
    )
    assert accepted.reason == conditions.SHADOWED
    assert accepted.message.startswith("'m' is the modelName of ModelRoute default/younger, which takes every request")


def test_a_route_with_parents_is_not_accepted_and_shadows_nothing() -> None:
    older = given.route("older", to("s"), created=OLD, parentRefs=[{"name": "gateway"}])
    younger = given.route("r", to("s"), created=YOUNG)
    accepted, _ = of_route(older, younger, SERVER, name="older")
    assert accepted.reason == conditions.NO_MATCHING_PARENT
    assert accepted.message.startswith("spec.parentRefs: ")
    assert of_route(older, younger, SERVER)[0].reason == conditions.SERVED


def test_a_route_without_rules_takes_no_request() -> None:
    accepted, resolved = of_route(given.route("r"))
    assert accepted.reason == conditions.NO_RULES
    assert resolved.reason == conditions.RESOLVED


def test_a_route_whose_only_adapter_has_no_name_takes_no_request() -> None:
    accepted, _ = of_route(given.route("r", to("s"), model=None, adapters=[""]), SERVER)
    assert accepted.reason == conditions.UNSUPPORTED_VALUE


def test_a_pattern_that_is_refused_is_named() -> None:
    bad = to("s", when={"uri": {"regex": "(?=x)"}})
    accepted, _ = of_route(given.route("r", bad, to("s")), SERVER)
    assert accepted.reason == conditions.PARTIALLY_INVALID
    assert "spec.rules[0].modelMatch.uri.regex" in accepted.message


def test_a_route_all_of_whose_rules_have_a_refused_pattern_is_not_accepted() -> None:
    bad = to("s", when={"headers": {"a": {"regex": "("}, "b": {"regex": "("}}})
    assert of_route(given.route("r", bad, bad), SERVER)[0].reason == conditions.UNSUPPORTED_VALUE
    # Two in one rule are not two rules.
    assert of_route(given.route("r", bad, to("s")), SERVER)[0].reason == conditions.PARTIALLY_INVALID


def test_a_field_that_is_not_obeyed_is_named() -> None:
    limited = given.route("r", to("s"), rateLimit={"inputTokensPerUnit": 10})
    accepted, _ = of_route(limited, SERVER)
    assert accepted.reason == conditions.FIELD_NOT_OBEYED
    assert accepted.message.startswith("It is in service, but not obeyed: spec.rateLimit: ")


PD = {
    "matchLabels": {"app": "s"},
    "pdGroup": {"groupKey": "g", "prefillLabels": {"r": "p"}, "decodeLabels": {"r": "d"}},
}


def test_a_server_with_a_ready_pod_is_accepted_and_resolved() -> None:
    accepted, resolved = of_server(given.server("s"), given.pod("p", app="s"))
    assert (accepted.reason, resolved.reason) == (conditions.SERVED, conditions.RESOLVED)


def test_a_server_without_a_ready_pod_says_how_to_look_for_one() -> None:
    accepted, resolved = of_server(given.server("s"), given.pod("p", app="s", ready="False"))
    assert accepted.reason == conditions.SERVED
    assert resolved == Verdict(
        conditions.NO_READY_PODS,
        "No pod with the labels app=s is ready, so requests for it are answered with 503; "
        "see: kubectl get pods -n default -l app=s",
    )


def test_a_server_with_prefill_and_decode_is_accepted_but_not_obeyed_in_full() -> None:
    accepted, resolved = of_server(given.server("s", selector=PD), given.pod("p", app="s", g="1", r="p"))
    assert accepted.reason == conditions.FIELD_NOT_OBEYED
    assert "spec.workloadSelector.pdGroup" in accepted.message
    assert resolved.reason == conditions.NO_READY_PODS
    assert resolved.message.startswith("No pod that decodes ")


def test_a_server_that_selects_nothing_is_not_accepted() -> None:
    accepted, resolved = of_server(given.server("s", selector={}))
    assert accepted.reason == conditions.UNSUPPORTED_VALUE
    assert resolved.reason == conditions.NO_READY_PODS


@pytest.mark.parametrize("kept", [False, True])
def test_an_object_that_was_set_aside_is_not_accepted_also_where_its_last_good_version_serves(kept: bool) -> None:
    refusal = Rejection("ModelServer", "default", "s", (Reason("spec.workloadPort", "is required"),), kept=kept)
    accepted, resolved = said("ModelServer", "s", *([SERVER] if kept else []), rejected=(refusal,))
    assert accepted.reason == conditions.UNSUPPORTED_VALUE
    assert accepted.message.endswith("spec.workloadPort: is required")
    assert ("serves on" in accepted.message) == kept
    assert resolved.reason == conditions.NOT_ACCEPTED


def test_every_condition_fits_the_crds() -> None:
    huge = given.route("r", *[to("x" * 5000, when={"uri": {"regex": "(" * 5000}})] * 16)
    for verdict in of_route(huge):
        decoded = Condition.model_validate(
            {
                "type": verdict.reason.type,
                "status": verdict.reason.status,
                "lastTransitionTime": NOW,
                "reason": verdict.reason.name,
                "message": verdict.message,
            }
        )
        assert len(decoded.message) <= conditions.MOST_CHARACTERS
    pattern = structure.schema(Condition)["properties"]["reason"]["pattern"]
    assert pattern
    for reason in conditions.REASONS:
        Condition(type=reason.type, status=reason.status, last_transition_time=NOW, reason=reason.name, message="")


# What is written over what stands

GOOD, BAD = given.route("r", to("s")), given.route("r", to("missing"))


def write(route: ModelRoute, status: Any, generation: int = 1, now: datetime = NOW) -> dict[str, Any] | None:
    findings = Findings()
    for _ in findings.look(given.snapshot(route, SERVER)):
        pass
    finding = findings.get(Identity("ModelRoute", "default/r"))
    assert finding is not None
    return conditions.written(finding, status, generation, now)


def fresh(route: ModelRoute = GOOD, **more: Any) -> dict[str, Any]:
    status = write(route, None, **more)
    assert status is not None
    return status


def by_type(status: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    assert status is not None
    return {entry["type"]: entry for entry in status["conditions"]}


def test_the_first_conditions_hold_for_the_generation_and_from_now_on() -> None:
    status = fresh(generation=7)
    assert status["observedGeneration"] == 7
    assert [entry["type"] for entry in status["conditions"]] == ["Accepted", "ResolvedRefs"]
    for entry in status["conditions"]:
        assert entry["observedGeneration"] == 7
        assert entry["lastTransitionTime"] == "2026-01-31T12:00:00Z"


def test_what_stands_is_not_written_again() -> None:
    assert write(GOOD, fresh(), now=LATER) is None


def test_the_time_moves_with_the_status_alone() -> None:
    before = by_type(write(BAD, fresh(), generation=2, now=LATER))
    assert before["ResolvedRefs"]["lastTransitionTime"] == "2026-01-31T13:00:00Z"
    # Its status is what it was, though it is of a new generation.
    assert before["Accepted"]["lastTransitionTime"] == "2026-01-31T12:00:00Z"
    assert before["Accepted"]["observedGeneration"] == 2


def test_the_time_is_written_in_utc() -> None:
    here = NOW.astimezone(tz=datetime.strptime("+0200", "%z").tzinfo)
    assert by_type(write(GOOD, None, now=here))["Accepted"]["lastTransitionTime"] == "2026-01-31T12:00:00Z"


def test_conditions_of_others_are_kept_as_they_are() -> None:
    other = {"type": "example.com/Paid", "status": "False", "reason": "X", "message": "", "odd": 1}
    status = write(GOOD, {"conditions": [other], "theirs": 1})
    assert status is not None
    assert status["conditions"][0] == other
    # A merge patch leaves what it does not name.
    assert "theirs" not in status
    assert write(GOOD, status) is None


def test_a_condition_that_is_there_twice_is_written_once() -> None:
    status = fresh()
    doubled = {**status, "conditions": [*status["conditions"], status["conditions"][0]]}
    assert write(GOOD, doubled, now=LATER) == status


def test_what_was_said_of_a_later_generation_stands() -> None:
    assert write(BAD, fresh(generation=3), generation=2) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
ANY_CONDITION = JSON | st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["Accepted", "ResolvedRefs", "Other"]) | JSON,
        "status": st.sampled_from(["True", "False"]) | JSON,
        "observedGeneration": st.integers(0, 3) | JSON,
        "lastTransitionTime": st.just("2020-01-01T00:00:00Z") | JSON,
    },
)
ANY_STATUS = JSON | st.fixed_dictionaries({}, optional={"conditions": st.lists(ANY_CONDITION, max_size=4) | JSON})


@drawn(status=ANY_STATUS, good=st.booleans())
def test_whatever_stands_is_mended_once_and_then_left_alone(status: Any, good: bool) -> None:
    route = GOOD if good else BAD
    first = write(route, status, generation=2**62)
    if first is None:
        # It said that of a later generation, or all of it stood.
        return
    assert [entry["type"] for entry in first["conditions"][-2:]] == ["Accepted", "ResolvedRefs"]
    merged = {**(status if isinstance(status, dict) else {}), **first}
    assert write(route, merged, generation=2**62, now=LATER) is None


def test_decoding_leaves_what_was_written_unread() -> None:
    obj = GOOD.as_object()
    assert decoding.decode({**obj, "status": fresh()}) == decoding.decode(obj)
