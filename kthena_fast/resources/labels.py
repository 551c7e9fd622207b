"""Labels as Kubernetes defines them: their syntax, and equality selection."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", re.ASCII)
_PREFIX = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*", re.ASCII)


def select(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether every label of the selector is there with its value. An empty selector selects nothing."""
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())


def faults(labels: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The key of each label that is not one, with a sentence that says why."""
    for key, value in labels.items():
        prefix, slash, name = key.rpartition("/")
        if slash and not (len(prefix) <= 253 and _PREFIX.fullmatch(prefix)):
            yield key, f"the prefix of the label key {key!r} must be a DNS name in lower case"
        elif not _NAME.fullmatch(name):
            yield (
                key,
                f"the label key {key!r} must be 1-63 of letters, digits, '-', '_' and '.', with no mark outermost",
            )
        elif value and not _NAME.fullmatch(value):
            yield key, f"the label value {value!r} must be empty or written as a label key is"
