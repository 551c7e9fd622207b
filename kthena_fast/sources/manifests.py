"""A folder of manifests, watched.

1. What was good stays in service while its file, its document or its object is malformed, and goes when it is removed.
   A document that cannot be read, or does not say what it is, does not say which objects it held either, so until
   that is mended nothing that came from its file goes. Nor does it while the file is empty: `helm template > FILE`
   empties it long before it writes.
   A file in which nothing ever was an object, nor is like one, is passed over: values of a chart, say.
2. An object that two files define is taken from the one whose path sorts first; the other is reported.
3. A document that did not change is not parsed again, so its objects stay the same Python objects.
4. Every change looks at the whole folder: what a watcher says is a reason to look, never the truth. Links into other
   folders are not watched, nor is every file system, so the folder is looked at from time to time anyway.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, cast

import watchfiles

from kthena_fast.resources import core_v1
from kthena_fast.resources.decoding import AnyResource
from kthena_fast.resources.external_model_provider import ExternalModelProvider
from kthena_fast.resources.model_route import ModelRoute
from kthena_fast.resources.model_server import ModelServer
from kthena_fast.routing.objects import Objects, Reason, Rejection
from kthena_fast.sources import Observation, manifest_files, yaml_documents
from kthena_fast.sources.manifest_files import Entry, Identity
from kthena_fast.sources.yaml_documents import Malformed

log = logging.getLogger(__name__)
# It counts events at every change; what was read, and what is wrong with it, is said here.
logging.getLogger("watchfiles").setLevel(logging.WARNING)

QUIET_MS = 100
"""A change is read once nothing followed it for this long: a file is often written in more than one step."""
PATIENCE_MS = 400
"""Changes that do not end are read after this long all the same."""
LOOK_ANYWAY_MS = 10_000
RETRY_SECONDS = 1.0
"""Between looks for a folder that is not there."""


class _Document(NamedTuple):
    entries: tuple[Entry, ...]
    fault: Reason | None
    """Why it cannot be read; its line is the document's."""


class _Content(NamedTuple):
    documents: tuple[tuple[int, str, _Document], ...]
    """Lines before it, its text, what it says."""
    fault: Reason | None = None
    """Why the file cannot be read at all."""


class _File(NamedTuple):
    signature: tuple[int, ...]
    """Differs when the file was written or replaced."""
    said: _Content


class _InService(NamedTuple):
    resource: AnyResource
    file: Path
    line: int


class Folder:
    """What a folder holds, as of the last look. Not for two threads at once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._files: dict[Path, _File] = {}
        self._in_service: dict[Identity, _InService] = {}
        self._passed_over: frozenset[Path] = frozenset()
        self._looked = False

    def look(self) -> Observation | None:
        """What the folder holds now; None: nothing changed since the last look. FileNotFoundError: it is not there."""
        files: dict[Path, _File] = {}
        for path in manifest_files.listing(self._root):
            file = _read(path, self._files.get(path))
            if file is not None:
                files[path] = file
        said = {path: file.said for path, file in files.items()}
        is_new = not self._looked or said != {path: file.said for path, file in self._files.items()}
        self._files, self._looked = files, True
        return self._settle() if is_new else None

    def _settle(self) -> Observation:
        """Decide what serves: rules 1 and 2."""
        serving: dict[Identity, _InService] = {}
        rejected: list[Rejection] = []
        passed_over: set[Path] = set()
        served_by = {before.file for before in self._in_service.values()}
        for path, file in self._files.items():
            faults, entries = _faults(file.said), list(_entries(file.said))
            if entries and not faults and path not in served_by and all(entry.is_foreign for entry in entries):
                passed_over.add(path)
                continue
            is_unclear = bool(faults)
            for entry in entries:
                first = serving.get(entry.identity)
                before = self._in_service.get(entry.identity)
                if first is not None:
                    rejected.append(self._rejection(path, entry, (*entry.reasons, self._twice(entry, first))))
                elif entry.resource is not None:
                    serving[entry.identity] = _InService(entry.resource, path, entry.line)
                elif before is not None and before.file == path:
                    serving[entry.identity] = before
                    rejected.append(self._rejection(path, entry, entry.reasons, kept=True))
                else:
                    is_unclear = is_unclear or not entry.identity.is_known
                    rejected.append(self._rejection(path, entry, entry.reasons))
            kept = {
                identity: before
                for identity, before in self._in_service.items()
                if is_unclear and before.file == path and identity not in serving
            }
            serving |= kept
            name = self._name(path)
            rejected += (Rejection("", "", "", (fault,), name, fault.line, kept=bool(kept)) for fault in faults)
        self._in_service = serving
        for path in sorted(passed_over - self._passed_over):
            log.warning("the file %s %s", path, manifest_files.PASSED_OVER)
        self._passed_over = frozenset(passed_over)
        return Observation(_objects({identity: entry.resource for identity, entry in serving.items()}), tuple(rejected))

    def _twice(self, entry: Entry, first: _InService) -> Reason:
        return Reason("", f"is already defined at {self._name(first.file)}:{first.line}", entry.line)

    def _rejection(self, path: Path, entry: Entry, reasons: tuple[Reason, ...], *, kept: bool = False) -> Rejection:
        return Rejection(*entry.identity, reasons, self._name(path), entry.line, kept)

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self._root))


def _read(path: Path, before: _File | None) -> _File | None:
    """The file as it is now, or `before` if it is still that; None: it is gone."""
    try:
        state = path.stat()
        signature = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        if before is not None and before.signature == signature:
            return before
        text = manifest_files.read(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return _File((), _Content((), Reason("", f"cannot be read: {error.strerror}")))
    except Malformed as fault:
        return _File((), _Content((), Reason("", fault.message, fault.line)))
    if not text and before is not None and before.said != _Content(()):
        return _File(signature, _Content((), Reason("", "is empty: it is being written, or is to be removed")))
    known = {document: said for _, document, said in before.said.documents} if before is not None else {}
    documents = (
        (offset, document, known.get(document) or _parse(document)) for offset, document in yaml_documents.split(text)
    )
    return _File(signature, _Content(tuple(documents)))


def _parse(document: str) -> _Document:
    try:
        return _Document(tuple(manifest_files.entries(document)), None)
    except Malformed as fault:
        return _Document((), Reason("", fault.message, fault.line))


def _entries(said: _Content) -> Iterator[Entry]:
    for offset, _, document in said.documents:
        for entry in document.entries:
            yield entry._replace(
                line=entry.line + offset,
                reasons=tuple(Reason(reason.path, reason.message, reason.line + offset) for reason in entry.reasons),
            )


def _faults(said: _Content) -> list[Reason]:
    faults = [said.fault] if said.fault is not None else []
    for offset, _, document in said.documents:
        if document.fault is not None:
            faults.append(Reason("", document.fault.message, document.fault.line + offset))
    return faults


def _objects(resources: Mapping[Identity, AnyResource]) -> Objects:
    routes: dict[str, ModelRoute] = {}
    servers: dict[str, ModelServer] = {}
    providers: dict[str, ExternalModelProvider] = {}
    pods: dict[str, core_v1.Pod] = {}
    for resource in resources.values():
        key = resource.metadata.key
        match resource:
            case ModelRoute():
                routes[key] = resource
            case ModelServer():
                servers[key] = resource
            case ExternalModelProvider():
                providers[key] = resource
            case core_v1.Pod():
                pods[key] = resource
            case core_v1.Secret():
                # Only providers need one, and they cannot be called yet.
                pass
    return Objects(routes, servers, providers, pods)


class ManifestsSource:
    """The objects of a folder, for as long as it runs; see the rules of this module."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = Folder(root)
        self._polls: bool | None = None

    async def run(self, publish: Callable[[Observation], None]) -> None:
        """See `Source`."""
        while True:
            try:
                await self._watch(publish)
            except FileNotFoundError:
                log.warning("the folder %s is not there; what was read from it stays in service", self._root)
            except OSError as error:
                # The usual cause is the system's limit on inotify watches.
                log.warning("the folder %s cannot be watched and will be polled: %s", self._root, error)
                self._polls = True
            await asyncio.sleep(RETRY_SECONDS)

    async def _watch(self, publish: Callable[[Observation], None]) -> None:
        """Publish what changes until the folder is another one, or none."""
        watched = _folder_id(self._root)
        changes = watchfiles.awatch(
            self._root,
            watch_filter=None,
            debounce=PATIENCE_MS,
            step=QUIET_MS,
            rust_timeout=LOOK_ANYWAY_MS,
            yield_on_timeout=True,
            force_polling=self._polls,
        )
        try:
            while _folder_id(self._root) == watched:
                change = asyncio.ensure_future(cast("asyncio.Future[object]", anext(changes)))
                try:
                    # The watcher is armed in the first step of its task: nothing that follows the look is missed.
                    await asyncio.sleep(0)
                    observation = await asyncio.to_thread(self._folder.look)
                    if observation is not None:
                        publish(observation)
                    await change
                finally:
                    if not change.done():
                        change.cancel()
                        await asyncio.wait((change,))
        finally:
            await changes.aclose()


def _folder_id(root: Path) -> tuple[int, int]:
    state = root.stat()
    return state.st_dev, state.st_ino
