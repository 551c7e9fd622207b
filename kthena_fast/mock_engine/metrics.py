"""vLLM's metrics, by their names, as text for Prometheus."""

import bisect
from collections.abc import Iterator

from .pool import KvPool

_TTFT_BUCKETS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0, 160.0,
    640.0, 2560.0,
)  # fmt: skip
_ITL_BUCKETS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """A plain one: prometheus_client's takes a lock and one observation at a time, and this is once per token."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    @property
    def count(self) -> int:
        return sum(self._counts)

    def observe(self, value: float, times: int = 1) -> None:
        self._counts[bisect.bisect_left(self._bounds, value)] += times
        self.sum += value * times

    def lines(self, name: str, labels: str) -> Iterator[str]:
        total = 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{{labels},le="{bound}"}} {total}'
        yield f"{name}_count{{{labels}}} {total}"
        yield f"{name}_sum{{{labels}}} {self.sum}"


class Metrics:
    """Counted by the engine, rendered at scrape. Seconds."""

    __slots__ = ("_labels", "_pool", "finished", "generation_tokens", "inter_token", "prompt_tokens", "ttft")

    def __init__(self, model: str, pool: KvPool) -> None:
        escaped = model.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        self._labels = f'engine="0",model_name="{escaped}"'
        self._pool = pool
        self.prompt_tokens = 0
        self.generation_tokens = 0
        self.finished = {"stop": 0, "length": 0, "abort": 0}
        self.ttft = Histogram(_TTFT_BUCKETS)
        self.inter_token = Histogram(_ITL_BUCKETS)

    def render(self) -> bytes:
        labels = self._labels
        lines: list[str] = []
        for name, meaning, value in (
            ("vllm:num_requests_running", "Number of requests in model execution batches.", self._pool.running),
            ("vllm:num_requests_waiting", "Number of requests waiting to be processed.", self._pool.waiting),
            ("vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", self._pool.usage),
        ):
            lines += _header(name, meaning, "gauge")
            lines.append(f"{name}{{{labels}}} {float(value)}")
        for name, meaning, value in (
            ("vllm:prompt_tokens_total", "Number of prefill tokens processed.", self.prompt_tokens),
            ("vllm:generation_tokens_total", "Number of generation tokens processed.", self.generation_tokens),
        ):
            lines += _header(name, meaning, "counter")
            lines.append(f"{name}{{{labels}}} {float(value)}")
        lines += _header("vllm:request_success_total", "Count of successfully processed requests.", "counter")
        lines += (
            f'vllm:request_success_total{{{labels},finished_reason="{reason}"}} {float(count)}'
            for reason, count in self.finished.items()
        )
        for name, meaning, histogram in (
            ("vllm:time_to_first_token_seconds", "Histogram of time to first token in seconds.", self.ttft),
            ("vllm:inter_token_latency_seconds", "Histogram of inter-token latency in seconds.", self.inter_token),
        ):
            lines += _header(name, meaning, "histogram")
            lines += histogram.lines(name, labels)
        return "\n".join([*lines, ""]).encode()


def _header(name: str, meaning: str, kind: str) -> tuple[str, str]:
    return f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"
