"""`kthena-fast simulate`, as it is called."""

import builtins
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kthena_fast.cli import main
from kthena_fast.simulator import plots, policies, workloads


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["simulate", *arguments])


def printed(*arguments: str) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


TRACE = "client,time,input,output\n" + "".join(f"c{n % 3},{n / 10},100,100\n" for n in range(60))


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "trace.csv"
    path.write_text(TRACE)
    return str(path)


def test_a_table_is_plain_where_there_is_no_terminal() -> None:
    text = printed("overload", "--policy", "fcfs", "--policy", "vtc")
    assert "\x1b" not in text
    assert text.isascii()
    lines = text.splitlines()
    assert lines[0] == "overload: 6 minutes, at most 19 permits at once"
    row = next(line for line in lines if line.startswith("| vtc"))
    assert [cell.strip() for cell in row.strip("|").split("|")][:3] == ["vtc", "3,024", "19,456"]


def test_the_same_seed_prints_the_same_bytes_and_another_others(trace: str) -> None:
    arguments = ("poisson_short_long", "--policy", "vtc", "--json")
    assert printed(*arguments) == printed(*arguments, "--seed", "42")
    assert printed(*arguments) != printed(*arguments, "--seed", "43")


def test_json_has_every_run_with_its_clients_and_its_course() -> None:
    document = json.loads(printed("overload", "proportional", "--policy", "window", "--policy", "rpm:30", "--json"))
    assert document["seed"] == 42
    runs = document["runs"]
    assert [(one["workload"], one["policy"]) for one in runs] == [
        ("overload", "window"),
        ("overload", "rpm:30"),
        ("proportional", "window"),
        ("proportional", "rpm:30"),
    ]
    first = runs[0]
    assert first["gap"] == 13036
    assert (first["bound"], first["safe_bound"], first["is_bounded"]) == (19456, 19968, False)
    assert first["clients"][0]["wait"].keys() == {"mean", "p50", "p99", "most"}
    assert len(first["course"]["rates"]) == 11
    assert first["difference"].keys() == {"most", "mean", "variance"}


def test_every_policy_is_compared_where_none_is_named(trace: str) -> None:
    runs = json.loads(printed("--trace", trace, "--json"))["runs"]
    assert [one["policy"] for one in runs] == list(policies.EVERY)
    assert {one["workload"] for one in runs} == {"trace"}


def test_every_workload_is_played_where_none_is_named() -> None:
    runs = json.loads(printed("--policy", "rpm:1", "--json"))["runs"]
    assert [one["workload"] for one in runs] == list(workloads.SYNTHETIC)


def test_pool_weights_window_and_permits_reach_the_run(trace: str) -> None:
    def run(*arguments: str) -> Any:
        return json.loads(printed("--trace", trace, "--policy", "vtc", "--json", *arguments))["runs"][0]

    assert run()["most_permits"] == 50
    assert run("--pool", "1000")["most_permits"] == 5
    assert run("--concurrency", "7")["most_permits"] == 7
    assert run("--concurrency", "auto:3")["most_permits"] < 50
    assert run("--max-qps", "1")["seconds"] == 65.9
    assert run("--weights", "0,1")["clients"][0]["requested_rate"] == pytest.approx(20 * 100 / 65.9)
    assert run("--weights", "0,0,3")["clients"][0]["requested_rate"] == pytest.approx(20 * 3 / 65.9)
    assert run("--window", "1h")["gap"] == run()["gap"]


def test_shares_are_read_from_the_gateways_own_file(trace: str, tmp_path: Path) -> None:
    shares = tmp_path / "shares.yaml"
    shares.write_text("users: {c0: {share: 3}}\nweights: {inputToken: 0, outputToken: 1}\n")
    (run,) = json.loads(printed("--trace", trace, "--shares", str(shares), "--policy", "vtc", "--json"))["runs"]
    assert [client["share"] for client in run["clients"]] == [3, 1, 1]
    assert run["clients"][0]["requested_rate"] == pytest.approx(20 * 100 / 65.9)


def test_a_log_is_replayed_and_what_was_left_out_is_told_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    head = '[2026-03-01T09:15:0{second}Z] "POST /v1/chat/completions HTTP/1.1" {status} model_name=chat'
    path.write_text(
        head.format(second=0, status=200)
        + " tokens=10/20 timings=1ms(0+1+0) user=bob bytes=1\n"
        + head.format(second=1, status=504)
        + " timings=1ms(0+1+0) user=bob bytes=1\n"
    )
    result = call("--replay", str(path), "--policy", "vtc", "--json")
    assert result.exit_code == 0
    assert result.stderr == f"{path}: 1 request of 'chat', 1 line left out\n"
    assert json.loads(result.stdout)["runs"][0]["clients"][0]["name"] == "bob"


def test_a_log_with_other_lines_in_it_is_replayed_and_they_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "kubectl.log"
    line = (
        '[2026-03-01T09:15:00Z] "POST /v1/chat/completions HTTP/1.1" 200 model_name=chat tokens=10/20 '
        "timings=1ms(0+1+0) user=bob bytes=1\n"
    )
    path.write_text("2026-03-01T09:14:59Z INFO serving\n" + line * 2)
    result = call("--replay", str(path), "--policy", "vtc", "--json")
    assert result.exit_code == 0
    told = "2 requests of 'chat', 0 lines left out, 1 line passed over that are none of the access log"
    assert result.stderr == f"{path}: {told}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "'nothing' is not a workload; there are overload,"),
        (["--policy", "best"], "'best' is not a policy"),
        (["--window", "5"], "'5' is not a duration"),
        (["--window", "10s"], "'10s' is not from 1m to 1h"),
        (["--weights", "1"], "'1' is not IN,OUT or IN,OUT,REQUEST"),
        (["--weights", "1,x"], "could not convert"),
        (["--weights", "1,-2"], "a weight must be from 0"),
        (["--weights", "0,0"], "a weight must be above 0"),
        (["--concurrency", "0"], "'0' is not a number above 0, auto or auto:START"),
        (["--concurrency", "auto:x"], "'auto:x' is not a number above 0, auto or auto:START"),
        (["--concurrency", "4", "--max-qps", "5"], "two modes"),
        (["--plot", "a.pdf"], "must end in .png or .svg"),
    ],
)
def test_a_bad_value_is_refused_in_a_sentence(arguments: list[str], message: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", "").split())


def test_a_bad_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "bad"
    path.write_text("nonsense: [")
    for option, message in (("--trace", "line 1"), ("--replay", "line 1")):
        result = call(option, str(path))
        assert result.exit_code == 1
        assert message in result.stderr
    result = call("overload", "--shares", str(path))
    assert result.exit_code == 2


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_a_plot_is_drawn_and_the_same_each_time(trace: str, tmp_path: Path, ending: str) -> None:
    paths = [tmp_path / f"{number}.{ending}" for number in range(2)]
    for path in paths:
        printed("increase", "--policy", "fcfs", "--policy", "vtc", "--trace", trace, "--plot", str(path))
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert first.startswith(b"\x89PNG" if ending == "png" else b"<?xml")


def test_a_plot_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    result = call("overload", "--policy", "vtc", "--plot", str(tmp_path / "none" / "a.svg"))
    assert result.exit_code == 1
    assert "No such file or directory" in result.stderr


def test_without_matplotlib_a_plot_names_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    result = call("overload", "--plot", "a.svg")
    assert result.exit_code == 1
    assert plots.MISSING in result.stderr
    assert result.stdout == ""


def test_of_many_clients_a_table_shows_those_who_ask_for_most(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text("".join(f"user{n},{n},10,{10 + n}\n" for n in range(30)))
    text = printed("--trace", str(path), "--policy", "vtc")
    assert "user10 " in text
    assert "user9 " not in text
    assert "The 20 of 30 clients who asked for most; --json has all." in text
    assert len(json.loads(printed("--trace", str(path), "--policy", "vtc", "--json"))["runs"][0]["clients"]) == 30


def test_on_a_terminal_no_number_is_cut_however_narrow_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TTY_COMPATIBLE": "1", "TERM": "xterm", "COLUMNS": "40"}.items():
        monkeypatch.setenv(name, value)
    text = printed("overload", "--policy", "vtc")
    assert "…" not in text
    assert "│" in text
