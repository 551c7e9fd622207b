"""`kthena-fast mock-engine`: the mock engine as a program."""

import click
import uvloop

from . import controls, faults, serving
from .config import EngineConfig
from .engine import MockEngine


def _duration(text: str) -> float:
    try:
        return controls.seconds(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _fault(text: str) -> faults.Fault:
    try:
        return faults.parse(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


_DEFAULTS = EngineConfig()
_FAULT_HELP = (
    f"A way to fail, repeatable: {', '.join(faults.FaultName)}. WHEN is every-N, first-N or P%; without it, always. "
    "For instance status:503:first-2, die-mid-stream:3:every-10, hang:1%."
)


@click.command(name="mock-engine", context_settings={"show_default": True})
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="Port to listen on; 0 picks a free one.")
@click.option("--model", "models", multiple=True, default=_DEFAULTS.models, help="Name served, repeatable.")
@click.option("--adapter", "adapters", multiple=True, help="LoRA adapter of the first model, repeatable.")
@click.option("--output-tokens", type=click.IntRange(1), default=_DEFAULTS.output_tokens, help="If no limit is asked.")
@click.option(
    "--first-token-delay",
    type=_duration,
    metavar="DURATION",
    default=_DEFAULTS.first_token_delay,
    help="Such as 200ms.",
)
@click.option(
    "--token-interval", type=_duration, metavar="DURATION", default=_DEFAULTS.token_interval, help="Such as 20ms."
)
@click.option(
    "--kv-pool-tokens", type=click.IntRange(1), default=_DEFAULTS.kv_pool_tokens, help="Size of the KV cache."
)
@click.option("--max-running", type=click.IntRange(1), default=_DEFAULTS.max_running, help="Beyond it, requests wait.")
@click.option("--max-model-len", type=click.IntRange(1), help="Longer prompts are refused; unset: none is too long.")
@click.option("--api-key", help="Bearer token that /v1 asks for.")
@click.option("--fault", "faults_", type=_fault, metavar="NAME[:VALUE][:WHEN]", multiple=True, help=_FAULT_HELP)
@click.option("--seed", type=int, default=_DEFAULTS.seed, help="Of the dice behind a fault's probability.")
@click.option(
    "--grace",
    type=_duration,
    metavar="DURATION",
    default="5s",
    help="For open answers after SIGTERM; a second one cuts it short.",
)
def mock_engine(
    host: str,
    port: int,
    models: tuple[str, ...],
    adapters: tuple[str, ...],
    output_tokens: int,
    first_token_delay: float,
    token_interval: float,
    kv_pool_tokens: int,
    max_running: int,
    max_model_len: int | None,
    api_key: str | None,
    faults_: tuple[faults.Fault, ...],
    seed: int,
    grace: float,
) -> None:
    """An engine without a model, with vLLM's API. Pace, lengths and faults can be set."""
    config = EngineConfig(
        models=models,
        adapters=adapters,
        output_tokens=output_tokens,
        first_token_delay=first_token_delay,
        token_interval=token_interval,
        kv_pool_tokens=kv_pool_tokens,
        max_running=max_running,
        max_model_len=max_model_len,
        api_key=api_key,
        faults=faults_,
        seed=seed,
        # Nobody can ask this process for them.
        keep_requests=0,
    )

    def announce(engine: serving.RunningEngine) -> None:
        click.echo(f"mock engine at {engine.url}, models: {', '.join(models)}")

    # The engine belongs to the loop it is made in.
    async def main() -> None:
        await serving.serve(MockEngine(config).answer, config, host, port, grace=grace, announce=announce)

    uvloop.run(main())
