"""Regular expressions of users: RE2, so matching takes linear time, searched for anywhere in the text.

1. What they cost is bounded: the library holds the process while it compiles, and a class of Unicode that is repeated a
   hundred times (`\\p{L}{100}`) would take 100 ms and megabytes. So each has `MAX_MEMORY`, and all those of one
   ModelRoute have `MAX_STEPS` together.
2. The webhook, `validate` and the routes in service ask in the same order and count alike, so what one lets pass the
   other serves.
3. What was found of an expression is remembered, not the compiled one: it is asked for again where it is announced.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple, Protocol, cast


class Expression(Protocol):
    """A compiled expression."""

    @property
    def programsize(self) -> int:
        """Steps of its program."""

    def search(self, text: str, /) -> object | None:
        """Something where the expression matches somewhere in the text, else None."""


MAX_LENGTH = 2**16
"""Characters of an expression. Of one of megabytes the library prints 60,000 lines to stderr, whatever it is told."""

MAX_MEMORY = 512 << 10
"""Bytes of an expression's program: four milliseconds to compile. `[a-z]{1,1000}` and a choice of 500 addresses take
less, a class of all letters is repeated ten times at most (`+` and `*` repeat it as often as anybody likes)."""

MAX_STEPS = 2**15
"""Steps of all programs of one ModelRoute together: some 15 milliseconds. Most expressions take less than 100."""

LEAST_STEPS = 16
"""What an expression counts at least: to begin with one costs, too."""

STEPS_OF_TOO_LARGE = MAX_STEPS // 4
"""What one counts whose program has no room in `MAX_MEMORY`: that it has none takes time to find out."""

REMEMBERED = 256

TOO_LARGE = (
    "it is too large: repeat a class of many characters, such as \\p{L} or \\PL, by + or * and not by a number, and "
    "write long choices as rules of their own"
)
TOO_MANY = f"the regular expressions of this route are too large together ({MAX_STEPS} steps are the most): use fewer"


class _Found(NamedTuple):
    steps: int
    problem: str
    """Empty: it compiles."""


_found: OrderedDict[str, _Found] = OrderedDict()


class Compiler:
    """Compiles the expressions of one ModelRoute, in the order of its rules; in each, those of headers come first."""

    def __init__(self) -> None:
        self._left = MAX_STEPS
        self.is_spent = False
        """Whether `TOO_MANY` was said: then it is of every other expression, too."""

    def compile(self, expression: str) -> Expression:
        """The compiled expression; ValueError says what is wrong with it."""
        known = _found.get(expression)
        compiled = None
        if self._left > 0 and (known is None or not known.problem):
            compiled, known = _compiled(expression)
            _remember(expression, known)
        problem = self._spend(known)
        if compiled is None or problem:
            raise ValueError(problem)
        return compiled

    def problem(self, expression: str) -> str:
        """What `compile` would say is wrong; empty: nothing."""
        known = _found.get(expression)
        if self._left > 0 and known is None:
            _, known = _compiled(expression)
            _remember(expression, known)
        return self._spend(known)

    def _spend(self, found: _Found | None) -> str:
        if self._left > 0 and found is not None:
            self._left -= found.steps
            if found.problem or self._left >= 0:
                return found.problem
        self.is_spent = True
        return TOO_MANY


def _compiled(expression: str) -> tuple[Expression | None, _Found]:
    if len(expression) > MAX_LENGTH:
        problem = f"it has {len(expression)} characters, and {MAX_LENGTH} are the most"
        return None, _Found(LEAST_STEPS, problem)
    # Not with the module: it is 5 MB of memory, and few objects hold an expression.
    import re2  # type: ignore[import-untyped]  # google-re2 has no stubs

    options = re2.Options()
    # The library would print what is wrong to stderr as well.
    options.log_errors = False
    options.max_mem = MAX_MEMORY
    try:
        compiled = cast("Expression", re2.compile(expression, options))
    except re2.error as error:
        reason = error.args[0]
        said = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        steps = max(LEAST_STEPS, len(expression))
        if said.startswith("pattern too large"):
            return None, _Found(max(steps, STEPS_OF_TOO_LARGE), TOO_LARGE)
        return None, _Found(steps, said)
    finally:
        # It would keep 128 of them, whoever has forgotten them.
        re2.purge()
    return compiled, _Found(max(LEAST_STEPS, compiled.programsize), "")


def _remember(expression: str, found: _Found) -> None:
    _found[expression] = found
    if len(_found) > REMEMBERED:
        _found.popitem(last=False)
