"""One file per API of vLLM's: how its calls are read, and how its answers look."""
