"""The shares file: who counts for how much, and what is refused."""

from pathlib import Path

import pytest

from kthena_fast.queueing import shares


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "shares.yaml"


def test_users_have_their_own_entry_before_their_groups_and_that_before_the_default(file: Path) -> None:
    file.write_text(
        """
        default: {share: 0.5, class: 2}
        groups:
          research: {share: 3, users: [alice, bob]}
        users:
          bob: {share: 2, class: 1}
        """
    )
    read = shares.read(file)
    assert read.of("alice") == (3.0, 0)
    assert read.of("bob") == (2.0, 1)
    assert read.of("carol") == (0.5, 2)


def test_a_member_has_the_groups_share_for_himself(file: Path) -> None:
    file.write_text("groups: {g: {share: 3, class: 1, users: [alice, bob]}}")
    read = shares.read(file)
    assert read.of("alice") == read.of("bob") == (3.0, 1)


@pytest.mark.parametrize("text", ["", "{}", "# nothing yet\n"])
def test_in_an_empty_file_everyone_counts_the_same(file: Path, text: str) -> None:
    file.write_text(text)
    assert shares.read(file).of("anyone") == shares.EQUAL.of("anyone") == (1.0, 0)


def test_weights_are_read_where_they_are_given(file: Path) -> None:
    file.write_text("weights: {outputToken: 4}")
    read = shares.read(file)
    assert read.input_weight is None
    assert read.output_weight == 4.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("default: {share: 0}", "default.share: Input should be greater than or equal to 0.001, not 0"),
        # The ledger takes no smaller one, and a request would fail where the file should have.
        ("default: {share: 0.0001}", "greater than or equal to 0.001"),
        ("default: {share: .nan}", "default.share"),
        ("default: {share: .inf}", "default.share"),
        ("users: {a: {share: 2000000}}", "users.a.share"),
        ("users: {a: {class: -1}}", "users.a.class: Input should be greater than or equal to 0"),
        ("users: {a: {class: 1.5}}", "users.a.class"),
        ("users: {a: {sahre: 2}}", "users.a.sahre: Extra inputs are not permitted"),
        ("users: [a, b]", "users: Input should be a valid dictionary"),
        ("groups: {g: {users: a}}", "groups.g.users"),
        ("weights: {inputToken: -1}", "weights.inputToken"),
        ("[1, 2]", "the document"),
        ("a: b: c", "mapping values are not allowed here"),
        ("users: {a: {share: 1}, a: {share: 2}}", "duplicate key"),
        ("groups: {g: {users: [a]}, h: {users: [a]}}", "groups.h.users: 'a' is already in the group 'g'"),
    ],
)
def test_what_cannot_be_obeyed_is_said_in_one_line_with_its_place(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(shares.BadShares) as caught:
        shares.read(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(file: Path) -> None:
    with pytest.raises(shares.BadShares, match="No such file"):
        shares.read(file)


def test_a_file_that_is_not_text_is_refused(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(shares.BadShares):
        shares.read(file)
