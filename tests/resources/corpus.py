"""Objects with the verdict that the API server gives on them under our CRDs.

The verdicts were confirmed against kube-apiserver 1.34 with the CRDs installed; `paths` are where it finds fault.
"""

from __future__ import annotations

from typing import Any, NamedTuple

API = "networking.serving.volcano.sh/v1alpha1"


class Case(NamedTuple):
    name: str
    obj: dict[str, Any]
    paths: tuple[str, ...]
    """Where faults are found; none: the object is accepted."""


def thing(kind: str, spec: Any, **metadata: Any) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": "a", **metadata}, "spec": spec}


def target(**fields: Any) -> dict[str, Any]:
    return {"modelServerName": "s", **fields}


def rule(**fields: Any) -> dict[str, Any]:
    return {"targetModels": [target()], **fields}


def route(**fields: Any) -> dict[str, Any]:
    return thing("ModelRoute", {"modelName": "m", "rules": [rule()], **fields})


def server(**fields: Any) -> dict[str, Any]:
    spec = {
        "inferenceEngine": "vLLM",
        "workloadSelector": {"matchLabels": {"app": "x"}},
        "workloadPort": {"port": 8000},
    }
    return thing("ModelServer", {**spec, **fields})


def provider(**fields: Any) -> dict[str, Any]:
    return thing("ExternalModelProvider", {"baseURL": "https://api.example.com/v1", **fields})


def matching(**fields: Any) -> dict[str, Any]:
    return route(rules=[rule(modelMatch=fields)])


def aimed(**fields: Any) -> dict[str, Any]:
    return route(rules=[rule(targetModels=[fields])])


def timed(text: Any) -> dict[str, Any]:
    return server(trafficPolicy={"timeout": text})


def without_spec(kind: str) -> dict[str, Any]:
    obj = thing(kind, None)
    del obj["spec"]
    return obj


def _limits() -> list[Case]:
    """Each bound of each field: on it, and just beyond."""
    pd = {"groupKey": "g", "prefillLabels": {"r": "p"}, "decodeLabels": {"r": "d"}}
    ref = {"name": "gw"}
    cases = [
        Case("10 adapters", route(loraAdapters=["a"] * 10), ()),
        Case("11 adapters", route(loraAdapters=["a"] * 11), ("spec.loraAdapters",)),
        Case("16 rules", route(rules=[rule()] * 16), ()),
        Case("17 rules", route(rules=[rule()] * 17), ("spec.rules",)),
        Case("no target", route(rules=[rule(targetModels=[])]), ("spec.rules[0].targetModels",)),
        Case("16 targets", route(rules=[rule(targetModels=[target()] * 16)]), ()),
        Case("17 targets", route(rules=[rule(targetModels=[target()] * 17)]), ("spec.rules[0].targetModels",)),
        Case("a rule without targets", route(rules=[{}]), ("spec.rules[0].targetModels",)),
        Case("a gateway's group of 254", route(parentRefs=[ref | {"group": "a" * 254}]), ("spec.parentRefs[0].group",)),
        Case("a core gateway", route(parentRefs=[ref | {"group": ""}]), ()),
        Case("a parent without a name", route(parentRefs=[{}]), ("spec.parentRefs[0].name",)),
        Case("a model of 256", server(model="m" * 256), ()),
        Case("a model of 257", server(model="m" * 257), ("spec.model",)),
        Case("a model of 256 wide characters", server(model="模" * 256), ()),
        Case("an engine in lower case", server(inferenceEngine="vllm"), ("spec.inferenceEngine",)),
        Case("SGLang", server(inferenceEngine="SGLang"), ()),
        Case("a pair of roles", server(workloadSelector={"pdGroup": pd}), ()),
        Case("an unknown connector", server(kvConnector={"type": "tcp"}), ("spec.kvConnector.type",)),
        Case("an empty connector", server(kvConnector={}), ()),
        Case("an engine over https", server(workloadPort={"port": 1, "protocol": "https"}), ()),
        Case(
            "an engine over grpc", server(workloadPort={"port": 1, "protocol": "grpc"}), ("spec.workloadPort.protocol",)
        ),
        Case("no port", server(workloadPort={}), ("spec.workloadPort.port",)),
        Case("a provider's model of 257", provider(model="m" * 257), ("spec.model",)),
        Case("a provider over http", provider(baseURL="http://x"), ("spec.baseURL",)),
        Case("a provider of another type", provider(providerType="Gemini"), ("spec.providerType",)),
        Case(
            "a provider's scheme", provider(auth={"scheme": "Basic", "secretRef": {"key": "k"}}), ("spec.auth.scheme",)
        ),
        Case("a credential without a secret", provider(auth={}), ("spec.auth.secretRef",)),
        Case("a credential without a key", provider(auth={"secretRef": {}}), ("spec.auth.secretRef.key",)),
        Case("headers of a provider", provider(headers={"x-a": "1"}), ()),
    ]
    for key in pd:
        less = {name: value for name, value in pd.items() if name != key}
        where = f"spec.workloadSelector.pdGroup.{key}"
        cases.append(Case(f"roles without {key}", server(workloadSelector={"pdGroup": less}), (where,)))
    good: bool
    value: Any
    for key, longest in (("kind", 63), ("namespace", 63), ("name", 253), ("sectionName", 253)):
        where = f"spec.parentRefs[0].{key}"
        cases.append(Case(f"an empty {key}", route(parentRefs=[ref | {key: ""}]), (where,)))
        cases.append(Case(f"{key} at its longest", route(parentRefs=[ref | {key: "a" * longest}]), ()))
        cases.append(Case(f"{key} too long", route(parentRefs=[ref | {key: "a" * (longest + 1)}]), (where,)))
        if key != "name":
            cases.append(Case(f"{key} with a mark", route(parentRefs=[ref | {key: "a_b"}]), (where,)))
    for value, good in (
        (0, True),
        (100, True),
        (-1, False),
        (101, False),
        (2**32 + 1, False),
        (True, False),
        ("1", False),
    ):
        paths = () if good else ("spec.rules[0].targetModels[0].weight",)
        cases.append(Case(f"a weight of {value!r}", aimed(modelServerName="s", weight=value), paths))
    for key in ("inputTokensPerUnit", "outputTokensPerUnit"):
        for value, good in ((1, True), (2**31 - 1, True), (0, False), (2**31, False), (1.5, False), (2.0, True)):
            paths = () if good else (f"spec.rateLimit.{key}",)
            cases.append(Case(f"{value!r} {key}", route(rateLimit={key: value}), paths))
    for value, good in ((1, True), (65535, True), (0, False), (65536, False)):
        paths = () if good else ("spec.workloadPort.port",)
        cases.append(Case(f"port {value}", server(workloadPort={"port": value}), paths))
        paths = () if good else ("spec.parentRefs[0].port",)
        cases.append(Case(f"a gateway's port {value}", route(parentRefs=[ref | {"port": value}]), paths))
    for value, good in ((-(2**31), True), (2**31 - 1, True), (-(2**31) - 1, False), (2**31, False)):
        paths = () if good else ("spec.trafficPolicy.retry.attempts",)
        cases.append(Case(f"{value} attempts", server(trafficPolicy={"retry": {"attempts": value}}), paths))
    units = ("second", "minute", "hour", "day", "month")
    cases.extend(Case(f"per {unit}", route(rateLimit={"unit": unit}), ()) for unit in units)
    cases.append(Case("per week", route(rateLimit={"unit": "week"}), ("spec.rateLimit.unit",)))
    for key in ("inferenceEngine", "workloadSelector", "workloadPort"):
        obj = server()
        del obj["spec"][key]
        cases.append(Case(f"a ModelServer without {key}", obj, (f"spec.{key}",)))
    return cases


_SOON = ("soon", "", "10", "10 s", "1d", "-", "s", "1.s5", "10s\n")
_DURATIONS = ("0", "10s", "1.5h", "2h45m", "300ms", ".5s", "1.s", "-5s", "+1m", "100us", "100µs", "2562047h")

UPSTREAM_TABLE = [
    Case("neither modelName nor loraAdapters", thing("ModelRoute", {"rules": [rule()]}), ("spec",)),
    Case("an empty modelName, no loraAdapters", route(modelName=""), ("spec",)),
    Case("an empty modelName, empty loraAdapters", route(modelName="", loraAdapters=[]), ("spec",)),
    Case("only an empty adapter", thing("ModelRoute", {"loraAdapters": [""], "rules": []}), ()),
    Case("adapters twice", route(loraAdapters=["x", "x"]), ()),
    Case("an adapter named as the model", route(loraAdapters=["m"]), ()),
    Case("no rules", route(rules=[]), ()),
    Case("a match of all three kinds", matching(uri={"exact": "a", "prefix": "b", "regex": "c"}), ()),
    Case("a regex that does not compile", matching(headers={"x": {"regex": "("}}), ()),
    Case("an empty rateLimit", route(rateLimit={}), ()),
    Case("an empty global rateLimit", route(rateLimit={"global": {}}), ()),
    Case("an empty Redis address", route(rateLimit={"global": {"redis": {"address": ""}}}), ()),
    Case("a parentRef with only a name", route(parentRefs=[{"name": "gw"}]), ()),
    Case("negative attempts", server(trafficPolicy={"retry": {"attempts": -3}}), ()),
    Case("a secretRef without a name", provider(auth={"secretRef": {"key": "k"}}), ()),
    Case("an empty selector", server(workloadSelector={}), ()),
    Case("an empty model", server(model=""), ()),
]
"""`api-and-chart.md` 1.5, where our verdict is upstream's."""

DIFFERENT = [
    Case("a ModelServer without spec", without_spec("ModelServer"), ("spec",)),
    Case("an ExternalModelProvider without spec", without_spec("ExternalModelProvider"), ("spec",)),
    *(Case(f"a timeout of {text!r}", timed(text), ("spec.trafficPolicy.timeout",)) for text in _SOON),
    Case("a timeout that Go cannot hold", timed("9999999h"), ("spec.trafficPolicy.timeout",)),
    Case("3e9 attempts", server(trafficPolicy={"retry": {"attempts": 3e9}}), ("spec.trafficPolicy.retry.attempts",)),
    Case("5e9 tokens", route(rateLimit={"inputTokensPerUnit": 5e9}), ("spec.rateLimit.inputTokensPerUnit",)),
    Case(
        "an interval of words",
        server(trafficPolicy={"retry": {"retryInterval": "often"}}),
        ("spec.trafficPolicy.retry.retryInterval",),
    ),
]
"""What upstream's CRDs accept and ours refuse: each of these kills or blinds upstream's router."""

CASES = [
    *UPSTREAM_TABLE,
    *DIFFERENT,
    *_limits(),
    *(Case(f"a timeout of {text!r}", timed(text), ()) for text in _DURATIONS),
    Case("a ModelRoute without spec", without_spec("ModelRoute"), ("spec",)),
    Case("a null spec", thing("ModelServer", None), ("spec",)),
    Case("a spec of text", thing("ModelServer", "x"), ("spec",)),
    Case("null rules", route(rules=None), ("spec.rules",)),
    Case("a null rule", route(rules=[None]), ("spec.rules[0]",)),
    Case("a null target", route(rules=[rule(targetModels=[None])]), ("spec.rules[0].targetModels[0]",)),
    Case("a null name", route(modelName=None, loraAdapters=["x"]), ()),
    Case("a null weight", aimed(modelServerName="s", weight=None), ()),
    Case("a null unit", route(rateLimit={"unit": None}), ()),
    Case("a null label", server(workloadSelector={"matchLabels": {"a": None}}), ()),
    Case("a null header", matching(headers={"x": None}), ()),
    Case("text as a header's match", matching(headers={"x": "y"}), ("spec.rules[0].modelMatch.headers[x]",)),
    Case("a null match", route(rules=[rule(modelMatch=None)]), ()),
    Case("no target name", aimed(weight=1), ("spec.rules[0].targetModels[0]",)),
    Case(
        "two target names",
        aimed(modelServerName="a", externalModelProviderName="b"),
        ("spec.rules[0].targetModels[0]",),
    ),
    Case("a second target name that is empty", aimed(modelServerName="a", externalModelProviderName=""), ()),
    Case("only an empty target name", aimed(modelServerName=""), ("spec.rules[0].targetModels[0]",)),
    Case("a number as a name", route(modelName=7), ("spec.modelName",)),
    Case("text as adapters", route(loraAdapters="x"), ("spec.loraAdapters",)),
    Case("a list as labels", server(workloadSelector={"matchLabels": ["a"]}), ("spec.workloadSelector.matchLabels",)),
    Case(
        "a number as a label",
        server(workloadSelector={"matchLabels": {"a": 1}}),
        ("spec.workloadSelector.matchLabels[a]",),
    ),
    Case("text as a switch", provider(insecureSkipVerify="true"), ("spec.insecureSkipVerify",)),
    Case("an unknown field", route(modelnames="x"), ()),
    Case("garbage as status", {**route(), "status": {"conditions": "x"}}, ()),
    Case(
        "an optional secret",
        provider(auth={"secretRef": {"key": "k", "optional": True}}),
        ("spec.auth.secretRef.optional",),
    ),
    Case("a secret that is not optional", provider(auth={"secretRef": {"key": "k", "optional": False}}), ()),
    Case("a name in capitals", thing("ModelRoute", route()["spec"], name="A"), ("metadata.name",)),
    Case("an empty baseURL", provider(baseURL=""), ("spec.baseURL",)),
    Case("a baseURL of a scheme alone", provider(baseURL="https://"), ("spec.baseURL",)),
]
