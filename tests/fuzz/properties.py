"""Each property by its name. One that needs something to be open for long is a context manager that gives the check."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from tests.fuzz import answers, bodies, conversations, engines, given

Check = Callable[[bytes], None]


@contextlib.contextmanager
def opened(name: str) -> Iterator[Check]:
    """The check of a property; it raises where an input breaks it."""
    if name == "conversations":
        with conversations.Ways() as ways:
            yield lambda raw: _ignore(ways.agree(given.read(raw).pieces))
    elif name == "engines":
        with engines.Engines() as made:
            yield lambda raw: made.check(given.read(raw))
    else:
        check = _SIMPLE[name]
        yield lambda raw: check(given.read(raw))


_SIMPLE: dict[str, Callable[[given.Given], None]] = {
    "answers": answers.run,
    "headers": bodies.headers,
    "heads": bodies.heads,
    "peek": bodies.peek,
    "sse": bodies.sse,
    "usage": bodies.usage,
}

NAMES = ("conversations", "engines", *_SIMPLE)


def _ignore(_: object) -> None: ...
