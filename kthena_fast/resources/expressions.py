"""Regular expressions of users: RE2, so matching takes linear time, searched for anywhere in the text."""

from __future__ import annotations

from typing import Protocol, cast


class Expression(Protocol):
    """A compiled expression."""

    def search(self, text: str, /) -> object | None:
        """Something where the expression matches somewhere in the text, else None."""


MAX_LENGTH = 2**16
"""Characters of an expression. Of one of megabytes the library prints 60,000 lines to stderr, whatever it is told."""


def compile_re2(expression: str) -> Expression:
    """The compiled expression; ValueError says what is wrong with it."""
    if len(expression) > MAX_LENGTH:
        raise ValueError(f"it has {len(expression)} characters, and {MAX_LENGTH} are the most")
    # Not with the module: it is 5 MB of memory, and few objects hold an expression.
    import re2  # type: ignore[import-untyped]  # google-re2 has no stubs

    options = re2.Options()
    # The library would print what is wrong to stderr as well.
    options.log_errors = False
    try:
        return cast("Expression", re2.compile(expression, options))
    except re2.error as error:
        reason = error.args[0]
        raise ValueError(reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)) from None
