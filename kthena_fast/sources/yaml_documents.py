"""YAML text in, plain values with line numbers out.

1. A text is cut into documents before it is parsed, so that one broken document does not take the others with it.
2. A document is refused, never guessed at: duplicate keys, unknown tags, and aliases that contain themselves.
3. What aliases expand to is bounded by what is written (`MAX_EXPANSION`): a few lines must not fill the memory.
4. Timestamps stay text, and so do all keys: that is what JSON, and so the API server, would make of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Location: TypeAlias = tuple[str | int, ...]
"""Keys and indexes from the document down to a value."""

MAX_EXPANSION = 10
"""Values per value that is written, beyond the first `FREE_VALUES`: anchors save typing, they do not multiply."""
FREE_VALUES = 10_000

_SEPARATOR = re.compile(r"^---(?=\s|$)|^\.\.\.(?=\s|$)", re.MULTILINE)
# A value may follow the separator on its line.
_SEPARATOR_LINE = re.compile(r"(?:---|\.\.\.)(?=\s|$)[ \t]*\r?\n?")
_SAYS_NOTHING = re.compile(r"(?:[ \t]*(?:#.*)?\n|%.*\n)*[ \t]*(?:#.*)?")
_TAG = "tag:yaml.org,2002:"


class Malformed(Exception):
    """The document cannot be read; `line` counts from 1."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class Document:
    """One document's `value`, with the lines that its parts are on; lines count from 1 within the document."""

    __slots__ = ("_root", "value")

    def __init__(self, root: Node) -> None:
        self._root = root
        self.value = _Construction(root).value(root)

    def line(self, location: Location = ()) -> int:
        """Where a value begins, or its key if it has one; for what is not there, where its nearest container does."""
        node = self._root
        line = _line(node)
        for step in location:
            found = _child(node, step)
            if found is None:
                break
            label, node = found
            line = _line(label)
        return line


def split(text: str) -> Iterator[tuple[int, str]]:
    """The documents of a text that say anything, each with the number of lines before it."""
    begin = 0
    for end in [*(found.start() for found in _SEPARATOR.finditer(text)), len(text)]:
        # Without the separator's line a document reads the same wherever in its file it stands.
        opening = _SEPARATOR_LINE.match(text, begin, end)
        start = opening.end() if opening is not None else begin
        part = text[start:end]
        if not _SAYS_NOTHING.fullmatch(part):
            yield text.count("\n", 0, start), part
        begin = end


def load(text: str) -> Document | None:
    """The document in a text that holds one; None: it holds none. Malformed says what is wrong and where."""
    reader = YAML(typ="safe", pure=True)
    # What an anchor means after it was given again is plain enough.
    reader.composer.warn_double_anchors = False
    try:
        root = reader.compose(text)
        return Document(root) if root is not None else None
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.context, error.problem) if part)
        raise Malformed(f"is not YAML: {said}", mark.line + 1 if mark is not None else 1) from None
    except YAMLError as error:
        raise Malformed(f"is not YAML: {str(error).partition(chr(10))[0]}", 1) from None
    except RecursionError:
        raise Malformed("is nested too deeply", 1) from None


class _Construction:
    """Makes plain values of nodes, counting them."""

    def __init__(self, root: Node) -> None:
        self._left = FREE_VALUES + MAX_EXPANSION * _count(root)
        self._open: set[int] = set()

    def value(self, node: Node) -> Any:
        self._left -= 1
        if self._left < 0:
            raise Malformed(f"its aliases expand to more than {MAX_EXPANSION} times what is written", _line(node))
        if isinstance(node, ScalarNode):
            return _scalar(node)
        if id(node) in self._open:
            raise Malformed("an alias stands within what it stands for", _line(node))
        self._open.add(id(node))
        try:
            if isinstance(node, SequenceNode):
                _expect(node, "seq")
                return [self.value(item) for item in node.value]
            assert isinstance(node, MappingNode)
            _expect(node, "map")
            return self._mapping(node)
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: MappingNode) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if _is_merge(key):
                for source in _merged(value):
                    # The earlier source goes first, and what the mapping says itself goes before all.
                    merged = self.value(source) | merged
                continue
            name = _key(key)
            if name in own:
                raise Malformed(f"the key {name!r} is there twice", _line(key))
            own[name] = self.value(value)
        return merged | own


def _count(root: Node) -> int:
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if id(node) not in seen:
            seen.add(id(node))
            waiting.extend(_parts(node))
    return len(seen)


def _parts(node: Node) -> Iterator[Node]:
    if isinstance(node, MappingNode):
        for pair in node.value:
            yield from pair
    elif isinstance(node, SequenceNode):
        yield from node.value


def _line(node: Node) -> int:
    line: int = node.start_mark.line
    return line + 1


def _tag(node: Node) -> str:
    return str(node.tag).removeprefix(_TAG)


def _expect(node: Node, tag: str) -> None:
    if _tag(node) != tag:
        raise Malformed(f"the tag {node.tag} is not known", _line(node))


def _is_merge(key: Node) -> bool:
    return isinstance(key, ScalarNode) and _tag(key) == "merge"


def _merged(value: Node) -> list[MappingNode]:
    sources = value.value if isinstance(value, SequenceNode) else [value]
    for source in sources:
        if not isinstance(source, MappingNode):
            raise Malformed("a merge key takes mappings only", _line(source))
    return list(sources)


def _key(key: Node) -> str:
    if not isinstance(key, ScalarNode):
        raise Malformed("a key must be a plain text", _line(key))
    return _text(key)


def _text(node: ScalarNode) -> str:
    text = str(node.value)
    if text.isascii():
        return text
    try:
        # JSON escapes what is beyond 16 bits as two surrogates, and the YAML reader leaves them two.
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise Malformed("holds half of a surrogate pair, which is no text", _line(node)) from None


def _scalar(node: ScalarNode) -> Any:
    text = _text(node)
    tag = _tag(node)
    try:
        if tag in ("str", "timestamp"):
            return text
        if tag == "null":
            return None
        if tag == "bool":
            return {"true": True, "false": False}[text.lower()]
        if tag == "int":
            return _integer(text)
        if tag == "float":
            return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    except (KeyError, ValueError):
        raise Malformed(f"{text[:40]!r} is not of the type {tag}", _line(node)) from None
    raise Malformed(f"the tag {node.tag} is not known", _line(node))


def _integer(text: str) -> int:
    plain = text.replace("_", "").lower()
    # "010" is ten in YAML 1.2, and Python asks for the prefix to be told.
    return int(plain, 0) if plain.lstrip("+-")[:2] in ("0x", "0o", "0b") else int(plain)


def _child(node: Node, step: str | int) -> tuple[Node, Node] | None:
    """The part at one step, with the node that labels it: its key, or the item itself."""
    if isinstance(node, SequenceNode) and isinstance(step, int):
        return (node.value[step],) * 2 if 0 <= step < len(node.value) else None
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if not _is_merge(key) and key.value == step:
                return key, value
        for key, value in node.value:
            if _is_merge(key):
                for source in _merged(value):
                    found = _child(source, step)
                    if found is not None:
                        return found
    return None
