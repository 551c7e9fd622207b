"""Manifest files: which a folder holds, and which objects a file holds."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from kthena_fast.resources import decoding
from kthena_fast.resources.decoding import AnyResource
from kthena_fast.routing.objects import Reason
from kthena_fast.sources import yaml_documents
from kthena_fast.sources.yaml_documents import Document, Location, Malformed

SUFFIXES = frozenset((".yaml", ".yml", ".json"))
MAX_FILE_BYTES = 16 * 2**20
"""Far beyond any manifest; a file that is larger was put there by mistake."""
PASSED_OVER = "is passed over: nothing in it is an object with apiVersion and kind"
"""Said of a file of which nothing is read and nothing was meant to be: values or metadata of a chart, say.

Where a file has an object too, or had one, what does not say its kind is refused: it may be one that was misspelt.
"""

_LISTS = frozenset(("List", *(f"{kind}List" for kind in (*decoding.NETWORKING, *decoding.CORE))))


class Found(NamedTuple):
    """An object as it stands in a file, before anything is made of it."""

    value: Any
    at: Location
    """Where in the document: deeper than its top for the items of a List."""
    document: Document

    def line(self, location: Location = ()) -> int:
        """The line of a part of the object, from 1 within the document."""
        return self.document.line((*self.at, *location))


class Identity(NamedTuple):
    """What tells objects apart; each part is empty where the object does not say."""

    kind: str
    namespace: str
    name: str

    @property
    def is_known(self) -> bool:
        """Whether it could be that of an object in service."""
        return bool(self.name) and (self.kind in decoding.NETWORKING or self.kind in decoding.CORE)


class Entry(NamedTuple):
    """What a document says of one object: the object, or the reasons why it is refused. Lines are the document's."""

    identity: Identity
    line: int
    resource: AnyResource | None
    reasons: tuple[Reason, ...]
    is_foreign: bool = False
    """Whether nothing tells that it was meant to be an object."""


def listing(root: Path) -> Iterator[Path]:
    """The manifest files in a folder and the folders in it, in the order of their names.

    Hidden names are passed over and links are followed: a ConfigMap mounted as a volume keeps its files behind
    `..data` and shows each as a link. So are folders that may not be read, such as a volume's `lost+found`.
    FileNotFoundError if there is no such folder.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}")
    yield from sorted(_walk(root, frozenset()))


def _walk(folder: Path, above: frozenset[str]) -> Iterator[Path]:
    real = os.path.realpath(folder)
    if real in above:
        # A link to a folder that it lies in.
        return
    try:
        inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return
    for path in inside:
        if _is(stat.S_ISDIR, path):
            yield from _walk(path, above | {real})
        elif path.suffix in SUFFIXES and _is(stat.S_ISREG, path):
            yield path


def _is(kind: Callable[[int], bool], path: Path) -> bool:
    try:
        return kind(path.stat().st_mode)
    except OSError:
        # Gone since the folder was listed, a link to nothing, or not for us.
        return False


def read(path: Path) -> str:
    """The text of a file; Malformed for one that cannot be a manifest, OSError as usual."""
    with path.open("rb") as file:
        return text_of(file)


def text_of(file: BinaryIO) -> str:
    """The text of an open file, or of what a pipe brings; as `read`."""
    content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise Malformed(f"is larger than the {MAX_FILE_BYTES >> 20} MiB that a manifest may have", 0)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Malformed("is not UTF-8", content.count(b"\n", 0, error.start) + 1) from None


def objects(text: str) -> Iterator[Found]:
    """The objects of one document, Lists taken apart; Malformed if it cannot be read."""
    document = yaml_documents.load(text)
    if document is not None and document.value is not None:
        yield from _expand(document.value, (), document)


def _expand(value: Any, at: Location, document: Document) -> Iterator[Found]:
    if isinstance(value, Mapping) and value.get("kind") in _LISTS and isinstance(value.get("items"), list):
        for index, item in enumerate(value["items"]):
            yield from _expand(item, (*at, "items", index), document)
    else:
        yield Found(value, at, document)


def entries(text: str) -> Iterator[Entry]:
    """What one document says; objects of kinds that are not read here are passed over."""
    for found in objects(text):
        try:
            resource = decoding.decode(found.value)
        except decoding.UnknownKind:
            continue
        except decoding.Rejected as refusal:
            reasons = tuple(
                Reason(violation.path, violation.message, found.line(violation.location))
                for violation in refusal.violations
            )
            identity = Identity(refusal.kind, refusal.namespace, refusal.name)
            yield Entry(identity, found.line(), None, reasons, decoding.is_foreign(found.value))
        else:
            meta = resource.metadata
            yield Entry(Identity(resource.KIND, meta.namespace, meta.name), found.line(), resource, ())
