"""What engines say of their load, read from their metrics."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.scheduling.load import GAUGES, read_load

VLLM = b"""# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 9.0
"""

SGLANG = b"""sglang:num_running_reqs{model_name="m"} 4.0
sglang:num_queue_reqs{model_name="m"} 1.0
"""


def test_the_gauges_of_vllm() -> None:
    load = read_load(VLLM, "vLLM")
    assert load is not None
    assert (load.waiting, load.running) == (2.0, 3.0)


def test_the_gauges_of_sglang() -> None:
    load = read_load(SGLANG, "SGLang")
    assert load is not None
    assert (load.waiting, load.running) == (1.0, 4.0)


def test_the_parts_of_a_data_parallel_engine_are_summed() -> None:
    """Upstream reads the last series alone."""
    load = read_load(VLLM + VLLM.replace(b'"0"', b'"1"').replace(b" 2.0", b" 5.0"), "vLLM")
    assert load is not None
    assert (load.waiting, load.running) == (7.0, 6.0)


@pytest.mark.parametrize("line", [b"7", b"7.0", b"7e0", b"0.7e+1", b"70e-1", b"7.0 1772356500000"])
def test_numbers_as_prometheus_writes_them(line: bytes) -> None:
    load = read_load(b"vllm:num_requests_running 1\nvllm:num_requests_waiting %b\n" % line, "vLLM")
    assert load is not None
    assert load.waiting == 7.0


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b"vllm:num_requests_running 1\n",
        b"vllm:num_requests_waiting 1\n",
        b"vllm:num_requests_running 1\nvllm:num_requests_waiting NaN\n",
        b"vllm:num_requests_running 1\nvllm:num_requests_waiting +Inf\n",
        # An engine may write any number of digits; infinity has no whole part.
        b"vllm:num_requests_running 1\nvllm:num_requests_waiting 1e999\n",
        b"vllm:num_requests_running 1\nvllm:num_requests_waiting 1e\n",
        b"vllm:num_requests_running 1\nvllm:num_requests_waiting ..\n",
        b"vllm:num_requests_running 1\n# vllm:num_requests_waiting 1\n",
        b"\xff\xfe\x00" * 1000,
    ],
)
def test_a_page_without_both_numbers_says_nothing(page: bytes) -> None:
    assert read_load(page, "vLLM") is None


def test_an_unknown_engine_says_nothing() -> None:
    assert read_load(VLLM, "llama.cpp") is None
    assert read_load(SGLANG, "vLLM") is None


def test_a_label_may_hold_what_looks_like_a_value() -> None:
    page = b'vllm:num_requests_waiting{model_name="a} 9 {b"} 2\nvllm:num_requests_running{model_name="m"} 1\n'
    load = read_load(page, "vLLM")
    assert load is not None
    assert load.waiting == 2.0


def naive(text: bytes, name: bytes) -> float | None:
    """One pass over all lines for one gauge, as the format's grammar would have it."""
    found = re.findall(rb"^" + re.escape(name) + rb"(?:\{.*\})? +([0-9.eE+-]+)(?: +[0-9]+)?$", text, re.MULTILINE)
    try:
        total = sum(float(value) for value in found)
    except ValueError:
        return None
    return total if found and math.isfinite(total) else None


PIECES = st.sampled_from(
    [
        *(b"vllm:num_requests_waiting", b"vllm:num_requests_running", b"vllm:num_requests_", b"# HELP ", b"_by_reason"),
        *(
            b"{",
            b"}",
            b'{engine="0"}',
            b" ",
            b"  ",
            b"\n",
            b"\n",
            b"\r",
            b"1",
            b"2.5",
            b"1e3",
            b"-",
            b"NaN",
            b"e",
            b"1e999",
        ),
    ]
)


@given(pieces=st.lists(PIECES, max_size=40))
def test_a_page_is_read_as_line_by_line(pieces: list[bytes]) -> None:
    page = b"".join(pieces)
    gauges = GAUGES["vLLM"]
    waiting, running = (naive(page, gauges.prefix + name) for name in (gauges.waiting, gauges.running))
    load = read_load(page, "vLLM")
    if waiting is None or running is None:
        assert load is None
    else:
        assert load is not None
        assert (load.waiting, load.running) == (waiting, running)
