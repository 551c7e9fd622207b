"""What our programs ask of an API server, as it writes that down itself.

audit = Audit(folder)
with running_kube_apiserver(folder / "kube", audit.flags) as server: ...
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from kthena_fast.kube import client

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    # An event when the answer begins, and one when it ends: a watch has both, and a minute or ten between them.
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


class Request(NamedTuple):
    """What was asked for: `namespace` is empty where it was asked of all of them."""

    verb: str
    resource: str
    namespace: str


class Audit:
    """The log of one API server. An event stands in it before whoever asked gets the answer that it tells of."""

    def __init__(self, folder: Path) -> None:
        policy = folder / "audit-policy.json"
        policy.write_text(json.dumps(POLICY))
        self._log = folder / "audit.log"
        self.flags = f"--audit-policy-file={policy} --audit-log-path={self._log}"

    def _events(self) -> Iterator[dict[str, Any]]:
        # What follows the last end of a line is being written.
        for line in self._log.read_text().split("\n")[:-1]:
            event = json.loads(line)
            if event.get("userAgent") == client.USER_AGENT:
                yield event

    def asked(self) -> list[Request]:
        """Everything, in the order of the answers' beginnings."""
        found: dict[str, Request] = {}
        for event in self._events():
            of = event["objectRef"]
            resource = "/".join(filter(None, (of["resource"], of.get("subresource"))))
            found.setdefault(event["auditID"], Request(event["verb"], resource, of.get("namespace", "")))
        return list(found.values())

    def watched(self, resource: str) -> Counter[str]:
        """The namespaces in which a resource is being watched now, with the number of watches; empty: all."""
        running: dict[str, str] = {}
        for event in self._events():
            of = event["objectRef"]
            if (event["verb"], of["resource"]) == ("watch", resource):
                if event["stage"] == "ResponseStarted":
                    running[event["auditID"]] = of.get("namespace", "")
                else:
                    running.pop(event["auditID"], None)
        return Counter(running.values())
