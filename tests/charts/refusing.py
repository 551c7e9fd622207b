"""What Helm says of values that it refuses."""

from typing import Any

import pytest

from tests.charts import helm

FAIRNESS = "networking.inferGateway.fairness"


def refusal(*sets: str, values: dict[str, Any] | None = None) -> str:
    with pytest.raises(helm.Refused) as refused:
        helm.render(*sets, values=values)
    return str(refused.value)
