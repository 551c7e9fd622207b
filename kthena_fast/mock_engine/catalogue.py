"""Which API answers on which path, and the list of models."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from .apis import calls, chat, completions, messages, responses, tokens, vectors
from .config import EngineConfig
from .generation import ComputingCall, GeneratingCall

GENERATING: Mapping[str, Callable[[bytes], GeneratingCall]] = {
    "/v1/chat/completions": partial(calls.decode, chat.ChatCall),
    "/v1/completions": partial(calls.decode, completions.CompletionCall),
    "/v1/responses": partial(calls.decode, responses.ResponseCall),
    "/v1/messages": partial(calls.decode, messages.MessagesCall),
}
"""POST; one prompt, many tokens."""

AUDIO = frozenset({"/v1/audio/transcriptions", "/v1/audio/translations"})
"""POST; generating too, from a form instead of JSON."""

_RERANK = partial(calls.decode, vectors.RerankCall)
_SCORE = partial(calls.decode, vectors.ScoreCall)
_CLASSIFY = partial(calls.decode, vectors.ClassifyCall)
_TOKENIZE = partial(calls.decode, tokens.TokenizeCall)

COMPUTING: Mapping[str, Callable[[bytes], ComputingCall]] = {
    "/v1/embeddings": partial(calls.decode, vectors.EmbeddingCall),
    "/v1/rerank": _RERANK,
    "/v2/rerank": _RERANK,
    "/rerank": _RERANK,
    "/v1/score": _SCORE,
    "/score": _SCORE,
    "/v1/classify": _CLASSIFY,
    "/classify": _CLASSIFY,
}
"""POST; one pass over the prompt, which holds its place in the pool meanwhile."""

COUNTING: Mapping[str, Callable[[bytes], ComputingCall]] = {
    "/v1/tokenize": _TOKENIZE,
    "/tokenize": _TOKENIZE,
    "/v1/messages/count_tokens": partial(calls.decode, messages.CountTokensCall),
}
"""POST; answered beside the queue, as by vLLM's front end."""

POSTS = frozenset({*GENERATING, *AUDIO, *COMPUTING, *COUNTING})

MODEL_PREFIX = "/v1/models/"


def models(config: EngineConfig, created: int) -> list[dict[str, Any]]:
    """The cards of `GET /v1/models`, in vLLM's form: models first, then their adapters."""
    cards = [_card(model, config.models[0], None, config.max_model_len, created) for model in config.models]
    return cards + [_card(adapter, adapter, config.models[0], None, created) for adapter in config.adapters]


def _card(id_: str, root: str, parent: str | None, max_model_len: int | None, created: int) -> dict[str, Any]:
    return {
        "id": id_,
        "object": "model",
        "created": created,
        "owned_by": "vllm",
        "root": root,
        "parent": parent,
        "max_model_len": max_model_len,
        "permission": [],
    }
