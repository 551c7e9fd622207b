"""An engine without a model: vLLM's surface over HTTP, with settable pace, lengths and faults.

The same engine serves tests, demo and benchmarks. What it answers is a function of the request and its
settings: prompt tokens are a quarter of the characters (or the length of a token array), output tokens are what
was asked for, the text is always the same words. It remembers what arrived, so that a test can ask.

    engine = MockEngine(EngineConfig(models=("llama",), token_interval=0.02))
    async with engine.running() as server:
        ...  # server.url; engine.requests; await engine.until(lambda: engine.requests[-1].aborted)
"""

from .config import EngineConfig as EngineConfig
from .engine import MockEngine as MockEngine
from .faults import Fault as Fault
from .faults import FaultName as FaultName
from .journal import Record as Record
from .serving import RunningEngine as RunningEngine
