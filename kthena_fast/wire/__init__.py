"""Bytes in, values out: request bodies, SSE, usage, headers, paths. No sockets, no loops, no clocks."""
