"""The reader of the Dockerfile, and the rules that the file itself keeps."""

from pathlib import Path

import pytest

from tests.image import dockerfile

_STAGES = dockerfile.read((Path(__file__).parents[2] / "Dockerfile").read_text())


def test_the_image_comes_from_pinned_bases() -> None:
    assert [stage.base for stage in _STAGES] == ["python:3.11.14-slim-bookworm"] * 2


def test_the_image_runs_as_a_numeric_user_that_is_not_root() -> None:
    uid, gid = _STAGES[-1].user.split(":")
    assert int(uid) > 0
    assert int(gid) > 0


def test_the_runtime_stage_takes_nothing_from_the_build_context() -> None:
    copies = [step for step in _STAGES[-1].steps if isinstance(step, dockerfile.Copy)]
    assert [(copy.stage, copy.sources) for copy in copies] == [("build", ("/opt/kthena_fast",))]


def test_the_last_step_asserts_the_compiled_core_as_the_user_that_will_run_it() -> None:
    last = _STAGES[-1].steps[-1]
    assert isinstance(last, dockerfile.Run)
    assert last.command == "kthena-fast version | grep -w compiled"
    assert last.user == _STAGES[-1].user


def test_a_command_is_joined_over_its_continued_lines() -> None:
    [stage] = dockerfile.read("FROM a\nRUN one \\\n    # not part of it\n    && two\n")
    assert stage.steps == [dockerfile.Run("one && two", "/", {}, "0:0")]


def test_a_step_sees_the_folder_the_environment_and_the_user_set_above_it() -> None:
    [stage] = dockerfile.read("FROM a\nENV X=1\nWORKDIR /src\nUSER 5:5\nRUN x\nENV X=2\n")
    assert stage.steps == [dockerfile.Run("x", "/src", {"X": "1"}, "5:5")]
    assert stage.env == {"X": "2"}


def test_a_relative_destination_counts_from_the_working_directory() -> None:
    [_, stage] = dockerfile.read("FROM a AS b\nFROM a\nWORKDIR /src\nCOPY one two ./\nCOPY --from=b /x /x\n")
    assert stage.steps == [
        dockerfile.Copy(("one", "two"), "/src/", None),
        dockerfile.Copy(("/x",), "/x", "b"),
    ]


@pytest.mark.parametrize(
    "line", ["ADD x y", "RUN --mount=type=cache x", 'RUN ["x"]', "COPY --chown=1 x y", "SHELL x", "ENTRYPOINT x"]
)
def test_what_the_reader_was_not_taught_is_refused(line: str) -> None:
    with pytest.raises(dockerfile.NotUnderstood):
        dockerfile.read(f"FROM a\n{line}\n")


def test_an_instruction_before_the_first_stage_is_refused() -> None:
    with pytest.raises(dockerfile.NotUnderstood):
        dockerfile.read("RUN x\n")
