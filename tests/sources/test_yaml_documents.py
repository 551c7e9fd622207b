"""YAML in, plain values with line numbers out, and nothing guessed."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kthena_fast.sources import yaml_documents
from kthena_fast.sources.yaml_documents import Malformed


def value(text: str) -> Any:
    document = yaml_documents.load(text)
    assert document is not None
    return document.value


def test_a_text_is_cut_into_documents_with_the_lines_before_each() -> None:
    text = "# hello\n---\na: 1\n--- # b\nb: 2\n...\n---\n\n---\nc: |\n  ---\n  x\n--- {d: 4}\n"
    found = [(offset, value(part)) for offset, part in yaml_documents.split(text)]
    assert found == [(2, {"a": 1}), (3, {"b": 2}), (9, {"c": "---\nx\n"}), (12, {"d": 4})]


@pytest.mark.parametrize(
    "text", ["", "\n", "---\n", "---\n---\n", "# only\n---\n# remarks", "%YAML 1.2\n---\n", "...\n"]
)
def test_documents_that_say_nothing_are_passed_over(text: str) -> None:
    assert list(yaml_documents.split(text)) == []


def test_a_document_is_the_same_text_wherever_it_stands() -> None:
    first = [part for _, part in yaml_documents.split("a: 1\n---\nb: 2\n")]
    assert [part for _, part in yaml_documents.split("---\nb: 2\n---\na: 1\n")] == first[::-1]


def test_every_value_has_the_line_of_its_key() -> None:
    document = yaml_documents.load("a:\n  b.c:\n    - x\n    - {d: 1,\n       e: 2}\n")
    assert document is not None
    assert document.line() == 1
    assert document.line(("a", "b.c")) == 2
    assert document.line(("a", "b.c", 1)) == 4
    assert document.line(("a", "b.c", 1, "e")) == 5


def test_what_is_not_there_has_the_line_of_what_it_would_be_in() -> None:
    document = yaml_documents.load("a:\n  b:\n    - x\n")
    assert document is not None
    assert document.line(("a", "b", 7, "c")) == 2
    assert document.line(("a", "missing")) == 1
    assert document.line(("a", "b", 0, "deeper")) == 3


def test_scalars_are_what_yaml_1_2_makes_of_them() -> None:
    text = "[1, -1, 0x1F, 010, 0o17, 1_000, 1.5, 1e3, .inf, true, False, null, ~, '1', yes, on, 12:30:45]"
    expected = [
        1,
        -1,
        31,
        10,
        15,
        1000,
        1.5,
        1000.0,
        float("inf"),
        True,
        False,
        None,
        None,
        "1",
        "yes",
        "on",
        "12:30:45",
    ]
    assert value(text) == expected


def test_timestamps_and_keys_stay_text() -> None:
    assert value("{a: 2026-01-01T00:00:00Z, 1: x, true: y}") == {"a": "2026-01-01T00:00:00Z", "1": "x", "true": "y"}


def test_escaped_surrogate_pairs_are_the_character_they_stand_for() -> None:
    assert value(r'{"a": "\ud83d\ude00", "\ud83d\ude00": 1}') == {"a": "\U0001f600", "\U0001f600": 1}


def test_merge_keys_are_obeyed_and_have_lines() -> None:
    text = "base: &base {a: 1, b: 2}\nmore: &more {b: 3, c: 4}\nall:\n  <<: [*base, *more]\n  a: 5\n"
    document = yaml_documents.load(text)
    assert document is not None
    assert document.value["all"] == {"a": 5, "b": 2, "c": 4}
    assert document.line(("all", "a")) == 5
    assert document.line(("all", "c")) == 2


def test_an_anchor_may_be_given_again() -> None:
    assert value("[&a 1, *a, &a 2, *a]") == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("x: 1\na: [", 2, "is not YAML"),
        ("a: 1\n\tb: 2", 2, "is not YAML"),
        ("a: \x01", 1, "special characters"),
        ("a: *missing", 1, "undefined alias"),
        ("a: 1\nb: 2\na: 3", 3, "the key 'a' is there twice"),
        ('{"a": 1,\n"\\x61": 2}', 2, "the key 'a' is there twice"),
        ("x: 1\na: &a [*a]", 2, "an alias stands within what it stands for"),
        ("a: &a {<<: *a}", 1, "an alias stands within what it stands for"),
        ("a: !!python/object:os.system x", 1, "is not known"),
        ("a: !own [x]", 1, "is not known"),
        ("a: !!set {x}", 1, "is not known"),
        ("a: !!int x", 1, "'x' is not of the type int"),
        ("? [a]\n: b", 1, "a key must be a plain text"),
        ("<<: 3", 1, "a merge key takes mappings only"),
        (r'a: "\ud83d"', 1, "half of a surrogate pair"),
        ("[" * 1000, 1, "is nested too deeply"),
        ("- " * 1000 + "a", 1, "is nested too deeply"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(Malformed) as refusal:
        yaml_documents.load(text)
    assert words in refusal.value.message
    assert refusal.value.line == line


def test_aliases_do_not_multiply() -> None:
    levels = [f"l{level}: &l{level} [{','.join([f'*l{level - 1}'] * 10)}]" for level in range(1, 9)]
    bomb = "\n".join(["l0: &l0 [x, x, x, x, x, x, x, x, x, x]", *levels])
    with pytest.raises(Malformed, match="expand to more than"):
        yaml_documents.load(bomb)


def test_aliases_that_save_typing_are_fine() -> None:
    assert value("labels: &labels {a: 1}\nall: [" + ", ".join(["*labels"] * 1000) + "]")["all"] == [{"a": 1}] * 1000


@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!<>|#%'\"\\ \t\r\n.,~?@`0x\u00e9\ufeff"), max_size=60))
def test_whatever_the_text_it_is_read_or_refused(text: str) -> None:
    for offset, part in yaml_documents.split(text):
        assert 0 <= offset <= text.count("\n")
        with contextlib.suppress(Malformed):
            yaml_documents.load(part)
