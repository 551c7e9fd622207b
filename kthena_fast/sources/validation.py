"""Holds manifests to the rules of the CRDs, of the webhook and of a manifests folder, without serving them.

What would keep an object out of a cluster or out of service is an error; what would be dropped or not obeyed, or is
likely not meant, is a warning. Everything is found at once.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from kthena_fast.resources import admission, announcements, cautions, decoding
from kthena_fast.sources import manifest_files, yaml_documents
from kthena_fast.sources.manifest_files import Found, Identity
from kthena_fast.sources.yaml_documents import Malformed

Severity = Literal["error", "warning"]

STDIN = Path("-")
"""Stands for the standard input, as it does to other programs."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, where, and what is allowed instead."""

    severity: Severity
    file: str
    line: int
    """From 1; 0: the file as a whole."""
    kind: str
    namespace: str
    name: str
    """Kind, namespace and name are empty where the document does not say."""
    path: str
    """The field, `spec.rules[0].targetModels`; empty: the whole object or document."""
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        what = f"{self.kind} {self.namespace}/{self.name}: " if self.name else ""
        which = f"{self.path}: " if self.path else ""
        return f"{where}: {self.severity}: {what}{which}{self.message}"


@dataclass(slots=True)
class Report:
    """What was looked at, and what was found, in the order of files and lines."""

    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    objects: int = 0
    """Of the kinds that are read here."""

    @property
    def errors(self) -> int:
        return sum(finding.severity == "error" for finding in self.findings)


def validate(paths: Iterable[Path]) -> Report:
    """Every violation in these files and folders, or in `STDIN`; a file that is named is read whatever its suffix."""
    report = Report()
    defined: dict[Identity, str] = {}
    for path in dict.fromkeys(_files(paths)):
        report.files += 1
        if path == STDIN:
            found = list(_file("<stdin>", lambda: manifest_files.text_of(sys.stdin.buffer), defined, report))
        else:
            found = list(_file(str(path), functools.partial(manifest_files.read, path), defined, report))
        report.findings += sorted(found, key=lambda finding: finding.line)
    return report


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path != STDIN and path.is_dir():
            yield from manifest_files.listing(path)
        else:
            yield path


def _file(name: str, read: Callable[[], str], defined: dict[Identity, str], report: Report) -> Iterator[Finding]:
    try:
        text = read()
    except Malformed as fault:
        yield Finding("error", name, fault.line, "", "", "", "", fault.message)
        return
    except OSError as error:
        yield Finding("error", name, 0, "", "", "", "", f"cannot be read: {error.strerror}")
        return
    places: list[_Place] = []
    faults: list[Finding] = []
    for offset, document in yaml_documents.split(text):
        try:
            places += [_Place(name, offset, found) for found in manifest_files.objects(document)]
        except Malformed as fault:
            faults.append(Finding("error", name, fault.line + offset, "", "", "", "", fault.message))
    ours = [place for place in places if not decoding.is_of_others(place.found.value)]
    if ours and not faults and all(decoding.is_foreign(place.found.value) for place in ours):
        yield Finding("warning", name, 0, "", "", "", "", manifest_files.PASSED_OVER)
        return
    yield from faults
    for place in ours:
        yield from _object(place, defined, report)


class _Place:
    """An object in a file."""

    def __init__(self, file: str, offset: int, found: Found) -> None:
        self.file = file
        self.found = found
        self._offset = offset

    def line(self, location: yaml_documents.Location = ()) -> int:
        return self.found.line(location) + self._offset

    def finding(
        self, severity: Severity, identity: Identity, path: str, message: str, location: yaml_documents.Location = ()
    ) -> Finding:
        return Finding(severity, self.file, self.line(location), *identity, path, message)


def _object(place: _Place, defined: dict[Identity, str], report: Report) -> Iterator[Finding]:
    obj = place.found.value
    try:
        resource = decoding.decode(obj)
    except decoding.Rejected as refusal:
        report.objects += 1
        identity = Identity(refusal.kind, refusal.namespace, refusal.name)
        for violation in (*refusal.violations, *admission.further_violations(obj, refusal)):
            yield place.finding("error", identity, violation.path, violation.message, violation.location)
    else:
        report.objects += 1
        identity = Identity(resource.KIND, resource.metadata.namespace, resource.metadata.name)
        refused = admission.violations(resource)
        for violation in refused:
            yield place.finding("error", identity, violation.path, violation.message, violation.location)
        said = {violation.path for violation in refused}
        for announcement in announcements.announcements(resource):
            # An expression that the webhook refuses is not announced to be ignored as well.
            if announcement.path not in said:
                yield place.finding(
                    "warning", identity, announcement.path, announcement.reason, _location(announcement.path)
                )
        for caution in cautions.cautions(resource):
            yield place.finding("warning", identity, caution.path, caution.message, caution.location)
    if isinstance(obj, dict):
        for unknown in decoding.unknown_fields(obj):
            nearest = f"; did you mean {unknown.nearest}?" if unknown.nearest else ""
            yield place.finding(
                "warning", identity, unknown.path, f"is not a known field and is dropped{nearest}", unknown.location
            )
    if identity.is_known:
        first = defined.setdefault(identity, f"{place.file}:{place.line()}")
        if first != f"{place.file}:{place.line()}":
            yield place.finding("error", identity, "", f"is already defined at {first}")


_STEP = re.compile(r"\[([^]]*)\]|([^.\[\]]+)")


def _location(path: str) -> yaml_documents.Location:
    """Where a path that was written for people leads."""
    steps = (entry or name for entry, name in _STEP.findall(path))
    return tuple(int(step) if step.isdecimal() else step for step in steps)
