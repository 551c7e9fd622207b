"""The load harness: what it makes of what it measured, what it leaves behind, and a small run of it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from benchmarks.load import (
    __main__,
    bodies,
    contestants,
    course,
    engines,
    gateway,
    growth,
    installing,
    loads,
    processes,
    report,
    tables,
    targets,
)

PATIENCE = 60.0


@pytest.fixture(scope="module")
def tools() -> None:
    """nginx and wrk."""
    try:
        installing.tool("nginx", "nginx-light")
        installing.tool("wrk", "wrk")
    except installing.CannotInstall as missing:
        pytest.skip(missing.message)


# What programs print


@pytest.mark.parametrize(
    ("said", "completed"),
    [
        ("  12345 requests in 4.00s, 5.6MB read\nRequests/sec: 3086", (12345, 4.0)),
        ("  7 requests in 100.50ms, 5.6KB read", (7, 0.1005)),
        ("  7 requests in 1.50m, 5.6KB read", (7, 90.0)),
    ],
)
def test_what_wrk_prints_is_understood(said: str, completed: tuple[int, float]) -> None:
    assert loads.read_wrk(said) == pytest.approx(completed)


@pytest.mark.parametrize(
    "said",
    [
        "  7 requests in 1.00s, 5KB read\n  Non-2xx or 3xx responses: 1",
        "  7 requests in 1.00s, 5KB read\n  Socket errors: connect 0, read 3, write 0, timeout 0",
        "  0 requests in 1.00s, 0.00B read",
        "unable to connect to 127.0.0.1:1 Connection refused",
    ],
)
def test_a_load_with_a_failed_request_measures_nothing(said: str) -> None:
    with pytest.raises(loads.LoadFailed):
        loads.read_wrk(said)


SEEN = {"completed": 10, "failed": 0, "unfinished": 0, "p50_us": 100.0, "p99_us": 900.0}


@pytest.mark.parametrize(
    ("differs", "is_sustained"), [({}, True), ({"unfinished": 1}, False), ({"p99_us": 2.0 * loads.LATE_US}, False)]
)
def test_a_server_that_falls_behind_has_no_latency(differs: dict[str, float], is_sustained: bool) -> None:
    assert loads.read_latency(json.dumps(SEEN | differs)).is_sustained is is_sustained


# What is made of it


def test_a_figure_is_the_median_of_its_rounds_and_its_spread_the_least_and_the_most() -> None:
    figures = {"us_per_request": [30.0, 10.0, 20.0, 90.0, 25.0]}
    assert report.median_of(figures)["us_per_request"] == 25.0
    assert report.spread_of(figures) == {"us_per_request": [10.0, 90.0]}


def test_what_was_not_measured_is_none_and_not_nothing() -> None:
    assert report.median_of({}) == dict.fromkeys(report.FIGURES)


@pytest.mark.parametrize(("value", "other"), [(None, 1.0), (1.0, None), (1.0, 0.0), (1.0, -0.5)])
def test_there_is_no_ratio_to_what_is_missing_or_not_above_zero(value: float | None, other: float | None) -> None:
    assert targets.ratio(value, other) is None


def test_growth_is_the_median_of_the_ratios_of_each_round() -> None:
    made = growth.summary(1, 1000, [(10.0, 11.0), (20.0, 40.0), (10.0, 12.0)])
    assert made["ratio"] == pytest.approx(1.2)
    assert made["us_per_request"] == [10.0, 12.0]
    assert (made["from"], made["to"]) == (1, 1000)


def line(lines: list[targets.Line], figure: str, against: str) -> targets.Line:
    found = [each for each in lines if each["figure"].startswith(figure) and each["against"] == against]
    assert len(found) == 1, lines
    return found[0]


@pytest.mark.parametrize(
    ("ours", "accepted", "reached"), [(8.1, False, False), (8.0, True, False), (7.1, True, False), (7.0, True, True)]
)
def test_a_figure_is_held_to_what_is_accepted_and_to_the_goal(ours: float, accepted: bool, reached: bool) -> None:
    medians: dict[str, dict[str, float | None]] = {
        "kthena_fast": {"us_per_chunk": ours},
        "vllm_router": {"us_per_chunk": 10.0},
    }
    found = line(targets.compare(medians, {}), "CPU per streamed chunk", "vllm_router")
    assert found["value"] == ours / 10
    assert (found["accept_met"], found["goal_met"]) == (accepted, reached)


def test_a_target_of_what_was_not_measured_is_neither_met_nor_missed() -> None:
    for each in targets.compare({}, {}):
        assert (each["value"], each["accept_met"], each["goal_met"]) == (None, None, None)


def test_the_pure_build_is_compared_with_the_compiled_one() -> None:
    medians: dict[str, dict[str, float | None]] = {
        "kthena_fast": {"us_per_request": 20.0},
        "kthena_fast_pure": {"us_per_request": 50.0},
    }
    found = line(targets.compare(medians, {}), "CPU per request, pure build", "kthena_fast")
    assert (found["value"], found["accept_met"]) == (2.5, False)


def test_growth_is_held_to_its_targets_with_its_range() -> None:
    lines = targets.compare({}, {"rows": growth.summary(1, 1_000_000, [(10.0, 12.0)])})
    found = line(lines, "growth of CPU per request, ledger rows 1 to 1,000,000", "")
    assert (found["accept_met"], found["goal_met"]) == (True, False)


# The report


def samples(**figures: float) -> dict[str, list[float]]:
    return {figure: [value, value * 1.5, value / 2] for figure, value in figures.items()}


def a_report() -> report.Report:
    whole = dict.fromkeys(report.FIGURES, 10.0) | {"events_per_read": 1.0}
    prompts = {f"us_per_{name}_prompt": 100.0 for name in bodies.PROMPT_BYTES}
    return report.make(
        {
            "kthena_fast": samples(**whole, **prompts),
            "vllm_router": samples(**whole),
            "nginx": samples(**whole, **prompts),
            "litellm": samples(us_per_request=9_000.0, rps=100.0),
        },
        {name: growth.summary(1, 10, [(10.0, 12.0)]) for name in targets.GROWTH},
        contestants.FEATURES,
        report.machine(),
        {
            "command": "python -m benchmarks.load",
            "seconds": 1,
            "rounds": 3,
            "rate": 5_000.0,
            "engine_rps": 70_000.0,
            "notes": ["a note"],
            "versions": {"nginx": "1"},
        },
    )


def test_the_report_has_the_shape_that_readers_of_it_expect() -> None:
    made = json.loads(json.dumps(a_report()))
    for figures in made["contestants"].values():
        assert {"us_per_request", "us_per_chunk", "rps", "p50_added_ms", "p99_added_ms", "rss_mb"} <= figures.keys()
        assert all(value is None or isinstance(value, float) for value in figures.values())
    assert made["contestants"]["litellm"]["p99_added_ms"] is None
    assert set(made["features"]) == set(contestants.FEATURES)
    assert {"cpu", "cores", "kernel", "python"} <= made["machine"].keys()


def run_main(*words: str) -> str:
    result = CliRunner().invoke(__main__.main, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_saved_report_is_printed_as_tables_and_drawn(tmp_path: Path) -> None:
    saved, picture = tmp_path / "run.json", tmp_path / "run.svg"
    saved.write_text(json.dumps(a_report()))
    printed = run_main("--from", str(saved), "--markdown", "--plot", str(picture))
    assert printed == tables.markdown(json.loads(saved.read_text())) + "\n"
    assert "| kthena_fast | 10.0 (5.0-15.0) |" in printed
    assert "| p99 added latency | vllm_router | 1 | 1.20 | met | 1 | met |" in printed
    # The name of a contestant and a value of it are text in the picture.
    drawn = picture.read_text()
    assert all(word in drawn for word in ("kthena_fast", "9,000.0", "ledger rows"))


def test_a_saved_report_is_printed_as_it_was_saved(tmp_path: Path) -> None:
    saved = tmp_path / "run.json"
    saved.write_text(json.dumps(a_report()))
    assert json.loads(run_main("--from", str(saved), "--json")) == json.loads(saved.read_text())


@pytest.mark.parametrize("what", [{}, {"kthena_fast": samples(us_per_request=10.0)}], ids=["nothing", "one_figure"])
def test_a_report_of_little_is_printed_and_drawn_too(what: dict[str, Any], tmp_path: Path) -> None:
    made = a_report() | report.make(what, {}, [], report.machine(), a_report()["run"])
    saved = tmp_path / "run.json"
    saved.write_text(json.dumps(made))
    assert "Against what is asked" in run_main("--from", str(saved), "--plot", str(tmp_path / "run.png"))


def test_quick_leaves_out_the_slow_ones_unless_they_are_named() -> None:
    names = {contestant.name for contestant in __main__.chosen([], quick=True)}
    assert "litellm" not in names
    assert {"kthena_fast", "kthena_fast_aiohttp", "kthena_fast_pure", "nginx", "vllm_router"} <= names
    assert [contestant.name for contestant in __main__.chosen(["litellm", "rows"], quick=True)] == ["litellm"]


def test_every_feature_that_has_a_variable_is_on_in_the_gateway_and_can_be_left_out() -> None:
    assert contestants.environment()["ENABLE_FAIRNESS_SCHEDULING"] == "true"
    assert "ENABLE_FAIRNESS_SCHEDULING" not in contestants.environment("fairness")


# Small runs


@pytest.mark.slow
@pytest.mark.usefixtures("tools")
@pytest.mark.timeout(300)
def test_a_small_run_measures_every_figure_of_the_gateway(tmp_path: Path) -> None:
    plan = course.Plan(rounds=1, warm_up=1, requests=1, prompts=1, latency=0.5, streams=0.5)
    chosen = [contestants.CONTESTANTS["kthena_fast"]]
    with engines.canned(tmp_path) as canned, engines.paced(tmp_path) as paced:
        load = loads.Load(tmp_path)
        run = course.Course(plan, tmp_path, load, canned, paced)
        run.calibrate(chosen)
        # A tenth: a machine that is busy keeps up with it too.
        assert run.rate is not None
        run.rate /= 10
        found = run.run(chosen)
        grown = growth.Growth(canned, load, tmp_path, growth.Sizes(rows=50)).measure(["rows"], 1)
    made = report.make(found, grown, contestants.FEATURES, report.machine(), {})
    figures = made["contestants"]["kthena_fast"]
    assert {figure for figure in report.FIGURES if figures[figure] is None} <= {"p50_added_ms", "p99_added_ms"}
    assert 0 < figures["us_per_request"] < figures["us_per_1mb_prompt"]
    assert figures["us_per_chunk"] > 0
    assert figures["events_per_read"] >= 1
    assert 10 < figures["rss_mb"] <= figures["rss_streams_mb"]
    assert (grown["rows"]["from"], grown["rows"]["to"]) == (1, 50)
    assert grown["rows"]["ratio"] > 0
    assert all(each["value"] is None or each["value"] > 0 for each in made["comparison"])


def holds(port: int, metric: str) -> float:
    """The sum of a metric's series."""
    page = processes.get(port, "/metrics").decode()
    return sum(float(found) for found in re.findall(rf"^{metric}(?:{{.*}})? (\S+)$", page, re.MULTILINE))


@pytest.mark.slow
@pytest.mark.usefixtures("tools")
def test_the_launched_gateway_holds_what_it_was_told_to(tmp_path: Path) -> None:
    sizes = growth.Sizes(rows=40, queued=12)
    series = {each.name: each for each in growth.every(tmp_path, sizes)}
    words = ("--pods", "3", "--routes", "2", "--rows", "40", "--queued", str(growth.PERMITS + 4))
    launched = contestants.Contestant("launched", contestants.launched(*words), series["queued"].end.environment)
    log = tmp_path / "log"
    with (
        engines.canned(tmp_path) as canned,
        contestants.serving(launched, canned, log, said=gateway.PRELOADED.encode()) as serving,
    ):
        said = log.read_text()
        assert "3 models, 1 ModelServer, 3 pods" in said
        ports = re.search(r"metrics on port (\d+)", said)
        assert ports is not None
        metrics = int(ports[1])
        # Some are called now and then; all are there.
        waiting, called = (holds(metrics, f"kthena_router_fairness_queue_{name}") for name in ("size", "inflight"))
        assert waiting + called == growth.PERMITS + 4
        # One that asks goes before those that wait.
        for model in ("m", "m0", "m1"):
            load = loads.Load(tmp_path).closed_loop(
                serving.port, bodies.Variety(bodies.chat(model=model, user="user-1")), 1, 1
            )
            assert load.requests > 0


@pytest.mark.usefixtures("tools")
def test_what_fails_is_noted_and_the_others_are_measured(tmp_path: Path) -> None:
    plan = course.Plan(rounds=1, warm_up=1, requests=1, latency=0.1, streams=0.1)
    refusing = contestants.Contestant("refusing", lambda *_: ["false"])
    with engines.canned(tmp_path) as canned, engines.paced(tmp_path) as paced:
        run = course.Course(plan, tmp_path, loads.Load(tmp_path), canned, paced)
        found = run.run([refusing, contestants.CONTESTANTS["nginx"]])
    assert "round 1 of refusing ended early" in run.notes[0]
    assert found["refusing"] == {}
    assert found["nginx"]["us_per_request"]


class Tiring(course.Course):
    """Whoever is measured keeps up in the first round only."""

    rounds = 0

    def _latency(self, port: int) -> loads.Latency | None:
        found = super()._latency(port)
        if found is None or port == self._canned:
            return found
        self.rounds += 1
        return found._replace(is_sustained=self.rounds == 1)


@pytest.mark.usefixtures("tools")
def test_one_that_does_not_always_keep_up_has_no_latency(tmp_path: Path) -> None:
    plan = course.Plan(rounds=2, warm_up=1, requests=1, latency=0.1, streams=0.1)
    with engines.canned(tmp_path) as canned, engines.paced(tmp_path) as paced:
        run = Tiring(plan, tmp_path, loads.Load(tmp_path), canned, paced)
        run.rate = 100
        found = run.run([contestants.CONTESTANTS["nginx"]])
    assert run.notes == ["nginx does not keep up with 100 requests/s, so it has no latency"]
    assert len(found["nginx"]["us_per_request"]) == 2
    assert found["nginx"].keys().isdisjoint(course.LATENCIES)


BRIEF = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.end_headers()
        type(self).left -= 1
        if not self.left:
            os._exit(0)
    left = 3
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
"""A server that ends by itself."""


@pytest.mark.usefixtures("tools")
def test_one_that_stays_and_ends_by_itself_is_measured_no_more(tmp_path: Path) -> None:
    plan = course.Plan(rounds=2, warm_up=1, requests=1, latency=0.1, streams=0.1)
    brief = contestants.Contestant(
        "brief", lambda ports, _: [sys.executable, "-c", BRIEF, str(ports.own)], connections=1, stays=True
    )
    with engines.canned(tmp_path) as canned, engines.paced(tmp_path) as paced:
        run = course.Course(plan, tmp_path, loads.Load(tmp_path), canned, paced)
        found = run.run([brief])
    assert "round 1 of brief ended early" in run.notes[0]
    assert run.notes[1:] == ["brief ended by itself; its figures are of the rounds before"]
    assert len(found["brief"]["rss_mb"]) == 1


def test_pods_have_addresses_of_their_own() -> None:
    addresses = gateway.addresses(1_000)
    assert len(set(addresses)) == 1_000
    assert addresses[0] == "127.0.0.1"
    assert all(1 <= int(address.rpartition(".")[2]) <= 250 for address in addresses)


@pytest.mark.slow
@pytest.mark.usefixtures("tools")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing_running(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "benchmarks.load", "--only", "nginx"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as harness:
        try:
            assert harness.stderr is not None
            assert "half of what nginx can do" in harness.stderr.readline()
            everyone = psutil.Process(harness.pid).children(recursive=True)
            assert everyone
            harness.send_signal(number)
            assert harness.wait(PATIENCE) != 0
        finally:
            harness.kill()
    _, left = psutil.wait_procs(everyone, PATIENCE)
    assert left == []
