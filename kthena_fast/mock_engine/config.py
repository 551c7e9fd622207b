"""`EngineConfig`: every knob of a mock engine."""

from pydantic import BaseModel, ConfigDict, Field

from .faults import Fault


class EngineConfig(BaseModel):
    """Times are seconds. A request may override pace, length and fault for itself (see `controls`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: tuple[str, ...] = Field(default=("mock",), min_length=1)
    """Names served; the first is the label of the metrics, as with vLLM's `--served-model-name`."""
    adapters: tuple[str, ...] = ()
    """LoRA adapters, listed with the first model as their parent."""
    output_tokens: int = Field(default=16, ge=1)
    """Length of an answer whose request sets no limit: vLLM's default for completions."""
    first_token_delay: float = Field(default=0.0, ge=0)
    """From the turn to the first token; also what an embedding or a score takes."""
    token_interval: float = Field(default=0.0, ge=0)
    """Between two tokens of a request; 0 sends them as fast as the client reads."""
    kv_pool_tokens: int = Field(default=1_000_000, ge=1)
    """A request holds its prompt and its whole output from its turn to its end; a larger one takes the pool alone."""
    max_running: int = Field(default=256, ge=1)
    """vLLM's `--max-num-seqs`; what comes beyond waits in order of arrival."""
    max_model_len: int | None = Field(default=None, ge=1)
    """Prompts longer than this are refused with vLLM's 400; None: none is too long, so that 10 MB bodies pass."""
    api_key: str | None = None
    """Asked for as a bearer token on paths under `/v1`, like vLLM's `--api-key`."""
    faults: tuple[Fault, ...] = ()
    """Befall POSTs only, so that health and metrics stay truthful; the first whose time has come is taken."""
    seed: int = 0
    """Of the dice behind a fault's probability."""
    embedding_size: int = Field(default=8, ge=1)
    keep_requests: int = Field(default=1_000, ge=0)
    """Records kept; 0 in benchmarks."""
    keep_body_bytes: int = Field(default=64 * 2**20, ge=0)
    """Of all kept bodies together; the oldest records go first."""
    keepalive_timeout: float = Field(default=75.0, gt=0)
    """vLLM closes idle connections after 5 s; longer here, so that only tests that mean it meet that race."""
