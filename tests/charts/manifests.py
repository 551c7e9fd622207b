"""What users of Kthena write, in YAML of our own: the scenarios that a gateway on Kubernetes has to serve.

Pods are not in it: an API server alone makes none of a Deployment, so tests add them.
"""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML

SIMPLE = """
# 1. A name for clients, and an engine that calls its model otherwise.
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata:
  name: assistant
spec:
  modelName: assistant
  rules:
    - name: default
      targetModels:
        - modelServerName: qwen-small
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: qwen-small
spec:
  model: org/qwen-small
  inferenceEngine: vLLM
  workloadSelector:
    matchLabels: {app: qwen-small}
  workloadPort: {port: PORT}
  trafficPolicy: {timeout: 10s}
"""

ALL_IN_ONE = """
# 2. Everything in one file, and no namespace said.
apiVersion: apps/v1
kind: Deployment
metadata:
  name: echo
  labels: {app: echo}
spec:
  replicas: 1
  selector:
    matchLabels: {app: echo}
  template:
    metadata:
      labels: {app: echo}
    spec:
      containers:
        - name: engine
          image: ghcr.io/volcano-sh/infer-gateway:0.1.0
          args: [mock-engine, --model=echo]
          ports:
            - containerPort: 8000
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: echo
spec:
  inferenceEngine: vLLM
  workloadSelector:
    matchLabels: {app: echo}
  workloadPort: {port: PORT}
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata:
  name: echo
spec:
  modelName: echo
  rules:
    - targetModels:
        - modelServerName: echo
"""

HEADERS = """
# 3. Those who pay are served by the larger model.
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata:
  name: tiers
spec:
  modelName: tiers
  rules:
    - name: premium
      modelMatch:
        headers:
          user-type: {exact: premium}
      targetModels:
        - modelServerName: large
    - name: everybody
      targetModels:
        - modelServerName: small
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: large
spec:
  model: large
  inferenceEngine: vLLM
  workloadSelector:
    matchLabels: {app: large}
  workloadPort: {port: PORT}
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: small
spec:
  model: small
  inferenceEngine: vLLM
  workloadSelector:
    matchLabels: {app: small}
  workloadPort: {port: OTHER}
"""

CANARY = """
# 4. A new version is tried with three tenths of the requests.
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata:
  name: canary
spec:
  modelName: canary
  rules:
    - targetModels:
        - modelServerName: canary-v1
          weight: 70
        - modelServerName: canary-v2
          weight: 30
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: canary-v1
spec:
  inferenceEngine: vLLM
  workloadSelector:
    matchLabels: {app: canary, version: v1}
  workloadPort: {port: PORT}
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: canary-v2
spec:
  inferenceEngine: vLLM
  workloadSelector:
    matchLabels: {app: canary, version: v2}
  workloadPort: {port: OTHER}
"""

LORA = """
# 5. Adapters alone, by their names.
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata:
  name: adapters
spec:
  loraAdapters: [lora-a, lora-b]
  rules:
    - targetModels:
        - modelServerName: qwen-small
"""

RATE_LIMIT = """
# 6. So many tokens a minute, each replica for itself.
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata:
  name: limited
spec:
  modelName: limited
  rateLimit:
    inputTokensPerUnit: 20
    outputTokensPerUnit: 500
    unit: minute
  rules:
    - targetModels:
        - modelServerName: qwen-small
"""

GLOBAL_RATE_LIMIT = """
# 7. The same, together, over Redis.
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelRoute
metadata:
  name: limited-everywhere
spec:
  modelName: limited-everywhere
  rateLimit:
    inputTokensPerUnit: 20
    unit: minute
    global:
      redis:
        address: redis-server.kthena-system.svc.cluster.local:6379
  rules:
    - targetModels:
        - modelServerName: qwen-small
"""

PREFILL_DECODE = """
# 8. Prefill and decode in pods of their own, paired within a group.
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: split
spec:
  model: org/qwen-large
  inferenceEngine: vLLM
  workloadSelector:
    matchLabels: {modelserving.volcano.sh/name: split}
    pdGroup:
      groupKey: modelserving.volcano.sh/group-name
      prefillLabels: {modelserving.volcano.sh/role: prefill}
      decodeLabels: {modelserving.volcano.sh/role: decode}
  workloadPort: {port: 8000}
  trafficPolicy: {timeout: 10s}
"""

PREFILL_DECODE_NIXL = """
# 9. Between them NIXL.
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: split-nixl
  namespace: default
spec:
  inferenceEngine: vLLM
  workloadSelector:
    matchLabels: {modelserving.volcano.sh/name: split-nixl}
    pdGroup:
      groupKey: modelserving.volcano.sh/group-name
      prefillLabels: {modelserving.volcano.sh/role: prefill}
      decodeLabels: {modelserving.volcano.sh/role: decode}
  workloadPort: {port: 8000}
  kvConnector: {type: nixl}
"""

MULTI_NODE = """
# 10. Engines over several nodes: of each group only the entry pods are spoken to.
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: split-nodes
spec:
  inferenceEngine: vLLM
  workloadSelector:
    matchLabels: {modelserving.volcano.sh/name: split-nodes, modelserving.volcano.sh/entry: "true"}
    pdGroup:
      groupKey: modelserving.volcano.sh/group-name
      prefillLabels: {modelserving.volcano.sh/role: prefill, modelserving.volcano.sh/entry: "true"}
      decodeLabels: {modelserving.volcano.sh/role: decode, modelserving.volcano.sh/entry: "true"}
  workloadPort: {port: 8000}
  trafficPolicy: {timeout: 300s, retry: {attempts: 3, retryInterval: 150ms}}
  kvConnector: {type: mooncake}
"""

SGLANG = """
# 11. SGLang, plain and split.
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: sglang
spec:
  inferenceEngine: SGLang
  workloadSelector:
    matchLabels: {app: sglang}
  workloadPort: {port: 30000}
---
apiVersion: networking.serving.volcano.sh/v1alpha1
kind: ModelServer
metadata:
  name: sglang-split
spec:
  inferenceEngine: SGLang
  workloadSelector:
    matchLabels: {modelserving.volcano.sh/name: sglang}
    pdGroup:
      groupKey: modelserving.volcano.sh/group-name
      prefillLabels: {modelserving.volcano.sh/role: prefill}
      decodeLabels: {modelserving.volcano.sh/role: decode}
  workloadPort: {port: 30000, protocol: http}
"""

SCHEDULER = """
# 16. The router's configuration, changed: scores other than the default.
scheduler:
  pluginConfig:
    - name: least-request
      args: {maxWaitingRequests: 5}
    - name: prefix-cache
      args: {blockSizeToHash: 64, maxBlocksToMatch: 128, maxHashCacheSize: 50000, topKMatches: 5}
  plugins:
    Filter:
      enabled: [least-request, lora-affinity]
    Score:
      enabled:
        - {name: prefix-cache, weight: 2}
        - {name: gpu-usage, weight: 1}
        - {name: random, weight: 1}
"""

ACCEPTED = {
    "5 LoRA only": LORA,
    "6 local rate limit": RATE_LIMIT,
    "7 global rate limit": GLOBAL_RATE_LIMIT,
    "8 prefill and decode": PREFILL_DECODE,
    "9 prefill and decode over NIXL": PREFILL_DECODE_NIXL,
    "10 several nodes": MULTI_NODE,
    "11 SGLang": SGLANG,
}


def read(text: str, namespace: str, **ports: int) -> list[dict[str, Any]]:
    """The objects of a manifest in a namespace, PORT and OTHER being ports of engines."""
    for name, port in ports.items():
        text = text.replace(f": {name}}}", f": {port}}}")
    documents = YAML(typ="safe", pure=True).load_all(text)
    return [{**found, "metadata": {**found["metadata"], "namespace": namespace}} for found in documents]
