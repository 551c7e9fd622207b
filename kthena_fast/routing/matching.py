"""Conditions of a rule, compiled: what a request is asked when more than its model's name decides.

1. A condition that always holds costs nothing: it is not there (`None`).
2. The model's name is known when the table is built, so `body.model` is decided there and never asked.
3. Texts are compared as Unicode; what is not UTF-8 in a header counts as U+FFFD, as it does in Go's expressions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from kthena_fast.resources.expressions import Compiler
from kthena_fast.resources.model_route import ModelMatch, StringMatch

Test = Callable[[str], bool]


def _never(text: str) -> bool:  # noqa: ARG001 - a Test that looks at nothing
    return False


def string_test(match: StringMatch, compiler: Compiler) -> Test | None:
    """Exact, else prefix, else regex (RE2, anywhere in the text); None: every text passes.

    An expression that does not compile never matches; `announcements` names it.
    """
    if match.compared is None:
        return None
    how, wanted = match.compared
    if how == "exact":
        return lambda text: text == wanted
    if how == "prefix":
        return lambda text: text.startswith(wanted)
    try:
        search = compiler.compile(wanted).search
    except ValueError:
        return _never
    # Given bytes, the library need not count characters; given a lone surrogate as str, it would raise.
    return lambda text: search(text.encode("utf-8", "replace")) is not None  # type: ignore[arg-type] # its stub has str only


class Condition:
    """What a rule asks beyond the model's name: headers and path, all of which must hold."""

    __slots__ = ("headers", "uri")

    def __init__(self, uri: Test | None, headers: tuple[tuple[bytes, Test], ...]) -> None:
        self.uri = uri
        self.headers: Final = headers
        """Names in lower case."""

    def holds(self, path: str, headers: Mapping[bytes, bytes]) -> bool:
        """`path` is decoded and has no query; `headers` has first values by lower-case name (absent: empty text)."""
        if self.uri is not None and not self.uri(path):
            return False
        return all(test(headers.get(name, b"").decode("utf-8", "replace")) for name, test in self.headers)


def condition(match: ModelMatch | None, compiler: Compiler) -> Condition | None:
    """The condition of a rule, its `body.model` left out; None: it always holds."""
    if match is None:
        return None
    headers = tuple(
        (name.lower().encode(), test)
        for name, value in match.headers.items()
        if (test := string_test(value, compiler)) is not None
    )
    uri = string_test(match.uri, compiler) if match.uri is not None else None
    return Condition(uri, headers) if uri is not None or headers else None


def takes_model(match: ModelMatch | None, model: str) -> bool:
    """Whether `body.model` lets this name pass."""
    return match is None or match.body is None or match.body.model is None or match.body.model == model
