"""What an expression may cost, and that who asks for it again pays nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import re2  # type: ignore[import-untyped]

from kthena_fast.resources import admission, announcements, decoding, expressions
from kthena_fast.resources.expressions import Compiler
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.routing import build, objects
from tests.resources import corpus

TOO_LARGE = [r"^[\p{L}\p{N}_-]{1,128}$", r"\PL{300}", r"[^\p{L}]{100}", r"(?i)\p{L}{50}", "(a|b)*c" * 9_000]


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The expressions that the library compiles, and nothing is known before."""
    monkeypatch.setattr(expressions, "_found", type(expressions._found)())
    compiled: list[str] = []
    original = re2.compile

    def compile_it(expression: str, options: Any = None) -> Any:
        compiled.append(expression)
        return original(expression, options)

    monkeypatch.setattr(re2, "compile", compile_it)
    yield compiled
    # What the library remembers by itself is let go.
    assert re2._Regexp._make.cache_info().currsize == 0


def route(obj: dict[str, Any]) -> ModelRoute:
    decoded = decoding.decode(obj)
    assert isinstance(decoded, ModelRoute)
    return decoded


@pytest.mark.parametrize(
    "expression",
    [
        "^gpt-.*$",
        "^[a-zA-Z0-9_-]{1,128}$",
        "[a-z]{1,1000}",
        ".{1,255}",
        r"\d{1,1000}",
        r"^[\p{L}\p{N}_-]+$",
        r"^(https?://)?([a-z0-9-]+\.)+[a-z]{2,63}(:\d{1,5})?(/.*)?$",
        "|".join(f"user-{number}@example.com" for number in range(500)),
    ],
    ids=lambda text: text[:24],
)
def test_what_people_write_compiles(expression: str) -> None:
    assert Compiler().problem(expression) == ""
    assert Compiler().compile(expression).programsize <= expressions.MAX_STEPS


@pytest.mark.parametrize("expression", TOO_LARGE, ids=lambda text: text[:24])
def test_one_that_would_take_megabytes_is_refused_with_what_to_do(expression: str) -> None:
    assert Compiler().problem(expression) == expressions.TOO_LARGE
    with pytest.raises(ValueError, match="too large: repeat a class"):
        Compiler().compile(expression)
    (violation,) = admission.violations(decoding.decode(corpus.matching(uri={"regex": expression})))
    assert violation.message.endswith(expressions.TOO_LARGE)


def test_what_is_wrong_is_found_out_once(asked: list[str]) -> None:
    for _ in range(3):
        assert Compiler().problem("(?=a)").startswith("invalid perl operator")
        with pytest.raises(ValueError, match="invalid perl operator"):
            Compiler().compile("(?=a)")
    assert asked == ["(?=a)"]


def test_of_expressions_that_are_forgotten_each_is_found_out_again(asked: list[str]) -> None:
    for _ in range(2):
        for number in range(expressions.REMEMBERED + 1):
            assert Compiler().problem(f"{number}") == ""
        assert len(expressions._found) == expressions.REMEMBERED
    assert len(asked) == 2 * (expressions.REMEMBERED + 1)


@pytest.mark.parametrize(
    ("expression", "most"),
    [(r"\PL{%d}", 9), (r"\p{L}{10}%d", 4), ("[a-z]{1,1000}%d", 18), ("a%d", 2050), ("(a|b)*" * 4_000 + "(?=%d", 2)],
    ids=lambda value: str(value)[:20],
)
def test_of_one_route_no_more_are_compiled_than_have_room_together(
    asked: list[str], expression: str, most: int
) -> None:
    headers = {f"x-{number}": {"regex": expression % (300 + number)} for number in range(3000)}
    resource = route(corpus.matching(headers=headers))
    violations = admission.violations(resource)
    assert 1 < len(asked) <= most
    assert violations[-1].message.endswith(expressions.TOO_MANY)
    assert len(violations) <= most + 1
    assert [found.path for found in announcements.announcements(resource)] == [fault.path for fault in violations]
    # Those in service count alike, and find out nothing anew that does not compile.
    before = len(asked)
    snapshot = build.build(objects.Objects(routes={"default/a": resource}), build.EMPTY)
    assert len(asked) <= 2 * before
    assert snapshot.match("m", "/", [(b"x-0", b"a")]) is None


def test_rules_before_those_that_have_no_room_serve() -> None:
    rules = [corpus.rule(modelMatch={"uri": {"regex": "^/a$"}})]
    rules += [corpus.rule(modelMatch={"uri": {"regex": rf"\p{{L}}{{10}}{number}"}}) for number in range(9)]
    rules += [corpus.rule(modelMatch={"uri": {"regex": "^/b$"}})]
    resource = route(corpus.route(rules=rules))
    snapshot = build.build(objects.Objects(routes={"default/a": resource}), build.EMPTY)
    match = snapshot.match("m", "/a", [])
    assert match is not None
    assert match.rule == 0
    assert snapshot.match("m", "/b", []) is None
    assert "none from here on is compiled" in snapshot.unsupported[-1].reason
