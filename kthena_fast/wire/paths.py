"""The paths of the API: what each speaks, and the few labels they may have in metrics."""

from typing import Final, Literal
from urllib.parse import unquote_to_bytes

Dialect = Literal[
    "chat",
    "completions",
    "embeddings",
    "responses",
    "messages",
    "rerank",
    "score",
    "classify",
    "tokenize",
    "audio",
    "models",
    "other",
]

KNOWN: Final[dict[str, Dialect]] = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "completions",
    "/v1/embeddings": "embeddings",
    "/v1/responses": "responses",
    "/v1/messages": "messages",
    "/v1/rerank": "rerank",
    "/v1/score": "score",
    "/v1/classify": "classify",
    "/v1/tokenize": "tokenize",
    "/v1/detokenize": "tokenize",
    "/v1/audio/transcriptions": "audio",
    "/v1/audio/translations": "audio",
    "/v1/audio/speech": "audio",
    "/v1/models": "models",
}
"""Every path that is told apart. Others under ``/v1/`` are relayed all the same."""

USAGE_ON_REQUEST: Final = frozenset(path for path, dialect in KNOWN.items() if dialect in ("chat", "completions"))
"""Where a stream tells its usage only to those who set ``stream_options.include_usage``."""

OTHER: Final = "other"
_MODELS: Final = "/v1/models"


def decode(target: bytes) -> str:
    """The path of a request target in origin form, without its query and with its percent escapes undone.

    Bytes that are not UTF-8 become U+FFFD: such a path is no known one, and can be logged.
    """
    return unquote_to_bytes(target.partition(b"?")[0]).decode("utf-8", "replace")


def label(path: str) -> str:
    """The value of a metric's ``path`` label: a known path, or ``other``, so that clients cannot invent values."""
    if path in KNOWN:
        return path
    return _MODELS if path.startswith("/v1/models/") else OTHER


def dialect(path: str) -> Dialect:
    """What a decoded path speaks."""
    known = KNOWN.get(path)
    if known is not None:
        return known
    return "models" if path.startswith("/v1/models/") else "other"


def model_id(path: str) -> str | None:
    """The id in ``/v1/models/{id}``, which may hold slashes; None for another path or an empty id."""
    return path.removeprefix("/v1/models/") or None if path.startswith("/v1/models/") else None
