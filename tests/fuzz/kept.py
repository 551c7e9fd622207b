"""The inputs that are kept: `corpus/PROPERTY/NAME`, and what other tests know of conversations, bodies and answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.fuzz import given

FOLDER = Path(__file__).with_name("corpus")
DICTIONARY = FOLDER / "words.dict"
CONVERSATIONS = Path(__file__).parents[1] / "lane" / "corpus"


def inputs(name: str) -> Iterator[tuple[str, bytes]]:
    """Every input of a property, by a name for it."""
    # What an engine answers is the same to the relay alone and to the whole gateway.
    for path in sorted((FOLDER / ("answers" if name == "engines" else name)).glob("*")):
        yield path.name, path.read_bytes()
    if name in {"conversations", "heads"}:
        for path in sorted(CONVERSATIONS.glob("*.http")):
            data = path.read_bytes()
            yield path.name, given.write(data, options=1)
            middle = min(len(data), 2**16) // 2
            yield f"{path.name}, cut", given.write(data, cuts=(middle // 2, middle, middle + middle // 2))


def write_seeds(name: str, folder: Path) -> None:
    """The inputs as files, as a search wants them."""
    for number, (_, raw) in enumerate(inputs(name)):
        (folder / f"{number:04d}").write_bytes(raw)
